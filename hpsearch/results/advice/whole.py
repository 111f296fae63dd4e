"""Advice on the study as a whole: too few trials, and a metric that says little."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

import numpy as np

from hpsearch.records import FloatArray
from hpsearch.results.advice.evidence import ENOUGH, NO_BETTER_THAN_A_GUESS, Advice, Evidence, percent
from hpsearch.text import metric_text, plain

_HEAVY = 1.5
"""Classes are unequal where the largest is so many times as large as an equal share of the rows."""
_STANDARD_ERRORS = 3


def too_few_trials(evidence: Evidence) -> Iterator[Advice]:
    """What twice the trials would bring, where it is more than twice the noise of an epoch.

    The best of m of the study's trials on average, for a quarter, half and all of them, without replacement
    (Dodge et al. 2019, "Show your work", eq. 8, whose draws are with it): what the last doubling brought,
    times how much less it was than the one before, is what the next would bring. Said where that does not
    hang on the single best trial.
    """
    n, noise = len(evidence.finished), evidence.noise
    if len(evidence.judged) < ENOUGH // 2 or noise is None:
        return
    values = evidence.sign * evidence.judged["value"].to_numpy()
    values = np.sort(np.append(values, np.full(n - len(values), values.min())))[::-1]
    last, more = doubling(values)
    if min(more, doubling(values[1:])[1]) < max(2 * noise, evidence.one_row):
        return
    text = (
        f"too few trials: the best of all {n:,} is better by {evidence.amount(last)} than the best of half "
        f"of them, on average; twice as many would bring about {evidence.amount(more)} more (noise of an "
        f"epoch: {evidence.amount(noise)})"
    )
    command = f"hpsearch run {quote(evidence.report.record.name)} --trials {2 * n}"
    yield Advice("too few trials", text, command, 0.7 * more / (more + noise))


def doubling(values: FloatArray) -> tuple[float, float]:
    """What the last doubling of the number of trials brought, and what the next would; values: best first."""
    n = len(values)
    quarter, half = expected_best(values, n // 4), expected_best(values, n // 2)
    before, last = half - quarter, float(values[0]) - half
    return last, last * min(1.0, last / before) if before > 0 else 0.0


def expected_best(values: FloatArray, m: int) -> float:
    """The mean over all subsets of m values of their largest; values: [n], best first.

    The i-th best of n is the largest of m with the probability C(n − i, m − 1) / C(n, m).
    """
    n = len(values)
    i = np.arange(n - m)
    factors = (n - 1 - i - (m - 1)) / (n - 1 - i)  # from one of these probabilities to the next
    weights = m / n * np.cumprod(np.append(1.0, factors))
    return float(weights @ values[: n - m + 1])


def imbalance(evidence: Evidence) -> Iterator[Advice]:
    """Classes so unequal that the best accuracy can't be told from that of always naming the largest.

    Said where it is within three standard errors (binomial, of the validation rows).
    """
    summary = evidence.report.record.data_summary
    counts = (summary.get("class_counts") or {}).get("valid") or []
    if evidence.metric not in ("accuracy", "error") or not len(evidence.best) or len(counts) < 2:
        return
    rows, largest = sum(counts), int(np.argmax(counts))
    share = counts[largest] / rows
    found = float(evidence.best["value"].iloc[0])
    accuracy = found if evidence.metric == "accuracy" else 1 - found
    if (
        share * len(counts) < _HEAVY
        or accuracy > share + _STANDARD_ERRORS * (share * (1 - share) / rows) ** 0.5
    ):
        return
    guess = metric_text(evidence.metric, share if evidence.metric == "accuracy" else 1 - share)
    named = plain(str(summary["classes"][largest]))
    text = (
        f'class imbalance: {percent(share)} of the validation rows are "{named}", so that naming it always '
        f"has {evidence.metric} {guess}; the best trial's, {metric_text(evidence.metric, found)}, is hardly "
        "better"
    )
    yield Advice(NO_BETTER_THAN_A_GUESS, text, evidence.accepted(['train.metric = "balanced_accuracy"']), 1.0)
