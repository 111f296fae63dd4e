"""Arms on the same fresh seeds against a baseline: the numbers, and what they say."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from hpsearch.errors import HpsearchError
from hpsearch.records import FloatArray, IntArray, Segment, StudyRecord, Trial, valid_place
from hpsearch.results.confirmation import Retrained, Use
from hpsearch.stats import (
    FEWEST,
    UNCLEAR,
    BySeed,
    Difference,
    Estimate,
    Regression,
    by_seed,
    comparable,
    difference,
    regression,
)
from hpsearch.stats.score import BEST, window
from hpsearch.study.arms import LINEAR
from hpsearch.study.file import score_of
from hpsearch.text import is_share, plain


@dataclass(frozen=True)
class Anytime:
    """A search after each piece of training: [pieces] trials finished, epochs trained, seconds of the study,
    and the best validation metric so far.
    """

    trials: IntArray
    epochs: IntArray
    seconds: FloatArray
    best: FloatArray

    def at(self, axis: str, budget: float) -> float:
        """The best for at most `budget` of "trials", "epochs" or "seconds"; NaN before anything was spent."""
        count = int(np.searchsorted(getattr(self, axis), budget, side="right"))
        return float(self.best[count - 1]) if count else math.nan

    def spent(self, axis: str) -> float:
        """All of "trials", "epochs" or "seconds"."""
        spent = getattr(self, axis)
        return float(spent[-1]) if len(spent) else 0.0


def anytime(record: StudyRecord, trials: list[Trial], segments: list[Segment]) -> Anytime:
    """The best score so far, by the validation metric, against its cost, in the order of cohorts.

    Segments know their share of the threads' time, which is scaled to the study's own.
    """
    column = valid_place(record.metric)
    ordered = sorted(segments, key=lambda each: (each.cohort, each.trial))
    best_of, whole = (
        (np.fmax, np.fmax.accumulate) if record.direction == "maximize" else (np.fmin, np.fmin.accumulate)
    )
    score = score_of(record.document)

    def top(of: Segment) -> Any:
        values = of.curve[:, column]
        return best_of.reduce(values) if score == BEST else values[-window(score, of.last_epoch) :].mean()

    tops: FloatArray = np.array([top(each) for each in ordered])
    finished = {trial.number: trial.epochs for trial in trials if trial.state.finished}
    ends = np.array([finished.get(each.trial) == each.last_epoch for each in ordered], dtype=np.int64)
    seconds = np.cumsum([each.seconds for each in ordered])
    share = record.seconds / seconds[-1] if len(ordered) and seconds[-1] > 0 else 1.0
    epochs: IntArray = np.cumsum([len(each.curve) for each in ordered], dtype=np.int64)
    return Anytime(np.cumsum(ends), epochs, seconds * share, whole(tops) if len(tops) else tops)


_OF_ROWS = ("accuracy", "error")
"""Metrics that count rows, so that the effect of drawing other rows is known."""


class Choice(StrEnum):
    """Why a trial stands for what is compared."""

    CONFIRMED = "best confirmed"
    VALIDATION = "best by validation"
    ASKED = "asked for"


class Pairing(StrEnum):
    """What arms share, so that it is no part of their difference.

    SEEDS: on one seed the same rows in the same splits and the same mini-batches. ROWS: the scored rows.
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

    Percent are points of a metric that is a share, and of other metrics a share of the first one's score.
    """

    value: float
    percent: bool

    def absolute(self, metric: str) -> float:
        """In the metric's unit, without what depends on the score."""
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
    """One side of a comparison, represented by a retrained trial; if no trial is complete, trial is None and
    scores are empty.

    name: for people. trials, complete: counts in this arm of the study. Of a study or trial: choice: why this
    trial; rows: scored; search: its study over time, if compared by its own metric; uses: all looks at its
    test set; stopped: it was stopped early in its study, and trains no longer here.
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


class Rows(StrEnum):
    """How the scored rows of one repeat are to those of another.

    SPLIT: drawn from the same rows, so that they overlap. NEW: generated anew. SAME: the source has its own
    test set.
    """

    SPLIT = "split"
    NEW = "new"
    SAME = "same"


@dataclass(frozen=True)
class Repeats:
    """What stands behind scores of repeats.

    asked: repeats that are wanted; there may be fewer scores. seeds: fresh ones in each repeat. rows: see
    `Rows`. overlap: scored rows by all others, for `Rows.SPLIT`. searched: whether each repeat searches;
    otherwise it trains the hyper-parameters of given trials.
    """

    asked: int
    seeds: int
    rows: Rows
    overlap: float
    searched: bool = True


LEAST_REPEATS = 2
"""An interval over repeats has a degree of freedom less than there are."""


@dataclass(frozen=True)
class Contrast:
    """Arms on the same number of fresh seeds, scored on "test" or "validation", each against the baseline.

    by: what differs. maximize: whether larger scores are better. base: place of the baseline among the arms.
    rows: of the scored split (part). margin: how much worse than the baseline an arm may be, if tested.
    recognised: the arms' data are different files with the same rows. finished: trials of the study that were
    finished when arms were chosen. repeated: the same arms over repeats, as a contrast whose seeds are
    repeats and whose `repeats` say so.
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
    repeats: Repeats | None = None
    repeated: Contrast | None = None

    @property
    def answer(self) -> Contrast:
        """What the verdict rests on: the repeats, if there are enough of them, or else this one split."""
        over = self.repeated
        return self if over is None or over.seeds < LEAST_REPEATS else over

    def level(self, arm: Arm) -> Estimate | None:
        """Mean and interval of an arm's own scores; None for fewer than three."""
        found = arm.estimate
        if found is None or found.low is None or found.high is None or not self._overlap:
            return found
        wider = math.sqrt(1 + self._overlap * (len(arm.scores) - arm.diverged))
        low, high = (found.mean + wider * (end - found.mean) for end in (found.low, found.high))
        return replace(found, low=low, high=high)

    @property
    def unit(self) -> str:
        """What each score is of."""
        return "seed" if self.repeats is None else "repeat"

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
        """Whether intervals also cover the draw of rows, since the arms are scored on different ones."""
        return self.repeats is None and self.pairing is Pairing.NOTHING and gate_rows(self.metric)

    @cached_property
    def differences(self) -> tuple[Difference | None, ...]:
        """Of every arm to the baseline; None for the baseline and for arms that cannot be compared."""
        base, there = self.baseline.scores, len(self.baseline.scores)
        usable = [
            place != self.base
            and len(arm.scores) == there
            and comparable(base, arm.scores, self.paired, self._fewest)
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
                overlap=self._overlap,
                fewest=self._fewest,
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
        """The verdict on the last arm, over repeats if there are any; unclear where it cannot be compared."""
        found = self.answer.differences[-1]
        return UNCLEAR if found is None else found.verdict

    @cached_property
    def by_seed(self) -> BySeed | None:
        """What seeds alone say about the last arm; None where it cannot be compared."""
        return by_seed(self.baseline.scores, self.arms[-1].scores, self.maximize, paired=self.paired)

    @cached_property
    def regression(self) -> Regression | None:
        """Whether the last arm is worse than allowed; None if that is not tested."""
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
            overlap=self._overlap,
            fewest=self._fewest,
        )

    @property
    def same(self) -> bool:
        """Whether all arms are one configuration on the same rows, so that no seed tells them apart."""
        base = self.baseline
        return self.paired and all(
            (arm.epochs, arm.params) == (base.epochs, base.params)
            and np.array_equal(arm.losses, base.losses, equal_nan=True)
            for arm in self.arms
        )

    @property
    def _overlap(self) -> float:
        return 0.0 if self.repeats is None else self.repeats.overlap

    @property
    def _fewest(self) -> int:
        return FEWEST if self.repeats is None else LEAST_REPEATS

    def _counted(self, arm: Arm) -> tuple[int, int] | None:
        """Rows of the baseline and the arm, where the draw of rows counts."""
        return (self.baseline.rows, arm.rows) if self.counts_rows else None
