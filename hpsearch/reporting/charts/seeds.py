"""Learning curves of the finalists: how far their seeds spread."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.records import valid_place
from hpsearch.reporting.charts.curves import HEIGHT, LOG_EPOCHS, WHOLE, epochs_axis, values_axis
from hpsearch.reporting.charts.spec import UNSEEN, Chart, Spec, domain_of, tip_format, values
from hpsearch.reporting.grids import thinned_epochs
from hpsearch.reporting.theme import series
from hpsearch.results.confirmation import Confirmation, Finalist
from hpsearch.text import metric_text

SEEDS = "seeds"
_BANDS = 3
"""More would hide each other."""


def seeds_chart(c: Confirmation) -> Chart | None:
    """Of the best finalists the mean over seeds, epoch by epoch, in a band from the lowest to the highest."""
    place = valid_place(c.metric)
    bands = {f"#{each.trial}": _band(each, place) for each in c.ranked[:_BANDS]}
    bands = {name: band for name, band in bands.items() if band}
    if not bands:
        return None
    rows = [{"s": name, **row} for name, band in bands.items() for row in band]
    ends = np.array([[row["lo"], row["hi"]] for row in rows])
    domain = domain_of(ends, (0.12, 1.0) if c.maximize else (0.0, 0.88))
    colour = {
        "field": "s",
        "type": "nominal",
        "scale": {"domain": list(bands), "range": [series(place) for place in range(len(bands))]},
        "legend": {"symbolType": "stroke"},
    }
    spread = ", ".join(
        f"{name} {metric_text(c.metric, band[-1]['lo'])} to {metric_text(c.metric, band[-1]['hi'])}"
        for name, band in bands.items()
    )
    return Chart(
        SEEDS,
        "Finalists on fresh seeds",
        f"validation {c.metric} of the best finalists over {c.seeds} seeds; after the last epoch {spread}.",
        {
            "data": values(rows),
            "encoding": {
                "x": epochs_axis(max(row["e"] for row in rows)),
                "y": values_axis(f"validation {c.metric}", c.metric, domain),
                "color": colour,
            },
            "layer": _layers(tip_format(c.metric)),
        },
        HEIGHT,
        note=f"Mean over {c.seeds} fresh seeds; the band reaches from the lowest to the highest of them.",
        switches=(LOG_EPOCHS,),
    )


def _band(finalist: Finalist, place: int) -> list[dict[str, Any]]:
    """Of every epoch that some seed got to, mean, lowest and highest value of the column at that place."""
    if not finalist.curves:
        return []
    table = np.full((len(finalist.curves), max(map(len, finalist.curves))), np.nan)
    for seed, curve in enumerate(finalist.curves):
        table[seed, : len(curve)] = curve[:, place]
    rows = []
    for epoch in thinned_epochs(table.shape[1], WHOLE):
        own = table[:, epoch - 1][np.isfinite(table[:, epoch - 1])]
        if len(own):
            rows.append({"e": epoch, "v": own.mean(), "lo": own.min(), "hi": own.max()})
    return rows


def _layers(form: str) -> list[Spec]:
    tips = [("e", "epoch", "d"), ("v", "mean", form), ("lo", "lowest", form), ("hi", "highest", form)]
    tooltip = [
        {"field": "s", "type": "nominal", "title": "trial"},
        *({"field": f, "type": "quantitative", "title": title, "format": how} for f, title, how in tips),
    ]
    return [
        {
            "mark": {"type": "area", "fillOpacity": 0.18, "clip": True},
            "encoding": {"y": {"field": "lo", "type": "quantitative"}, "y2": {"field": "hi"}},
        },
        {"mark": {"type": "line", "strokeWidth": 2, "clip": True}},
        {
            "name": UNSEEN.format("hover"),
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0, "clip": True},
            "encoding": {"tooltip": tooltip},
        },
    ]
