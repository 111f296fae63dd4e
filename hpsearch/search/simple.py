"""Samplers that do not learn: random, quasi-random, Latin hypercube and grid."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import RandomSampler

from hpsearch import seeds
from hpsearch.errors import HpsearchError
from hpsearch.records import FloatArray, Params
from hpsearch.search.ask import Ask, UnitCube, pin
from hpsearch.search.history import History, external, internal
from hpsearch.search.optuna_private import NumberedQMC
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study
from hpsearch.study.space import Space

Distributions = dict[str, BaseDistribution]

MOST_GRID_POINTS = 1_000_000


class Random:
    """Optuna's random sampler."""

    def __init__(self, study: Study) -> None:
        self._distributions = optuna_distributions(study.space)

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        sampler = RandomSampler(seed=ask.integer("random sampler"))
        nothing: Any = None  # independent draws look at neither the study nor the trial
        drawn = [
            {
                name: sampler.sample_independent(nothing, nothing, name, d)
                for name, d in self._distributions.items()
            }
            for _ in range(ask.count)
        ]
        return pin(internal(self._distributions, drawn), ask.pinned)


class QuasiRandom:
    """Trial n is point n of one scrambled Sobol sequence (Sobol 1967, Owen 1998), by Optuna's sampler."""

    def __init__(self, study: Study) -> None:
        self._distributions = optuna_distributions(study.space)

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        # A further attempt at the same trials draws from another sequence.
        sampler = NumberedQMC(seeds.integer(ask.seed, "quasi-random sampler", *ask.again))
        nothing: Any = None
        drawn = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a single point is unbalanced; the whole sequence is not
            for number in range(ask.first, ask.first + ask.count):
                sampler.number = number
                drawn.append(sampler.sample_relative(nothing, nothing, dict(self._distributions)))
        return pin(internal(self._distributions, drawn), ask.pinned)


def latin_hypercube(ask: Ask, cube: UnitCube) -> FloatArray:
    """One point in each of `count` equal slices of every axis (McKay, Beckman, Conover 1979).

    Sobol would do as well, but importing scipy's takes longer than training the first cohort.
    """
    random = ask.generator("latin hypercube")
    ranks = random.permuted(np.tile(np.arange(ask.count), (cube.axes, 1)), axis=1).T
    points = (ranks + random.random(ranks.shape)) / ask.count  # [count, axes]
    return pin(cube.inner(points), ask.pinned)


class Grid:
    """Every combination of values once, shuffled by the study's seed.

    Combinations that differ only in a parameter that does not apply (momentum under Adam) count once, and
    forbidden ones not at all.

    Raises:
        HpsearchError: a hyper-parameter is continuous, or there are too many combinations.
    """

    def __init__(self, study: Study) -> None:
        distributions = optuna_distributions(study.space)
        size = math.prod(_grid_size(name, d) for name, d in distributions.items())
        if size > MOST_GRID_POINTS:
            raise HpsearchError(
                f"sampler grid: expected at most {MOST_GRID_POINTS:,} combinations; found {size:,}. "
                "Give fewer values or larger steps, or use qmc"
            )
        axes = {name: _grid_values(d) for name, d in distributions.items()}
        self._rows = np.array(
            list(_distinct(study.space, distributions, axes, study.allows)), dtype=np.float64
        )

    @property
    def most(self) -> int:
        """Number of combinations: the most trials that make sense."""
        return max(len(self._rows), 1)

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        order = seeds.generator(ask.seed, "grid").permutation(len(self._rows))
        numbers = np.arange(ask.first, ask.first + ask.count) % len(self._rows)
        return pin(self._rows[order[numbers]], ask.pinned)


def _grid_size(name: str, d: BaseDistribution) -> int:
    """Number of values of a hyper-parameter."""
    if isinstance(d, CategoricalDistribution):
        return len(d.choices)
    low, high, step = d.low, d.high, getattr(d, "step", None)  # type: ignore[attr-defined]
    if getattr(d, "log", False) or step is None:
        raise HpsearchError(
            f"sampler grid: expected a list of values, or a range with a step, for each hyper-parameter; "
            f"found a continuous range for {name}. Write, for example, {name} = [{low:g}, {high:g}]"
        )
    return int((high - low) / step + 1e-9) + 1


def _grid_values(d: BaseDistribution) -> list[float]:
    """The values, in Optuna's internal representation."""
    if isinstance(d, CategoricalDistribution):
        return [float(at) for at in range(len(d.choices))]
    return [d.low + at * d.step for at in range(_grid_size("", d))]  # type: ignore[attr-defined]


def _distinct(
    space: Space,
    distributions: Distributions,
    axes: dict[str, list[float]],
    allowed: Callable[[Params], bool],
) -> Iterator[tuple[float, ...]]:
    seen: set[tuple[tuple[str, Any], ...]] = set()
    for row in product(*axes.values()):
        (params,) = external(distributions, np.array([row]))
        active = space.active(params)
        key = tuple(active.items())
        if key not in seen and allowed(active):
            seen.add(key)
            yield row
