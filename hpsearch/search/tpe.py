"""TPE with Optuna's estimators, fitted once for a whole cohort."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import FloatArray
from hpsearch.search.ask import Ask, UnitCube, filled
from hpsearch.search.history import COMPLETE, History
from hpsearch.search.optuna_private import ParzenEstimator, hyperopt_default_gamma, parzen_estimator
from hpsearch.search.parzen import draw, log_density, warm_up
from hpsearch.search.simple import latin_hypercube
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study

STARTUP = 10
"""Finished trials before which points are drawn from a Latin hypercube; Optuna's own default."""

CANDIDATES = 12
"""Draws from the good trials' density of which the most promising is taken.

Optuna's own default is 24; for a cohort at once fewer are better, since they are less alike (docs/log.md)."""

ABOVE = 256
"""At most so many of the other trials, evenly over the history, make up the bad trials' density.

A kernel for every old trial would make asking as slow as training (docs/log.md)."""


class CohortTPE:
    """Multivariate TPE (Watanabe 2023) with Optuna's estimators, fitted once for the whole cohort.

    Trials that have not reached a rung count as bad ones (constant liar), and so do diverged ones, which
    Optuna's own sampler would not see. The good trials are the best √n/4 (Bergstra et al. 2013; Optuna has
    it as hyperopt_default_gamma), not Optuna's best tenth, of which a whole cohort at once learns too little
    (docs/decisions.md). What is pinned is pinned in the candidates, so that the rest is chosen to go with it.
    """

    def __init__(self, study: Study) -> None:
        self._distributions, self._maximize = optuna_distributions(study.space), study.direction == "maximize"
        self._cube = UnitCube(self._distributions)

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        finished = int(((history.state == COMPLETE) | history.partial).sum())
        if finished < STARTUP:
            warm_up()
            return latin_hypercube(ask, self._cube)
        good = np.sort(best(history, hyperopt_default_gamma(finished), self._maximize))
        rest = np.ones(len(history), bool)
        rest[good] = False
        below = self._estimator(history, good, ask.seed)
        above = self._estimator(history, _thinned(np.flatnonzero(rest)), ask.seed)
        random = np.random.RandomState(ask.integer("tpe sampler"))
        candidates = draw(below, random, CANDIDATES * ask.count)  # [count · candidates, parameters]
        pinned = np.repeat(ask.pinned, CANDIDATES, axis=0)
        candidates = np.where(np.isnan(pinned), candidates, pinned)
        gain = log_density(below, candidates) - log_density(above, candidates)
        chosen = gain.reshape(ask.count, CANDIDATES).argmax(1) + np.arange(ask.count) * CANDIDATES
        picked: FloatArray = candidates[chosen]
        return picked

    def _estimator(self, history: History, numbers: NDArray[np.intp], seed: int) -> ParzenEstimator:
        rows = filled(history, numbers, seed, self._cube)
        columns = {name: rows[:, at] for at, name in enumerate(self._distributions)}
        return parzen_estimator(columns, self._distributions)


def best(history: History, count: int, maximize: bool) -> NDArray[np.intp]:
    """Numbers of the `count` best trials, best first: complete ones by value and the lower loss, then others
    by how far they came. It takes a few passes over the columns, however long the study is.
    """
    sign = -1.0 if maximize else 1.0
    chosen = _least(np.flatnonzero(history.state == COMPLETE), count, history.loss, sign * history.value)
    if len(chosen) < count:
        stopped = np.flatnonzero(history.partial)
        keys = history.loss, sign * history.value, -history.epochs
        chosen = np.concatenate([chosen, _least(stopped, count - len(chosen), *keys)])
    return chosen


def _least(numbers: NDArray[np.intp], count: int, *keys: NDArray[np.generic]) -> NDArray[np.intp]:
    """The `count` of the numbers that come first by the last key, then by the one before it, …"""
    first = keys[-1][numbers]
    if len(numbers) > count:
        numbers = numbers[first <= np.partition(first, count - 1)[count - 1]]
    order = np.lexsort([key[numbers] for key in keys])
    chosen: NDArray[np.intp] = numbers[order[:count]]
    return chosen


def _thinned(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    if len(numbers) <= ABOVE:
        return numbers
    thinned: NDArray[np.intp] = numbers[np.linspace(0, len(numbers) - 1, ABOVE).round().astype(int)]
    return thinned
