"""A sampler's request: a cohort of points at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from hpsearch import seeds
from hpsearch.records import FloatArray
from hpsearch.search.history import History, external, internal
from hpsearch.search.optuna_private import SpaceTransform


@dataclass(frozen=True)
class Ask:
    """A request for the parameters of new trials.

    seed: of the study. cohort: its number. first: number of the first new trial. pinned: [count, parameters]
    in Optuna's internal representation; values other than NaN are given, and a model may learn from them.
    attempt: how many earlier draws hit forbidden points.
    """

    seed: int
    cohort: int
    first: int
    pinned: FloatArray
    attempt: int = 0

    @property
    def count(self) -> int:
        return len(self.pinned)

    @property
    def again(self) -> tuple[int, ...]:
        """The attempt's part of a seed's index."""
        return (self.attempt,) if self.attempt else ()

    def integer(self, purpose: str) -> int:
        """A seed for this request: a function of the study's seed, the cohort and the attempt."""
        return seeds.integer(self.seed, purpose, self.cohort, *self.again)

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers for this request."""
        return seeds.generator(self.seed, purpose, self.cohort, *self.again)


class Draw(Protocol):
    """A sampler, asked by the cohort: a pure function of the request and the stored trials.

    Nothing kept between calls may change what it returns.
    """

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        """[count, parameters] new points in Optuna's internal representation, pinned values included."""
        ...


class UnitCube:
    """The space as the unit cube [0, 1]^axes; a choice has one axis per value."""

    def __init__(self, distributions: dict[str, BaseDistribution]) -> None:
        self._distributions = distributions
        self._transform = SpaceTransform(dict(distributions), transform_0_1=True)
        self.axes = len(self._transform.bounds)

    def inner(self, points: FloatArray) -> FloatArray:
        """[n, parameters] in Optuna's internal representation, of points [n, axes]."""
        return internal(self._distributions, [self._transform.untransform(point) for point in points])

    def points(self, inner: FloatArray) -> FloatArray:
        """[n, axes] of parameters [n, parameters] without NaN."""
        points = [self._transform.transform(params) for params in external(self._distributions, inner)]
        return np.array(points).reshape(len(inner), self.axes)


def filled(history: History, numbers: NDArray[np.intp], seed: int, cube: UnitCube) -> FloatArray:
    """[numbers, parameters] of some trials, without NaN.

    A parameter that does not apply to a trial, such as SGD's momentum under Adam, gets a random value: any
    value would have given the same result.
    """
    rows = history.params[numbers].copy()
    gaps = np.isnan(rows)
    for at in np.flatnonzero(gaps.any(axis=1)):
        random = seeds.generator(seed, "inactive parameters", int(numbers[at]))
        drawn = cube.inner(random.random((1, cube.axes)))[0]
        rows[at, gaps[at]] = drawn[gaps[at]]
    return rows


def pin(points: FloatArray, pinned: FloatArray) -> FloatArray:
    """The points with pinned values put in."""
    return np.where(np.isnan(pinned), points, pinned)
