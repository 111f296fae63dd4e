"""TPE with Optuna's estimators, fitted once for a whole cohort."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import FloatArray
from hpsearch.search.ask import Ask, UnitCube, filled, pin
from hpsearch.search.history import COMPLETE, History
from hpsearch.search.optuna_private import ParzenEstimator, hyperopt_default_gamma, parzen_estimator
from hpsearch.search.parzen import draw, log_density, warm_up
from hpsearch.search.simple import latin_hypercube
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study

STARTUP = 10
"""Trials to learn from; before, points come from a Latin hypercube. Optuna's own default."""

CANDIDATES = 12
"""Draws per point from the good trials' density; the most promising one wins.

Optuna's default is 24; for a whole cohort fewer are better, as they are less alike (docs/log.md)."""

ABOVE = 256
"""The most trials in the bad trials' density, evenly over the history.

With a kernel for every old trial, asking would take as long as training (docs/log.md)."""


class CohortTPE:
    """Multivariate TPE (Watanabe 2023) with Optuna's estimators, fitted once for the whole cohort.

    Trials before their first rung count as bad (constant liar), and so do diverged ones, which Optuna's own
    sampler ignores. The good trials are the best √n/4 (Bergstra et al. 2013; Optuna's
    hyperopt_default_gamma), not Optuna's best tenth, from which a whole cohort learns too little
    (docs/decisions.md). Candidates contain the pinned values, so that the rest is chosen to match.
    """

    def __init__(self, study: Study) -> None:
        self._distributions, self._maximize = optuna_distributions(study.space), study.direction == "maximize"
        self._cube = UnitCube(self._distributions)

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        finished = learned(history)
        if finished < STARTUP:
            warm_up()
            return latin_hypercube(ask, self._cube)
        good = np.sort(best(history, hyperopt_default_gamma(finished), self._maximize))
        rest = np.ones(len(history), bool)
        rest[good] = False
        below = self._estimator(history, good, ask.seed)
        above = self._estimator(history, thinned(np.flatnonzero(rest), ABOVE), ask.seed)
        random = np.random.RandomState(ask.integer("tpe sampler"))
        candidates = draw(below, random, CANDIDATES * ask.count)  # [count · candidates, parameters]
        candidates = pin(candidates, np.repeat(ask.pinned, CANDIDATES, axis=0))
        gain = log_density(below, candidates) - log_density(above, candidates)
        chosen = gain.reshape(ask.count, CANDIDATES).argmax(1) + np.arange(ask.count) * CANDIDATES
        picked: FloatArray = candidates[chosen]
        return picked

    def _estimator(self, history: History, numbers: NDArray[np.intp], seed: int) -> ParzenEstimator:
        rows = filled(history, numbers, seed, self._cube)
        columns = {name: rows[:, at] for at, name in enumerate(self._distributions)}
        return parzen_estimator(columns, self._distributions)


def learned(history: History) -> int:
    """How many trials a model learns from, diverged ones aside."""
    return int(((history.state == COMPLETE) | history.partial).sum())


def best(history: History, count: int, maximize: bool) -> NDArray[np.intp]:
    """Numbers of the `count` best trials, best first: complete ones by value and then loss, the rest by
    epochs first. A few passes over the columns, however long the study is.
    """
    sign = -1.0 if maximize else 1.0
    chosen = _least(np.flatnonzero(history.state == COMPLETE), count, history.loss, sign * history.value)
    if len(chosen) < count:
        stopped = np.flatnonzero(history.partial)
        keys = history.loss, sign * history.value, -history.epochs
        chosen = np.concatenate([chosen, _least(stopped, count - len(chosen), *keys)])
    return chosen


def _least(numbers: NDArray[np.intp], count: int, *keys: NDArray[np.generic]) -> NDArray[np.intp]:
    """The first `count` numbers, ordered by the last key, then by the one before it, …"""
    first = keys[-1][numbers]
    if len(numbers) > count:
        numbers = numbers[first <= np.partition(first, count - 1)[count - 1]]
    order = np.lexsort([key[numbers] for key in keys])
    chosen: NDArray[np.intp] = numbers[order[:count]]
    return chosen


def thinned(numbers: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most so many of the numbers, evenly spaced."""
    if len(numbers) <= most:
        return numbers
    kept: NDArray[np.intp] = numbers[np.linspace(0, len(numbers) - 1, most).round().astype(int)]
    return kept
