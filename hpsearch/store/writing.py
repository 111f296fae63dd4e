"""Bulk writes to a locked study, within the caller's transaction.

Nothing here slows down as a study grows: own rows are found by key, and the tally knows their number.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import StorageError, plural
from hpsearch.records import CURVE_COLUMNS, Cohort, Params, Scoring, Segment, State, Trial
from hpsearch.store import rows
from hpsearch.store.bulk import chunks, insert
from hpsearch.store.ddl import (
    Tally,
    checkpoints,
    cohorts,
    curves,
    queue,
    scorings,
    studies,
    tallies,
    trials,
)
from hpsearch.store.optuna_tables import (
    optuna_attributes,
    optuna_intermediate,
    optuna_params,
    optuna_studies,
    optuna_trials,
    optuna_values,
)


@dataclass(frozen=True)
class Target:
    """The study to write to.

    kept: the epochs whose validation metric goes into Optuna's tables. objectives: number of further ones
    besides the metric. maximize: a higher metric is better. bulk: Optuna's tables are written here too (if
    not, see optuna_calls.py).
    """

    study_id: int
    name: str
    distributions: rows.Distributions
    kept: frozenset[int]
    objectives: int
    maximize: bool
    bulk: bool = True

    def refusal(self, trial: int, expected: str, found: str) -> StorageError:
        """The error for a write that would make the study inconsistent."""
        return StorageError(f'study "{self.name}", trial {trial}: expected {expected}; found {found}')


def lock(connection: Connection, shown: str, study_id: int, study: str, *, bulk: bool = True) -> None:
    """Keep other writers off the study until the transaction ends; on SQLite its BEGIN did so already.

    Raises:
        StorageError: the study was deleted.
    """
    optunas, own = optuna_studies.c, studies.c
    of_study = sa.select(own.study_id).where(own.study_id == study_id, own.name == study)
    if bulk:
        of_study = sa.select(optunas.study_id).where(
            optunas.study_id == study_id, optunas.study_name == study
        )
    if connection.execute(of_study.with_for_update()).first() is None:
        raise StorageError(f'{shown}: study "{study}" no longer exists: another process deleted it')


def store_tally(connection: Connection, study_id: int, tally: Tally) -> None:
    """Replace the study's tally."""
    values = rows.tally_row(study_id, tally)
    connection.execute(sa.update(tallies).where(tallies.c.study_id == study_id).values(values))


def add_cohort(connection: Connection, target: Target, tally: Tally, cohort: Cohort) -> Tally:
    """Store a cohort.

    Raises:
        StorageError: its number is not the next one.
    """
    if cohort.number != tally.cohorts:
        raise StorageError(
            f'study "{target.name}": expected cohort {tally.cohorts}; found cohort {cohort.number}'
        )
    insert(connection, cohorts, [rows.cohort_row(target.study_id, cohort)])
    return replace(tally, cohorts=tally.cohorts + 1)


def start_trials(connection: Connection, target: Target, tally: Tally, started: Sequence[Trial]) -> Tally:
    """Store new trials: running, no epoch yet.

    Raises:
        StorageError: their numbers are not the next ones, or a parameter is outside the study's space.
    """
    if not started:
        return tally
    for number, trial in enumerate(started, start=tally.trials):
        if trial.number != number:
            raise target.refusal(trial.number, f"{number} as the next new trial", f"{trial.number}")
        if trial.state is not State.RUNNING or trial.epochs:
            found = f"{trial.state}, {plural(trial.epochs, 'epoch')}"
            raise target.refusal(number, "a new trial to be running without epochs", found)
    times = [rows.stored_time(trial.started) for trial in started]
    if target.bulk:
        ids = _new_optuna_trials(connection, target.study_id, started, times)
    else:
        ids = [0] * len(started)
    mirrored, own = [], []
    for trial, time, trial_id in zip(started, times, ids, strict=True):
        params, asked = rows.known_params(
            target.name, f"trial {trial.number}", trial.params, target.distributions
        )
        mirrored += [
            {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": text}
            for name, value, text in asked
        ]
        row = rows.asked_row(target.study_id, trial_id, trial, params, time)
        own.append({**row, **rows.outcome_row(tuple(row.values()), trial, None)})
    if target.bulk:
        insert(connection, optuna_params, mirrored)
    insert(connection, trials, own)
    return replace(tally, running=tally.running + len(started))


def _new_optuna_trials(
    connection: Connection, study_id: int, started: Sequence[Trial], times: Sequence[int]
) -> list[int]:
    """Insert new trials into Optuna's table; returns their trial_ids."""
    columns, running = optuna_trials.c, rows.OPTUNA_STATE[State.RUNNING]
    # Looking them up by number would scan all trials of the study.
    before = connection.execute(sa.select(sa.func.max(columns.trial_id))).scalar() or 0
    values = [
        {
            "number": trial.number,
            "study_id": study_id,
            "state": running,
            "datetime_start": rows.optuna_time(time),
        }
        for trial, time in zip(started, times, strict=True)
    ]
    insert(connection, optuna_trials, values)
    fresh = sa.select(columns.trial_id).where(columns.trial_id > before, columns.study_id == study_id)
    return [int(trial_id) for trial_id in connection.execute(fresh.order_by(columns.number)).scalars()]


def grow_trials(
    connection: Connection,
    target: Target,
    tally: Tally,
    segments: Sequence[Segment],
    updated: Sequence[Trial],
) -> Tally:
    """Store pieces of curves and the new state of their trials.

    Raises:
        StorageError: a trial is unknown, already finished or named twice, or its epochs would not match its
            curve.
    """
    touched = {segment.trial for segment in segments} | {trial.number for trial in updated}
    if not touched:
        return tally
    stored = _stored(connection, target, touched)
    _check_growth(target, stored, segments, updated)
    ids = _optuna_ids(connection, target, stored)
    _insert_segments(connection, target, ids, segments)
    _update(connection, target, stored, ids, updated)
    return _counted(target, tally, updated)


def _stored(connection: Connection, target: Target, numbers: set[int]) -> Mapping[int, Any]:
    """Own rows of the trials.

    Raises:
        StorageError: a trial is missing, damaged or finished.
    """
    columns = trials.c
    stored: dict[int, Any] = {
        row.number: row
        for chunk in chunks(numbers)
        for row in connection.execute(
            sa.select(trials).where(columns.study_id == target.study_id, columns.number.in_(chunk))
        )
    }
    for number in sorted(numbers):
        if number not in stored:
            raise target.refusal(number, "a trial that was started", "no such trial")
        row = stored[number]
        if not rows.sound(trials, row):
            raise target.refusal(number, "its row to match its checksum", "a damaged row")
        if row.state != State.RUNNING:
            raise target.refusal(number, "a running trial, for finished ones never change", str(row.state))
    return stored


def _check_growth(
    target: Target, stored: Mapping[int, Any], segments: Sequence[Segment], updated: Sequence[Trial]
) -> None:
    epochs = {number: row.epochs for number, row in stored.items()}
    for segment in segments:
        shape = segment.curve.shape
        if len(shape) != 2 or shape[0] == 0 or shape[1] < len(CURVE_COLUMNS):
            expected = f"a curve of [epochs, {len(CURVE_COLUMNS)} or more columns]"
            raise target.refusal(segment.trial, expected, f"{shape}")
        if segment.first_epoch != epochs[segment.trial] + 1:
            expected = f"its curve to continue at epoch {epochs[segment.trial] + 1}"
            raise target.refusal(segment.trial, expected, f"epoch {segment.first_epoch}")
        epochs[segment.trial] = segment.last_epoch
    told = {trial.number: trial.epochs for trial in updated}
    if len(told) < len(updated):
        raise StorageError(f'study "{target.name}": expected each updated trial once; found a duplicate')
    for number, reached in epochs.items():
        if (found := told.get(number, stored[number].epochs)) != reached:
            raise target.refusal(number, f"{plural(reached, 'epoch')} as in its curve", f"{found}")


def _optuna_ids(connection: Connection, target: Target, stored: Mapping[int, Any]) -> dict[int, int]:
    """Optuna's trial_ids by number; looked up for trials that its public calls created."""
    ids = {number: int(row.trial_id) for number, row in stored.items()}
    unknown = [number for number, trial_id in ids.items() if not trial_id]
    columns = optuna_trials.c
    for chunk in chunks(unknown) if target.bulk else ():
        query = sa.select(columns.number, columns.trial_id).where(
            columns.study_id == target.study_id, columns.number.in_(chunk)
        )
        ids.update((number, trial_id) for number, trial_id in connection.execute(query))
    return ids


def _insert_segments(
    connection: Connection, target: Target, ids: Mapping[int, int], segments: Sequence[Segment]
) -> None:
    metrics = []
    for segment in segments:
        trial_id = ids[segment.trial]
        metrics += [
            {
                "trial_id": trial_id,
                "step": epoch,
                "intermediate_value": value,
                "intermediate_value_type": kind,
            }
            for epoch, value, kind in rows.intermediate_values(target.kept, segment)
        ]
    insert(connection, curves, [rows.curve_row(target.study_id, segment) for segment in segments])
    if target.bulk:
        insert(connection, optuna_intermediate, metrics)


def _update(
    connection: Connection,
    target: Target,
    stored: Mapping[int, Any],
    ids: Mapping[int, int],
    updated: Sequence[Trial],
) -> None:
    outcomes, finished, values, attributes = [], [], [], []
    for trial in updated:
        trial_id = ids[trial.number]
        time = rows.stored_time(trial.finished) if trial.state.finished else None
        if time is not None:
            state = rows.OPTUNA_STATE[trial.state]
            finished.append({"key": trial_id, "new_state": state, "new_time": rows.optuna_time(time)})
            for key, attribute in rows.attributes(trial).items():
                attributes.append({"trial_id": trial_id, "key": key, "value_json": json.dumps(attribute)})
        for place, (value, kind) in enumerate(rows.optuna_values_of(target.name, trial, target.objectives)):
            values.append({"trial_id": trial_id, "objective": place, "value": value, "value_type": kind})
        asked = tuple(stored[trial.number][:7])
        outcomes.append({"key": trial.number, **rows.outcome_row(asked, trial, time)})
    if outcomes:
        of_trial = (trials.c.study_id == target.study_id) & (trials.c.number == sa.bindparam("key"))
        connection.execute(sa.update(trials).where(of_trial), outcomes)
    if not target.bulk:
        return
    if finished:
        connection.execute(
            sa.update(optuna_trials)
            .where(optuna_trials.c.trial_id == sa.bindparam("key"))
            .values(state=sa.bindparam("new_state"), datetime_complete=sa.bindparam("new_time")),
            finished,
        )
    insert(connection, optuna_values, values)
    insert(connection, optuna_attributes, attributes)


def _counted(target: Target, tally: Tally, updated: Sequence[Trial]) -> Tally:
    """The tally after these trials changed."""
    states = Counter(trial.state for trial in updated if trial.state.finished)
    complete = [trial.value for trial in updated if trial.state is State.COMPLETE]
    best = [value for value in (tally.best, *complete) if value is not None and not math.isnan(value)]
    return replace(
        tally,
        running=tally.running - states.total(),
        complete=tally.complete + states[State.COMPLETE],
        pruned=tally.pruned + states[State.PRUNED],
        failed=tally.failed + states[State.FAILED],
        best=None if not best else max(best) if target.maximize else min(best),
    )


def keep_checkpoints(
    connection: Connection,
    target: Target,
    given: Mapping[int, tuple[int, bytes]],
    updated: Sequence[Trial],
) -> None:
    """Replace the weights of running trials, and delete those of finished ones."""
    finished = {trial.number for trial in updated if trial.state.finished}
    for chunk in chunks(given.keys() | finished):
        of_trials = (checkpoints.c.study_id == target.study_id) & checkpoints.c.number.in_(chunk)
        connection.execute(sa.delete(checkpoints).where(of_trials))
    values = [
        rows.checkpoint_row(target.study_id, number, epoch, data)
        for number, (epoch, data) in given.items()
        if number not in finished
    ]
    insert(connection, checkpoints, values)


def add_scorings(connection: Connection, target: Target, tally: Tally, new: Sequence[Scoring]) -> Tally:
    """Append scorings on held-out rows.

    Raises:
        StorageError: their numbers are not the next ones.
    """
    numbers = [scoring.number for scoring in new]
    expected = list(range(tally.scorings + 1, tally.scorings + 1 + len(new)))
    if numbers != expected:
        raise StorageError(f'study "{target.name}": expected scorings {expected}; found {numbers}')
    insert(connection, scorings, [rows.scoring_row(target.study_id, scoring) for scoring in new])
    return replace(tally, scorings=tally.scorings + len(new))


def add_queued(connection: Connection, target: Target, tally: Tally, points: Sequence[Params]) -> Tally:
    """Append points to the queue.

    Raises:
        StorageError: a parameter is outside the study's space.
    """
    values = []
    for position, params in enumerate(points, start=tally.queued):
        what = f"queued point {position}"
        known, _ = rows.known_params(target.name, what, params, target.distributions)
        values.append(rows.queue_row(target.study_id, position, known, None))
    insert(connection, queue, values)
    return replace(tally, queued=tally.queued + len(points))


def take_queued(connection: Connection, target: Target, taken: Mapping[int, int], trials_there: int) -> None:
    """Record which trials queued points became: trial numbers by position.

    Raises:
        StorageError: no such point or trial, or the point is already taken.
    """
    for position, trial in taken.items():
        of_point = (queue.c.study_id == target.study_id) & (queue.c.position == position)
        row = connection.execute(sa.select(queue.c.params, queue.c.trial).where(of_point)).first()
        if row is None or row.trial is not None or not 0 <= trial < trials_there:
            if row is None:
                found = "no such point"
            elif row.trial is not None:
                found = f"that it is already trial {row.trial}"
            else:
                found = plural(trials_there, "trial")
            raise StorageError(
                f'study "{target.name}": expected queued point {position} to wait and become trial {trial}; '
                f"found {found}"
            )
        values = rows.queue_row(target.study_id, int(position), json.loads(row.params), int(trial))
        connection.execute(sa.update(queue).where(of_point).values(values))
