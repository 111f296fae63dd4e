"""The database and the studies in it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb.models import TrialValueModel
from optuna.study import StudyDirection
from sqlalchemy.engine import Connection, Row

from hpsearch.errors import StorageError, UnknownStudyError, nearest
from hpsearch.records import State, StudyRecord
from hpsearch.store import claims, reading, rows, writing
from hpsearch.store.connection import Connector, check_place
from hpsearch.store.schema import (
    MIGRATIONS,
    OF_OPTUNA_STUDY,
    OF_OPTUNA_TRIAL,
    OF_STUDY,
    bring_up,
    optuna_directions,
    optuna_studies,
    optuna_study_attributes,
    optuna_trials,
    optuna_values,
    read_layout,
    studies,
)
from hpsearch.store.study import StudyStore, record_columns, row_record

_NAMES_SHOWN = 8


@dataclass(frozen=True)
class StudySummary:
    """A stored study in one line.

    counts: of trials, every state named. best_value: of the complete trials. seconds: trained.
    """

    name: str
    task: str
    metric: str
    counts: dict[State, int]
    best_value: float | None
    created: datetime
    seconds: float


class Database:
    """A database of studies; a context manager that closes its connections.

    url: without the password, safe to show.
    """

    def __init__(self, connector: Connector) -> None:
        self.url = connector.shown
        self._connector = connector

    @classmethod
    def open(cls, url: str, *, create: bool = False) -> Database:
        """Open a database by its SQLAlchemy URL.

        Nothing is written, except that own tables of an older version are brought up to date.

        Args:
            create: a file that is not there yet is no error; the first study makes it.

        Raises:
            StorageError: it is not there, cannot be read, or is not a database of hpsearch or Optuna.
        """
        connector = Connector(url)
        if connector.path is not None:
            check_place(connector.path, connector.shown, create)
        try:
            if not connector.missing:
                with connector.reading() as connection:
                    version = read_layout(connection, connector.shown).version
                if 0 < version < len(MIGRATIONS):
                    with connector.writing() as connection:
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
        """Close all connections; a later use opens new ones."""
        self._connector.close()

    def studies(self) -> list[StudySummary]:
        """All studies of hpsearch, in the order in which they were created.

        Raises:
            StorageError: they cannot be read.
        """
        if self._connector.missing:
            return []
        with self._connector.reading() as connection:
            stored = self._rows(connection)
            counts = _counts(connection) if stored else {}
        return [_summary(self.url, row, counts.get(row.study_id, [])) for row in stored]

    def find(self, name: str) -> StudyStore | None:
        """The study of this name, if it is stored.

        Raises:
            StorageError: it cannot be read.
        """
        if self._connector.missing:
            return None
        with self._connector.reading() as connection:
            stored = self._rows(connection, studies.c.name == name)
        return (
            StudyStore(self._connector, stored[0].study_id, row_record(self.url, stored[0]))
            if stored
            else None
        )

    def study(self, name: str) -> StudyStore:
        """The study of this name.

        Raises:
            UnknownStudyError: there is none; it names those that are there.
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

    def create_study(self, record: StudyRecord) -> StudyStore:
        """Store a new study, and whatever tables are missing, in one transaction.

        Raises:
            StorageError: the name is taken, or the database cannot be written.
        """
        with self._connector.writing() as connection:
            bring_up(connection, self.url)
            if connection.execute(_of_name(record.name)).first() is not None:
                owner = "" if self._rows(connection, studies.c.name == record.name) else "a plain Optuna "
                raise StorageError(
                    f'{self.url}: {owner or "a "}study "{record.name}" is stored already; '
                    "give the new one another name (study.name)"
                )
            study_id = _insert_study(connection, record)
        return StudyStore(self._connector, study_id, record)

    def delete_study(self, name: str) -> None:
        """Delete a study with all its trials and curves.

        Raises:
            UnknownStudyError: there is none. StudyBusyError: a process trains it.
            StorageError: the database cannot be written.
        """
        self.study(name)
        with self._connector.writing() as connection:
            study_id = connection.execute(_of_name(name)).scalar_one()
            writing.lock(connection, self.url, study_id, name)
            claims.check_free(connection, study_id, name)
            _delete(connection, study_id)

    def _rows(self, connection: Connection, *where: Any) -> Sequence[Row[Any]]:
        """Own rows of studies that Optuna's tables have as well: Optuna itself may have deleted some."""
        if not sa.inspect(connection).has_table(studies.name):
            return []
        own, optunas = studies.c, optuna_studies.c
        both = (optunas.study_id == own.study_id) & (optunas.study_name == own.name)
        query = sa.select(studies).join(optuna_studies, both).where(*where).order_by(own.study_id)
        with reading.readable(self.url, "the studies"):
            return connection.execute(query).all()


def _of_name(name: str) -> sa.Select[Any]:
    return sa.select(optuna_studies.c.study_id).where(optuna_studies.c.study_name == name)


def _counts(connection: Connection) -> dict[int, list[Row[Any]]]:
    """Of each own study, by state: how many trials, and the least and the greatest value."""
    infinite = TrialValueModel.TrialValueType
    value = sa.case(
        (optuna_values.c.value_type == infinite.INF_POS, math.inf),
        (optuna_values.c.value_type == infinite.INF_NEG, -math.inf),
        else_=optuna_values.c.value,
    )
    query = (
        sa.select(
            optuna_trials.c.study_id,
            sa.type_coerce(optuna_trials.c.state, sa.String).label("state"),
            sa.func.count().label("trials"),
            sa.func.min(value).label("least"),
            sa.func.max(value).label("greatest"),
        )
        .join(optuna_values, optuna_values.c.trial_id == optuna_trials.c.trial_id, isouter=True)
        .where(optuna_trials.c.study_id.in_(sa.select(studies.c.study_id)))
        .group_by(optuna_trials.c.study_id, optuna_trials.c.state)
    )
    counts: dict[int, list[Row[Any]]] = {}
    for row in connection.execute(query):
        counts.setdefault(row.study_id, []).append(row)
    return counts


def _summary(shown: str, row: Row[Any], counts: list[Row[Any]]) -> StudySummary:
    record = row_record(shown, row)
    by_state = {rows.STATE[count.state]: count for count in counts if count.state in rows.STATE}
    complete = by_state.get(State.COMPLETE)
    best = None
    if complete is not None:
        best = complete.greatest if record.direction == "maximize" else complete.least
    return StudySummary(
        name=record.name,
        task=record.task,
        metric=record.metric,
        counts={state: by_state[state].trials if state in by_state else 0 for state in State},
        best_value=best,
        created=row.created.replace(tzinfo=UTC),
        seconds=row.seconds,
    )


def _insert_study(connection: Connection, record: StudyRecord) -> int:
    """Rows of a new study; returns its number in Optuna's tables."""
    key = connection.execute(sa.insert(optuna_studies).values(study_name=record.name)).inserted_primary_key
    assert key is not None
    study_id = int(key[0])
    direction = StudyDirection[record.direction.upper()]
    connection.execute(
        sa.insert(optuna_directions).values(study_id=study_id, direction=direction, objective=0)
    )
    connection.execute(
        sa.insert(optuna_study_attributes).values(
            study_id=study_id, key="study:metric_names", value_json=json.dumps([record.metric])
        )
    )
    for table in OF_STUDY:
        # A study that Optuna itself deleted has left them, and SQLite gives numbers again.
        connection.execute(sa.delete(table).where(table.c.study_id == study_id))
    created = datetime.now(UTC).replace(tzinfo=None)
    connection.execute(sa.insert(studies).values(study_id=study_id, **record_columns(record, created)))
    return study_id


def _delete(connection: Connection, study_id: int) -> None:
    of_study = sa.select(optuna_trials.c.trial_id).where(optuna_trials.c.study_id == study_id)
    for table in OF_OPTUNA_TRIAL:
        connection.execute(sa.delete(table).where(table.c.trial_id.in_(of_study)))
    for table in (optuna_trials, *OF_OPTUNA_STUDY, optuna_studies, *OF_STUDY):
        connection.execute(sa.delete(table).where(table.c.study_id == study_id))
