"""A chart: a Vega-Lite specification with its title, what it says in words, and what can be switched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.records import FloatArray
from hpsearch.text import is_share, plain

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
Spec = dict[str, Any]
UNSEEN = "unseen-{}"
"""Names of layers that are only there to be hovered over or switched on; files leave them out."""
BARE = {"ticks": False, "domain": False}
"""An axis of names alone."""


@dataclass(frozen=True)
class Switch:
    """Something of a chart that is on or off.

    parts: (path in the specification, value when off, value when on).
    """

    label: str
    on: bool
    parts: tuple[tuple[tuple[str | int, ...], Any, Any], ...]


@dataclass(frozen=True)
class Chart:
    """One picture.

    name: of its files, unique in a report. alt: what it says, in numbers. spec: Vega-Lite without size; its
    fields have names of their own, so that nothing from data or study files is read as a path or an
    expression. height: in pixels. least: pixels below which it is scrolled rather than narrowed.
    """

    name: str
    title: str
    alt: str
    spec: Spec
    height: int
    note: str = ""
    switches: tuple[Switch, ...] = ()
    least: int = 0


def values(rows: Iterable[Mapping[Any, Any]]) -> Spec:
    """Rows as inline data: numbers with five digits, what is missing or not finite as null."""
    return {"values": [{str(key): _short(value) for key, value in row.items()} for row in rows]}


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    number = float(value)
    return float(f"{number:.5g}") if math.isfinite(number) else None


def quantity(field: str, **more: Any) -> Spec:
    """A channel that shows a field of numbers."""
    return {"field": field, "type": "quantitative", **more}


def word(field: str, **more: Any) -> Spec:
    """A channel that shows a field of names."""
    return {"field": field, "type": "nominal", **more}


def tooltip(*shown: tuple[str, str, str]) -> list[Spec]:
    """What hovering tells: (field, title, how d3 writes the number; "" of a name)."""
    return [
        quantity(field, title=title, format=form) if form else word(field, title=title)
        for field, title, form in shown
    ]


def layer(mark: Spec, rows: Iterable[Mapping[Any, Any]] | None = None, **encoding: Any) -> Spec:
    """A layer of a chart; rows: data of its own, None for the chart's."""
    return {**({} if rows is None else {"data": values(rows)}), "mark": mark, "encoding": encoding}


def mean_layers(colour: Spec, tips: list[Spec]) -> list[Spec]:
    """Mean and interval of each row: fields mean, low, high."""
    rule, dot = (
        {"type": "rule", "strokeWidth": 3},
        {"type": "point", "filled": True, "size": 90, "opacity": 1},
    )
    return [
        layer(rule, x=quantity("low"), x2={"field": "high"}, color=colour, tooltip=tips),
        layer(dot, color=colour, tooltip=tips),
    ]


def seed_layer(rows: Iterable[Mapping[Any, Any]], size: int, colour: Spec) -> Spec:
    """A tick a seed, at the field v."""
    mark = {"type": "tick", "thickness": 1.5, "size": size, "opacity": 0.9}
    return layer(mark, rows, x=quantity("v"), color=colour)


def lines_axis(field: str, names: Sequence[str], title: str | None = None) -> Spec:
    """Names below each other, one a line, in this order."""
    return word(field, sort=list(names), title=title, axis=BARE)


def within(domain: tuple[float, float], **more: Any) -> Spec:
    """A scale from end to end of the domain."""
    return {"domain": list(domain), "nice": False, **more}


def metric_axis(metric: str, domain: tuple[float, float], **more: Any) -> Spec:
    """The axis of a metric: shares in percent."""
    return {"format": number_format(metric, domain), "title": metric, "tickCount": 6, **more}


def number_format(metric: str, domain: tuple[float, float]) -> str:
    """How d3 writes values of a metric, on an axis with that domain."""
    if not is_share(metric):
        return ",~f"
    return ".1%" if domain[1] - domain[0] < 0.1 else ".0%"


def tip_format(metric: str) -> str:
    """How d3 writes a single value of a metric."""
    return ".1%" if is_share(metric) else ".4~g"


def domain_of(shown: FloatArray, keep: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
    """The ends of an axis that shows the values between two quantiles, with a margin."""
    finite = shown[np.isfinite(shown)]
    if not len(finite):
        return 0.0, 1.0
    low, high = (float(end) for end in np.quantile(finite, keep))
    margin = 0.05 * (high - low) or 0.05 * (abs(high) or 1.0)
    return low - margin, high + margin


def sample(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of the numbers, evenly from the first to the last."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[at] for at in np.linspace(0, len(numbers) - 1, most).round().astype(int)]
