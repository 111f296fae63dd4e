"""One stored study."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from sqlalchemy.engine import Connection, Row

from hpsearch.errors import StorageError
from hpsearch.records import Cohort, FloatArray, Segment, StudyRecord, Trial
from hpsearch.store import claims, reading, writing
from hpsearch.store.connection import Connector
from hpsearch.store.rows import kept_epochs, plain
from hpsearch.store.schema import checksum, studies
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import study_from_document


def record_columns(record: StudyRecord, created: datetime) -> dict[str, Any]:
    """The columns of a study; `created` is naive UTC."""
    fields = asdict(record)
    seconds = plain(fields.pop("seconds"))
    text = json.dumps(fields, ensure_ascii=False)
    return {
        "name": record.name,
        "record": text,
        "seconds": seconds,
        "created": created,
        "checksum": checksum((record.name, text, seconds, created)),
    }


def row_record(shown: str, row: Row[Any]) -> StudyRecord:
    """The record of a row of the studies.

    Raises:
        StorageError: the row is not as it was written.
    """
    if row.checksum != checksum((row.name, row.record, row.seconds, row.created)):
        raise reading.damaged(shown, f'study "{row.name}"', "its record does not fit its checksum")
    return StudyRecord(**json.loads(row.record), seconds=row.seconds)


class StudyStore:
    """A study in a database.

    Training has it between `begin` and `end`; reading it is possible at any time.
    """

    record: StudyRecord

    def __init__(self, connector: Connector, study_id: int, record: StudyRecord) -> None:
        self.record = record
        self._connector = connector
        self._id = study_id
        self._token: str | None = None

    def trials(self) -> list[Trial]:
        """All trials, in number order.

        Raises:
            StorageError: a row cannot be read or is not as it was written.
        """
        with self._reading() as connection:
            return reading.read_trials(connection, self._connector.shown, self._id, self.record.name)

    def curves(self, numbers: Iterable[int] | None = None) -> dict[int, FloatArray]:
        """Curves by trial number, [epochs, columns] from epoch 1 (see records.Segment); without an epoch,
        none.

        Args:
            numbers: of the trials wanted; all by default.

        Raises:
            StorageError: a row cannot be read or is not as it was written.
        """
        with self._reading() as connection:
            return reading.read_curves(connection, self._connector.shown, self._id, self.record.name, numbers)

    def last_cohort(self) -> Cohort | None:
        """The cohort that was stored last.

        Raises:
            StorageError: its row cannot be read or is not as it was written.
        """
        with self._reading() as connection:
            return reading.read_last_cohort(connection, self._connector.shown, self._id, self.record.name)

    def begin(self) -> None:
        """Claim the study for this process; `record` is as it is stored now.

        Raises:
            StudyBusyError: another process trains it.
            StorageError: the database cannot be written.
        """
        with self._connector.writing() as connection:
            writing.lock(connection, self._connector.shown, self._id, self.record.name)
            claims.check_free(connection, self._id, self.record.name, self._token)
            token = claims.claim(connection, self._id, self._token)
            record = row_record(self._connector.shown, self._row(connection))
        self._token, self.record = token, record

    def end(self) -> None:
        """Release the claim, if there is one."""
        if self._token is None:
            return
        with self._connector.writing() as connection:
            claims.release(connection, self._id, self._token)
        self._token = None

    def commit(
        self,
        *,
        cohort: Cohort | None = None,
        started: Sequence[Trial] = (),
        segments: Sequence[Segment] = (),
        updated: Sequence[Trial] = (),
        seconds: float = 0.0,
    ) -> None:
        """Store all of it in one transaction, or nothing.

        Args:
            cohort: with the next number.
            started: new trials with the next numbers; a missing time is the commit's.
            segments: pieces of curves, each going on where its trial's curve ends.
            updated: trials that run and have changed; their epochs are those of their curve. Only the
                state, epochs, value, loss, best_epoch, reason and finished are stored.
            seconds: are added to the study's.

        Raises:
            StudyBusyError: this process does not have the study, or not any more.
            StorageError: something does not fit what is stored, or the database cannot be written.
        """
        name, shown = self.record.name, self._connector.shown
        with self._connector.writing() as connection:
            writing.lock(connection, shown, self._id, name)
            claims.renew(connection, self._id, name, self._token)
            if cohort is not None:
                writing.add_cohort(connection, self._target, cohort)
            writing.start_trials(connection, self._target, started)
            writing.grow_trials(connection, self._target, segments, updated)
            row = self._row(connection)
            stored = row_record(shown, row)
            record = replace(stored, seconds=stored.seconds + seconds)
            self._store_record(connection, record, row.created)
        self.record = record

    def update_record(self, record: StudyRecord) -> None:
        """Store another record of the same study; its seconds are left as they are.

        Raises:
            StudyBusyError: another process trains the study.
            StorageError: the record is of another study, or the database cannot be written.
        """
        name = self.record.name
        if (record.name, record.direction) != (name, self.record.direction):
            raise StorageError(
                f'study "{name}": expected a record of this study ({self.record.direction}); '
                f'found "{record.name}" ({record.direction})'
            )
        with self._connector.writing() as connection:
            writing.lock(connection, self._connector.shown, self._id, name)
            claims.check_free(connection, self._id, name, self._token)
            row = self._row(connection)
            record = replace(record, seconds=row_record(self._connector.shown, row).seconds)
            self._store_record(connection, record, row.created)
        self.record = record

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        shown, what = self._connector.shown, f'study "{self.record.name}"'
        with self._connector.reading() as connection, reading.readable(shown, what):
            yield connection

    def _row(self, connection: Connection) -> Row[Any]:
        of_study = sa.select(studies).where(studies.c.study_id == self._id)
        with reading.readable(self._connector.shown, f'study "{self.record.name}"'):
            return connection.execute(of_study).one()

    def _store_record(self, connection: Connection, record: StudyRecord, created: datetime) -> None:
        of_study = studies.c.study_id == self._id
        connection.execute(sa.update(studies).where(of_study).values(**record_columns(record, created)))

    @cached_property
    def _target(self) -> writing.Target:
        study = study_from_document(self.record.document)
        distributions = {
            name: (distribution, distribution_to_json(distribution))
            for name, distribution in optuna_distributions(study.space).items()
        }
        return writing.Target(self._id, self.record.name, distributions, kept_epochs(study.train.epochs))
