"""Predicted against true targets of a regression."""

from __future__ import annotations

import numpy as np

from hpsearch.reporting.charts.spec import Chart, layer, quantity, tooltip, values, within
from hpsearch.reporting.theme import var
from hpsearch.results.confirmation import Confirmation

_HEIGHT = 340


def predicted_chart(c: Confirmation, target: str) -> Chart | None:
    """Of the test rows that are stored of the finalist to use; None where there are none."""
    pairs = c.best.pairs
    if not len(pairs) or not np.isfinite(pairs).all():
        return None
    low, high = float(pairs.min()), float(pairs.max())
    rows = [{"x": float(true), "y": float(said)} for true, said in pairs]
    ends = [{"x": end, "y": end} for end in (low, high)]
    scale = within((low, high), zero=False)
    dot = {"type": "point", "filled": True, "size": 22, "opacity": 0.6, "color": var("c0")}
    tips = tooltip(("x", f"true {target}", ".4~g"), ("y", "predicted", ".4~g"))
    return Chart(
        "predicted",
        f"Predicted against true {target}",
        f"{len(pairs):,} {c.part} rows of trial {c.best.trial}: true {target} across, predicted up; "
        "on the line both are equal.",
        {
            "data": values(rows),
            "encoding": {
                "x": quantity("x", scale=scale, axis={"title": f"true {target}"}),
                "y": quantity("y", scale=scale, axis={"title": f"predicted {target}"}),
            },
            "layer": [
                layer(dot, tooltip=tips),
                layer({"type": "line", "strokeDash": [4, 3], "color": var("faint")}, ends),
            ],
        },
        _HEIGHT,
    )
