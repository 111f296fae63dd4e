"""Searched hyper-parameters as a model of trials takes them, and as a table divides them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hpsearch.records import FloatArray, IntArray
from hpsearch.results.frames import PARAM, Report, space_of
from hpsearch.study.space import Choice, Range, Space
from hpsearch.text import missing, parameter_text

KNOTS = 6
"""Of the curve that is fitted to a hyper-parameter with many values."""

FEW = 8
"""So many values of a whole number are taken one by one, as choices are."""

BUCKETS = 6
"""Into which many values are divided."""

_GRID = 33
"""Places at which a fitted curve is averaged."""

_NICE = (1.0, 10**0.5)
"""Where decades are divided on a log scale."""


@dataclass(frozen=True)
class Factor:
    """A searched hyper-parameter of n trials.

    levels: its values where they are few, in order; otherwise (). at: [n] place among the levels or, of many
    values, the value on its scale (the logarithm if log); NaN for trials that have no use for it. low, high:
    ends of the range on that scale. log: whether the scale is logarithmic.
    """

    name: str
    at: FloatArray
    levels: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False

    def value(self, at: float) -> float:
        """The value at a place of the scale."""
        value = math.exp(at) if self.log else at
        return round(value) if self.integer else value

    def text(self, at: float) -> str:
        """The value at a place of the scale, or the level of that place, in words."""
        if self.levels:
            return parameter_text(self.levels[int(at)])
        value = self.value(at)
        return parameter_text(value) if self.integer else f"{value:.2g}"

    @property
    def named(self) -> bool:
        """Whether its values are names, which have no order."""
        return any(isinstance(level, (str, bool)) for level in self.levels)

    @cached_property
    def edges(self) -> FloatArray:
        """[buckets + 1] ends of the buckets of a hyper-parameter with many values, on its scale."""
        if self.log:
            decades = range(math.floor(self.low / math.log(10)), math.ceil(self.high / math.log(10)) + 1)
            nice = [math.log(part * 10.0**decade) for decade in decades for part in _NICE]
            gap = 0.2 * math.log(10)
            inner = [edge for edge in nice if self.low + gap < edge < self.high - gap]
            if 2 <= len(inner) <= 2 * BUCKETS:
                inner = inner if len(inner) < BUCKETS + 2 else inner[::2]
                return np.array([self.low, *inner, self.high])
        return np.linspace(self.low, self.high, BUCKETS + 1)

    @cached_property
    def bucket(self) -> IntArray:
        """[n] place of each trial's bucket; −1 for trials that have no use for the hyper-parameter."""
        there = ~np.isnan(self.at)
        places = np.full(len(self.at), -1, dtype=np.int64)
        if self.levels:
            places[there] = self.at[there].astype(np.int64)
        else:
            found = np.searchsorted(self.edges, self.at[there], side="right") - 1
            places[there] = found.clip(0, len(self.edges) - 2)
        return places

    @property
    def buckets(self) -> int:
        return len(self.levels) or len(self.edges) - 1

    def bucket_text(self, place: int) -> str:
        """A bucket in words: a value, or "0.1…0.32"."""
        if self.levels:
            return parameter_text(self.levels[place])
        low, high = self.bucket_ends(place)
        texts = [parameter_text(end) if self.integer else f"{end:.2g}" for end in (low, high)]
        return "…".join(dict.fromkeys(texts))

    def bucket_ends(self, place: int) -> tuple[float, float]:
        """Lowest and highest value of a bucket of many values."""
        low, high = self.edges[place], self.edges[place + 1]
        if not self.integer:
            return self.value(low), self.value(high)
        real = np.exp if self.log else float
        first = math.ceil(real(low) - 1e-9)
        last = (
            math.floor(real(high) + 1e-9) if place == self.buckets - 1 else math.ceil(real(high) - 1e-9) - 1
        )
        return first, max(first, last)

    def columns(self, knots: int = KNOTS) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What a linear model takes of it.

        [n, k] basis functions at the trials; [m, k] at m places evenly over the space; [m] those places. The
        functions are 1 at a knot and 0 at the others (at a level and the other levels), less their mean over
        the space; the first is left out, as the model has a constant. All are 0 for trials that have no use
        for the hyper-parameter, as if it had its average effect there.
        """
        there = ~np.isnan(self.at)
        if self.levels:
            nodes = grid = np.unique(self.at[there])
        else:
            nodes = (
                np.unique(np.quantile(self.at[there], np.linspace(0, 1, knots)))
                if there.any()
                else self.at[:0]
            )
            grid = np.linspace(self.low, self.high, _GRID)
        if len(nodes) < 2:
            return np.empty((len(self.at), 0)), np.empty((len(grid), 0)), grid
        even = hats(grid, nodes)
        columns = np.zeros((len(self.at), len(nodes) - 1))
        columns[there] = hats(self.at[there], nodes) - even.mean(0)
        return columns, even - even.mean(0), grid


def hats(at: FloatArray, nodes: FloatArray) -> FloatArray:
    """[n, nodes − 1] the piecewise linear functions that are 1 at a node and 0 at the others, without the
    first one's.
    """
    one = np.eye(len(nodes))
    return np.column_stack([np.interp(at, nodes, one[node]) for node in range(1, len(nodes))])


def factors(report: Report, rows: IntArray | None = None) -> list[Factor]:
    """The searched hyper-parameters of the report's trials, or of some rows of them, in the file's order."""
    frame = report.trials if rows is None else report.trials.iloc[rows]
    space = space_of(report.record)
    return [
        _factor(space, name, entry, frame[PARAM + name].tolist()) for name, entry in space.searched.items()
    ]


def _factor(space: Space, name: str, entry: Choice | Range, values: Sequence[Any]) -> Factor:
    known = space.values(name)
    if isinstance(entry, Choice) or (known is not None and len(known) <= FEW):
        levels = tuple(sorted(known or (), key=_order))
        places = {_key(level): float(place) for place, level in enumerate(levels)}
        at = [math.nan if missing(value) else places.get(_key(value), math.nan) for value in values]
        return Factor(name, np.array(at), levels)
    scale = math.log if entry.log else float
    at = [math.nan if missing(value) else scale(value) for value in values]
    return Factor(name, np.array(at), (), scale(entry.low), scale(entry.high), entry.log, entry.integer)


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers before words; words stay in the file's order, as all of them are equal here."""
    return (True, 0) if isinstance(value, (str, bool)) else (False, value)


def _key(value: Any) -> Any:
    return str(value) if isinstance(value, (str, bool)) else float(value)
