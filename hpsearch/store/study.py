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
from hpsearch.store.ddl import Tally, runs, studies
from hpsearch.store.reading import COHORTS, QUEUE, RUNS, SCORINGS, Kind, Place, T
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import study_from_document


def target_of(study_id: int, record: StudyRecord) -> writing.Target:
    """The target for writes to a study, from its record.

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


def asked_trials(record: StudyRecord) -> int:
    """Trials that a study asks for; 0 where its record does not tell."""
    total = record.document.get("search", {}).get("trials")
    return total if isinstance(total, int) else 0


@dataclass(frozen=True)
class Contents:
    """All that a study contains, or gets when it is created.

    runs, scorings: numbered from 1. cohorts: from 0. trials: from 0, in any state; their epochs match their
    segments, which come in order. queued: points to try first. taken: trial numbers by position of the queued
    points that became trials. checkpoints: (epoch, weights) by trial. created: naive UTC; None: now.
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

    A process trains it between `begin` and `end`; anyone may read it at any time. study_id: Optuna's number
    of the study. run: number of this process's run; 0: none.
    """

    def __init__(self, connector: Connector, study_id: int, record: StudyRecord) -> None:
        self.record, self.study_id, self.run = record, study_id, 0
        self._connector = connector
        self._token: str | None = None

    # -- reading: a StorageError names the row that is missing or damaged ------------------------------

    def trials(self, numbers: Iterable[int] | None = None) -> list[Trial]:
        """Trials by number: all, or those of the given numbers that exist."""
        with self._reading() as (connection, place):
            return list(_with_weights(self.record, reading.read_trials(connection, place, numbers)))

    def curves(self, numbers: Iterable[int] | None = None) -> Curves:
        """Curves by trial number, [epochs, columns] from epoch 1 (see records.Segment), of all trials or of
        these; a trial without an epoch has none.
        """
        with self._reading() as (connection, place):
            return reading.read_curves(connection, place, numbers)

    def read(self, numbers: Iterable[int] | None = None, *, curves: bool = True) -> tuple[Trials, Curves]:
        """`trials` and `curves` of one moment; curves=False skips these."""
        wanted = None if numbers is None else list(numbers)
        with self._reading() as (connection, place):
            trials = _with_weights(self.record, reading.read_trials(connection, place, wanted))
            lines = reading.read_curves(connection, place, wanted, of=trials) if curves else Curves.join({})
            return trials, lines

    def segments(self, numbers: Iterable[int] | None = None) -> list[Segment]:
        """Curves in the pieces in which they were trained, by trial and epoch."""
        with self._reading() as (connection, place):
            return reading.read_segments(connection, place, numbers)

    def counts(self) -> dict[State, int]:
        """Trials by state, in constant time."""
        with self._reading() as (connection, place):
            return reading.read_tally(connection, place).counts

    def holder(self) -> claims.Holder | None:
        """The process that claims to train the study, if there is one."""
        with self._reading() as (connection, _):
            return claims.holder(connection, self.study_id)

    def cohorts(self) -> list[Cohort]:
        """All cohorts, in order."""
        return self._all(COHORTS)

    def last_cohort(self) -> Cohort | None:
        """The newest cohort."""
        found = self._all(COHORTS, last=True)
        return found[0] if found else None

    def runs(self) -> list[Run]:
        """All processes that trained the study, or began to, in order."""
        return self._all(RUNS)

    def queue(self) -> list[Queued]:
        """All queued points, in order, with the trials they became."""
        return self._all(QUEUE)

    def scorings(self) -> list[Scoring]:
        """All scorings on held-out rows, in order."""
        return self._all(SCORINGS)

    def _all(self, kind: Kind[T], *, last: bool = False) -> list[T]:
        with self._reading() as (connection, place):
            return reading.read_kind(connection, place, kind, last=last)

    def checkpoints(self) -> dict[int, tuple[int, bytes]]:
        """(epoch, weights) of running trials, by number; damaged ones are left out and trained again."""
        with self._reading() as (connection, place):
            return reading.read_checkpoints(connection, place)

    def contents(self) -> Contents:
        """Everything stored of the study except its record, of one moment."""
        with self._reading() as (connection, place):
            queue = reading.read_kind(connection, place, QUEUE)
            return Contents(
                reading.read_kind(connection, place, RUNS),
                reading.read_kind(connection, place, COHORTS),
                reading.read_trials(connection, place),
                reading.read_segments(connection, place),
                [point.params for point in queue],
                {point.position: point.trial for point in queue if point.trial is not None},
                reading.read_kind(connection, place, SCORINGS),
                reading.read_checkpoints(connection, place),
                self._row(connection).created,
            )

    # -- writing -------------------------------------------------------------------------------------

    def begin(self, provenance: Mapping[str, Any] | None = None) -> None:
        """Claim the study for this process and refresh `record`.

        provenance: of this process, JSON-able; adds a run and sets `run` to its number.

        Raises:
            StudyBusyError: another process is training it.
            StorageError: the database cannot be written.
        """
        with self._writing() as (connection, place):
            claims.check_free(connection, self.study_id, place.study, self._token)
            token = claims.claim(connection, self.study_id, self._token)
            tally = reading.read_tally(connection, place)
            record = reading.record_of_row(place.shown, self._row(connection), tally)
            if provenance is not None:
                tally = replace(tally, runs=tally.runs + 1)
                row = rows.run_row(self.study_id, tally.runs, provenance, rows.stored_time(None))
                insert(connection, runs, [row])
                writing.store_tally(connection, self.study_id, tally)
        self._token, self.record = token, record
        self.mirror()
        self.run = tally.runs if provenance is not None else 0

    def end(self, patience: float | None = None) -> None:
        """Release the claim, if any. patience: seconds to wait for a locked SQLite database."""
        if self._token is None:
            return
        with self._connector.writing(patience) as connection:
            claims.release(connection, self.study_id, self._token)
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
        """Store everything in one transaction, or nothing.

        Args:
            cohort: with the next number.
            started: new trials with the next numbers; without a start time, they start now.
            segments: pieces of curves; each continues its trial's curve.
            updated: running trials that have changed; their epochs match their curve. Stores only state,
                epochs, value, loss, best_epoch, reason, finished and others.
            seconds: to add to the study's.
            checkpoints: (epoch, weights) by trial; each replaces the trial's older one. Trials that finish
                with this commit lose theirs.
            taken: trial numbers by position of the queued points that became trials.

        Raises:
            StudyBusyError: this process does not hold the study, or lost it.
            StorageError: something contradicts what is stored, or the database cannot be written.
        """
        with self._writing() as (connection, place):
            claims.renew(connection, self.study_id, place.study, self._token)
            tally = reading.read_tally(connection, place)
            if cohort is not None:
                tally = writing.add_cohort(connection, self._target, tally, cohort)
            tally = writing.start_trials(connection, self._target, tally, started)
            writing.take_queued(connection, self._target, taken, tally.trials)
            tally = writing.grow_trials(connection, self._target, tally, segments, updated)
            writing.keep_checkpoints(connection, self._target, checkpoints, updated)
            tally = replace(tally, seconds=tally.seconds + seconds)
            writing.store_tally(connection, self.study_id, tally)
        self.record = replace(self.record, seconds=tally.seconds)
        touched = {trial.number for trial in (*started, *updated)} | {piece.trial for piece in segments}
        self.mirror(touched)

    def mirror(self, numbers: Iterable[int] | None = None) -> None:
        """Bring Optuna's tables up to date by its public calls, where they could not be written in bulk.

        numbers: of the changed trials; None: all.
        """
        if self._connector.calls is None:
            return
        with self._reading() as (connection, place):
            trials = reading.read_trials(connection, place, numbers)
            pieces = reading.read_segments(connection, place, numbers)
        self._connector.calls.tell(self._target, trials, pieces)

    def fill(self, connection: Connection, contents: Contents) -> None:
        """Fill a new study, in the transaction that creates it.

        Raises:
            StorageError: the contents contradict each other.
        """
        target, tally = self._target, reading.read_tally(connection, self._place)
        if [run.number for run in contents.runs] != list(range(1, len(contents.runs) + 1)):
            raise StorageError(f'study "{self.record.name}": expected its runs to be numbered from 1')
        values = [
            rows.run_row(self.study_id, run.number, run.provenance, rows.stored_time(run.begun))
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
        writing.store_tally(connection, self.study_id, tally)

    def enqueue(self, points: Sequence[Params]) -> None:
        """Queue points to try before all others, even while the study is being trained.

        points: values of some or all searched hyper-parameters.

        Raises:
            StorageError: a value is outside the study's space, or the database cannot be written.
        """
        with self._writing() as (connection, place):
            tally = reading.read_tally(connection, place)
            tally = writing.add_queued(connection, self._target, tally, points)
            writing.store_tally(connection, self.study_id, tally)

    def add_scoring(self, purpose: str, about: Mapping[str, Any], data: bytes = b"") -> Scoring:
        """Record a scoring on held-out rows, even while the study is being trained.

        The same purpose and subject again is no new scoring: it gives the same numbers.

        about: the subject, JSON-able. data: the outcome, or nothing.

        Raises:
            StorageError: the database cannot be written.
        """
        with self._writing() as (connection, place):
            known = reading.read_kind(connection, place, SCORINGS)
            for scoring in known:
                if (scoring.purpose, scoring.about) == (purpose, about):
                    return scoring
            new = Scoring(len(known) + 1, purpose, dict(about), data, datetime.now(UTC))
            tally = reading.read_tally(connection, place)
            tally = writing.add_scorings(connection, self._target, tally, [new])
            writing.store_tally(connection, self.study_id, tally)
        return new

    def update_record(self, record: StudyRecord) -> None:
        """Replace the study's record; its seconds stay.

        Raises:
            StudyBusyError: another process is training the study.
            StorageError: the record belongs to another study, or the database cannot be written.
        """
        own, same = self.record, ("name", "direction", "objectives")
        if any(getattr(record, each) != getattr(own, each) for each in same):
            raise StorageError(
                f'study "{own.name}": expected a record of this study ({own.direction}); '
                f'found "{record.name}" ({record.direction})'
            )
        with self._writing() as (connection, place):
            claims.check_free(connection, self.study_id, place.study, self._token)
            row = self._row(connection)
            reading.record_of_row(place.shown, row, Tally())
            columns = rows.study_row(self.study_id, record, row.created)
            connection.execute(
                sa.update(studies).where(studies.c.study_id == self.study_id).values(**columns)
            )
            seconds = reading.read_tally(connection, place).seconds
        self.record = replace(record, seconds=seconds)
        self.__dict__.pop("_target", None)

    @property
    def _place(self) -> Place:
        return Place(self._connector.shown, self.study_id, self.record.name)

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
        """A transaction that locks the study."""
        place = self._place
        with self._connector.writing() as connection:
            bulk = self._connector.calls is None
            writing.lock(connection, place.shown, self.study_id, place.study, bulk=bulk)
            yield connection, place

    def _row(self, connection: Connection) -> Row[Any]:
        of_study = sa.select(studies).where(studies.c.study_id == self.study_id)
        with reading.readable(self._connector.shown, f'study "{self.record.name}"'):
            return connection.execute(of_study).one()

    @cached_property
    def _target(self) -> writing.Target:
        return replace(target_of(self.study_id, self.record), bulk=self._connector.calls is None)


def _with_weights(record: StudyRecord, trials: Trials) -> Trials:
    """The trials; in a fork, with the numbers their weights were drawn for (see running/fork.py)."""
    drawn_for = record.parent.get("weights", ())
    if drawn_for:
        weights = dict(enumerate(drawn_for))
        trials.weights = [
            None if weights.get(number, number) == number else weights[number] for number in trials.number
        ]
    return trials
