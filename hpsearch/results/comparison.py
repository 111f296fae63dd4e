"""The answer to a study's question: each arm's scores on fresh seeds, and intervals of their differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hpsearch.records import FloatArray
from hpsearch.stats import FEWEST, LEVEL, Estimate, Scored, estimate
from hpsearch.stats.estimates import SAME
from hpsearch.study.arms import LINEAR

BETTER, WORSE, EQUAL = "better", "worse", "no detectable difference"
UNCLEAR = "no clear answer"
"""Better where both arms were trained to the end, but it diverged more often; or worse, and less often."""


@dataclass(frozen=True)
class Arm(Scored):
    """One of the values that are compared, by its best complete trial.

    trials, complete: of the study that have this value. trial, epochs: the best one, and the epochs after
    which it was best; None without a complete one. scores: [seeds] of its configuration trained again from
    fresh weights for so many epochs; NaN where that diverged, empty without a trial.
    """

    name: str
    trials: int
    complete: int
    trial: int | None
    epochs: int | None
    scores: FloatArray


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline, paired by seed: `seeds` pairs of which neither diverged.

    Interval, p-value and verdict are corrected for the number of comparisons, so that all of a study's
    hold together.
    """

    arm: str
    seeds: int
    estimate: Estimate
    p: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """All arms of a study on the same fresh seeds, scored on `rows` rows of the part "test" or "validation".

    by: what differs. baseline: name of the arm that the others are compared with. maximize: whether
    larger scores are better.
    """

    by: str
    metric: str
    maximize: bool
    baseline: str
    arms: tuple[Arm, ...]
    seeds: int
    part: str
    rows: int

    @property
    def subject(self) -> str:
        """What differs, as a heading."""
        return "linear or deep" if self.by == LINEAR else self.by

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """Of every arm that can be compared with the baseline, in the order of the arms."""
        (base,) = (arm for arm in self.arms if arm.name == self.baseline)
        pairs = {arm.name: _paired(arm, base) for arm in self.arms if arm.name != self.baseline}
        usable = {name: values for name, values in pairs.items() if len(values) >= FEWEST}
        every = np.concatenate([np.zeros(1), *(arm.scores for arm in self.arms)])
        scale = float(np.nanmax(np.abs(every)))
        diverged = {arm.name: arm.diverged - base.diverged for arm in self.arms}
        found = [
            difference(name, values, len(usable), self.maximize, scale) for name, values in usable.items()
        ]
        return tuple(_with_failures(each, diverged[each.arm]) for each in found)


def _with_failures(found: Difference, more: int) -> Difference:
    """The difference of an arm that diverged with so many `more` seeds than the baseline.

    Pairs of which one diverged have no number, so they speak through the verdict.
    """
    contradicted = (found.verdict == BETTER and more > 0) or (found.verdict == WORSE and more < 0)
    return replace(found, verdict=UNCLEAR) if contradicted else found


def _paired(arm: Arm, base: Arm) -> FloatArray:
    if len(arm.scores) != len(base.scores):
        return np.empty(0)
    values: FloatArray = arm.scores - base.scores
    return values[~np.isnan(values)]


# -- statistics ----------------------------------------------------------------------------------


def difference(arm: str, values: FloatArray, comparisons: int, maximize: bool, scale: float) -> Difference:
    """What differences [n ≥ 3] of an arm, paired by seed, say; corrected for so many comparisons
    (Bonferroni).

    Where all are equal there is no variance to go by; the sign test then says how likely n equal signs are.
    """
    error = (1 - LEVEL) / comparisons
    from scipy import stats

    found = estimate(values, 1 - error, scale)
    assert found is not None
    if found.low is not None:
        p = float(stats.ttest_1samp(values, 0.0).pvalue)
    elif abs(found.mean) > SAME * scale:
        p = float(stats.binomtest(len(values), len(values)).pvalue)
    else:
        p = 1.0
    verdict = EQUAL if p >= error else BETTER if (found.mean > 0) == maximize else WORSE
    return Difference(arm, len(values), found, min(1.0, comparisons * p), verdict)
