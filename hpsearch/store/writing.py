"""Writing to a study in bulk, within the caller's transaction, on a study that is locked.

Nothing here takes longer the more trials a study has: own rows are found by their key, and how many there
are is in the tally.
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

from hpsearch.errors import StorageError
from hpsearch.records import CURVE_COLUMNS, Cohort, Params, Scoring, Segment, State, Trial
from hpsearch.store import rows
from hpsearch.store.bulk import chunks, insert
from hpsearch.store.optuna_tables import (
    optuna_attributes,
    optuna_intermediate,
    optuna_params,
    optuna_studies,
    optuna_trials,
    optuna_values,
)
from hpsearch.store.schema import (
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


@dataclass(frozen=True)
class Target:
    """The study that is written to.

    kept: the epochs whose validation metric goes into Optuna's tables. objectives: how many others than the
    metric. maximize: whether a higher metric is better.
    bulk: whether Optuna's tables are written here, too (if not, see optuna_calls.py).
    """

    study_id: int
    name: str
    distributions: rows.Distributions
    kept: frozenset[int]
    objectives: int
    maximize: bool
    bulk: bool = True

    def refusal(self, trial: int, expected: str, found: str) -> StorageError:
        """The error for what would leave the study inconsistent."""
        return StorageError(f'study "{self.name}", trial {trial}: expected {expected}; found {found}')


def lock(connection: Connection, shown: str, study_id: int, study: str, *, bulk: bool = True) -> None:
    """Keep other writers off the study until the transaction ends; on SQLite it did so by beginning.

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
        raise StorageError(f'{shown}: study "{study}" is not there any more: it was deleted meanwhile')


def store_tally(connection: Connection, study_id: int, tally: Tally) -> None:
    """Put the study's tally in place of the one before."""
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
    """Store new trials, which run and have no epoch yet.

    Raises:
        StorageError: their numbers are not the next ones, or a parameter is not of the study's space.
    """
    if not started:
        return tally
    for number, trial in enumerate(started, start=tally.trials):
        if trial.number != number:
            raise target.refusal(trial.number, f"the next new trial to be {number}", f"{trial.number}")
        if trial.state is not State.RUNNING or trial.epochs:
            raise target.refusal(
                number, "a new trial to run and have no epoch", f"{trial.state}, {trial.epochs}"
            )
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
    """Rows of new trials in Optuna's table; returns their trial_ids."""
    columns, running = optuna_trials.c, rows.OPTUNA_STATE[State.RUNNING]
    # By their numbers they could only be found among all trials of the study.
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
    """Store pieces of curves and what has become of their trials.

    Raises:
        StorageError: a trial is unknown, finished already or named twice, or its epochs would not be
            those of its curve.
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
        StorageError: a trial is not there, not as it was written, or finished.
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
            raise target.refusal(number, "a trial that was started", "none of this number")
        row = stored[number]
        if not rows.sound(row):
            raise target.refusal(number, "its row as it was written", "one that does not fit its checksum")
        if row.state != State.RUNNING:
            expected = "a trial that runs, because finished ones do not change"
            raise target.refusal(number, expected, f"a trial that is {row.state}")
    return stored


def _check_growth(
    target: Target, stored: Mapping[int, Any], segments: Sequence[Segment], updated: Sequence[Trial]
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


def _optuna_ids(connection: Connection, target: Target, stored: Mapping[int, Any]) -> dict[int, int]:
    """Optuna's trial_ids by number; looked up for those that its public calls have made."""
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
        for epoch, value, kind in rows.intermediate_values(target.kept, segment):
            metrics.append(
                {
                    "trial_id": trial_id,
                    "step": epoch,
                    "intermediate_value": value,
                    "intermediate_value_type": kind,
                }
            )
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
    """The tally after running trials have changed."""
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
    """Store weights of running trials in place of their older ones, and delete those of finished ones."""
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
    """Append looks at the rows that are kept back.

    Raises:
        StorageError: their numbers are not the next ones.
    """
    numbers = [scoring.number for scoring in new]
    expected = list(range(tally.scorings + 1, tally.scorings + 1 + len(new)))
    if numbers != expected:
        raise StorageError(f'study "{target.name}": expected scorings {expected}; found {numbers}')
    values = [
        rows.scoring_row(
            target.study_id, each.number, each.purpose, each.about, each.data, rows.stored_time(each.when)
        )
        for each in new
    ]
    insert(connection, scorings, values)
    return replace(tally, scorings=tally.scorings + len(new))


def add_queued(connection: Connection, target: Target, tally: Tally, points: Sequence[Params]) -> Tally:
    """Append points to the queue.

    Raises:
        StorageError: a parameter is not of the study's space.
    """
    known = [
        rows.known_params(target.name, f"queued point {at}", params, target.distributions)[0]
        for at, params in enumerate(points, start=tally.queued)
    ]
    values = [
        rows.queue_row(target.study_id, position, params, None)
        for position, params in enumerate(known, start=tally.queued)
    ]
    insert(connection, queue, values)
    return replace(tally, queued=tally.queued + len(points))


def take_queued(connection: Connection, target: Target, taken: Mapping[int, int], trials_there: int) -> None:
    """Note which trials queued points have become: by position, the trial's number.

    Raises:
        StorageError: there is no such point or trial, or the point was taken already.
    """
    for position, trial in taken.items():
        of_point = (queue.c.study_id == target.study_id) & (queue.c.position == position)
        row = connection.execute(sa.select(queue.c.params, queue.c.trial).where(of_point)).first()
        if row is None or row.trial is not None or not 0 <= trial < trials_there:
            found = (
                "none" if row is None else f"one that is trial {row.trial}" if row.trial is not None else ""
            )
            raise StorageError(
                f'study "{target.name}": expected a queued point {position} that waits, and a trial {trial}; '
                f"found {found or f'{trials_there} trials'}"
            )
        values = rows.queue_row(target.study_id, int(position), json.loads(row.params), int(trial))
        connection.execute(sa.update(queue).where(of_point).values(values))
