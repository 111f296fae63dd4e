"""All that the search uses of Optuna's private modules and attributes; tests/test_optuna_contract.py holds
Optuna to it.

Optuna has no public API to fit an estimator once and draw a whole cohort from it, nor to learn from trials
outside a study of its own. Private names may change with any minor version, hence the bound in
pyproject.toml.
"""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from numpy.typing import NDArray
from optuna._transform import _SearchSpaceTransform as SpaceTransform
from optuna.distributions import BaseDistribution
from optuna.samplers import QMCSampler, TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator as ParzenEstimator
from optuna.samplers._tpe.probability_distributions import (
    _BatchedCategoricalDistributions as CategoricalKernels,
)
from optuna.samplers._tpe.sampler import hyperopt_default_gamma
from optuna.study._multi_objective import _fast_non_domination_rank as non_domination_rank

from hpsearch.records import FloatArray

__all__ = [
    "CategoricalKernels",
    "NumberedQMC",
    "ParzenEstimator",
    "SpaceTransform",
    "gaussian_process",
    "generation_key",
    "hyperopt_default_gamma",
    "mixture",
    "non_domination_rank",
    "parzen_estimator",
]
# SpaceTransform: points of the space as points of a unit cube, and back (ask.UnitCube).
# hyperopt_default_gamma: how many of n trials TPE counts as good.
# non_domination_rank: [n] the front of each of [n, objectives] losses; NSGA's parents are the first fronts.
# CategoricalKernels: tells the kernels of a choice, which have weights [kernels, choices], from those of a
# number, which have mu, sigma, low, high, step (0 or None for continuous ones), and their adapted bounds.


def parzen_estimator(
    columns: dict[str, FloatArray], distributions: dict[str, BaseDistribution]
) -> ParzenEstimator:
    """Optuna's estimator of the density of trials, with the settings of its own sampler.

    columns: [n] by parameter, in Optuna's internal representation.
    """
    return ParzenEstimator(columns, dict(distributions), TPESampler()._parzen_estimator_parameters)


def mixture(estimator: ParzenEstimator) -> Any:
    """Its weights [kernels], and its distributions: the kernels of each parameter."""
    return estimator._mixture_distribution


def generation_key(sampler: Any) -> str:
    """The system attribute that holds a trial's generation for an NSGA sampler."""
    key: str = sampler._get_generation_key()
    return key


class NumberedQMC(QMCSampler):
    """Optuna's QMC sampler, indexed by trial number instead of a counter in the database."""

    def __init__(self, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(qmc_type="sobol", scramble=True, seed=seed)
        self.number = 0

    def _find_sample_id(self, study: object, search_space: object) -> int:
        return self.number


def gaussian_process(rows: FloatArray, scores: FloatArray, categorical: NDArray[Any]) -> Any:
    """Optuna's Gaussian process with fitted kernel parameters; imported here because it imports torch.

    rows: [n, parameters] numbers in [0, 1], choices by their place. scores: [n] standardised, more is better.
    categorical: [parameters] which are choices. The result has `posterior`, `append_running_data` and
    `noise_var`.
    """
    from optuna._gp import gp, prior

    return gp.fit_kernel_params(
        X=rows,
        Y=scores,
        is_categorical=categorical,
        log_prior=prior.default_log_prior,
        minimum_noise=prior.DEFAULT_MINIMUM_NOISE_VAR,
        deterministic_objective=False,
    )
