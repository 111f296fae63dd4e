"""The best network beside the best baseline: was a network worth it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import GUESSES, Baseline, FloatArray, IntArray
from hpsearch.results.frames import Report

_SURE = 1.96
"""Standard errors on either side of a 95 % interval."""

RARE = 10
"""Of a class with fewer test rows, nothing can be said."""
_UNBALANCED = 3.0
"""A class with so many times as many rows as another makes classes unbalanced."""

Verdict = Literal["network", "baseline", "even"]


@dataclass(frozen=True)
class Reference:
    """The best network and the best baseline on the same split.

    baseline: the best by validation, as the network was. guess: the majority class or the mean. part: "test"
    or "validation", of `rows` rows. trial: the network. score, low, high: its mean over fresh seeds, with a
    95 % interval; of a study that is not confirmed the best validation score, without one. verdict: which one
    is better by more than seeds and the choice of rows explain; None where nothing is confirmed.
    beats_guess: whether the network is better than the guess by more than that; None where unknown.
    """

    baseline: Baseline
    guess: Baseline | None
    part: str
    trial: int
    score: float
    low: float | None
    high: float | None
    verdict: Verdict | None
    beats_guess: bool | None

    @property
    def confirmed(self) -> bool:
        """Whether the network's score is from fresh seeds."""
        return self.verdict is not None

    @property
    def other(self) -> float:
        """The baseline's score there."""
        value = self.baseline.on(self.part)
        assert value is not None
        return value


def reference_of(report: Report) -> Reference | None:
    """None where there are no baselines, or no network."""
    c = report.confirmation
    confirmed = c is not None and c.best.estimate is not None
    part = c.part if c is not None and confirmed else "validation"
    known = [each for each in report.baselines if each.on(part) is not None]
    if not known or report.best is None:
        return None
    sign = 1.0 if report.record.direction == "maximize" else -1.0
    # By validation, like the network: the best of several on the test set would be flattered.
    promises = {each.name: each.promise if confirmed else each.valid for each in known}
    best = max(known, key=lambda each: -np.inf if (own := promises[each.name]) is None else sign * own)
    guess = next((each for each in known if each.name in GUESSES), None)
    if c is None or c.best.estimate is None:
        top = report.row(int(report.ranked["trial"].iloc[0])) if len(report.ranked) else None
        if top is None:
            return None
        return Reference(best, guess, part, int(top["trial"]), float(top["value"]), None, None, None, None)
    found = c.best.estimate
    seeds = 0.0 if found.low is None or found.high is None else (found.high - found.low) / 2

    def better(baseline: Baseline) -> Verdict:
        """The network's interval over seeds and the rows' sampling error, as independent errors."""
        other = baseline.on(part)
        assert other is not None
        network = found.mean, c.best.shares
        rows = rows_error(report.record.metric, baseline, other, network, c.rows) if part == "test" else 0.0
        error = float(np.hypot(seeds, _SURE * rows))
        lead = sign * (found.mean - other)
        return "even" if abs(lead) <= error else "network" if lead > 0 else "baseline"

    beats = None if guess is None else better(guess) == "network"
    return Reference(best, guess, part, c.best.trial, found.mean, found.low, found.high, better(best), beats)


def rows_error(
    metric: str,
    baseline: Baseline,
    value: float,
    network: tuple[float, NDArray[np.floating[Any]]],
    rows: int,
) -> float:
    """The standard error, from the choice of test rows, of the difference of a network to the baseline.

    By what each row adds to both. Where that of the network is not stored, the two are taken for equally
    uncertain and independent, which is rather too large: on the same rows most models fail together. 0 where
    the metric does not say (F1, AUC).

    Args:
        value: the baseline's test score. network: its mean score, and its shares. rows: in the test set.
    """
    shares = baseline.shares
    if len(shares) and len(network[1]) == len(shares):
        both = [
            each * _slope(metric, score, float(each.mean())) for score, each in (network, (value, shares))
        ]
        return float((both[0] - both[1]).std() / np.sqrt(rows))
    if len(shares):
        error = float(shares.std() / np.sqrt(rows)) * _slope(metric, value, float(shares.mean()))
    elif metric == "balanced_accuracy" and baseline.counts.size:
        there, recalls = recalls_of(baseline.counts)
        count = there[there > 0]
        error = float(np.sqrt((recalls * (1 - recalls) / count).sum()) / len(count))
    else:
        error = 0.0
    return float(np.sqrt(2) * error)


def _slope(metric: str, value: float, mean: float) -> float:
    """By how much the metric changes with the mean of its shares, at both values."""
    if mean == 0:
        return 0.0
    if metric == "rmse":
        return value / (2 * mean)
    if metric == "mae":
        return value / mean
    return (1 - value) / mean if metric == "r2" else 1.0


# -- classes --------------------------------------------------------------------------------------


def recalls_of(counts: IntArray) -> tuple[IntArray, FloatArray]:
    """[classes] rows of each class, and the share of them that was found, of those classes with any.

    counts: [classes, classes] by true class, then by predicted one.
    """
    there = counts.sum(axis=1)
    return there, np.diag(counts)[there > 0] / there[there > 0]


def accuracy_of(counts: IntArray) -> float:
    """The share of rows whose class was found."""
    return float(np.trace(counts) / counts.sum())


def balanced_accuracy_of(counts: IntArray) -> float:
    """The share of rows whose class was found, averaged over classes."""
    return float(recalls_of(counts)[1].mean())


def rows_by_class(report: Report) -> IntArray | None:
    """[classes] test rows of each class; None where nothing stored tells."""
    counts = next((each.counts for each in report.baselines if each.counts.size), None)
    return None if counts is None or not counts.sum() else counts.sum(axis=1)


def unbalanced(report: Report) -> bool:
    """Whether some class has several times as many test rows as another."""
    there = rows_by_class(report)
    return there is not None and bool(there.max() >= _UNBALANCED * max(1, there.min()))


def rare_classes(report: Report) -> list[tuple[str, int]]:
    """Classes with too few test rows to judge, and how many they have."""
    there, names = rows_by_class(report), report.record.data_summary.get("classes") or []
    if there is None or len(there) != len(names):
        return []
    return [(str(name), int(count)) for name, count in zip(names, there, strict=True) if count < RARE]
