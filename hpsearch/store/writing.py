"""Writing to a study in bulk, within the caller's transaction, on a study that is locked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from hpsearch.errors import StorageError
from hpsearch.records import CURVE_COLUMNS, VALID_METRIC, Cohort, Segment, State, Trial
from hpsearch.store import rows
from hpsearch.store.reading import piece_checksum
from hpsearch.store.schema import (
    checksum,
    cohorts,
    curves,
    optuna_attributes,
    optuna_intermediate,
    optuna_params,
    optuna_studies,
    optuna_trials,
    optuna_values,
    trials,
)


def lock(connection: Connection, shown: str, study_id: int, study: str) -> None:
    """Keep other writers off the study until the transaction ends; on SQLite it did so by beginning.

    Raises:
        StorageError: the study was deleted.
    """
    columns = optuna_studies.c
    of_study = sa.select(columns.study_id).where(columns.study_id == study_id, columns.study_name == study)
    if connection.execute(of_study.with_for_update()).first() is None:
        raise StorageError(f'{shown}: study "{study}" is not there any more; another process has deleted it')


@dataclass(frozen=True)
class Target:
    """The study that is written to.

    kept: the epochs whose validation metric goes into Optuna's tables.
    """

    study_id: int
    name: str
    distributions: rows.Distributions
    kept: frozenset[int]

    def refusal(self, trial: int, expected: str, found: str) -> StorageError:
        """The error for what would leave the study inconsistent."""
        return StorageError(f'study "{self.name}", trial {trial}: expected {expected}; found {found}')


def add_cohort(connection: Connection, target: Target, cohort: Cohort) -> None:
    """Store a cohort.

    Raises:
        StorageError: its number is not the next one.
    """
    last = connection.execute(
        sa.select(sa.func.max(cohorts.c.number)).where(cohorts.c.study_id == target.study_id)
    ).scalar()
    expected = 0 if last is None else last + 1
    if cohort.number != expected:
        raise StorageError(f'study "{target.name}": expected cohort {expected}; found cohort {cohort.number}')
    lanes = json.dumps(
        [[int(number), int(before), int(reach)] for number, (before, reach) in cohort.lanes.items()],
        separators=(",", ":"),
    )
    connection.execute(
        sa.insert(cohorts).values(
            study_id=target.study_id,
            number=cohort.number,
            lanes=lanes,
            checksum=checksum((cohort.number, lanes)),
        )
    )


def start_trials(connection: Connection, target: Target, started: Sequence[Trial]) -> None:
    """Store new trials, which run and have no epoch yet.

    Raises:
        StorageError: their numbers are not the next ones, or a parameter is not of the study's space.
    """
    if not started:
        return
    first = _check_new(connection, target, started)
    columns = optuna_trials.c
    times = [rows.stored_time(trial.started) for trial in started]
    running = rows.OPTUNA_STATE[State.RUNNING]
    _insert(
        connection,
        optuna_trials,
        [
            {"number": trial.number, "study_id": target.study_id, "state": running, "datetime_start": time}
            for trial, time in zip(started, times, strict=True)
        ],
    )
    fresh = sa.select(columns.number, columns.trial_id).where(
        columns.study_id == target.study_id, columns.number >= first
    )
    ids = {row.number: row.trial_id for row in connection.execute(fresh)}
    params, own = [], []
    for trial, time in zip(started, times, strict=True):
        asked = rows.param_rows(target.name, trial, target.distributions)
        trial_id = ids[trial.number]
        for name, value, text in asked:
            params.append(
                {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": text}
            )
        own.append(
            {
                "study_id": target.study_id,
                "number": trial.number,
                "trial_id": trial_id,
                "cohort": int(trial.cohort),
                "asked_checksum": rows.asked_checksum(trial.number, int(trial.cohort), time, asked),
                **_outcome(trial, None, None),
            }
        )
    _insert(connection, optuna_params, params)
    _insert(connection, trials, own)


def _check_new(connection: Connection, target: Target, started: Sequence[Trial]) -> int:
    """The first of the new trials' numbers.

    Raises:
        StorageError: they are not the next ones, or not those of new trials.
    """
    columns = optuna_trials.c
    last = connection.execute(
        sa.select(sa.func.max(columns.number)).where(columns.study_id == target.study_id)
    ).scalar()
    first = 0 if last is None else int(last) + 1
    for number, trial in enumerate(started, start=first):
        if trial.number != number:
            raise target.refusal(trial.number, f"the next new trial to be {number}", f"{trial.number}")
        if trial.state is not State.RUNNING or trial.epochs:
            raise target.refusal(
                number, "a new trial to run and have no epoch", f"{trial.state}, {trial.epochs}"
            )
    return first


def grow_trials(
    connection: Connection, target: Target, segments: Sequence[Segment], updated: Sequence[Trial]
) -> None:
    """Store pieces of curves and what has become of their trials.

    Raises:
        StorageError: a trial is unknown, finished already or named twice, or its epochs would not be
            those of its curve.
    """
    touched = {segment.trial for segment in segments} | {trial.number for trial in updated}
    if not touched:
        return
    stored = _stored(connection, target, touched)
    _check_growth(target, stored, segments, updated)
    _insert_segments(connection, target, stored, segments)
    _update(connection, target, stored, updated)


def _stored(connection: Connection, target: Target, numbers: set[int]) -> Mapping[int, Row[Any]]:
    """Own rows of the trials, with Optuna's state.

    Raises:
        StorageError: a trial is not there or finished.
    """
    found = connection.execute(
        sa.select(
            trials.c.number,
            trials.c.trial_id,
            trials.c.epochs,
            sa.type_coerce(optuna_trials.c.state, sa.String).label("state"),
        )
        .join(optuna_trials, optuna_trials.c.trial_id == trials.c.trial_id)
        .where(trials.c.study_id == target.study_id, trials.c.number.between(min(numbers), max(numbers)))
    )
    stored = {row.number: row for row in found if row.number in numbers}
    for number in sorted(numbers):
        if number not in stored:
            raise target.refusal(number, "a trial that was started", "none of this number")
        state = rows.STATE.get(stored[number].state)
        if state is not State.RUNNING:
            raise target.refusal(
                number, "a trial that runs, because finished ones do not change", f"a trial that is {state}"
            )
    return stored


def _check_growth(
    target: Target, stored: Mapping[int, Row[Any]], segments: Sequence[Segment], updated: Sequence[Trial]
) -> None:
    epochs = {number: row.epochs for number, row in stored.items()}
    for segment in segments:
        shape = segment.curve.shape
        if len(shape) != 2 or shape[0] == 0 or shape[1] < len(CURVE_COLUMNS):
            columns = f"{len(CURVE_COLUMNS)} or more columns"
            raise target.refusal(segment.trial, f"a curve of [epochs, {columns}]", f"{shape}")
        if segment.first_epoch != epochs[segment.trial] + 1:
            raise target.refusal(
                segment.trial,
                f"its curve to go on at epoch {epochs[segment.trial] + 1}",
                f"epoch {segment.first_epoch}",
            )
        epochs[segment.trial] = segment.last_epoch
    told = {trial.number: trial.epochs for trial in updated}
    if len(told) < len(updated):
        raise StorageError(f'study "{target.name}": expected each updated trial once; found one twice')
    for number, reached in epochs.items():
        if told.get(number, stored[number].epochs) != reached:
            raise target.refusal(
                number, f"{reached} epochs, as its curve has", f"{told.get(number, stored[number].epochs)}"
            )


def _insert_segments(
    connection: Connection, target: Target, stored: Mapping[int, Row[Any]], segments: Sequence[Segment]
) -> None:
    pieces, metrics = [], []
    for segment in segments:
        data = np.ascontiguousarray(segment.curve, "<f8").tobytes()
        first, cohort, seconds = int(segment.first_epoch), int(segment.cohort), rows.plain(segment.seconds)
        pieces.append(
            {
                "study_id": target.study_id,
                "number": segment.trial,
                "first_epoch": first,
                "cohort": cohort,
                "seconds": seconds,
                "columns": segment.curve.shape[1],
                "data": data,
                "checksum": piece_checksum(
                    segment.trial, first, cohort, seconds, segment.curve.shape[1], data
                ),
            }
        )
        trial_id = stored[segment.trial].trial_id
        for epoch, metric in enumerate(segment.curve[:, VALID_METRIC].tolist(), start=first):
            if epoch in target.kept or epoch == segment.last_epoch:
                value, kind = rows.intermediate_value(metric)
                metrics.append(
                    {
                        "trial_id": trial_id,
                        "step": epoch,
                        "intermediate_value": value,
                        "intermediate_value_type": kind,
                    }
                )
    _insert(connection, curves, pieces)
    _insert(connection, optuna_intermediate, metrics)


def _update(
    connection: Connection, target: Target, stored: Mapping[int, Row[Any]], updated: Sequence[Trial]
) -> None:
    outcomes, finished, values, attributes = [], [], [], []
    for trial in updated:
        trial_id = stored[trial.number].trial_id
        time, value = None, None
        if trial.state.finished:
            time = rows.stored_time(trial.finished)
            value = rows.optuna_value(target.name, trial)
            finished.append({"key": trial_id, "new_state": rows.OPTUNA_STATE[trial.state], "new_time": time})
            for key, attribute in _attributes(trial).items():
                attributes.append({"trial_id": trial_id, "key": key, "value_json": json.dumps(attribute)})
        if value is not None:
            values.append({"trial_id": trial_id, "objective": 0, "value": value[0], "value_type": value[1]})
        outcomes.append({"key": trial.number, **_outcome(trial, time, value)})
    if outcomes:
        of_trial = (trials.c.study_id == target.study_id) & (trials.c.number == sa.bindparam("key"))
        connection.execute(sa.update(trials).where(of_trial), outcomes)
    if finished:
        connection.execute(
            sa.update(optuna_trials)
            .where(optuna_trials.c.trial_id == sa.bindparam("key"))
            .values(state=sa.bindparam("new_state"), datetime_complete=sa.bindparam("new_time")),
            finished,
        )
    _insert(connection, optuna_values, values)
    _insert(connection, optuna_attributes, attributes)


def _attributes(trial: Trial) -> dict[str, Any]:
    """User attributes of a finished trial in Optuna's tables."""
    told = {"epochs": trial.epochs, "best_epoch": trial.best_epoch, "reason": trial.reason}
    return {key: value for key, value in told.items() if value is not None}


def _outcome(trial: Trial, time: Any, value: tuple[float | None, Any] | None) -> dict[str, Any]:
    """Own columns of what becomes of a trial; time and value as they are in Optuna's tables."""
    best_epoch = None if trial.best_epoch is None else int(trial.best_epoch)
    own = (
        int(trial.epochs),
        rows.number_text(trial.value),
        rows.number_text(trial.loss),
        best_epoch,
        trial.reason,
    )
    named = None if value is None else (value[0], value[1].name)
    state = rows.OPTUNA_STATE[trial.state].name
    return {
        **dict(zip(("epochs", "value", "loss", "best_epoch", "reason"), own, strict=True)),
        "outcome_checksum": rows.outcome_checksum(trial.number, state, time, own, named),
    }


def _insert(connection: Connection, table: Any, values: list[dict[str, Any]]) -> None:
    if values:
        connection.execute(sa.insert(table), values)
