"""Advice on the space: where the best trials lie, ranges too narrow or too wide, and values never tried."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hpsearch.errors import plural
from hpsearch.records import FloatArray
from hpsearch.results.advice.evidence import ENOUGH, LEVEL, Advice, Evidence, counted, percent
from hpsearch.results.frames import PARAM
from hpsearch.study.hyperparameters import HYPER_PARAMETERS
from hpsearch.study.methods import exhaustive
from hpsearch.study.space import Choice, Range
from hpsearch.text import parameter_text, toml_value


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
        """The entry extended beyond the low (−1) or high (+1) end; None if that is impossible."""
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


_FEWEST = 7
"""So many of the best ten must use a hyper-parameter."""


class _Signs(NamedTuple):
    """What says that an end is an edge: slopes along the whole range and its outer part, in standard errors,
    and the median place of the best five."""

    whole: float
    outer: float
    middle: float


_RATE_SIGNS, _CLEAR_SIGNS = _Signs(0.8, 0.25, 0.64), _Signs(3.3, 1.5, 0.75)
"""By 160 studies of digits and 660 made-up ones (`benchmarks/edges.py`, docs/log.md)."""
_CLEARER, _FEW_TRIALS = 0.6, 46
_BEND = 0.6
_BEST_FIVE = 5
_FEWEST_LEFT = 8
"""Degrees of freedom below which a regression says nothing."""
_MANY, _WORST = 15, 0.25
"""So many trials all belong to a worst quarter by chance once in 4¹⁵ studies, if the range is indifferent."""
_FEW_INSIDE = 4
_STRETCH = 0.2
"""The share of a range that should not be without trials."""


@dataclass(frozen=True)
class Edge:
    """An end of a hyper-parameter towards which scores still rise.

    outward: −1 for the low end, +1 for the high one. values: of the best five trials. nearness: their median
    place, from the other end, 0, to this one, 1.
    """

    axis: Axis
    outward: int
    values: FloatArray
    nearness: float

    @property
    def where(self) -> str:
        """ "scores still rise at the high end of its range; the best five lie in 0.2…0.9"."""
        end = "low" if self.outward < 0 else "high"
        kind = "range" if isinstance(self.axis.entry, Range) else "list"
        return (
            f"scores still rise at the {end} end of its {kind}; the best five lie "
            f"{span(self.axis.entry, self.values)}"
        )


def edges(evidence: Evidence) -> Iterator[Advice]:
    """Hyper-parameters whose best values lie at an end of their range, and could go beyond.

    Tuning Playbook (Godbole et al. 2023), "Identifying bad search space boundaries".
    """
    for name in evidence.study.space.searched:
        edge = edge_of(evidence, name)
        further = None if edge is None else edge.axis.beyond(edge.outward)
        if edge is None or further is None:
            continue
        text = f"{name}: {edge.where}; better values may lie beyond"
        remedy = evidence.accepted([f"space.{name} = {toml_value(further)}"])
        yield Advice("edge", text, remedy, 0.9 * edge.nearness, name)


def edge_of(evidence: Evidence, name: str) -> Edge | None:
    """The end of a range, or of a choice of numbers, beyond which better values may lie, if any.

    A regression of the trials' standing on the place in the range, in two lines that meet at 0.6 of the way
    outward, with all other hyper-parameters beside it: the outer line must rise, and the median of the best
    five lie in the outer part. A learning rate always has a best value, so that hints will do; of any other
    hyper-parameter it must be clear that it matters at all. (Which of the best lie at the edge says less: a
    high momentum makes up for a low learning rate.)
    """
    axis = Axis.of(name, evidence.study.space.searched[name])
    if axis is None or len(evidence.judged) < ENOUGH:
        return None
    most = _RATE_SIGNS if name.endswith("learning_rate") else _CLEAR_SIGNS
    numbers = evidence.numbers(evidence.finished, name)
    places = axis.places(numbers)
    best = evidence.standing.argsort()[::-1][:_BEST_FIVE]
    # A best value just inside of the end looks alike to few trials; many can tell.
    clear = _CLEARER * (math.sqrt(len(evidence.finished)) - math.sqrt(_FEW_TRIALS))
    for outward in (-1, 1):
        toward = places if outward > 0 else 1 - places
        middle = float(np.nanmedian(toward[best])) if np.isfinite(toward[best]).any() else 0.0
        found = _rises(evidence, name, toward) if middle >= most.middle else None
        if found is not None and found[0] >= most.whole and found[1] >= max(most.outer, clear):
            values = numbers[best]
            return Edge(axis, outward, values[~np.isnan(values)], middle)
    return None


def _rises(evidence: Evidence, name: str, places: FloatArray) -> tuple[float, float] | None:
    """By how many standard errors the standing rises along places, and along the outer ones; None if unknown.

    Trials that don't use the hyper-parameter are left out.
    """
    used = np.isfinite(places)
    others = np.column_stack([np.ones(len(places)), *_others(evidence, name)])[used]
    own, standing = places[used], evidence.standing[used]
    bent = np.column_stack([own, np.maximum(0, own - _BEND), others])
    if len(own) - np.linalg.matrix_rank(bent) < _FEWEST_LEFT:
        return None
    whole = _slope(np.column_stack([own, others]), standing, 1)
    return whole, _slope(bent, standing, 2)


def _others(evidence: Evidence, name: str) -> Iterator[FloatArray]:
    """[finished] columns for the others: place and its square, or one for each value but the first."""
    for other, entry in evidence.study.space.searched.items():
        if other == name:
            continue
        if (axis := Axis.of(other, entry)) is not None:
            place = np.nan_to_num(axis.places(evidence.numbers(evidence.finished, other)), nan=0.5) - 0.5
            yield place
            yield place**2
        else:
            values = evidence.finished[PARAM + other].astype(str).to_numpy()
            for value in np.unique(values)[1:]:
                yield (values == value).astype(np.float64)


def _slope(columns: FloatArray, standing: FloatArray, count: int) -> float:
    """The sum of the first coefficients of a least-squares fit, in standard errors."""
    inverse = np.linalg.pinv(columns)
    found = inverse @ standing
    left = standing - columns @ found
    variance = left @ left / (len(standing) - np.linalg.matrix_rank(columns))
    chosen = inverse[:count].sum(0)
    error = float(np.sqrt(variance * (chosen @ chosen)))
    return float(found[:count].sum()) / error if error else 0.0


def too_wide(evidence: Evidence) -> Iterator[Advice]:
    """Ranges with a hopeless region, away from all of the best ten.

    Tuning Playbook, "Identifying bad search space boundaries". Hopeless means that none of many trials beats
    the worst quarter of those in the rest of the range; of the early ones, since a sampler that learns makes
    later ones better in all that they have in common.
    """
    if not evidence.chosen:
        return
    early, trials = evidence.early, evidence.finished
    early_score, score = evidence.scores(early), evidence.scores(trials)
    for name, entry in evidence.study.space.searched.items():
        if not isinstance(entry, Range) or name in evidence.study.search.scientific:
            continue
        best = evidence.numbers(evidence.best, name)
        best = best[~np.isnan(best)]
        closer = narrower(entry, best.min(), best.max()) if len(best) >= _FEWEST else None
        if closer is None or edge_of(evidence, name) is not None:
            continue
        inside = _between(evidence.numbers(early, name), closer)
        tried = evidence.numbers(trials, name)
        outside = ~_between(tried, closer) & ~np.isnan(tried)
        if inside.sum() < _FEW_INSIDE or outside.sum() < _MANY:
            continue
        if score[outside].max() >= np.quantile(early_score[inside], _WORST):
            continue
        text = (
            f"{name}: the best {counted(len(best))} lie {span(entry, best)}; outside "
            f"{closer.low:.2g}…{closer.high:.2g}, all {plural(int(outside.sum()), 'trial')} are worse than "
            "three quarters of those inside"
        )
        remedy = evidence.accepted([f"space.{name} = {toml_value(closer.document())}"])
        yield Advice("too wide", text, remedy, 0.5 * float(outside.mean()), name)


def _between(values: FloatArray, entry: Range) -> np.ndarray:
    return (values >= entry.low) & (values <= entry.high)


def unvisited(evidence: Evidence) -> Iterator[Advice]:
    """Values of a choice, and stretches of a range, that no trial has tried.

    Tuning Playbook, "Not sampling enough points in the search space". Said where even sampling would seldom
    leave any out: by Boole's inequality, the number of values, or of gaps between trials, times the
    probability of one (for gaps Whitworth 1901).
    """
    study = evidence.study
    if exhaustive(study.search.sampler):  # whose order leaves gaps that it fills in the end
        return
    kept_out = {name for combination in study.forbidden for name in combination.conditions}
    for name, entry in study.space.searched.items():
        if name in kept_out:
            continue
        tried = evidence.report.trials[PARAM + name].dropna()
        if isinstance(entry, Choice):
            yield from _values_left_out(evidence, name, entry, set(tried), len(tried))
        else:
            yield from _stretch_left_out(evidence, name, entry, tried.to_numpy(dtype=np.float64))


def _values_left_out(
    evidence: Evidence, name: str, entry: Choice, tried: set[object], trials: int
) -> Iterator[Advice]:
    count = len(entry.values)
    left = [value for value in entry.values if value not in tried]
    if not left or count * (1 - 1 / count) ** trials > LEVEL:
        return
    text = f"{name}: none of {trials:,} trials tried {', '.join(map(parameter_text, left))}"
    yield Advice("unvisited", text, _enqueue(evidence, name, left[0]), 0.6 * len(left) / count, name)


def _stretch_left_out(evidence: Evidence, name: str, entry: Range, tried: FloatArray) -> Iterator[Advice]:
    scale = Scale.of(entry)
    begins = np.append(0.0, np.sort(scale.places(tried + scale.half)))
    ends = np.append(np.sort(scale.places(tried - scale.half)), 1.0)
    gaps = ends - begins
    at = int(gaps.argmax())
    gap = float(gaps[at])
    if gap < _STRETCH or (len(tried) + 1) * (1 - gap) ** len(tried) > LEVEL:
        return
    inside = np.array([scale.value(begins[at]) + scale.half, scale.value(ends[at]) - scale.half])
    text = (
        f"{name}: none of {len(tried):,} trials lies {span(entry, inside)}, which is {percent(gap)} of its "
        "range"
    )
    middle = _on_grid(entry, scale.value((begins[at] + ends[at]) / 2))
    yield Advice("unvisited", text, _enqueue(evidence, name, middle), 0.6 * gap, name)


def _on_grid(entry: Range, value: float) -> float:
    """A value that the range has, nearest to another one."""
    if entry.step:
        value = entry.low + round((value - entry.low) / entry.step) * entry.step
    return round(value) if entry.integer else float(f"{value:.3g}")


def _enqueue(evidence: Evidence, name: str, value: object) -> str:
    shown = value if isinstance(value, str) else toml_value(value)
    return f"hpsearch enqueue {quote(evidence.report.record.name)} {quote(f'{name}={shown}')}"


def span(entry: Range | Choice, values: FloatArray) -> str:
    """ "in 0.12…0.76", "at 3"."""
    whole = isinstance(entry, Choice) or entry.integer
    low, high = (
        f"{value:.0f}" if whole and value % 1 == 0 else f"{value:.3g}"
        for value in (values.min(), values.max())
    )
    return f"at {low}" if low == high else f"in {low}…{high}"
