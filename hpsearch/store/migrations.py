"""Tables of older versions: what there is, and how it is brought to this hpsearch's schema."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb import models
from sqlalchemy.engine import Connection, Row

from hpsearch.errors import StorageError
from hpsearch.records import CURVE_COLUMNS, Cohort, Segment, State, Trial
from hpsearch.store import rows
from hpsearch.store.schema import (
    VERSION,
    checksum,
    cohorts,
    curves,
    metadata,
    optuna_params,
    optuna_studies,
    optuna_trials,
    optuna_values,
    studies,
    tallies,
    trials,
    versions,
)
from hpsearch.store.tally import Tally

OPTUNA_HEAD = "v3.2.0.a"
"""Revision of Optuna's tables that hpsearch writes; Optuna 3.2 to 5.0 have it."""

_DAMAGED = b""
"""Checksum of a row that did not fit its old one: it must be found damaged ever after."""


@dataclass(frozen=True)
class Layout:
    """What a database has: Optuna's tables, and the version of hpsearch's own (0: none)."""

    optuna: bool
    version: int


def read_layout(connection: Connection, shown: str) -> Layout:
    """Look which tables there are.

    Raises:
        StorageError: they are another program's, or another version's.
    """
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        return Layout(optuna=False, version=0)
    if not {"version_info", "studies", "trials"} <= tables:
        found = ", ".join(sorted(tables)[:3])
        raise StorageError(
            f"{shown}: expected an empty database or one of hpsearch or Optuna; "
            f"found another program's tables ({found}). Name another database."
        )
    head = None
    if "alembic_version" in tables:
        head = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if head != OPTUNA_HEAD:
        raise StorageError(
            f"{shown}: expected Optuna's tables of schema {OPTUNA_HEAD} (Optuna 3.2 to 5.0); "
            f"found schema {head or 'of before Optuna 0.9'}. An older one is brought up to date by "
            "`optuna storage upgrade --storage URL`; a newer one needs a newer hpsearch."
        )
    if versions.name not in tables:
        return Layout(optuna=True, version=0)
    version = connection.execute(sa.select(versions.c.version)).scalar()
    if not isinstance(version, int) or version < 1:
        raise StorageError(
            f"{shown}: the database is damaged: expected a schema version in {versions.name}; "
            f"found {version!r}. Restore it from a backup."
        )
    if version > VERSION:
        raise StorageError(
            f"{shown}: the database is from a newer hpsearch: expected schema version {VERSION} "
            f"or older; found {version}. Update this one: pip install --upgrade hpsearch"
        )
    return Layout(optuna=True, version=version)


def bring_up(connection: Connection, shown: str) -> None:
    """Make the tables that are missing and bring own ones to this version, within a transaction.

    Raises:
        StorageError: the tables are another program's, or the installed Optuna has others.
    """
    layout = read_layout(connection, shown)
    if not layout.optuna:
        _create_optuna_tables(connection, shown)
    if layout.version == VERSION:
        return
    if layout.version == 0:
        metadata.create_all(connection)
    else:
        for version in range(layout.version, VERSION):
            MIGRATIONS[version](connection)
    connection.execute(sa.delete(versions))
    connection.execute(sa.insert(versions).values(id=1, version=VERSION))


def _create_optuna_tables(connection: Connection, shown: str) -> None:
    # As Optuna's RDBStorage does, but in the caller's transaction and without importing alembic.
    folder = Path(models.__file__).parent / "alembic" / "versions"
    newest = max(file.stem.rstrip("_") for file in folder.glob("v*.py"))
    if newest != OPTUNA_HEAD:
        raise StorageError(
            f"{shown}: the installed Optuna {optuna.__version__} has tables of schema {newest}; expected "
            f"{OPTUNA_HEAD}. To install one that fits: pip install 'optuna>=5.0,<5.1'"
        )
    models.BaseModel.metadata.create_all(connection)
    connection.execute(
        sa.insert(models.VersionInfoModel).values(
            version_info_id=1, schema_version=models.SCHEMA_VERSION, library_version=optuna.__version__
        )
    )
    connection.execute(
        sa.text(
            "CREATE TABLE alembic_version "
            "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": OPTUNA_HEAD})


# -- version 1: curves had four columns, and no word of how many there are ---------------------------


def _add_columns_of_curves(connection: Connection) -> None:
    if "columns" not in {column["name"] for column in sa.inspect(connection).get_columns(curves.name)}:
        connection.execute(
            sa.text("ALTER TABLE hpsearch_curves ADD COLUMN columns INTEGER NOT NULL DEFAULT 4")
        )


# -- version 3: looks at the rows that are kept back were not counted ---------------------------------


def _count_scorings(connection: Connection) -> None:
    metadata.create_all(connection)
    names = [column["name"] for column in sa.inspect(connection).get_columns(tallies.name)]
    if "scorings" in names:
        return
    old = sa.table(tallies.name, *map(sa.column, names))
    moved = [_with_scorings(row) for row in connection.execute(sa.select(old)).all()]
    tallies.drop(connection)
    tallies.create(connection)
    if moved:
        connection.execute(sa.insert(tallies), moved)


def _with_scorings(row: Row[Any]) -> dict[str, Any]:
    values = dict(row._mapping)
    sound = rows.sound(tuple(row))
    tally = rows.tally_of([*row[:-1], 0, row[-1]]) if sound else Tally()
    own = rows.tally_row(values["study_id"], tally)
    return own if sound else {**own, **values, "checksum": _DAMAGED}


# -- version 2: parameters, states and times stood in Optuna's tables alone --------------------------

_Rows = list[dict[str, Any]]


def _make_own_tables_whole(connection: Connection) -> None:
    """Rows are held against their old checksums; those that do not fit get none that fits, so that what was
    damaged before is found damaged afterwards. Those of studies that Optuna deleted are left behind.
    """
    stored = connection.execute(
        sa.select(optuna_studies.c.study_id).join(
            _OLD_STUDIES,
            (_OLD_STUDIES.c.study_id == optuna_studies.c.study_id)
            & (_OLD_STUDIES.c.name == optuna_studies.c.study_name),
        )
    ).scalars()
    tables: tuple[sa.Table, ...] = (studies, tallies, trials, curves, cohorts)
    moved: dict[str, _Rows] = {table.name: [] for table in tables}
    for study_id in stored.all():
        _move_study(connection, study_id, moved)
    for table in (_OLD_STUDIES, _OLD_TRIALS, _OLD_CURVES, _OLD_COHORTS):
        connection.execute(sa.text(f"DROP TABLE {table.name}"))
    metadata.create_all(connection)
    for table in tables:
        if moved[table.name]:
            connection.execute(sa.insert(table), moved[table.name])


def _move_study(connection: Connection, study_id: int, moved: dict[str, _Rows]) -> None:
    (row,) = connection.execute(sa.select(_OLD_STUDIES).where(_OLD_STUDIES.c.study_id == study_id))
    own = {"study_id": study_id, "name": row.name, "record": row.record, "created": row.created}
    good = row.checksum == _old_checksum((row.name, row.record, row.seconds, row.created))
    record = checksum((study_id, row.name, row.record, row.created))
    moved[studies.name].append({**own, "checksum": record if good else _DAMAGED})
    maximize = '"direction": "maximize"' in row.record
    found = _moved_trials(connection, study_id)
    moved[trials.name] += found
    moved[curves.name] += _moved_curves(connection, study_id)
    moved[cohorts.name] += (lanes := _moved_cohorts(connection, study_id))
    complete = [float(own["value"]) for own in found if own["state"] == State.COMPLETE and own["value"]]
    states = [own["state"] for own in found]
    counts = {str(state): states.count(str(state)) for state in State}
    best = None if not complete else max(complete) if maximize else min(complete)
    tally = rows.tally_row(study_id, Tally(seconds=row.seconds, **counts, best=best, cohorts=len(lanes)))
    sound = good and all(own["outcome_checksum"] != _DAMAGED for own in found)
    moved[tallies.name].append(tally if sound else {**tally, "checksum": _DAMAGED})


def _moved_trials(connection: Connection, study_id: int) -> _Rows:
    of_study = optuna_trials.c.study_id == study_id
    mirror = {
        row.number: row
        for row in connection.execute(
            sa.select(
                optuna_trials.c.trial_id,
                optuna_trials.c.number,
                # As text: a state that Optuna does not know is damage, and no reason to stop.
                sa.type_coerce(optuna_trials.c.state, sa.String).label("state"),
                optuna_trials.c.datetime_start,
                optuna_trials.c.datetime_complete,
            ).where(of_study)
        )
    }
    params, values = _old_params(connection, of_study), _old_values(connection, of_study)
    query = sa.select(_OLD_TRIALS).where(_OLD_TRIALS.c.study_id == study_id).order_by(_OLD_TRIALS.c.number)
    return [
        _moved_trial(study_id, row, mirror.get(row.number), params[row.trial_id], values.get(row.trial_id))
        for row in connection.execute(query)
    ]


def _moved_trial(
    study_id: int,
    own: Row[Any],
    asked: Row[Any] | None,
    params: Sequence[rows.ParamRow],
    value: tuple[float | None, str] | None,
) -> dict[str, Any]:
    """An own row of version 3, of rows of version 2: own, Optuna's trial, its parameters and its value."""
    outcome = own.epochs, own.value, own.loss, own.best_epoch, own.reason
    good = asked is not None and own.trial_id == asked.trial_id and asked.datetime_start is not None
    sound_asked = good and own.asked_checksum == _old_checksum(
        (own.number, own.cohort, asked.datetime_start, *params)  # type: ignore[union-attr]
    )
    sound_outcome = good and own.outcome_checksum == _old_checksum(
        (own.number, asked.state, asked.datetime_complete, outcome, value)  # type: ignore[union-attr]
    )
    trial = Trial(
        own.number,
        own.cohort,
        _decoded(params) if sound_asked else {},
        rows.STATE[asked.state] if sound_outcome and asked is not None else State.RUNNING,
        own.epochs,
        rows.text_number(own.value) if sound_outcome else None,
        rows.text_number(own.loss) if sound_outcome else None,
        own.best_epoch,
        own.reason,
    )
    started = _microseconds(asked.datetime_start) if sound_asked and asked is not None else 0
    finished = None
    if sound_outcome and asked is not None and asked.datetime_complete is not None:
        finished = _microseconds(asked.datetime_complete)
    row = rows.asked_row(study_id, own.trial_id, trial, trial.params, started)
    if not sound_asked:
        row["asked_checksum"] = _DAMAGED
    row |= rows.outcome_row(tuple(row.values()), trial, finished)
    if not (sound_asked and sound_outcome):
        row["outcome_checksum"] = _DAMAGED
    return row


def _moved_curves(connection: Connection, study_id: int) -> _Rows:
    moved = []
    for row in connection.execute(sa.select(_OLD_CURVES).where(_OLD_CURVES.c.study_id == study_id)):
        width = () if row.columns == len(CURVE_COLUMNS) else (row.columns,)
        data = bytes(row.data)
        fields = row.number, row.first_epoch, row.cohort, row.seconds, *width
        sound = row.checksum == _old_checksum(fields, data)
        whole = data if sound else bytes(8 * max(row.columns, len(CURVE_COLUMNS)))
        curve = np.frombuffer(whole, "<f8").reshape(-1, max(row.columns, len(CURVE_COLUMNS)))
        values = rows.curve_row(
            study_id, Segment(row.number, row.cohort, row.first_epoch, curve, row.seconds)
        )
        moved.append(values if sound else {**values, "checksum": _DAMAGED})
    return moved


def _moved_cohorts(connection: Connection, study_id: int) -> _Rows:
    query = sa.select(_OLD_COHORTS).where(_OLD_COHORTS.c.study_id == study_id)
    moved = []
    for row in connection.execute(query):
        sound = row.checksum == _old_checksum((row.number, row.lanes))
        lanes = {number: (before, reach) for number, before, reach in json.loads(row.lanes)} if sound else {}
        values = rows.cohort_row(study_id, Cohort(row.number, lanes))
        moved.append(values if sound else {**values, "checksum": _DAMAGED})
    return moved


def _old_params(connection: Connection, of_study: Any) -> Mapping[int, list[rows.ParamRow]]:
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


def _old_values(connection: Connection, of_study: Any) -> dict[int, tuple[float | None, str]]:
    """Value and its type by Optuna's trial_id."""
    columns = optuna_values.c
    query = (
        sa.select(columns.trial_id, columns.value, sa.type_coerce(columns.value_type, sa.String))
        .join(optuna_trials, optuna_trials.c.trial_id == columns.trial_id)
        .where(of_study)
    )
    return {trial_id: (value, kind) for trial_id, value, kind in connection.execute(query).all()}


def _microseconds(stored: datetime) -> int:
    return rows.stored_time(stored.replace(tzinfo=UTC))


def _decoded(params: Iterable[rows.ParamRow]) -> dict[str, Any]:
    return {name: _distribution(text).to_external_repr(number) for name, number, text in params}


@lru_cache(maxsize=1024)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _old_checksum(fields: tuple[object, ...], data: bytes = b"") -> str:
    digest = hashlib.blake2b(data, digest_size=8)
    digest.update(repr(fields).encode())
    return digest.hexdigest()


def _old_table(name: str, *columns: str, **types: Any) -> sa.Table:
    kinds = {"created": sa.DateTime, "seconds": sa.Float(53), "data": sa.LargeBinary, **types}
    return sa.Table(name, sa.MetaData(), *(sa.Column(column, kinds.get(column)) for column in columns))


_OLD_STUDIES = _old_table("hpsearch_studies", "study_id", "name", "record", "checksum", "seconds", "created")
_OLD_TRIALS = _old_table(
    "hpsearch_trials",
    *("study_id", "number", "trial_id", "cohort", "epochs", "value", "loss", "best_epoch", "reason"),
    *("asked_checksum", "outcome_checksum"),
)
_OLD_CURVES = _old_table(
    "hpsearch_curves", "study_id", "number", "first_epoch", "cohort", "seconds", "columns", "data", "checksum"
)
_OLD_COHORTS = _old_table("hpsearch_cohorts", "study_id", "number", "lanes", "checksum")

MIGRATIONS: dict[int, Callable[[Connection], None]] = {
    1: _add_columns_of_curves,
    2: _make_own_tables_whole,
    3: _count_scorings,
}
"""What brings own tables from each older version to the next."""
