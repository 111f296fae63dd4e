"""Ranges as even samplers see them, and ranges that are proposed instead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hpsearch.records import FloatArray
from hpsearch.study.hyperparameters import HYPER_PARAMETERS
from hpsearch.study.space import Choice, Range


@dataclass(frozen=True)
class Scale:
    """Numbers as places from 0 to 1, evenly filled by even sampling.

    A whole number, or one of some steps, stands for its surroundings: up to half a step away, so that
    the cells of all of them fill the scale. half: that half step, 0 for continuous numbers.
    """

    low: float
    high: float
    log: bool = False
    half: float = 0.0

    @classmethod
    def of(cls, entry: Range) -> Scale:
        """Of a range."""
        half = (entry.step or 1) / 2 if entry.integer else (entry.step or 0) / 2
        return cls(entry.low, entry.high, entry.log, half)

    def places(self, values: ArrayLike) -> FloatArray:
        """Where values lie."""
        values = np.asarray(values, dtype=np.float64)
        low, high = self.low - self.half, self.high + self.half
        if self.log:
            return np.asarray(np.log(values / low) / math.log(high / low))
        return np.asarray((values - low) / (high - low))

    def value(self, place: float) -> float:
        """What lies at a place."""
        low, high = self.low - self.half, self.high + self.half
        return float(low * (high / low) ** place if self.log else low + (high - low) * place)

    def end_cell(self, outward: int) -> float:
        """The share that the lowest (−1) or the highest (+1) value has of the scale; 0 if continuous."""
        low, high = self.places([self.low + self.half, self.high - self.half]).tolist()
        return float(low if outward < 0 else 1 - high) if self.half else 0.0


@dataclass(frozen=True)
class Axis:
    """A hyper-parameter of ordered numbers: a range, or a choice among at least three.

    numbers: of a choice, in rising order.
    """

    name: str
    entry: Range | Choice
    scale: Scale
    numbers: tuple[float, ...] = ()

    @classmethod
    def of(cls, name: str, entry: Range | Choice) -> Axis | None:
        """None for a choice of anything else."""
        if isinstance(entry, Range):
            return cls(name, entry, Scale.of(entry))
        values = [v for v in entry.values if isinstance(v, (int, float)) and not isinstance(v, bool)]
        if not len(values) == len(entry.values) >= 3:
            return None
        return cls(name, entry, Scale(0, len(values) - 1, half=0.5), tuple(sorted(values)))

    def places(self, values: FloatArray) -> FloatArray:
        """Where values lie, from 0 to 1; see Scale. NaN stays NaN."""
        if self.numbers:
            values = np.where(np.isnan(values), np.nan, np.searchsorted(self.numbers, values))
        return self.scale.places(values)

    def beyond(self, outward: int) -> Any:
        """What the study file may say to go on beyond the low (−1) or high (+1) end; None at the last."""
        if isinstance(self.entry, Choice):
            return longer(self.name, list(self.numbers), outward)
        further = wider(self.name, self.entry, outward)
        return None if further is None else further.document()


def wider(name: str, entry: Range, outward: int) -> Range | None:
    """The range with its low (outward −1) or high edge (+1) moved out; None at the last possible value.

    By a decade on a log scale, but of whole numbers by half the scale, since what they count costs time;
    by half its size otherwise.
    """
    bound = entry.low if outward < 0 else entry.high
    half = (entry.high - entry.low) / 2
    if entry.step:
        half = max(1, round(half / entry.step)) * entry.step
    factor = math.sqrt(entry.high / entry.low) if entry.log and entry.integer else 10.0
    moved = bound * factor**outward if entry.log else bound + outward * half
    moved = round(moved) if entry.integer else float(f"{moved:.6g}")
    parameter = HYPER_PARAMETERS[name]
    excluded = parameter.above if outward < 0 else parameter.below
    if excluded is not None and (moved - excluded) * outward >= 0:
        moved = float(f"{(bound + excluded) / 2:.6g}")
    if parameter.low is not None:
        moved = max(moved, parameter.low)
    if parameter.high is not None:
        moved = min(moved, parameter.high)
    if moved == bound:
        return None
    low, high = (moved, entry.high) if outward < 0 else (entry.low, moved)
    return Range(low, high, entry.log, entry.step, entry.integer)


def longer(name: str, values: list[float], outward: int) -> list[float] | None:
    """Rising numbers with one more before (outward −1) or after (+1) them; None where none is possible.

    They go on by their last ratio if the first three are a geometric series, otherwise by their last step.
    """
    end, beside = (values[0], values[1]) if outward < 0 else (values[-1], values[-2])
    geometric = beside > 0 and end > 0 and math.isclose(values[0] * values[2], values[1] ** 2)
    more = end * end / beside if geometric else 2 * end - beside
    whole = all(isinstance(value, int) for value in values)
    more = round(more) if whole else float(f"{more:.6g}")
    if more in values or not HYPER_PARAMETERS[name].accepts(more):
        return None
    return [more, *values] if outward < 0 else [*values, more]


def narrower(entry: Range, low: float, high: float) -> Range | None:
    """The part of a range about low … high: half as much again on either side, at least a tenth of the range.

    None where that is more than half of it. Bounds are rounded outwards to two digits.
    """
    scale = Scale.of(entry)
    first, last = scale.places([low - scale.half, high + scale.half]).tolist()
    margin = max((last - first) / 2, 0.1)
    first, last = max(first - margin, 0.0), min(last + margin, 1.0)
    if last - first > 0.5:
        return None
    bounds = [
        _rounded(scale.value(place) + inward * scale.half, entry, inward)
        for place, inward in ((first, 1), (last, -1))
    ]
    if bounds[0] >= bounds[1]:
        return None
    return Range(bounds[0], bounds[1], entry.log, entry.step, entry.integer)


def _rounded(value: float, entry: Range, inward: int) -> float:
    """A bound rounded away from the middle of the range, to a value that the range has."""
    step = entry.step or (1 if entry.integer else 0)
    if not step:
        return min(max(two_digits(value, up=inward < 0), entry.low), entry.high)
    steps = (value - entry.low) / step
    whole = math.floor(steps + 1e-9) if inward > 0 else math.ceil(steps - 1e-9)
    bound = min(max(entry.low + whole * step, entry.low), entry.high)
    return round(bound) if entry.integer else float(f"{bound:.12g}")


def two_digits(value: float, up: bool) -> float:
    """The number rounded up or down to two significant digits."""
    if not value:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{(math.ceil(value / unit - 1e-9) if up else math.floor(value / unit + 1e-9)) * unit:.2g}")
