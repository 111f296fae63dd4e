"""Optuna's samplers, asked by the cohort.

A sampler is a function of (study seed, cohort number, stored trials): there is no state to save, so a resumed
study asks exactly what the uninterrupted one would have asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from hpsearch import seeds
from hpsearch.errors import HpsearchError
from hpsearch.records import FloatArray, Params
from hpsearch.search.ask import Ask, Draw
from hpsearch.search.history import History
from hpsearch.search.simple import Random
from hpsearch.search.stock import SamplerFactory, Stock, imported
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study
from hpsearch.study.methods import SAMPLERS

_ATTEMPTS, _OWN_ATTEMPTS = 100, 4
"""How often forbidden points are redrawn, and how often of these by the study's own sampler.

A model knows no trials in a forbidden region and may keep going there; then random draws take over."""


class CohortSampler:
    """Asks for a whole cohort at once. most: the number of different trials; None: no limit."""

    def __init__(self, study: Study, factory: SamplerFactory | None) -> None:
        self._study = study
        self._space = study.space
        self._distributions = optuna_distributions(study.space)
        self._draw, self._random = make_draw(study, factory), Random(study)
        self.most: int | None = getattr(self._draw, "most", None)
        self._scientific = _combinations(study)

    def __call__(
        self, seed: int, cohort: int, count: int, history: History, points: Sequence[Params] = ()
    ) -> list[Params]:
        """Applicable hyper-parameters of `count` new trials, numbered from len(history).

        history: all stored trials, unfinished ones included. points: given values of the first new trials.
        """
        first = len(history)
        if not self._distributions:
            return [{} for _ in range(count)]
        pinned = self._pinned(seed, first, count, history, points)
        rows = pinned.copy()
        open_ = np.arange(count)
        for attempt in range(_ATTEMPTS):
            draw = self._draw if attempt < _OWN_ATTEMPTS else self._random
            rows[open_] = draw(Ask(seed, cohort, first, pinned[open_], attempt), history)
            asked = [self._space.active(params) for params in history.external(rows)]
            open_ = np.array([at for at in open_ if not self._study.allows(asked[at])], dtype=int)
            if not len(open_):
                return asked
        raise HpsearchError(
            f"study {self._study.name}: expected points allowed by [[forbidden]]; found none in {_ATTEMPTS} "
            f"attempts, the last {asked[open_[0]]}. Forbid less, or remove these values from [space]"
        )

    def _pinned(
        self, seed: int, first: int, count: int, history: History, points: Sequence[Params]
    ) -> FloatArray:
        """[count, parameters] given values: queued points, and scientific hyper-parameters in turn."""
        pinned = np.full((count, len(self._distributions)), math.nan)
        if self._scientific is not None:
            turns = np.arange(first, first + count)
            pinned = _in_turn(seed, turns, self._scientific)
        if points:
            given = history.internal(points[:count])
            pinned[: len(given)] = np.where(np.isnan(given), pinned[: len(given)], given)
        return pinned


def make_sampler(study: Study, factory: SamplerFactory | None = None) -> CohortSampler:
    """The sampler of a study. factory: creates one of Optuna's instead of the one the study names.

    Raises:
        HpsearchError: the sampler cannot handle the study's space or options.
    """
    return CohortSampler(study, factory)


def make_draw(study: Study, factory: SamplerFactory | None = None) -> Draw:
    """The bare sampler of a study, without pinning and redrawing.

    Raises:
        HpsearchError: the sampler cannot handle the study's space or options.
    """
    if not study.space.searched:
        return Random(study)
    if factory is None:
        named = SAMPLERS.get(study.search.sampler)
        path = study.search.sampler if named is None else named.stock if study.search.objectives else None
        if named is not None and path is None:
            draw: Draw = named.load()(study)
            return draw
        factory = imported(str(path), study.search.options)
    return Stock(study, factory)


def _combinations(study: Study) -> FloatArray | None:
    """[combinations, parameters] of the scientific hyper-parameters, all others NaN."""
    scientific = study.search.scientific
    if not scientific:
        return None
    history = History(study.space)
    values = [study.space.values(name) or () for name in scientific]
    points = [dict(zip(scientific, point, strict=True)) for point in product(*values)]
    return history.internal(points)


def _in_turn(seed: int, numbers: np.ndarray, combinations: FloatArray) -> FloatArray:
    """Each combination once per round, in an order that differs from round to round."""
    size = len(combinations)
    orders = {
        run: seeds.generator(seed, "scientific", run).permutation(size)
        for run in np.unique(numbers // size).tolist()
    }
    return combinations[[orders[n // size][n % size] for n in numbers.tolist()]]
