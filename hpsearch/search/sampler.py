"""Optuna's samplers, asked by the cohort.

A sampler here is a function of (study seed, cohort number, stored trials): there is no state to save,
so a resumed study asks exactly what the undisturbed one would have asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Protocol

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
"""How often points that may not be tried are drawn again, and how often of these by the study's own sampler.

A model has no trials where none are allowed, and may be drawn to just there; then chance takes over."""


class CohortSampler(Protocol):
    """Asks for a whole cohort at once."""

    most: int | None
    """So many different trials there are at most; None where there is no end of them."""

    def __call__(
        self, seed: int, cohort: int, count: int, history: History, points: Sequence[Params] = ()
    ) -> list[Params]:
        """Hyper-parameters of `count` new trials, numbered from len(history) on: those that mean anything.

        history: all stored trials, unfinished ones included. points: some parameters of the first of the
        new trials, which are given.
        """
        ...


def make_sampler(study: Study, factory: SamplerFactory | None = None) -> CohortSampler:
    """The sampler of a study. factory: makes one of Optuna's, instead of the one that the study names.

    Raises:
        HpsearchError: the study's space or options are nothing for its sampler.
    """
    return _Sampler(study, factory)


class _Sampler:
    def __init__(self, study: Study, factory: SamplerFactory | None) -> None:
        self._study = study
        self._space = study.space
        self._distributions = optuna_distributions(study.space)
        self._draw, self._random = make_draw(study, factory), Random(study)
        self.most = getattr(self._draw, "most", None)
        self._scientific = _combinations(study)

    def __call__(
        self, seed: int, cohort: int, count: int, history: History, points: Sequence[Params] = ()
    ) -> list[Params]:
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
            f"study {self._study.name}: expected points that [[forbidden]] allows; found none in {_ATTEMPTS} "
            f"attempts, the last {asked[open_[0]]}. Forbid less, or leave these values out of [space]"
        )

    def _pinned(
        self, seed: int, first: int, count: int, history: History, points: Sequence[Params]
    ) -> FloatArray:
        """[count, parameters] of what is given: points to try, the scientific hyper-parameters in turn."""
        pinned = np.full((count, len(self._distributions)), math.nan)
        if self._scientific is not None:
            turns = np.arange(first, first + count)
            pinned = _in_turn(seed, turns, self._scientific)
        if points:
            given = history.internal(points[:count])
            pinned[: len(given)] = np.where(np.isnan(given), pinned[: len(given)], given)
        return pinned


def make_draw(study: Study, factory: SamplerFactory | None = None) -> Draw:
    """The sampler of a study, by which points are drawn before any is left out or given.

    Raises:
        HpsearchError: the study's space or options are nothing for its sampler.
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
    """[combinations, parameters] of the scientific hyper-parameters' values, all others NaN."""
    scientific = study.search.scientific
    if not scientific:
        return None
    history = History(study.space)
    values = [study.space.values(name) or () for name in scientific]
    points = [dict(zip(scientific, point, strict=True)) for point in product(*values)]
    return history.internal(points)


def _in_turn(seed: int, numbers: np.ndarray, combinations: FloatArray) -> FloatArray:
    """Each combination once in every run of as many trials, in an order that differs from run to run."""
    size = len(combinations)
    orders = {
        run: seeds.generator(seed, "scientific", run).permutation(size)
        for run in np.unique(numbers // size).tolist()
    }
    return combinations[[orders[n // size][n % size] for n in numbers.tolist()]]
