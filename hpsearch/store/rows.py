"""Trials as rows: what stands in the columns, and the checksums over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialValueModel
from optuna.trial import TrialState

from hpsearch.errors import StorageError
from hpsearch.records import Params, State, Trial
from hpsearch.store.schema import checksum

OPTUNA_STATE = {
    State.RUNNING: TrialState.RUNNING,
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
}
STATE = {state.name: own for own, state in OPTUNA_STATE.items()}

MOST_EPOCHS = 20
SPREAD_EPOCHS = 10
"""Intermediate values that a trial has in Optuna's tables; its whole curve is in own ones."""

ParamRow = tuple[str, float, str]
"""Name, Optuna's number for the value, and the distribution as JSON."""

Distributions = dict[str, tuple[BaseDistribution, str]]
"""Of a study: by name, the distribution and its JSON."""


def kept_epochs(epochs: int) -> frozenset[int]:
    """The epochs whose validation metric goes into Optuna's tables, for trials of at most so many.

    All of them up to 20; of more, ten spaced logarithmically from 1 to the last. The last epoch of each
    piece of a curve comes on top (writing.py), so that a stopped trial's last value is there, too.
    """
    if epochs <= MOST_EPOCHS:
        return frozenset(range(1, epochs + 1))
    return frozenset(np.geomspace(1, epochs, SPREAD_EPOCHS).round().astype(int).tolist())


def plain(number: float) -> float:
    """The number without the sign of a zero, which SQLite does not keep."""
    return float(number) + 0.0


def param_rows(study: str, trial: Trial, distributions: Distributions) -> list[ParamRow]:
    """The trial's parameters as Optuna stores them, in the order of its `params`.

    Raises:
        StorageError: a value is not one of its distribution, so it would not come back as it is.
    """
    rows = []
    for name, value in trial.params.items():
        if name not in distributions:
            known = ", ".join(distributions) or "none"
            raise StorageError(
                f'study "{study}", trial {trial.number}: expected the searched hyper-parameters ({known}); '
                f"found {name}"
            )
        distribution, json = distributions[name]
        try:
            number = plain(distribution.to_internal_repr(value))
            comes_back = distribution.to_external_repr(number) == value
        except (ValueError, TypeError, OverflowError):
            comes_back = False
        if not comes_back:
            raise StorageError(
                f'study "{study}", trial {trial.number}: {name}: expected a value of {distribution}; '
                f"found {value!r}"
            )
        rows.append((name, number, json))
    return rows


def stored_time(time: datetime | None) -> datetime:
    """Naive UTC, as Optuna's tables have it; now, where there is no time."""
    return (time or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None, fold=0)


def shown_time(time: datetime | None) -> datetime | None:
    """The time of a column, with its zone."""
    return None if time is None else time.replace(tzinfo=UTC)


def number_text(number: float | None) -> str | None:
    """A float as text that reads back exactly."""
    return None if number is None else repr(float(number))


def text_number(text: str | None) -> float | None:
    """The float of `number_text`."""
    return None if text is None else float(text)


def optuna_value(study: str, trial: Trial) -> tuple[float | None, Any] | None:
    """The columns of the trial's value in Optuna's table, or None where it has no such row.

    Raises:
        StorageError: the trial is complete and has no value, which Optuna cannot represent.
    """
    missing = trial.value is None or math.isnan(trial.value)
    if trial.state is State.COMPLETE and missing:
        raise StorageError(
            f'study "{study}", trial {trial.number}: expected a value for a complete trial; '
            f"found {trial.value}"
        )
    if trial.state not in (State.COMPLETE, State.PRUNED) or trial.value is None or missing:
        return None
    stored: tuple[float | None, Any] = TrialValueModel.value_to_stored_repr(plain(trial.value))
    return stored


def intermediate_value(metric: float) -> tuple[float | None, Any]:
    """The columns of an intermediate value in Optuna's table."""
    stored: tuple[float | None, Any] = TrialIntermediateValueModel.intermediate_value_to_stored_repr(metric)
    return stored


def asked_checksum(number: int, cohort: int, started: datetime | None, params: Sequence[ParamRow]) -> str:
    """Of what does not change after a trial was asked for."""
    return checksum((number, cohort, started, *params))


def outcome_checksum(
    number: int,
    state: str,
    finished: datetime | None,
    own: tuple[int, str | None, str | None, int | None, str | None],
    value: tuple[float | None, str] | None,
) -> str:
    """Of what does: Optuna's state, time and value row, and the own columns from epochs to reason."""
    return checksum((number, state, finished, own, value))


def decoded(params: Sequence[ParamRow]) -> Params:
    """The values of parameter rows."""
    return {name: _distribution(json).to_external_repr(number) for name, number, json in params}


@lru_cache(maxsize=1024)
def _distribution(json: str) -> BaseDistribution:
    return json_to_distribution(json)
