"""Parallel coordinates: each trial a line through its hyper-parameters to its value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hpsearch.errors import plural
from hpsearch.reporting.charts.spec import (
    Chart,
    Spec,
    layer,
    quantity,
    sample,
    tip_format,
    tooltip,
    within,
    word,
)
from hpsearch.reporting.grids import valid_name
from hpsearch.reporting.theme import var
from hpsearch.results.frames import PARAM, Report, space_of
from hpsearch.study.space import Choice, Range
from hpsearch.text import metric_text, missing, parameter_text

_BEST, _REST, _BRIGHT = 40, 160, 10
"""Trials that are all drawn, of the rest so many, and how many stand out."""
_HEIGHT, _LEAST_A_AXIS = 320, 92
_MOST_AXES = 12
_TICKS = 3


def parallel_chart(report: Report) -> Chart | None:
    """The best trials and a sample of the rest; None of fewer than two hyper-parameters or trials."""
    names = report.parameters[:_MOST_AXES]
    judged = report.trials[np.isfinite(report.trials["value"].to_numpy(dtype=np.float64))]
    if len(names) < 2 or len(judged) < 2:
        return None
    places = [*range(min(_BEST, len(judged))), *sample(range(_BEST, len(judged)), _REST)]
    shown = judged.iloc[places]
    axes = [_Axis(name, space_of(report.record).searched[name], judged[PARAM + name]) for name in names]
    rows, ends = _lines(report, shown, axes)
    count = len(axes) + 1
    sampled = f" {len(shown)} of {len(judged):,} trials are drawn." if len(shown) < len(judged) else ""
    x = quantity("x", axis=None, scale=within((-0.35, count - 0.65), zero=False))
    y = quantity("y", axis=None, scale=within((-0.06, 1.12)))
    drawn = f"the best {_BRIGHT} in blue.{sampled}"
    return Chart(
        "parallel",
        "Parallel coordinates",
        _alt(report, shown, names),
        {
            "encoding": {"x": x, "y": y},
            "layer": [
                _lines_layer(rows, report.record.metric),
                *_axes_layers([*((axis.name, axis.ticks) for axis in axes), (report.record.metric, ends)]),
            ],
        },
        _HEIGHT,
        note=f"One line a trial, from its hyper-parameters to its {valid_name(report)}; {drawn}",
        least=_LEAST_A_AXIS * count,
    )


def _lines_layer(rows: list[dict[str, Any]], metric: str) -> Spec:
    one = {"type": "point", "fields": ["t"], "on": "pointerover", "clear": "pointerout"}
    pointed, bright = {"param": "one", "empty": False}, {"test": {"field": "k", "lt": _BRIGHT}}
    lines = layer(
        {"type": "line", "strokeJoin": "round"},
        rows,
        detail={"field": "t"},
        order={"field": "x"},
        color={
            "condition": [pointed | {"value": var("c1")}, bright | {"value": var("c0")}],
            "value": var("faint"),
        },
        strokeOpacity={"condition": bright | {"value": 0.9}, "value": 0.4},
        strokeWidth={"condition": [pointed | {"value": 4}, bright | {"value": 1.8}], "value": 0.8},
        tooltip=tooltip(("t", "trial", "d"), ("v", metric, tip_format(metric))),
    )
    return {"params": [{"name": "one", "select": one}], **lines}


class _Axis:
    """Where the values of a hyper-parameter lie from 0 to 1, and what is written there."""

    def __init__(self, name: str, entry: Range | Choice, column: pd.Series) -> None:
        self.name = name
        self._log = isinstance(entry, Range) and entry.log
        present = [value for value in column.tolist() if not missing(value)]
        numbers = [float(v) for v in present if not isinstance(v, (str, bool))]
        if isinstance(entry, Choice):
            order = [value for value in entry.values if value in set(present)]
            self._places = {value: at / max(len(order) - 1, 1) for at, value in enumerate(order)}
            self.ticks = [(place, parameter_text(value)) for value, place in self._places.items()]
            return
        self._places = {}
        low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
        self._low, self._high = self._scaled(low), self._scaled(high)
        ticks = np.linspace(self._low, self._high, _TICKS) if high > low else [self._low]
        shown = [math.exp(at) if self._log else float(at) for at in ticks]
        if isinstance(entry, Range) and entry.integer:
            shown = sorted({round(value) for value in shown})
        self.ticks = [
            (self._place(float(value)), f"{value:.2g}" if isinstance(value, float) else str(value))
            for value in shown
        ]

    def place(self, value: Any) -> float | None:
        """From 0 to 1; None of a value that is missing or beside a range."""
        if missing(value):
            return None
        if self._places:
            return self._places.get(value)
        if isinstance(value, str):
            return None
        return self._place(float(value))

    def _place(self, value: float) -> float:
        span = self._high - self._low
        return (self._scaled(value) - self._low) / span if span else 0.5

    def _scaled(self, value: float) -> float:
        return math.log(value) if self._log else value


def _lines(
    report: Report, shown: pd.DataFrame, axes: Sequence[_Axis]
) -> tuple[list[dict[str, Any]], list[tuple[float, str]]]:
    """Points of the lines, the last trials first so that the best lie on top; and the value's ticks.

    Values have their place among those shown, so that outliers don't flatten the rest.
    """
    metric = report.record.metric
    column = shown["value"].to_numpy(dtype=np.float64)
    ranks = pd.Series(column).rank(method="average").to_numpy() - 1
    up = ranks / max(len(column) - 1, 1)
    rows, records = [], shown.to_dict("records")
    for at in reversed(range(len(records))):
        row = records[at]
        common = {"t": int(row["trial"]), "v": row["value"], "k": at}
        rows += [
            common | {"x": place, "y": axis.place(row[PARAM + axis.name])} for place, axis in enumerate(axes)
        ]
        rows.append(common | {"x": len(axes), "y": up[at]})
    ends = [(q, metric_text(metric, float(np.quantile(column, q)))) for q in (0.0, 0.5, 1.0)]
    return rows, ends


def _axes_layers(axes: list[tuple[str, list[tuple[float, str]]]]) -> list[Spec]:
    places = range(len(axes))
    ticks = [{"x": x, "y": y, "w": text} for x, (_, found) in enumerate(axes) for y, text in found]
    heads = [{"x": x, "y": 1.1, "w": axes[x][0]} for x in places]
    rules = [{"x": x, "y": 0, "z": 1} for x in places]
    text = {"type": "text", "align": "left", "dx": 5, "fontSize": 11}
    halo = {"stroke": var("paper"), "strokeWidth": 4, "strokeJoin": "round", "opacity": 0.85}
    return [
        layer({"type": "rule", "color": var("muted"), "strokeWidth": 1.2}, rules, y2={"field": "z"}),
        layer({**text, **halo}, ticks, text=word("w")),
        layer({**text, "color": var("ink")}, ticks, text=word("w")),
        layer({"type": "text", "fontWeight": "bold"}, heads, text=word("w")),
    ]


def _alt(report: Report, shown: pd.DataFrame, names: list[str]) -> str:
    best = report.row(int(shown["trial"].iloc[0]))
    own = ", ".join(f"{name} {parameter_text(best[PARAM + name])}" for name in names)
    value = metric_text(report.record.metric, best["value"])
    count = plural(len(shown), "trial")
    return (
        f"{count} by {len(names)} hyper-parameters and {valid_name(report)}; the best, "
        f"trial {best['trial']}, has {own} and {value}."
    )
