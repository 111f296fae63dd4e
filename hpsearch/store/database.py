"""The database and the studies in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from hpsearch.errors import StorageError, UnknownStudyError, nearest
from hpsearch.records import State, StudyRecord
from hpsearch.store import claims, reading, rows, writing
from hpsearch.store.bulk import insert
from hpsearch.store.connection import Connector, check_place
from hpsearch.store.ddl import OF_STUDY, Tally, studies, tallies, trials
from hpsearch.store.migrations import bring_up, read_layout, unknown_revision
from hpsearch.store.optuna_calls import Calls
from hpsearch.store.optuna_tables import (
    OF_OPTUNA_STUDY,
    OF_OPTUNA_TRIAL,
    optuna_directions,
    optuna_studies,
    optuna_study_attributes,
    optuna_trials,
)
from hpsearch.store.study import Contents, StudyStore, asked_trials

_NAMES_SHOWN = 8

_optuna_name = optuna_studies.c.study_name.concat("")
"""An expression, which no index answers: a damaged index would hide a sound row."""


@dataclass(frozen=True)
class StudySummary:
    """A stored study in one line.

    counts: trials by state, with zeros. best_value: of the complete trials. seconds: training time.
    total: trials that it asks for. holder: the process that claims to train it. complete: nothing is left to
    train, as far as these numbers tell.
    """

    name: str
    task: str
    metric: str
    counts: dict[State, int]
    best_value: float | None
    created: datetime
    seconds: float
    total: int = 0
    holder: claims.Holder | None = None
    complete: bool = False


class Database:
    """A database of studies; a context manager that closes its connections. url: without the password."""

    def __init__(self, connector: Connector) -> None:
        self.url = connector.shown
        self._connector = connector

    @classmethod
    def open(cls, url: str, *, create: bool = False) -> Database:
        """Open a database by its SQLAlchemy URL. Writes nothing, except to upgrade own tables.

        Args:
            create: accept a missing file; the first study creates it.

        Raises:
            StorageError: it does not exist, cannot be read, or belongs to another program.
        """
        connector = Connector(url)
        if connector.path is not None:
            check_place(connector.path, connector.shown, create)
        try:
            if connector.missing:
                unknown, old = unknown_revision(), False
            else:
                with connector.reading() as connection:
                    layout = read_layout(connection, connector.shown)
                unknown, old = layout.unknown, layout.old
            if unknown is not None:
                connector.calls = Calls(connector.secret_url, connector.shown, unknown)
            if not connector.missing:
                if connector.calls is not None:
                    connector.calls.check()
                if old:
                    with connector.writing() as connection, reading.readable(connector.shown, "its tables"):
                        bring_up(connection, connector.shown)
        except BaseException:
            connector.close()
            raise
        return cls(connector)

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; later use opens new ones."""
        self._connector.close()

    @property
    def bulk(self) -> bool:
        """Whether hpsearch knows the revision of Optuna's tables and writes them in bulk."""
        return self._connector.calls is None

    def studies(self) -> list[StudySummary]:
        """All studies of hpsearch, oldest first.

        Raises:
            StorageError: they cannot be read.
        """
        if self._connector.missing:
            return []
        with self._connector.reading() as connection:
            return [
                StudySummary(
                    name=record.name,
                    task=record.task,
                    metric=record.metric,
                    counts=tally.counts,
                    best_value=tally.best,
                    created=row.created.replace(tzinfo=UTC),
                    seconds=tally.seconds,
                    total=(total := asked_trials(record)),
                    holder=claims.holder(connection, row.study_id),
                    complete=not tally.running and tally.trials >= total,
                )
                for row, record, tally in self._rows(connection)
            ]

    def find(self, name: str) -> StudyStore | None:
        """The study of this name, or None.

        Raises:
            StorageError: it cannot be read.
        """
        if self._connector.missing:
            return None
        with self._connector.reading() as connection:
            stored = self._rows(connection, studies.c.name == name)
        return StudyStore(self._connector, stored[0][0].study_id, stored[0][1]) if stored else None

    def study(self, name: str) -> StudyStore:
        """The study of this name.

        Raises:
            UnknownStudyError: there is none; it lists the stored ones.
            StorageError: it cannot be read.
        """
        found = self.find(name)
        if found is None:
            names = [summary.name for summary in self.studies()]
            stored = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
            raise UnknownStudyError(
                f'{self.url}: no study "{name}" is stored{nearest(name, names)} (stored: {stored or "none"})'
            )
        return found

    def create_study(self, record: StudyRecord, contents: Contents | None = None) -> StudyStore:
        """Store a new study with its contents, creating missing tables, in one transaction.

        Raises:
            StorageError: the name is taken, the contents contradict each other, or the database cannot be
                written.
        """
        calls = self._connector.calls
        study_id = None
        if calls is not None and self.find(record.name) is None:
            study_id = calls.create(record)
        with self._connector.writing() as connection:
            bring_up(connection, self.url)
            named = sa.select(optuna_studies.c.study_id).where(_optuna_name == record.name)
            taken = study_id is None if calls else connection.execute(named).first() is not None
            if taken:
                owner = "" if self._rows(connection, studies.c.name == record.name) else "a plain Optuna "
                raise StorageError(
                    f'{self.url}: {owner or "a "}study "{record.name}" already exists; '
                    "rename the new one (study.name)"
                )
            if study_id is None:
                study_id = _insert_optuna_study(connection, record)
            _insert_study(connection, study_id, record, None if contents is None else contents.created)
            store = StudyStore(self._connector, study_id, record)
            if contents is not None:
                store.fill(connection, contents)
        store.mirror()
        return store

    def delete_study(self, name: str) -> None:
        """Delete a study with all its trials and curves, even a damaged one.

        Raises:
            UnknownStudyError: there is none. StudyBusyError: a process is training it.
            StorageError: the database cannot be written.
        """
        with self._connector.reading() as connection:
            query = self._own(connection, studies.c.study_id)
            found = None if query is None else connection.execute(query.where(studies.c.name == name)).first()
        # `study` raises the error that lists the stored ones.
        study_id, calls = found[0] if found else self.study(name).study_id, self._connector.calls
        with self._connector.writing() as connection:
            writing.lock(connection, self.url, study_id, name, bulk=calls is None)
            claims.check_free(connection, study_id, name)
            if calls is None:
                _delete_mirror(connection, study_id)
            for table in OF_STUDY:
                connection.execute(sa.delete(table).where(table.c.study_id == study_id))
        if calls is not None and calls.has(study_id, name):
            calls.delete(study_id)
        self._connector.give_back()

    def compact(self) -> tuple[int, int]:
        """Rewrite an SQLite file without its free pages; returns its bytes before and after.

        Raises:
            StudyBusyError: a process is training one of its studies.
            StorageError: the database is not an SQLite file, or cannot be written.
        """
        path = self._connector.path
        if path is None:
            raise StorageError(
                f"{self.url}: expected an SQLite file; found a database that reclaims its space by itself"
            )
        with self._connector.reading() as connection:
            query = self._own(connection, studies.c.study_id, studies.c.name)
            for study_id, name in connection.execute(query) if query is not None else ():
                claims.check_free(connection, study_id, name)
        before = path.stat().st_size
        self._connector.compact()
        return before, path.stat().st_size

    def _rows(self, connection: Connection, *where: Any) -> list[tuple[Row[Any], StudyRecord, Tally]]:
        """Own rows of studies, with their records and tallies."""
        query, calls = self._own(connection, studies), self._connector.calls
        if query is None:
            return []
        found = []
        with reading.readable(self.url, "the studies"):
            for row in connection.execute(query.where(*where)).all():
                if calls is not None and not calls.has(row.study_id, row.name):
                    continue
                tally = reading.read_tally(connection, reading.Place(self.url, row.study_id, row.name))
                found.append((row, reading.record_of_row(self.url, row, tally), tally))
            if calls is None and not (where and found):
                self._check_names(connection)
        return found

    def _own(self, connection: Connection, *columns: Any) -> sa.Select[Any] | None:
        """A query for the studies that Optuna's tables also have, if hpsearch knows these: Optuna's own
        commands may have deleted some. None without tables.
        """
        if not sa.inspect(connection).has_table(studies.name):
            return None
        own, optunas = studies.c, optuna_studies.c
        query = sa.select(*columns).order_by(own.study_id)
        if self._connector.calls is not None:
            return query
        both = (optunas.study_id == own.study_id) & (_optuna_name == own.name)
        return query.join_from(studies, optuna_studies, both)

    def _check_names(self, connection: Connection) -> None:
        """Check that studies missing from Optuna's tables were deleted there, along with their trials.

        Raises:
            StorageError: a study's first trial is still there, so its row is damaged.
        """
        own, optunas, mirror = studies.c, optuna_studies.c, optuna_trials.c
        named = (optunas.study_id == own.study_id) & (_optuna_name == own.name)
        lacking = sa.select(own.study_id, own.name).where(~sa.select(optunas.study_id).where(named).exists())
        for study_id, name in connection.execute(lacking).all():
            # Two lookups by key: in a join, SQLite would scan all trials of a study.
            of_first = (trials.c.study_id == study_id) & (trials.c.number == 0)
            first = connection.execute(sa.select(trials.c.trial_id, trials.c.started).where(of_first)).first()
            if first is None:
                continue
            mirrored = sa.select(mirror.study_id, mirror.datetime_start).where(
                mirror.trial_id == first.trial_id
            )
            # SQLite reuses ids; then this is another study's trial.
            if connection.execute(mirrored).first() == (study_id, rows.optuna_time(first.started)):
                raise reading.damaged(self.url, f'study "{name}"', "Optuna's tables lack its name")


def _insert_optuna_study(connection: Connection, record: StudyRecord) -> int:
    """Insert a new study into Optuna's tables; returns its number."""
    key = connection.execute(sa.insert(optuna_studies).values(study_name=record.name)).inserted_primary_key
    assert key is not None
    study_id = int(key[0])
    directions = [
        {"study_id": study_id, "direction": way, "objective": place}
        for place, way in enumerate(rows.directions(record))
    ]
    connection.execute(sa.insert(optuna_directions), directions)
    names = json.dumps(rows.metric_names(record))
    attribute = sa.insert(optuna_study_attributes)
    connection.execute(attribute.values(study_id=study_id, key=rows.METRIC_NAMES, value_json=names))
    return study_id


def _insert_study(
    connection: Connection, study_id: int, record: StudyRecord, created: datetime | None
) -> None:
    """Insert a new study into own tables."""
    for table in OF_STUDY:
        # Left by a study that Optuna's own commands deleted; SQLite reuses its number.
        connection.execute(sa.delete(table).where(table.c.study_id == study_id))
    created = created or datetime.now(UTC).replace(tzinfo=None)
    insert(connection, studies, [rows.study_row(study_id, record, created)])
    insert(connection, tallies, [rows.tally_row(study_id, Tally(seconds=record.seconds))])


def _delete_mirror(connection: Connection, study_id: int) -> None:
    of_study = sa.select(optuna_trials.c.trial_id).where(optuna_trials.c.study_id == study_id)
    for table in OF_OPTUNA_TRIAL:
        connection.execute(sa.delete(table).where(table.c.trial_id.in_(of_study)))
    for table in (optuna_trials, *OF_OPTUNA_STUDY, optuna_studies):
        connection.execute(sa.delete(table).where(table.c.study_id == study_id))
