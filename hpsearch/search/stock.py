"""Any of Optuna's samplers, unchanged, asked one trial after another."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpsearch.errors import HpsearchError
from hpsearch.records import FloatArray
from hpsearch.search.ask import Ask
from hpsearch.search.evolution import Direction, asked_of, quiet_study
from hpsearch.search.history import COMPLETE, FAILED, PRUNED, RUNNING, History
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study

SamplerFactory = Callable[[int], BaseSampler]
"""Creates a sampler from a seed; called for each cohort."""

_STATES = {
    RUNNING: TrialState.RUNNING,
    COMPLETE: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    FAILED: TrialState.PRUNED,
}


class Stock:
    """A sampler of Optuna's, asked one trial after another on an in-memory copy of the study.

    It sees what Optuna's own storage would show, with one exception: a diverged trial appears as stopped
    without a value, which Optuna's TPE ranks last, not as failed, which samplers ignore. Its time grows with
    the study. Each cohort gets a new sampler, seeded from the study's seed and the cohort's number.
    """

    def __init__(self, study: Study, factory: SamplerFactory) -> None:
        self._distributions, self._factory = optuna_distributions(study.space), factory
        self._directions: list[Direction] = ["maximize" if study.direction == "maximize" else "minimize"]
        self._directions += ["minimize"] * len(study.search.objectives)

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = quiet_study(self._directions, self._factory(ask.integer("stock sampler")))
            study.add_trials(self._trials(history))
            return asked_of(study, self._distributions, ask)

    def _trials(self, history: History) -> list[FrozenTrial]:
        trials = []
        for number, params in enumerate(history.external(history.params)):
            state, value = int(history.state[number]), float(history.value[number])
            complete, told = state == COMPLETE, state in (COMPLETE, PRUNED)
            trials.append(
                create_trial(
                    state=_STATES[state],
                    params=params,
                    distributions={name: self._distributions[name] for name in params},
                    values=[value, *history.others[number].tolist()] if complete else None,
                    # Optuna's TPE ranks stopped trials by their last step and its value.
                    intermediate_values={int(history.epochs[number]): value}
                    if told and len(self._directions) == 1
                    else None,
                )
            )
        return trials


def imported(path: str, options: Mapping[str, Any]) -> SamplerFactory:
    """A factory for the sampler class at "package.module:Class" with the study file's options.

    Raises:
        HpsearchError: it cannot be imported, is no Optuna sampler, or rejects the options.
    """
    module, _, name = path.partition(":")
    what = f"search.sampler {path}"
    try:
        kind = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise HpsearchError(f"{what}: expected an importable module; found: {error}") from None
    except AttributeError:
        raise HpsearchError(f"{what}: module {module} has no {name}") from None
    if not (inspect.isclass(kind) and issubclass(kind, BaseSampler)):
        raise HpsearchError(f"{what}: expected a subclass of optuna.samplers.BaseSampler; found {kind!r}")
    seeded = "seed" in inspect.signature(kind).parameters

    def factory(seed: int) -> BaseSampler:
        try:
            return kind(**options, **({"seed": seed} if seeded else {}))
        except (TypeError, ValueError) as error:
            raise HpsearchError(f"{what}: rejects search.options: {error}") from None

    factory(0)
    return factory
