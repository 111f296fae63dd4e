"""Two studies or trials against each other: the numbers, and what they say."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from hpsearch.errors import HpsearchError, plural
from hpsearch.records import FloatArray, IntArray, valid_place
from hpsearch.report.comparison import BETTER, EQUAL, UNCLEAR, WORSE
from hpsearch.report.confirmation import Use
from hpsearch.report.text import interval_text, is_share, metric_text, plain, signed_texts
from hpsearch.stats import LEVEL, Gap, Regression, Scored, gap, regression

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


# -- words ---------------------------------------------------------------------------------------


def title(v: Versus) -> str:
    """What was done."""
    rows = plural(v.a.rows, f"{v.part} row")
    if v.a.rows != v.b.rows:
        rows = f"{v.a.rows:,} and {v.b.rows:,} {v.part} rows"
    how = "paired by seed" if v.paired else "on different rows or seeds"
    return f"each on {v.seeds} fresh seeds, scored on {rows}, {how}"


def verdict(v: Versus) -> str:
    """One sentence: how far the second is from the first, and what that means."""
    names = f"{B} ({v.b.name}) against {A} ({v.a.name})"
    if v.gap is None:
        lost = " and ".join(f"{letter} diverged with {side.diverged}" for letter, side in v.sides)
        return f"{names}: of {v.seeds} seeds, {lost}; what is left is too little to compare."
    mean, *ends = signed_texts(v.metric, v.gap.mean, *_ends(v.gap))
    unit = " points" if is_share(v.metric) else ""
    p = "p < 0.001" if v.gap.p < 0.001 else f"p {v.gap.p:.3f}"
    inside = f"95 % interval {' … '.join(ends)}, {p}" if ends else "the same with every seed"
    said = v.finding if v.finding in (EQUAL, UNCLEAR) else f"{B} is {v.finding}"
    return f"{names}: {v.metric} {mean}{unit} ({inside}): {said}."


def chances(v: Versus) -> str | None:
    """One sentence: how often the second would win, and how large the difference is beside the spread."""
    if v.gap is None:
        return None
    share = v.gap.better
    low, high = (f"{100 * end:.0f}" for end in (share.low, share.high))
    text = (
        f"On one more seed, {B} is better with a probability of {100 * share.value:.0f} % ({low} … {high} %)"
    )
    if v.gap.effect:
        text += f"; the difference is {abs(v.gap.effect):.2g} standard deviations between seeds (Hedges' g)"
    return f"{text}."


def gate_sentence(v: Versus) -> str | None:
    """Whether the second is a regression, and why."""
    found = v.regression
    if found is None or v.margin is None:
        return None
    allowed = f"worse than {A} by more than {v.margin.text(v.metric)}"
    if found.diverges:
        return (
            f"Regression: {B} diverged with {v.b.diverged} of {v.seeds} fresh seeds, {A} with {v.a.diverged}."
        )
    if found.tripped and found.bound is not None:
        unit = " points" if is_share(v.metric) else ""
        beyond = signed_texts(v.metric, -found.bound)[0].removeprefix("+")
        return f"Regression: {B} is {allowed}, with 95 % confidence by at least {beyond}{unit} more."
    if found.bound is None:
        return (
            f"Undecided: whether {B} is {allowed} cannot be told from the seeds with which neither diverged."
        )
    return (
        f"No regression: {B} is not shown to be {allowed}. Seeds alone would call an equal {B} a regression "
        f"in at most {100 * found.error:g} % of comparisons."
    )


def undecided(v: Versus) -> bool:
    """Whether a regression was asked for and nothing is known of it, since the second diverged too often."""
    found = v.regression
    return found is not None and found.bound is None and not found.tripped and v.b.diverged > v.a.diverged


def remarks(v: Versus) -> list[str]:
    """What the reader must know to take the numbers for no more than they are."""
    lines = [_about(v)]
    if v.same:
        lines.append("Both are the same configuration: with a seed they come out the same.")
    if v.part != "test":
        lines.append(
            "There is no test part: the scores are from the validation part, on which the trials were "
            "chosen, too, and flatter."
        )
    choices = {side.choice for _, side in v.sides}
    if Choice.CONFIRMED in choices and len(choices) > 1:
        letter, other = (A, B) if v.a.choice is Choice.CONFIRMED else (B, A)
        lines.append(
            f"{letter} was chosen by its score on the {v.part} part among finalists, {other} was not: that "
            f"flatters {letter}. `hpsearch confirm` makes them equal."
        )
    for letter, side in v.sides:
        if side.stopped:
            lines.append(
                f"{letter} was stopped early in its study and is trained for {plural(side.epochs, 'epoch')} "
                "here, too: the comparison is of so much training, not of hyper-parameters alone."
            )
        if side.diverged:
            lines.append(
                f"{letter} diverged with {side.diverged} of {v.seeds} seeds; scores are those of the others."
            )
    for study, looks in _looks(v).items():
        if looks > 1:
            lines.append(
                f"Study {study} has looked at its test part {looks} times: each look makes the best of "
                "what it showed look better than it is."
            )
    return lines


def _about(v: Versus) -> str:
    """What the interval is about, and what it rests on."""
    end = "for these hyper-parameters; another search would choose others."
    if v.paired:
        return (
            "The interval (Student's t, paired) is about other initial weights and orders of the rows on "
            f"this split, {end}"
        )
    if gate_rows(v.metric):
        return (
            f"The interval (Welch's t) is about other initial weights, orders of the rows and {v.part} rows "
            f"(Agresti & Caffo 2000), as these differ, {end}"
        )
    return (
        "The interval (Welch's t) is about other initial weights and orders of the rows alone, although the "
        f"rows differ, too: how much of the difference that makes is not known. It is {end}"
    )


def _looks(v: Versus) -> dict[str, int]:
    """By study, how often its test part has been looked at."""
    return {plain(side.study): len(side.uses) for _, side in v.sides}


def _ends(found: Gap) -> list[float]:
    return [end for end in (found.low, found.high) if end is not None]


def level_cells(v: Versus, side: Side) -> tuple[str, str]:
    """Mean and interval of a side's scores."""
    if side.estimate is None:
        return metric_text(v.metric, None), metric_text(v.metric, None)
    found = side.estimate
    return metric_text(v.metric, found.mean), interval_text(v.metric, found.low, found.high)
