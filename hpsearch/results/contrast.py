"""Arms on the same fresh seeds against a baseline: the numbers, and what they say."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from hpsearch.errors import HpsearchError
from hpsearch.records import FloatArray, IntArray, Segment, StudyRecord, Trial, valid_place
from hpsearch.results.confirmation import Retrained, Use
from hpsearch.stats import (
    UNCLEAR,
    BySeed,
    Difference,
    Regression,
    by_seed,
    comparable,
    difference,
    regression,
)
from hpsearch.study.arms import LINEAR
from hpsearch.text import is_share, plain


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


def anytime(record: StudyRecord, trials: list[Trial], segments: list[Segment]) -> Anytime:
    """The best validation metric so far against what it took, in the order in which cohorts were trained.

    Pieces of curves know their share of the threads' time; together they took what the study took.
    """
    column = valid_place(record.metric)
    ordered = sorted(segments, key=lambda each: (each.cohort, each.trial))
    best_of, whole = (
        (np.fmax, np.fmax.accumulate) if record.direction == "maximize" else (np.fmin, np.fmin.accumulate)
    )
    tops: FloatArray = np.array([best_of.reduce(each.curve[:, column]) for each in ordered])
    finished = {trial.number: trial.epochs for trial in trials if trial.state.finished}
    ends = np.array([finished.get(each.trial) == each.last_epoch for each in ordered], dtype=np.int64)
    seconds = np.cumsum([each.seconds for each in ordered])
    share = record.seconds / seconds[-1] if len(ordered) and seconds[-1] > 0 else 1.0
    columns: dict[str, Any] = {
        "trials": np.cumsum(ends),
        "epochs": np.cumsum([len(each.curve) for each in ordered], dtype=np.int64),
        "seconds": seconds * share,
        "best": whole(tops) if len(tops) else tops,
    }
    return Anytime(**columns)


_OF_ROWS = ("accuracy", "error")
"""Metrics that count rows, so that what other rows would change is known."""


class Choice(StrEnum):
    """Why a trial stands for what is compared."""

    CONFIRMED = "best confirmed"
    VALIDATION = "best by validation"
    ASKED = "asked for"


class Pairing(StrEnum):
    """What arms have in common, so that it is no part of their difference.

    SEEDS: with a seed the same rows in the same parts and the same mini-batches. ROWS: the rows on which they
    are scored.
    """

    SEEDS = "seeds"
    ROWS = "rows"
    NOTHING = "nothing"


def gate_rows(metric: str) -> bool:
    """Whether scores by this metric on different rows can be tested for a regression."""
    return metric in _OF_ROWS


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
class Arm(Retrained):
    """One of what is compared, by a trial that was trained again; trial is None, and scores are empty, of an
    arm that has no complete one.

    name: for people. trials, complete: of the study that are of this arm. Of a study or trial: choice: why
    this trial; rows: on which it is scored; search: what its study had at any time, if that is compared by
    its own metric; uses: all looks at its test set; stopped: it was stopped early in its study, and is
    trained for no longer here.
    """

    name: str = ""
    trials: int = 0
    complete: int = 0
    study: str = ""
    choice: Choice = Choice.VALIDATION
    rows: int = 0
    search: Anytime | None = None
    uses: tuple[Use, ...] = ()
    stopped: bool = False


@dataclass(frozen=True)
class Contrast:
    """Arms on as many fresh seeds, scored on the part "test" or "validation", each against the baseline.

    by: what differs. maximize: whether larger scores are better. base: place of the baseline among the arms.
    rows: of the part. margin: how much worse than the baseline an arm may be, if that is tested. recognised:
    the arms' data come from different files that hold the same rows. finished: trials of the study of which
    arms' were the best ones.
    """

    by: str
    metric: str
    maximize: bool
    arms: tuple[Arm, ...]
    base: int
    seeds: int
    part: str
    rows: int
    pairing: Pairing = Pairing.SEEDS
    margin: Margin | None = None
    recognised: bool = False
    finished: int = 0

    @property
    def subject(self) -> str:
        """What differs, as a heading."""
        return "linear or deep" if self.by == LINEAR else self.by

    @property
    def baseline(self) -> Arm:
        """The arm that the others are compared with."""
        return self.arms[self.base]

    @property
    def paired(self) -> bool:
        """Whether differences are those of seeds."""
        return self.pairing is Pairing.SEEDS

    @property
    def counts_rows(self) -> bool:
        """Whether intervals are about other rows, too, since the arms are scored on different ones."""
        return self.pairing is Pairing.NOTHING and gate_rows(self.metric)

    @cached_property
    def differences(self) -> tuple[Difference | None, ...]:
        """Of every arm to the baseline; None of that itself, and of arms that cannot be compared with it."""
        base, there = self.baseline.scores, len(self.baseline.scores)
        usable = [
            place != self.base and len(arm.scores) == there and comparable(base, arm.scores, self.paired)
            for place, arm in enumerate(self.arms)
        ]
        return tuple(
            difference(
                base,
                arm.scores,
                self.maximize,
                paired=self.paired,
                rows=self._counted(arm),
                comparisons=sum(usable),
            )
            if use
            else None
            for arm, use in zip(self.arms, usable, strict=True)
        )

    @property
    def compared(self) -> list[tuple[Arm, Difference]]:
        """The arms that can be compared with the baseline, with their differences."""
        pairs = zip(self.arms, self.differences, strict=True)
        return [(arm, found) for arm, found in pairs if found is not None]

    @property
    def finding(self) -> str:
        """What the last arm is: the verdict on it, and no clear answer where it cannot be compared."""
        found = self.differences[-1]
        return UNCLEAR if found is None else found.verdict

    @cached_property
    def by_seed(self) -> BySeed | None:
        """What seeds alone say of the last arm; None where it cannot be compared."""
        return by_seed(self.baseline.scores, self.arms[-1].scores, self.maximize, paired=self.paired)

    @cached_property
    def regression(self) -> Regression | None:
        """Whether the last arm is worse than is allowed; None if that is not asked."""
        if self.margin is None:
            return None
        return regression(
            self.baseline.scores,
            self.arms[-1].scores,
            self.maximize,
            paired=self.paired,
            margin=self.margin.absolute(self.metric),
            relative=self.margin.relative(self.metric),
            rows=self._counted(self.arms[-1]),
        )

    @property
    def same(self) -> bool:
        """Whether all arms are one configuration on the same rows, so that no seed can tell them apart."""
        base = self.baseline
        return self.paired and all(
            (arm.epochs, arm.params) == (base.epochs, base.params)
            and np.array_equal(arm.losses, base.losses, equal_nan=True)
            for arm in self.arms
        )

    def _counted(self, arm: Arm) -> tuple[int, int] | None:
        """Sizes of the baseline's and the arm's part, where what other rows would change counts."""
        return (self.baseline.rows, arm.rows) if self.counts_rows else None
