"""Which trials and values lessons rest on, and an additive model of them: what each hyper-parameter does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import VALID_LOSS, Curves, FloatArray, IntArray, State, valid_place
from hpsearch.results.frames import PARAM, Report, space_of
from hpsearch.stats.score import BEST, window
from hpsearch.study.file import score_of
from hpsearch.study.space import Choice, Range, Space
from hpsearch.text import missing, parameter_text

REACHED = 0.9
"""Share of the trials that reached the epoch at which they are compared, or diverged."""


@dataclass(frozen=True)
class Basis:
    """Comparable trials, each with its score after the same epochs.

    With early stopping, complete trials are a selection: a hyper-parameter that decided who survived hardly
    varies among them, and the others trained for less time. So trials are compared at the latest epoch that
    nine in ten have reached; those that diverged at any epoch count as worse than all others.

    epoch: up to which values count; None without curves, where complete trials' values count. most: epochs
    that a trial may get. rows: [n] places in the report's trials. values: [n] the study's score at that
    epoch, NaN if diverged. losses: [n] of validation, there. maximize: whether more is better. metric: its
    name.
    """

    epoch: int | None
    most: int
    rows: IntArray
    values: FloatArray
    losses: FloatArray
    maximize: bool
    metric: str = ""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def diverged(self) -> int:
        """Trials without a value."""
        return int(np.isnan(self.values).sum())

    @cached_property
    def scores(self) -> FloatArray:
        """[n] normal scores (van der Waerden 1952) of the trials, more is better.

        By rank, since a metric's own scale is arbitrary (accuracies crowd below 1, errors have no upper
        end) and a trial that diverged has none. Equal values are told apart by the lower loss.
        """
        if not len(self):
            return np.empty(0)
        from scipy.special import ndtri  # 0.1 s for those who need it

        turned = self.values if self.maximize else -self.values
        value = np.where(np.isnan(turned), -np.inf, turned)
        loss = np.where(np.isnan(turned) | np.isnan(self.losses), np.inf, self.losses)
        order = np.lexsort((-loss, value))
        value, loss = value[order], loss[order]
        group = np.cumsum(np.append(False, (value[1:] != value[:-1]) | (loss[1:] != loss[:-1])))
        middle = np.bincount(group, np.arange(len(order)) + 0.5) / np.bincount(group)
        scores = np.empty(len(order))
        scores[order] = ndtri(middle[group] / len(order))
        return scores

    def spread(self, count: int) -> FloatArray:
        """[count] values of all trials of a report: infinitely bad if diverged, NaN outside the basis."""
        found = np.full(count, np.nan)
        found[self.rows] = np.where(np.isnan(self.values), -np.inf if self.maximize else np.inf, self.values)
        return found

    @property
    def sentence(self) -> str:
        """The basis in words: "256 trials, each after 3 of at most 27 epochs; …"."""
        if self.epoch is None:
            said = plural(len(self), "complete or diverged trial")
        else:
            of = f"{self.epoch} of at most " if self.epoch < self.most else ""
            said = f"{plural(len(self), 'trial')}, each after {of}{plural(self.most, 'epoch')}"
        if self.diverged:
            said += f"; {self.diverged} that diverged {'counts' if self.diverged == 1 else 'count'} as worst"
        return said


def basis_of(report: Report) -> Basis:
    """The basis of a report; empty where nothing is trained."""
    frame, maximize = report.trials, report.record.direction == "maximize"
    most = int(report.record.document["train"]["epochs"])
    failed = (frame["state"] == str(State.FAILED)).to_numpy()
    numbers, epochs = frame["trial"].to_numpy(np.int64), frame["epochs"].to_numpy(np.int64)
    curves = Curves.join(report.curves)
    known = failed | (np.isin(numbers, curves.numbers) & (epochs > 0))
    if not (known & ~failed).any():
        rows = np.flatnonzero(failed | frame["rank"].notna().to_numpy())
        values = np.where(failed, np.nan, frame["value"].to_numpy(np.float64))[rows]
        losses = frame["loss"].to_numpy(np.float64)[rows]
        return Basis(None, most, rows, values, losses, maximize, report.record.metric)
    reached = np.sort(epochs[known & ~failed])
    epoch = int(reached[int((1 - REACHED) * len(reached))])
    rows = np.flatnonzero(failed | (known & (epochs >= epoch)))
    metric = valid_place(report.record.metric)
    score = score_of(report.record.document)
    values, losses = _scored_at(curves, numbers[rows], epoch, metric, maximize, score)
    values[failed[rows]] = np.nan
    return Basis(epoch, most, rows, values, losses, maximize, report.record.metric)


def _scored_at(
    curves: Curves, numbers: IntArray, epoch: int, metric: int, maximize: bool, score: str
) -> tuple[FloatArray, FloatArray]:
    """[trials] the study's score at an epoch and its validation loss; NaN if the curve is shorter."""
    places = np.searchsorted(curves.numbers, numbers).clip(0, len(curves) - 1)
    there = (curves.numbers[places] == numbers) & (curves.epochs[places] >= epoch)
    values, losses = np.full(len(numbers), np.nan), np.full(len(numbers), np.nan)
    begins = (np.cumsum(curves.epochs) - curves.epochs)[places[there]]
    if score != BEST:
        last = begins[:, None] + np.arange(epoch - window(score, epoch), epoch)
        values[there], losses[there] = (
            curves.main[last, metric].mean(1),
            curves.main[last, VALID_LOSS].mean(1),
        )
        return values, losses
    lines = begins[:, None] + np.arange(epoch)
    found = curves.main[lines, metric]
    best = np.where(np.isnan(found), -np.inf, found if maximize else -found).argmax(1)
    values[there] = found[np.arange(len(found)), best]
    losses[there] = curves.main[begins + best, VALID_LOSS]
    return values, losses


KNOTS = 6
"""Of the curve that is fitted to a hyper-parameter with many values."""

FEW = 8
"""Up to so many values of a whole number count one by one, as choices do."""

BUCKETS = 6
"""Into which many values are divided."""

_GRID = 33
"""Places at which a fitted curve is averaged."""

_NICE = (1.0, 10**0.5)
"""Where decades are divided on a log scale."""


@dataclass(frozen=True)
class Factor:
    """A searched hyper-parameter of n trials.

    levels: its values in order, if they are few; otherwise (). at: [n] place among the levels or, of many
    values, the value on its scale (the logarithm if log); NaN for trials that do not use it. low, high: ends
    of the range on that scale. log: whether the scale is logarithmic.
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
        """[n] place of each trial's bucket; −1 for trials that do not use the hyper-parameter."""
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

        [n, k] basis functions at the trials; [m, k] at m places evenly over the space; [m] those places. Each
        is 1 at its knot (or level) and 0 at the others, minus its mean over the space; the first is left out,
        since the model has a constant. All are 0 for trials that do not use the hyper-parameter, as if it had
        its average effect there.
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
    """[n, nodes − 1] piecewise linear functions: 1 at a node, 0 at the others; the first is left out."""
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


FEWEST_KNOTS = 3
PER_COLUMN = 3
"""Trials that each column of the model needs; below that, curves get fewer knots."""

RIDGE = 1e-9
"""Of the largest eigenvalue: what is below it is rounding."""


@dataclass(frozen=True)
class Part:
    """One hyper-parameter in the model.

    factor: it. columns, grid, places: see Factor.columns. first: where its coefficients begin.
    """

    factor: Factor
    columns: FloatArray
    grid: FloatArray
    places: FloatArray
    first: int

    @property
    def own(self) -> slice:
        """Its coefficients' places."""
        return slice(self.first, self.first + self.columns.shape[1])


@dataclass(frozen=True)
class Model:
    """Scores as a sum of one function of each hyper-parameter: lines between knots, a constant a level.

    A main-effects analysis of variance by least squares. Since all functions are fitted together, a
    hyper-parameter gets no credit for others that the sampler chose to go with it.

    parts: of the hyper-parameters that vary. scores: [n]. design: [n, columns], the first one is 1.
    """

    parts: tuple[Part, ...]
    scores: FloatArray
    design: FloatArray

    @cached_property
    def inverse(self) -> FloatArray:
        """[columns, columns] of the normal equations; columns that depend on others share their effect."""
        square = self.design.T @ self.design
        found: FloatArray = np.asarray(np.linalg.pinv(square, rcond=RIDGE, hermitian=True), np.float64)
        return found

    @cached_property
    def coefficients(self) -> FloatArray:
        found: FloatArray = self.inverse @ (self.design.T @ self.scores)
        return found

    @cached_property
    def residuals(self) -> FloatArray:
        found: FloatArray = self.scores - self.design @ self.coefficients
        return found

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the residuals."""
        return len(self.scores) - int(self.design.shape[1])

    @property
    def noise(self) -> float:
        """Variance that the hyper-parameters don't explain one by one."""
        return float(self.residuals @ self.residuals) / self.freedom

    @cached_property
    def covariance(self) -> FloatArray:
        """[columns, columns] of the coefficients, where the spread of scores differs from place to place
        (White 1980; HC3 of MacKinnon & White 1985).
        """
        leverage = np.einsum("ij,jk,ik->i", self.design, self.inverse, self.design)
        weights = (self.residuals / np.maximum(1 - leverage, 0.05)) ** 2
        found: FloatArray = self.inverse @ ((self.design.T * weights) @ self.design) @ self.inverse
        return found

    def p_value(self, part: Part) -> float:
        """Of the F test that a hyper-parameter does nothing: that all of its coefficients are 0."""
        own = self.coefficients[part.own]
        block = self.inverse[part.own, part.own]
        return f_test(
            float(own @ np.linalg.pinv(block, hermitian=True) @ own), len(own), self.noise, self.freedom
        )

    def effect(self, part: Part) -> FloatArray:
        """[m] of a hyper-parameter at the places of its grid, 0 on average over them."""
        found: FloatArray = part.grid @ self.coefficients[part.own]
        return found

    def variance(self, part: Part, coefficients: FloatArray) -> FloatArray:
        """[draws] of the effect, over the space, for coefficients [draws, columns]."""
        effects = coefficients[:, part.own] @ part.grid.T
        found: FloatArray = (effects**2).mean(1)
        return found

    def luck(self, part: Part) -> float:
        """How much fitting inflates the variance of an effect, on average."""
        own = self.covariance[part.own, part.own]
        return float(np.einsum("ij,jk,ik->", part.grid, own, part.grid) / len(part.grid))


def fit(factors: Sequence[Factor], scores: FloatArray) -> Model | None:
    """The model of scores [n]; None where nothing varies, or there are too few trials for it."""
    for knots in range(KNOTS, FEWEST_KNOTS - 1, -1):
        parts: list[Part] = []
        first = 1
        for factor in factors:
            columns, grid, places = factor.columns(knots)
            if columns.shape[1]:
                parts.append(Part(factor, columns, grid, places, first))
                first += columns.shape[1]
        if len(scores) >= PER_COLUMN * first:
            design = np.hstack([np.ones((len(scores), 1)), *(part.columns for part in parts)])
            return Model(tuple(parts), scores, design) if parts and np.ptp(scores) > 0 else None
    return None


def f_test(square: float, columns: int, noise: float, freedom: int) -> float:
    """The p-value of a sum of squares that so many columns explain (Fisher 1925)."""
    from scipy.special import fdtrc

    return 0.0 if noise <= 0 else float(fdtrc(columns, freedom, square / columns / noise))


def holm(p: Sequence[float]) -> list[float]:
    """p-values that hold for all tests together (Holm 1979)."""
    order = np.argsort(p)
    steps = np.asarray(p, dtype=np.float64)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(p) else steps
    return [float(value) for value in adjusted]
