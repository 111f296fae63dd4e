"""Reading a study back: every row is held against its checksum."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from hpsearch.errors import StorageError
from hpsearch.records import CURVE_COLUMNS, Cohort, FloatArray, Trial
from hpsearch.store import rows
from hpsearch.store.schema import (
    checksum,
    cohorts,
    curves,
    optuna_params,
    optuna_trials,
    optuna_values,
    trials,
)

_CHUNK = 500
"""Numbers in one statement; some databases take no more than 999 variables."""


def damaged(shown: str, what: str, found: str) -> StorageError:
    """The error for rows that are not as hpsearch wrote them."""
    return StorageError(
        f"{shown}: {what}: {found}. The database was damaged or edited: restore it from a backup, "
        "or delete the study (hpsearch delete) and run it again."
    )


@contextmanager
def readable(shown: str, what: str) -> Iterator[None]:
    """Values that are not even of their column's type are damage too."""
    try:
        yield
    except (ValueError, TypeError, LookupError) as error:
        raise damaged(shown, what, f"a stored value cannot be read ({error})") from None


def read_trials(connection: Connection, shown: str, study_id: int, study: str) -> list[Trial]:
    """All trials in number order.

    Raises:
        StorageError: a row is not as it was written.
    """
    of_study = optuna_trials.c.study_id == study_id
    of_own = sa.select(trials).where(trials.c.study_id == study_id)
    own = {row.number: row for row in connection.execute(of_own).all()}
    asked = connection.execute(
        sa.select(
            optuna_trials.c.trial_id,
            optuna_trials.c.number,
            # As text: a state that Optuna does not know is reported with its trial below.
            sa.type_coerce(optuna_trials.c.state, sa.String).label("state"),
            optuna_trials.c.datetime_start,
            optuna_trials.c.datetime_complete,
        )
        .where(of_study)
        .order_by(optuna_trials.c.number)
    ).all()
    params = _params(connection, of_study)
    values = _values(connection, of_study)
    if [row.number for row in asked] != list(range(len(own))) or own.keys() != set(range(len(own))):
        raise damaged(
            shown,
            f'study "{study}"',
            f"expected trials 0 to {len(own) - 1}; found others, or some twice or missing",
        )
    trials_read = []
    for row in asked:
        mine, param_rows = own[row.number], params.get(row.trial_id, [])
        if not _sound(mine, row, param_rows, values.get(row.trial_id)):
            raise damaged(shown, f'study "{study}", trial {row.number}', "its rows do not fit their checksum")
        trials_read.append(
            Trial(
                number=row.number,
                cohort=mine.cohort,
                params=rows.decoded(param_rows),
                state=rows.STATE[row.state],
                epochs=mine.epochs,
                value=rows.text_number(mine.value),
                loss=rows.text_number(mine.loss),
                best_epoch=mine.best_epoch,
                reason=mine.reason,
                started=rows.shown_time(row.datetime_start),
                finished=rows.shown_time(row.datetime_complete),
            )
        )
    return trials_read


def _params(connection: Connection, of_study: Any) -> dict[int, list[rows.ParamRow]]:
    """Parameter rows by Optuna's trial_id, in the order in which they were suggested."""
    found = defaultdict(list)
    columns = optuna_params.c
    query = (
        sa.select(columns.trial_id, columns.param_name, columns.param_value, columns.distribution_json)
        .join(optuna_trials, optuna_trials.c.trial_id == columns.trial_id)
        .where(of_study)
        .order_by(columns.param_id)
    )
    for trial_id, name, number, text in connection.execute(query).all():
        found[trial_id].append((name, number, text))
    return found


def _values(connection: Connection, of_study: Any) -> dict[int, tuple[float | None, str]]:
    """Value and its type by Optuna's trial_id."""
    columns = optuna_values.c
    query = (
        sa.select(columns.trial_id, columns.value, sa.type_coerce(columns.value_type, sa.String))
        .join(optuna_trials, optuna_trials.c.trial_id == columns.trial_id)
        .where(of_study)
    )
    return {trial_id: (value, kind) for trial_id, value, kind in connection.execute(query).all()}


def _sound(
    own: Row[Any], asked: Row[Any], params: list[rows.ParamRow], value: tuple[float | None, str] | None
) -> bool:
    outcome = (own.epochs, own.value, own.loss, own.best_epoch, own.reason)
    return bool(
        own.trial_id == asked.trial_id
        and own.asked_checksum == rows.asked_checksum(asked.number, own.cohort, asked.datetime_start, params)
        and own.outcome_checksum
        == rows.outcome_checksum(asked.number, asked.state, asked.datetime_complete, outcome, value)
    )


def read_curves(
    connection: Connection, shown: str, study_id: int, study: str, numbers: Iterable[int] | None
) -> dict[int, FloatArray]:
    """Curves by trial, [epochs, columns]; trials without an epoch have none.

    Raises:
        StorageError: a piece is missing or not as it was written.
    """
    epochs: dict[int, int] = {}
    pieces: dict[int, list[bytes]] = {}
    widths: dict[int, int] = {}
    for chunk in _chunks(numbers):
        of_chunk = [] if chunk is None else [trials.c.number.in_(chunk)]
        wanted = sa.select(trials.c.number, trials.c.epochs).where(
            trials.c.study_id == study_id, trials.c.epochs > 0, *of_chunk
        )
        epochs.update({row.number: row.epochs for row in connection.execute(wanted)})
        of_chunk = [] if chunk is None else [curves.c.number.in_(chunk)]
        stored = (
            sa.select(curves)
            .where(curves.c.study_id == study_id, *of_chunk)
            .order_by(curves.c.number, curves.c.first_epoch)
        )
        for row in connection.execute(stored):
            data = _piece(row)
            if data is None:
                what = f'study "{study}", trial {row.number}'
                raise damaged(
                    shown, what, f"its curve from epoch {row.first_epoch} does not fit its checksum"
                )
            pieces.setdefault(row.number, []).append(data)
            widths[row.number] = row.columns
    joined = {}
    for number in sorted(epochs.keys() | pieces.keys()):
        columns = widths.get(number, len(CURVE_COLUMNS))
        curve = np.frombuffer(b"".join(pieces.get(number, [])), "<f8").reshape(-1, columns)
        if len(curve) != epochs.get(number, 0):
            raise damaged(
                shown,
                f'study "{study}", trial {number}',
                f"expected a curve of {epochs.get(number, 0)} epochs; found {len(curve)}",
            )
        joined[number] = curve.astype(np.float64)
    return joined


def _chunks(numbers: Iterable[int] | None) -> list[list[int] | None]:
    if numbers is None:
        return [None]
    wanted = sorted({int(number) for number in numbers})
    return [wanted[at : at + _CHUNK] for at in range(0, len(wanted), _CHUNK)]


def _piece(row: Row[Any]) -> bytes | None:
    """The curve's bytes, or None if they are not what was written."""
    data = bytes(row.data)
    return (
        data
        if row.checksum
        == piece_checksum(row.number, row.first_epoch, row.cohort, row.seconds, row.columns, data)
        else None
    )


def piece_checksum(
    number: int, first_epoch: int, cohort: int, seconds: float, columns: int, data: bytes
) -> str:
    """Of a segment's row; rows of four columns are as they were before there were others."""
    width = () if columns == len(CURVE_COLUMNS) else (columns,)
    return checksum((number, first_epoch, cohort, seconds, *width), data)


def read_last_cohort(connection: Connection, shown: str, study_id: int, study: str) -> Cohort | None:
    """The cohort with the highest number.

    Raises:
        StorageError: its row is not as it was written.
    """
    of_study = cohorts.c.study_id == study_id
    count = connection.execute(sa.select(sa.func.count()).where(of_study)).scalar_one()
    row = connection.execute(
        sa.select(cohorts).where(of_study).order_by(cohorts.c.number.desc()).limit(1)
    ).first()
    if row is None:
        return None
    if count != row.number + 1:
        raise damaged(shown, f'study "{study}"', f"expected {row.number + 1} cohorts; found {count}")
    if row.checksum != checksum((row.number, row.lanes)):
        raise damaged(shown, f'study "{study}", cohort {row.number}', "its row does not fit its checksum")
    return Cohort(row.number, {number: (before, target) for number, before, target in json.loads(row.lanes)})
