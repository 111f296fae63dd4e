"""One stored study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from optuna.distributions import distribution_to_json
from sqlalchemy.engine import Connection, Row

from hpsearch.errors import StorageError
from hpsearch.records import (
    Cohort,
    Curves,
    Params,
    Queued,
    Run,
    Scoring,
    Segment,
    State,
    StudyRecord,
    Trial,
    Trials,
)
from hpsearch.store import claims, reading, rows, writing
from hpsearch.store.bulk import insert
from hpsearch.store.connection import Connector
from hpsearch.store.reading import Place, record_columns, row_record
from hpsearch.store.schema import Tally, runs, studies
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import study_from_document


def target_of(study_id: int, record: StudyRecord) -> writing.Target:
    """What writing to a study needs of its record.

    Raises:
        HpsearchError: the record's settings cannot be read.
    """
    study = study_from_document(record.document)
    distributions = {
        name: (distribution, distribution_to_json(distribution))
        for name, distribution in optuna_distributions(study.space).items()
    }
    return writing.Target(
        study_id,
        record.name,
        distributions,
        rows.kept_epochs(study.train.epochs),
        len(record.objectives),
        record.direction == "maximize",
    )


@dataclass(frozen=True)
class Contents:
    """What a study has, or is to have when it is created.

    runs, scorings: numbered from 1. cohorts: from 0. trials: from 0, in any state; their epochs are those of
    their segments, which come in order. queued: points to be tried first. taken: numbers of the trials that
    some of them have become, by position. checkpoints: (epoch, weights) by trial. created: naive UTC, None
    for now.
    """

    runs: Sequence[Run] = ()
    cohorts: Sequence[Cohort] = ()
    trials: Sequence[Trial] = ()
    segments: Sequence[Segment] = ()
    queued: Sequence[Params] = ()
    taken: Mapping[int, int] = field(default_factory=dict)
    scorings: Sequence[Scoring] = ()
    checkpoints: Mapping[int, tuple[int, bytes]] = field(default_factory=dict)
    created: datetime | None = None


class StudyStore:
    """A study in a database.

    Training has it between `begin` and `end`; reading it is possible at any time. run: number of the run that
    this process is, 0 for none.
    """

    record: StudyRecord
    run: int = 0

    def __init__(self, connector: Connector, study_id: int, record: StudyRecord) -> None:
        self.record = record
        self._connector = connector
        self._id = study_id
        self._token: str | None = None

    @property
    def study_id(self) -> int:
        """Optuna's number of the study."""
        return self._id

    # -- reading: a StorageError says which row is missing or not as it was written ------------------

    def trials(self, numbers: Iterable[int] | None = None) -> list[Trial]:
        """Trials in number order: all, or those of the given numbers that are there."""
        with self._reading() as (connection, place):
            return list(_with_weights(self.record, reading.read_trials(connection, place, numbers)))

    def curves(self, numbers: Iterable[int] | None = None) -> Curves:
        """Curves by trial number, [epochs, columns] from epoch 1 (see records.Segment); without an epoch,
        none.

        numbers: of the trials wanted; all by default.
        """
        with self._reading() as (connection, place):
            return reading.read_curves(connection, place, numbers)

    def read(self, numbers: Iterable[int] | None = None, *, curves: bool = True) -> tuple[Trials, Curves]:
        """What `trials` and `curves` give, of one moment; without curves, none of these."""
        wanted = None if numbers is None else list(numbers)
        with self._reading() as (connection, place):
            trials = _with_weights(self.record, reading.read_trials(connection, place, wanted))
            lines = reading.read_curves(connection, place, wanted, of=trials) if curves else Curves.join({})
            return trials, lines

    def segments(self, numbers: Iterable[int] | None = None) -> list[Segment]:
        """Curves in the pieces in which they were trained, by trial and epoch; numbers: as above."""
        with self._reading() as (connection, place):
            return reading.read_segments(connection, place, numbers)

    def counts(self) -> dict[State, int]:
        """How many trials are in each state; this takes the same time for a study of any length."""
        with self._reading() as (connection, place):
            return reading.read_tally(connection, place).counts

    def cohorts(self) -> list[Cohort]:
        """All cohorts, in their order."""
        with self._reading() as (connection, place):
            return reading.read_cohorts(connection, place)

    def last_cohort(self) -> Cohort | None:
        """The cohort that was stored last."""
        with self._reading() as (connection, place):
            found = reading.read_cohorts(connection, place, last=True)
        return found[0] if found else None

    def runs(self) -> list[Run]:
        """All processes that trained the study, or began to, in their order."""
        with self._reading() as (connection, place):
            return reading.read_runs(connection, place)

    def queue(self) -> list[Queued]:
        """All points that were to be tried first, in their order, with the trials they have become."""
        with self._reading() as (connection, place):
            return reading.read_queue(connection, place)

    def scorings(self) -> list[Scoring]:
        """All looks at the rows that are kept back, in their order."""
        with self._reading() as (connection, place):
            return reading.read_scorings(connection, place)

    def checkpoints(self) -> dict[int, tuple[int, bytes]]:
        """(epoch, weights) of running trials, by number; what is damaged is left out: it can be trained
        again.
        """
        with self._reading() as (connection, place):
            return reading.read_checkpoints(connection, place)

    def contents(self) -> Contents:
        """All that is stored of the study beside its record, of one moment."""
        with self._reading() as (connection, place):
            queue = reading.read_queue(connection, place)
            return Contents(
                reading.read_runs(connection, place),
                reading.read_cohorts(connection, place),
                reading.read_trials(connection, place),
                reading.read_segments(connection, place),
                [point.params for point in queue],
                {point.position: point.trial for point in queue if point.trial is not None},
                reading.read_scorings(connection, place),
                reading.read_checkpoints(connection, place),
                self._row(connection).created,
            )

    # -- writing -------------------------------------------------------------------------------------

    def begin(self, provenance: Mapping[str, Any] | None = None) -> None:
        """Claim the study for this process; `record` is as it is stored now.

        provenance: of this process, JSON-able; a run is added with it, whose number is in `run`.

        Raises:
            StudyBusyError: another process trains it.
            StorageError: the database cannot be written.
        """
        with self._writing() as (connection, place):
            claims.check_free(connection, self._id, place.study, self._token)
            token = claims.claim(connection, self._id, self._token)
            tally = reading.read_tally(connection, place)
            record = row_record(place.shown, self._row(connection), tally)
            if provenance is not None:
                tally = replace(tally, runs=tally.runs + 1)
                row = rows.run_row(self._id, tally.runs, provenance, rows.stored_time(None))
                insert(connection, runs, [row])
                writing.store_tally(connection, self._id, tally)
        self._token, self.record = token, record
        self.mirror()
        self.run = tally.runs if provenance is not None else 0

    def end(self, patience: float | None = None) -> None:
        """Release the claim, if there is one. patience: seconds to wait for a locked SQLite database."""
        if self._token is None:
            return
        with self._connector.writing(patience) as connection:
            claims.release(connection, self._id, self._token)
        self._token, self.run = None, 0
        self._connector.give_back()

    def commit(
        self,
        *,
        cohort: Cohort | None = None,
        started: Sequence[Trial] = (),
        segments: Sequence[Segment] = (),
        updated: Sequence[Trial] = (),
        seconds: float = 0.0,
        checkpoints: Mapping[int, tuple[int, bytes]] = MappingProxyType({}),
        taken: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """Store all of it in one transaction, or nothing.

        Args:
            cohort: with the next number.
            started: new trials with the next numbers; a missing time is the commit's.
            segments: pieces of curves, each going on where its trial's curve ends.
            updated: trials that run and have changed; their epochs are those of their curve. Only the
                state, epochs, value, loss, best_epoch, reason, finished and others are stored.
            seconds: are added to the study's.
            checkpoints: (epoch, weights) by trial, in place of its older ones. Those of trials that finish
                with this commit are deleted.
            taken: numbers of the trials that queued points have become, by position in the queue.

        Raises:
            StudyBusyError: this process does not have the study, or not any more.
            StorageError: something does not fit what is stored, or the database cannot be written.
        """
        with self._writing() as (connection, place):
            claims.renew(connection, self._id, place.study, self._token)
            tally = reading.read_tally(connection, place)
            if cohort is not None:
                tally = writing.add_cohort(connection, self._target, tally, cohort)
            tally = writing.start_trials(connection, self._target, tally, started)
            writing.take_queued(connection, self._target, taken, tally.trials)
            tally = writing.grow_trials(connection, self._target, tally, segments, updated)
            writing.keep_checkpoints(connection, self._target, checkpoints, updated)
            tally = replace(tally, seconds=tally.seconds + seconds)
            writing.store_tally(connection, self._id, tally)
        self.record = replace(self.record, seconds=tally.seconds)
        touched = {trial.number for trial in (*started, *updated)} | {piece.trial for piece in segments}
        self.mirror(touched)

    def mirror(self, numbers: Iterable[int] | None = None) -> None:
        """Have Optuna know what own rows say of trials, where that could not be written with them.

        numbers: of the trials that have changed; all by default.
        """
        if self._connector.calls is None:
            return
        with self._reading() as (connection, place):
            trials = reading.read_trials(connection, place, numbers)
            pieces = reading.read_segments(connection, place, numbers)
        self._connector.calls.tell(self._target, trials, pieces)

    def fill(self, connection: Connection, contents: Contents) -> None:
        """Give a new study what it is to have, in the transaction that creates it.

        Raises:
            StorageError: something does not fit something else.
        """
        target, tally = self._target, reading.read_tally(connection, self._place)
        values = [
            rows.run_row(self._id, run.number, run.provenance, rows.stored_time(run.begun))
            for run in contents.runs
        ]
        insert(connection, runs, values)
        tally = replace(tally, runs=len(values))
        for cohort in contents.cohorts:
            tally = writing.add_cohort(connection, target, tally, cohort)
        asked = [Trial(t.number, t.cohort, t.params, started=t.started) for t in contents.trials]
        tally = writing.start_trials(connection, target, tally, asked)
        tally = writing.grow_trials(connection, target, tally, contents.segments, contents.trials)
        tally = writing.add_queued(connection, target, tally, contents.queued)
        writing.take_queued(connection, target, contents.taken, tally.trials)
        tally = writing.add_scorings(connection, target, tally, contents.scorings)
        writing.keep_checkpoints(connection, target, contents.checkpoints, ())
        writing.store_tally(connection, self._id, tally)

    def enqueue(self, points: Sequence[Params]) -> None:
        """Append points that are to be tried before others; also while the study is trained.

        points: values of some or all searched hyper-parameters.

        Raises:
            StorageError: a value is not one of the study's space, or the database cannot be written.
        """
        with self._writing() as (connection, place):
            tally = reading.read_tally(connection, place)
            tally = writing.add_queued(connection, self._target, tally, points)
            writing.store_tally(connection, self._id, tally)

    def add_scoring(self, purpose: str, about: Mapping[str, Any], data: bytes = b"") -> Scoring:
        """Note a look at the rows that are kept back, also while the study is trained.

        One with the same purpose that is about the same is no new look: it gave the same numbers.

        about: JSON-able. data: what came out, or nothing.

        Raises:
            StorageError: the database cannot be written.
        """
        with self._writing() as (connection, place):
            known = reading.read_scorings(connection, place)
            for scoring in known:
                if (scoring.purpose, scoring.about) == (purpose, about):
                    return scoring
            new = Scoring(len(known) + 1, purpose, dict(about), data, datetime.now(UTC))
            tally = reading.read_tally(connection, place)
            tally = writing.add_scorings(connection, self._target, tally, [new])
            writing.store_tally(connection, self._id, tally)
        return new

    def update_record(self, record: StudyRecord) -> None:
        """Store another record of the same study; its seconds are left as they are.

        Raises:
            StudyBusyError: another process trains the study.
            StorageError: the record is of another study, or the database cannot be written.
        """
        own = self.record
        if _identity(record) != _identity(own):
            raise StorageError(
                f'study "{own.name}": expected a record of this study ({own.direction}); '
                f'found "{record.name}" ({record.direction})'
            )
        with self._writing() as (connection, place):
            claims.check_free(connection, self._id, place.study, self._token)
            row = self._row(connection)
            row_record(place.shown, row, Tally())
            columns = record_columns(self._id, record, row.created)
            connection.execute(sa.update(studies).where(studies.c.study_id == self._id).values(**columns))
            seconds = reading.read_tally(connection, place).seconds
        self.record = replace(record, seconds=seconds)
        self.__dict__.pop("_target", None)

    @property
    def _place(self) -> Place:
        return Place(self._connector.shown, self._id, self.record.name)

    @contextmanager
    def _reading(self) -> Iterator[tuple[Connection, Place]]:
        place = self._place
        with (
            self._connector.reading() as connection,
            reading.readable(place.shown, f'study "{place.study}"'),
        ):
            yield connection, place

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, Place]]:
        """A transaction on the study, which is locked in it."""
        place = self._place
        with self._connector.writing() as connection:
            bulk = self._connector.calls is None
            writing.lock(connection, place.shown, self._id, place.study, bulk=bulk)
            yield connection, place

    def _row(self, connection: Connection) -> Row[Any]:
        of_study = sa.select(studies).where(studies.c.study_id == self._id)
        with reading.readable(self._connector.shown, f'study "{self.record.name}"'):
            return connection.execute(of_study).one()

    @cached_property
    def _target(self) -> writing.Target:
        return replace(target_of(self._id, self.record), bulk=self._connector.calls is None)


def _with_weights(record: StudyRecord, trials: Trials) -> Trials:
    """The trials of a fork know for which number their weights were drawn (see engine.fork)."""
    drawn_for = record.parent.get("weights", ())
    if drawn_for:
        weights = dict(enumerate(drawn_for))
        trials.weights = [
            None if weights.get(number, number) == number else weights[number] for number in trials.number
        ]
    return trials


def _identity(record: StudyRecord) -> tuple[str, str, tuple[str, ...]]:
    return record.name, record.direction, record.objectives
