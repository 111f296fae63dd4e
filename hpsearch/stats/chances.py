"""How likely a choice by noisy scores contains the best."""

from __future__ import annotations

import numpy as np

from hpsearch.records import FloatArray

AS_GOOD = 0.5
"""Tolerance in standard deviations between seeds: worse by less than this is as good."""

_STEP = 0.25
_NEAR = 10.0
"""In the same unit: the grid's step, and how far below the best score to look."""

_ROUNDS = 10
"""EM rounds; more would collapse the population to a few points."""


def chance_of_best(values: FloatArray, kept: int, noise: float, maximize: bool) -> float:
    """The probability that the `kept` best of all scores [n] contain the truly best one, or one as good.

    As good means worse by less than half of `noise`, the standard deviation of a score between seeds.
    Empirical Bayes: true values are draws from a population estimated from the scores themselves, by EM for
    a mixing distribution on a grid (Laird 1978; Koenker & Mizera 2014), stopped early. Given the scores they
    are independent, so the probability that the best kept one matches the best of the others is a sum over
    the grid.
    """
    if kept >= len(values) or noise <= 0:
        return 1.0
    ordered = np.sort(values if maximize else -values)[::-1] / noise
    near = ordered[: max(kept + 1, int((ordered > ordered[0] - _NEAR).sum()))]
    grid = np.arange(max(near[-1], ordered[0] - 2 * _NEAR) - 1, near[0] + 1 + _STEP, _STEP)
    likelihood = np.exp(-0.5 * (near[:, None] - grid) ** 2) + 1e-300
    weights = np.full(len(grid), 1 / len(grid))
    for _ in range(_ROUNDS):
        posterior = likelihood * weights
        posterior /= posterior.sum(1, keepdims=True)
        weights = posterior.mean(0)
    below = np.log(np.cumsum(posterior, 1).clip(1e-300, 1))
    largest_kept = np.diff(np.exp(below[:kept].sum(0)), prepend=0)
    others_at_most = np.exp(below[kept:].sum(0))
    shift = round(AS_GOOD / _STEP)
    reached = np.append(others_at_most[shift:], np.ones(shift))[: len(grid)]
    return float(min(1.0, largest_kept @ reached))
