"""Optuna's samplers, asked by the cohort. The one module that knows them.

A sampler here is a function of (study seed, cohort number, stored trials): there is no state to save,
so a resumed study asks exactly what the undisturbed one would have asked.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution
from optuna.samplers import QMCSampler, RandomSampler, TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import default_gamma

from hpsearch import seeds
from hpsearch.records import Params, State, Trial
from hpsearch.search.parzen import draw, log_density, warm_up
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.space import Space

Distributions = Mapping[str, BaseDistribution]

TPE_STARTUP = 10
"""Finished trials before which TPE draws from a Latin hypercube; Optuna's own default."""

TPE_CANDIDATES = 24
"""Draws from the good trials' density of which the most promising is taken; Optuna's own default."""

TPE_ABOVE = 256
"""At most so many of the other trials, evenly over the history, make up the bad trials' density.

A kernel for every old trial would make asking as slow as training (docs/log.md)."""


class CohortSampler(Protocol):
    """Asks for a whole cohort at once."""

    def __call__(self, seed: int, cohort: int, count: int, history: Sequence[Trial]) -> list[Params]:
        """Parameters of `count` new trials, numbered from len(history) on.

        history: all stored trials in number order, unfinished ones included.
        """
        ...


def make_sampler(name: str, space: Space, maximize: bool) -> CohortSampler:
    """The sampler that a study file calls `name`."""
    distributions = optuna_distributions(space)
    if not distributions:
        return _nothing_varies
    if name == "random":
        return lambda seed, cohort, count, history: _random(distributions, seed, cohort, count)
    if name == "qmc":
        return lambda seed, cohort, count, history: _quasi_random(distributions, seed, count, len(history))
    return lambda seed, cohort, count, history: _tpe(distributions, maximize, seed, cohort, count, history)


def _nothing_varies(seed: int, cohort: int, count: int, history: Sequence[Trial]) -> list[Params]:
    return [{} for _ in range(count)]


def _random(distributions: Distributions, seed: int, cohort: int, count: int) -> list[Params]:
    sampler = RandomSampler(seed=seeds.integer(seed, "random sampler", cohort))
    nothing: Any = None  # independent draws look at neither the study nor the trial
    return [
        {name: sampler.sample_independent(nothing, nothing, name, d) for name, d in distributions.items()}
        for _ in range(count)
    ]


class _NumberedQMC(QMCSampler):
    """Optuna's QMC sampler, with the trial's number instead of a counter in the database."""

    def __init__(self, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(qmc_type="sobol", scramble=True, seed=seed)
        self.number = 0

    def _find_sample_id(self, study: object, search_space: object) -> int:
        return self.number


def _quasi_random(distributions: Distributions, seed: int, count: int, first: int) -> list[Params]:
    """Points first … first + count - 1 of one scrambled Sobol sequence (Sobol 1967, Owen 1998)."""
    sampler = _NumberedQMC(seeds.integer(seed, "quasi-random sampler"))
    nothing: Any = None
    points = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a single point is no balanced set; the whole sequence is
        for number in range(first, first + count):
            sampler.number = number
            drawn = sampler.sample_relative(nothing, nothing, dict(distributions))
            points.append({name: drawn[name] for name in distributions})
    return points


def _latin_hypercube(distributions: Distributions, seed: int, cohort: int, count: int) -> list[Params]:
    """One point in each of `count` equal parts of every axis (McKay, Beckman, Conover 1979).

    Sobol's sequence would do as well, but importing scipy's takes longer than training the first cohort.
    """
    random = seeds.generator(seed, "latin hypercube", cohort)
    transform = _SearchSpaceTransform(dict(distributions), transform_0_1=True)
    ranks = random.permuted(np.tile(np.arange(count), (len(transform.bounds), 1)), axis=1).T
    points = (ranks + random.random(ranks.shape)) / count  # [count, axes]
    return [transform.untransform(point) for point in points]


def _tpe(
    distributions: Distributions,
    maximize: bool,
    seed: int,
    cohort: int,
    count: int,
    history: Sequence[Trial],
) -> list[Params]:
    """Multivariate TPE (Watanabe 2023) with Optuna's estimators, fitted once for the whole cohort.

    Unfinished trials count as bad ones (constant liar), and so do diverged ones, which Optuna's own
    sampler would not see.
    """
    finished = [trial for trial in history if trial.state in (State.COMPLETE, State.PRUNED)]
    if len(finished) < TPE_STARTUP:
        warm_up()
        return _latin_hypercube(distributions, seed, cohort, count)
    parameters = TPESampler()._parzen_estimator_parameters
    ranked = sorted(finished, key=lambda trial: _merit(trial, maximize))
    good = {trial.number for trial in ranked[: default_gamma(len(finished))]}
    below, above = (
        _ParzenEstimator(_internal(distributions, trials, seed), dict(distributions), parameters)
        for trials in (
            [trial for trial in history if trial.number in good],
            _thinned([trial for trial in history if trial.number not in good]),
        )
    )
    random = np.random.RandomState(seeds.integer(seed, "tpe sampler", cohort))
    candidates = draw(below, random, TPE_CANDIDATES * count)  # [count · candidates, parameters]
    gain = log_density(below, candidates) - log_density(above, candidates)
    best = gain.reshape(count, TPE_CANDIDATES).argmax(1) + np.arange(count) * TPE_CANDIDATES
    return [_external(distributions, row) for row in candidates[best].tolist()]


def _external(distributions: Distributions, row: Sequence[float]) -> Params:
    return {name: d.to_external_repr(x) for (name, d), x in zip(distributions.items(), row, strict=True)}


def _merit(trial: Trial, maximize: bool) -> tuple[float, ...]:
    """Sort key, best first: complete trials by value, then stopped ones by how far they came."""
    assert trial.value is not None
    assert trial.loss is not None
    value = -trial.value if maximize else trial.value
    stopped = trial.state is State.PRUNED
    return float(stopped), -trial.epochs if stopped else 0.0, value, trial.loss


def _thinned(trials: list[Trial]) -> list[Trial]:
    if len(trials) <= TPE_ABOVE:
        return trials
    return [trials[at] for at in np.linspace(0, len(trials) - 1, TPE_ABOVE).round().astype(int)]


def _internal(
    distributions: Distributions, trials: Sequence[Trial], seed: int
) -> dict[str, NDArray[np.float64]]:
    """[trials] of each parameter, as Optuna's estimators take them.

    A parameter that means nothing to a trial, such as SGD's momentum to Adam, counts as drawn at random: the
    trial would have come out the same at any value of it.
    """
    whole = [_filled(distributions, trial, seed) for trial in trials]
    return {
        name: np.array([d.to_internal_repr(params[name]) for params in whole], dtype=np.float64)
        for name, d in distributions.items()
    }


def _filled(distributions: Distributions, trial: Trial, seed: int) -> Params:
    if len(trial.params) == len(distributions):
        return trial.params
    random = seeds.generator(seed, "inactive parameters", trial.number)
    transform = _SearchSpaceTransform(dict(distributions), transform_0_1=True)
    return transform.untransform(random.random(len(transform.bounds))) | trial.params
