"""The answer to a study's question: each arm's scores on fresh seeds, and intervals of their differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import FloatArray
from hpsearch.report.grids import Column, Grid
from hpsearch.report.text import (
    MISSING,
    interval_text,
    is_share,
    metric_text,
    plain,
    signed_texts,
    significant,
)
from hpsearch.stats import FEWEST, LEVEL, Estimate, Scored, estimate
from hpsearch.stats.estimates import SAME
from hpsearch.study.arms import LINEAR

BETTER, WORSE, EQUAL = "better", "worse", "no detectable difference"
UNCLEAR = "no clear answer"
"""Better where both arms were trained to the end, but it diverged more often; or worse, and less often."""

_UNEQUAL = 2
"""Arms with so many times the trials of another were tuned better."""


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


# -- words ---------------------------------------------------------------------------------------


def conclusion(comparison: Comparison) -> str:
    """One sentence with the numbers that answer the question."""
    c, found = comparison, comparison.differences
    if not found:
        return f"{plain(c.by)}: fewer than two arms were trained to their end; nothing can be compared."
    about = f"{plural(c.seeds, 'seed')}, {plural(c.rows, f'{c.part} row')}"
    if len(found) == 1:
        (only,) = found
        change = _change(c, only.estimate, "95 % interval ", f", {about}")
        open_ = only.verdict in (EQUAL, UNCLEAR)
        tail = only.verdict if open_ else f"{plain(only.arm)} is {only.verdict}"
        return f"{plain(only.arm)} against {plain(c.baseline)}: {c.metric} {change}: {tail}."
    (base,) = (arm for arm in c.arms if arm.name == c.baseline)
    assert base.estimate is not None
    parts = [f"{plain(each.arm)} {_change(c, each.estimate)}, {each.verdict}" for each in found]
    return (
        f"Against {plain(c.baseline)} ({c.metric} {metric_text(c.metric, base.estimate.mean)}; {about}; "
        f"95 % intervals that hold for all {len(found)} together): {'; '.join(parts)}."
    )


def remarks(comparison: Comparison) -> list[str]:
    """What the reader must know to take the numbers for no more than they are."""
    c = comparison
    lines = [
        "The intervals are about other initial weights and orders of the rows, for these trials'"
        " hyper-parameters on this split; another search or other data would differ by more."
    ]
    if len(c.differences) > 1:
        lines.append(f"Intervals and p are corrected for {len(c.differences)} comparisons (Bonferroni).")
    if c.part != "test":
        lines.append(
            "There is no test part: the scores are from the validation part, on which the trials were "
            "chosen, too, and flatter."
        )
    for arm in c.arms:
        name = plain(arm.name)
        if arm.trial is None:
            lines.append(
                f"{name}: none of its {plural(arm.trials, 'trial')} is complete; it is not compared."
            )
        elif arm.diverged == len(arm.scores):
            lines.append(f"{name}: diverged with all {arm.diverged} seeds; it is not compared.")
        elif arm.diverged:
            kept = len(arm.scores) - arm.diverged
            lines.append(
                f"{name}: diverged with {arm.diverged} of {len(arm.scores)} seeds; its numbers are those of "
                f"the other {kept}."
            )
    counts = [arm.trials for arm in c.arms]
    if max(counts) >= _UNEQUAL * min(counts):
        lines.append(
            f"The arms had {min(counts):,} to {max(counts):,} trials: those with more were tuned better. "
            'sampler = "qmc" or "random" with stopping = "none" gives all arms about as many.'
        )
    return lines


def comparison_grid(comparison: Comparison) -> Grid:
    """One row an arm: mean and interval, difference to the baseline, verdict, and what it was chosen from."""
    c, found = comparison, {each.arm: each for each in comparison.differences}
    any_diverged = any(arm.diverged for arm in c.arms)
    columns = (
        Column(c.subject, numeric=False),
        *map(Column, (c.metric, "difference", "its interval")),
        Column("verdict", numeric=False),
    )
    last = ("p", "95 % interval", "sd", *(["diverged"] if any_diverged else []), "trials", "trial", "epochs")
    rows = []
    for arm in c.arms:
        mean, interval = _level_cells(c.metric, arm.estimate)
        rows.append(
            (
                plain(arm.name).removeprefix(f"{c.by} "),
                mean,
                *_difference_cells(c, arm, found.get(arm.name)),
                interval,
                MISSING if arm.estimate is None else _sd_text(c.metric, arm.estimate.sd),
                *([str(arm.diverged) if arm.diverged else ""] if any_diverged else []),
                f"{arm.trials:,}",
                MISSING if arm.trial is None else str(arm.trial),
                MISSING if arm.epochs is None else str(arm.epochs),
            )
        )
    return Grid((*columns, *map(Column, last)), tuple(rows))


def _level_cells(metric: str, found: Estimate | None) -> tuple[str, str]:
    """Mean and interval of an arm."""
    if found is None:
        return MISSING, MISSING
    mean = metric_text(metric, found.mean)
    return mean, interval_text(metric, found.low, found.high)


def _difference_cells(comparison: Comparison, arm: Arm, found: Difference | None) -> tuple[str, ...]:
    """Difference, its interval, verdict and p."""
    if arm.name == comparison.baseline:
        return "", "", "(baseline)", ""
    if found is None:
        return MISSING, MISSING, "not compared", ""
    mean, *interval = signed_texts(comparison.metric, *_ends(found.estimate))
    p = "<0.001" if found.p < 0.001 else f"{found.p:.3f}"
    return mean, " … ".join(interval) or "the same", found.verdict, p


def _change(comparison: Comparison, found: Estimate, before: str = "", after: str = "") -> str:
    """ "+47.1 points (+46.2 … +48.0)", or that it was the same with every seed."""
    mean, *interval = signed_texts(comparison.metric, *_ends(found))
    unit = " points" if is_share(comparison.metric) else ""
    inside = f"{before}{' … '.join(interval)}" if interval else "the same with every seed"
    return f"{mean}{unit} ({inside}{after})"


def _ends(found: Estimate) -> list[float]:
    return [value for value in (found.mean, found.low, found.high) if value is not None]


def _sd_text(metric: str, sd: float) -> str:
    return f"{100 * sd:.1f}" if is_share(metric) else significant(sd, 3)
