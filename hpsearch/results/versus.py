"""Two studies or trials against each other: the numbers, and what they say."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from hpsearch.errors import HpsearchError
from hpsearch.records import FloatArray, IntArray, valid_place
from hpsearch.results.comparison import BETTER, EQUAL, UNCLEAR, WORSE
from hpsearch.results.confirmation import Use
from hpsearch.stats import LEVEL, Gap, Regression, Scored, gap, regression
from hpsearch.text import is_share, plain

A, B = "A", "B"

_OF_ROWS = ("accuracy", "error")
"""Metrics that count rows, so that what other rows would change is known."""


class Choice(StrEnum):
    """Why a trial stands for what is compared."""

    CONFIRMED = "best confirmed"
    VALIDATION = "best by validation"
    ASKED = "asked for"


def gate_rows(metric: str) -> bool:
    """Whether scores by this metric on different rows can be tested for a regression."""
    return metric in _OF_ROWS


# -- numbers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Margin:
    """How much worse the second may be: in the metric's unit, or as percent.

    Percent of a metric that is a share are points, of others they are of the first one's score.
    """

    value: float
    percent: bool

    def absolute(self, metric: str) -> float:
        """In the metric's unit, as far as it is the same for every score."""
        if not self.percent:
            return self.value
        return self.value / 100 if is_share(metric) else 0.0

    def relative(self, metric: str) -> float:
        """As a share of the first one's score."""
        return self.value / 100 if self.percent and not is_share(metric) else 0.0

    def text(self, metric: str) -> str:
        """ "0.5 points", "2 % of A's" or "0.01"."""
        if is_share(metric):
            return f"{100 * self.absolute(metric):g} points"
        return f"{self.value:g} % of A's" if self.percent else f"{self.value:g}"


def read_margin(text: str, option: str = "--fail-if-worse") -> Margin:
    """The margin that "0.5%" or "0.005" means.

    Raises:
        HpsearchError: it is neither, or below 0.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(%?)\s*", text, re.ASCII)
    if found is None or not math.isfinite(float(found[1])):
        raise HpsearchError(
            f"{option}: expected a percentage such as 0.5%, or a number in the metric's unit, such as 0.005, "
            f"from 0; found {plain(text)}"
        )
    return Margin(float(found[1]), bool(found[2]))


@dataclass(frozen=True)
class Anytime:
    """What a search had after each piece of training: [pieces] trials finished, epochs trained, seconds of
    the study, and the best validation metric so far.
    """

    trials: IntArray
    epochs: IntArray
    seconds: FloatArray
    best: FloatArray

    def at(self, axis: str, budget: float) -> float:
        """The best so far when no more than `budget` of "trials", "epochs" or "seconds" was spent; NaN before
        anything was.
        """
        count = int(np.searchsorted(getattr(self, axis), budget, side="right"))
        return float(self.best[count - 1]) if count else math.nan

    def spent(self, axis: str) -> float:
        """All of "trials", "epochs" or "seconds"."""
        spent = getattr(self, axis)
        return float(spent[-1]) if len(spent) else 0.0


@dataclass(frozen=True)
class Side(Scored):
    """One of the two: a trial's configuration on fresh seeds.

    choice: why this trial. epochs: for which it is trained. scores, losses: [seeds] on the part that is
    scored, of so many `rows`; NaN where it diverged. curves: one a seed, [epochs, columns] as records.Segment
    has them, on validation. search: of a study that is compared, if the metric is its own. uses: all looks at
    its test part. stopped: it was stopped early in its study, and is trained for no longer here.
    """

    study: str
    trial: int
    choice: Choice
    epochs: int
    params: dict[str, Any]
    scores: FloatArray
    losses: FloatArray
    curves: tuple[FloatArray, ...]
    rows: int
    search: Anytime | None = None
    uses: tuple[Use, ...] = field(default=())
    stopped: bool = False

    @property
    def name(self) -> str:
        """Study and trial, for people: "digits #17"."""
        return f"{plain(self.study)} #{self.trial}"

    def learning(self, metric: str) -> FloatArray:
        """[epochs] the validation metric, on average over the seeds with which it did not diverge."""
        place = valid_place(metric)
        whole = [curve[:, place] for curve in self.curves if len(curve) == self.epochs]
        means: FloatArray = np.mean(whole, axis=0) if whole else np.full(self.epochs, np.nan)
        return means


@dataclass(frozen=True)
class Versus:
    """Two sides on as many fresh seeds, scored on `part`; a difference is always the second minus the first.

    paired: they have the same seeds and the same rows in the same parts. margin: how much worse the second
    may be, if that is tested.
    """

    a: Side
    b: Side
    metric: str
    maximize: bool
    part: str
    seeds: int
    paired: bool
    margin: Margin | None = None

    @property
    def sides(self) -> tuple[tuple[str, Side], ...]:
        """Both with their letters."""
        return ((A, self.a), (B, self.b))

    @property
    def same(self) -> bool:
        """Whether both are the same configuration on the same rows, so that no seed can tell them apart."""
        if not (self.paired and self.a.epochs == self.b.epochs and self.a.params == self.b.params):
            return False
        return np.array_equal(self.a.losses, self.b.losses, equal_nan=True)

    @property
    def _rows(self) -> tuple[int, int] | None:
        """Sizes of the parts, where these are different rows whose influence is known."""
        return None if self.paired or not gate_rows(self.metric) else (self.a.rows, self.b.rows)

    @cached_property
    def gap(self) -> Gap | None:
        """The difference; None where fewer than three seeds are left of either."""
        return gap(self.a.scores, self.b.scores, self.maximize, paired=self.paired, rows=self._rows)

    @cached_property
    def regression(self) -> Regression | None:
        """Whether the second is worse than is allowed; None if that is not asked."""
        if self.margin is None:
            return None
        return regression(
            self.a.scores,
            self.b.scores,
            self.maximize,
            paired=self.paired,
            margin=self.margin.absolute(self.metric),
            relative=self.margin.relative(self.metric),
            rows=self._rows,
        )

    @property
    def finding(self) -> str:
        """What the second is: better, worse, not detectably different, or not clearly one of these."""
        found, more = self.gap, self.b.diverged - self.a.diverged
        if found is None:
            return UNCLEAR
        if found.p > 1 - LEVEL:
            return EQUAL
        better = (found.mean > 0) == self.maximize
        contradicted = more > 0 if better else more < 0
        return UNCLEAR if contradicted else BETTER if better else WORSE
