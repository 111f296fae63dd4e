"""The Pareto front: all complete trials by the metric and a further objective."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hpsearch.errors import plural
from hpsearch.records import FloatArray
from hpsearch.reporting.charts.spec import (
    Chart,
    Spec,
    layer,
    metric_axis,
    quantity,
    sample,
    tip_format,
    tooltip,
    values,
    within,
    word,
)
from hpsearch.reporting.grids import figure_text, front_title, shown_front, valid_name
from hpsearch.reporting.theme import var
from hpsearch.results.frames import Report
from hpsearch.text import metric_text

_OTHERS, _NAMED = 1500, 8
_INNER, _MARGIN = 0.8, 0.06
"""Of all values, so many are within the axes whatever the rest is."""
_HEIGHT = 340


def front_charts(report: Report) -> list[Chart]:
    """The metric against each further objective; none where no trial is on a front."""
    if not len(report.front):
        return []
    return [
        _chart(report, name, f"pareto-{name}" if at else "pareto")
        for at, name in enumerate(report.objectives)
    ]


def _chart(report: Report, name: str, file: str) -> Chart:
    metric, maximize = report.record.metric, report.record.direction == "maximize"
    up = _limits(report, "value", maximize)
    return Chart(
        file,
        front_title(report),
        _alt(report, name),
        {
            "data": values(_rows(report.front.iloc[::-1], name)),
            "encoding": {
                "x": _across(report, name),
                "y": quantity("v", scale=within(up), axis=metric_axis(metric, up, title=valid_name(report))),
            },
            "layer": _layers(report, name),
        },
        _HEIGHT,
        note=_outside(report, name, up),
    )


def _outside(report: Report, name: str, up: tuple[float, float]) -> str:
    """How many trials the axes leave out."""
    others = report.ranked[~report.ranked["pareto"]]
    inside = others["value"].between(*up)
    if name != "parameters":
        inside &= others[name].between(*_limits(report, name, maximize=False))
    count = int((~inside).sum())
    return (
        f"{plural(count, 'trial')} of the others {'lies' if count == 1 else 'lie'} outside." if count else ""
    )


def _layers(report: Report, name: str) -> list[Spec]:
    """The other trials, the front and its numbers; of a single further objective the line between them."""
    metric, others = report.record.metric, report.ranked[~report.ranked["pareto"]]
    drawn = others.iloc[sample(range(len(others)), _OTHERS)]
    kinds = (
        f"Pareto front: {plural(len(report.front), 'trial')}",
        plural(len(others), "other complete trial"),
    )
    colour = {
        "type": "nominal",
        "scale": {"domain": list(kinds), "range": [var("c0"), var("faint")]},
        "legend": {"symbolType": "circle"},
    }
    form = ",d" if name == "parameters" else ".4~g"
    tips = tooltip(("t", "trial", "d"), ("v", metric, tip_format(metric)), ("x", name, form))
    dot = {"type": "point", "filled": True, "clip": True, "opacity": 1}
    above = {"dy": -8 if report.record.direction == "maximize" else 10}
    step = {"type": "line", "interpolate": "step-after", "strokeWidth": 1.3, "color": var("c0"), "clip": True}
    label = {"type": "text", "align": "right", "dx": -6, **above}
    # A few trials of the front with their numbers, from one end to the other.
    rows = _rows(shown_front(report, _NAMED), name)
    named = [rows[at] | {"label": f"#{rows[at]['t']}"} for at in sample(range(len(rows)), _NAMED)]
    return [
        layer(
            {**dot, "size": 22, "fillOpacity": 0.5},
            _rows(drawn, name),
            color={"datum": kinds[1], **colour},
            tooltip=tips,
        ),
        *([layer(step, order=quantity("x"))] if len(report.objectives) == 1 else []),
        layer({**dot, "size": 60}, color={"datum": kinds[0], **colour}, tooltip=tips),
        layer(label, named, text=word("label")),
    ]


def _across(report: Report, name: str) -> Spec:
    """Sizes logarithmic and all of them; other objectives so that outliers don't flatten the rest."""
    if name != "parameters":
        scale = within(_limits(report, name, maximize=False), zero=False)
        return quantity("x", scale=scale, axis={"title": name})
    sizes = report.ranked[name].dropna()
    scale = within((float(sizes.min()) / 1.5, float(sizes.max()) * 1.2), type="log")
    return quantity("x", scale=scale, axis={"title": name, "format": "~s"})


def _rows(trials: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    return [
        {"t": int(number), "v": value, "x": None if pd.isna(other) else float(other)}
        for number, value, other in zip(trials["trial"], trials["value"], trials[name], strict=True)
    ]


def _alt(report: Report, name: str) -> str:
    metric = report.record.metric
    ends = report.front.iloc[[0, -1]].to_dict("records")
    texts = [
        f"trial {row['trial']} with {metric} {metric_text(metric, row['value'])} and {name} "
        f"{figure_text(name, row[name])}"
        for row in ends
    ]
    count = plural(len(report.front), "trial")
    return f"{front_title(report)}: {count}, from {texts[0]} to {texts[1]}."


def _limits(report: Report, name: str, maximize: bool) -> tuple[float, float]:
    """The ends of an axis: the whole front, and all trials but the worst ones, with a margin."""
    found = [_finite(trials[name]) for trials in (report.ranked, report.front)]
    if not len(found[0]):
        return 0.0, 1.0
    kept = np.quantile(found[0], (1 - _INNER, 1.0) if maximize else (0.0, _INNER))
    shown = np.concatenate([kept, found[1]])
    low, high = float(shown.min()), float(shown.max())
    margin = _MARGIN * (high - low) or 0.05 * (abs(high) or 1.0)
    return low - margin, high + margin


def _finite(column: pd.Series) -> FloatArray:
    array: FloatArray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return array[np.isfinite(array)]
