"""Reading a study back: every row is held against its checksum, and their number against the tally."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from hpsearch.errors import StorageError
from hpsearch.records import (
    CURVE_COLUMNS,
    Cohort,
    Curves,
    FloatArray,
    IntArray,
    Queued,
    Run,
    Scoring,
    Segment,
    StudyRecord,
    Trials,
    time_of,
)
from hpsearch.store import rows
from hpsearch.store.bulk import chunks
from hpsearch.store.schema import (
    Tally,
    checkpoints,
    checksum,
    cohorts,
    curves,
    queue,
    runs,
    scorings,
    tallies,
    trials,
)

Rows = Sequence[Sequence[Any]]
"""Rows of an own table with its columns in their order."""

_MAIN = 8 * len(CURVE_COLUMNS)
"""Bytes of an epoch's losses and metrics."""


@dataclass(frozen=True)
class Place:
    """A study to read from. shown: the database, for messages."""

    shown: str
    study_id: int
    study: str

    def damaged(self, what: str, found: str) -> StorageError:
        """The error for rows that are not as hpsearch wrote them; what: of the study, such as "trial 3"."""
        return damaged(self.shown, f'study "{self.study}"{what and f", {what}"}', found)


def damaged(shown: str, what: str, found: str) -> StorageError:
    """The error for rows that are not as hpsearch wrote them."""
    return StorageError(
        f"{shown}: {what}: {found}. The database was damaged or edited: restore it from a backup, copy "
        "what is sound (hpsearch doctor --salvage), or delete the study (hpsearch delete) and run it again."
    )


@contextmanager
def readable(shown: str, what: str) -> Iterator[None]:
    """Values that are not even of their column's type are damage too."""
    try:
        yield
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise damaged(shown, what, f"a stored value cannot be read ({error})") from None


@contextmanager
def without_collecting() -> Iterator[None]:
    """No search for cycles while very many objects are made that have none: it takes half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_tally(connection: Connection, place: Place) -> Tally:
    """What the study has.

    Raises:
        StorageError: the row is gone or not as it was written.
    """
    row = connection.execute(sa.select(tallies).where(tallies.c.study_id == place.study_id)).first()
    if row is None or not rows.sound(row):
        raise place.damaged("", "its tally is gone or does not fit its checksum")
    return rows.tally_of(row)


def read_trials(connection: Connection, place: Place, numbers: Iterable[int] | None = None) -> Trials:
    """Trials in number order: all, or those of the given numbers that are there.

    Raises:
        StorageError: a row is missing or not as it was written.
    """
    wanted = None if numbers is None else set(numbers)
    with without_collecting():
        found = _of_numbers(connection, sa.select(trials), place, trials, wanted)
        if wanted is None:
            _check_numbers(connection, place, found)
        elif missing := wanted - {row[1] for row in found}:
            count = read_tally(connection, place).trials
            for number in sorted(number for number in missing if 0 <= number < count):
                raise place.damaged(f"trial {number}", "its row is missing")
        for row in rows.torn(found):
            raise place.damaged(f"trial {row[1]}", "its row does not fit its checksum")
        return rows.trials_of(found)


def _check_numbers(connection: Connection, place: Place, found: Rows) -> None:
    """Check that a study's trials are all there.

    Raises:
        StorageError: some are missing, too many or of other states than they were.
    """
    tally = read_tally(connection, place)
    if [row[1] for row in found] != list(range(tally.trials)):
        raise place.damaged("", f"expected {tally.trials} trials; found others, or some missing")
    states = Counter(row[7] for row in found)
    if any(states[state] != count for state, count in tally.counts.items()):
        raise place.damaged("", "its trials are not in the states that its tally counts")


def read_curves(
    connection: Connection, place: Place, numbers: Iterable[int] | None = None, of: Trials | None = None
) -> Curves:
    """Curves by trial, [epochs, columns]; trials without an epoch have none.

    of: these trials, where they have been read already.

    Raises:
        StorageError: a piece is missing or not as it was written.
    """
    with without_collecting():
        told = None
        if of is not None:
            told = {n: epochs for n, epochs in zip(of.number, of.epochs, strict=True) if epochs}
        pieces, having, begin, ends = _pieces(connection, place, numbers, told)
        columns, epochs = _integers(pieces, 4), np.diff(ends, prepend=0)
        of_trial = np.repeat(columns[begin], np.diff(begin, append=len(pieces)))
        for at in np.flatnonzero(columns != of_trial).tolist():
            what = f"expected a curve of {of_trial[at]} columns; found {columns[at]}"
            raise place.damaged(f"trial {pieces[at][1]}", what)
        return Curves(having, epochs, columns[begin], *_unpacked(pieces))


def read_segments(
    connection: Connection, place: Place, numbers: Iterable[int] | None = None
) -> list[Segment]:
    """Curves in the pieces in which they were trained, by trial and epoch.

    Raises:
        StorageError: a piece is missing or not as it was written.
    """
    pieces = _pieces(connection, place, numbers)[0]
    return [segment_of(row) for row in pieces]


def segment_of(row: Sequence[Any]) -> Segment:
    """The piece of a curve of a sound row."""
    _, trial, first, _, _, cohort, run, lane, width, seconds, _, _ = row
    return Segment(trial, cohort, first, rows.curve_of(row), seconds, run, lane, width)


def _pieces(
    connection: Connection, place: Place, numbers: Iterable[int] | None, told: dict[int, int] | None = None
) -> tuple[Rows, IntArray, IntArray, IntArray]:
    """Sound rows of curves, by trial and epoch, without a gap. Of each trial that has some: its number, the
    place of its first row, and the epochs of all trials up to and with it.

    told: epochs of the trials that have some, where they are known already.

    Raises:
        StorageError: a piece is missing or not as it was written.
    """
    wanted = None if numbers is None else list(numbers)
    pieces = _of_numbers(connection, sa.select(curves), place, curves, wanted)
    for row in rows.torn_curves(pieces):
        raise place.damaged(f"trial {row[1]}", f"its curve from epoch {row[2]} does not fit its checksum")
    trial, first, epochs = (_integers(pieces, column) for column in (1, 2, 3))
    ends = np.cumsum(epochs)
    begin = np.flatnonzero(np.diff(trial, prepend=-1))
    before = np.repeat((ends - epochs)[begin], np.diff(begin, append=len(trial)))
    expected = ends - epochs - before + 1
    for at in np.flatnonzero(first != expected):
        what = f"expected its curve to go on at epoch {expected[at]}; found epoch {first[at]}"
        raise place.damaged(f"trial {trial[at]}", what)
    ends = ends[np.append(begin[1:], len(trial)) - 1] if len(trial) else ends
    reached = dict(zip(trial[begin].tolist(), np.diff(ends, prepend=0).tolist(), strict=True))
    should = _epochs(connection, place, wanted) if told is None else told
    if reached != should:
        number = min(n for n in reached.keys() | should.keys() if reached.get(n) != should.get(n))
        what = f"expected a curve of {should.get(number, 0)} epochs; found {reached.get(number, 0)}"
        raise place.damaged(f"trial {number}", what)
    return pieces, trial[begin], begin, ends


def _epochs(connection: Connection, place: Place, numbers: list[int] | None) -> dict[int, int]:
    """How many epochs trials have, of those that have some."""
    query = sa.select(trials.c.number, trials.c.epochs).where(trials.c.epochs > 0)
    return {row[0]: row[1] for row in _of_numbers(connection, query, place, trials, numbers)}


def _integers(found: Rows, column: int) -> IntArray:
    return np.array([row[column] for row in found], dtype=np.int64)


def _unpacked(pieces: Rows) -> tuple[FloatArray, FloatArray]:
    """Losses and metrics, and shares of dead units, of sound rows of the curves; see rows.curve_bytes."""
    values = bytearray().join([row[10][: _MAIN * row[3]] for row in pieces])
    main = np.frombuffer(values, "<f8").reshape(-1, len(CURVE_COLUMNS))
    dead = [row[10][_MAIN * row[3] :] for row in pieces]
    single = [4 * row[3] * (row[4] - len(CURVE_COLUMNS)) for row in pieces]
    if [len(part) for part in dead] == single:
        return main, np.frombuffer(b"".join(dead), "<f4").astype(np.float64)
    sized = zip(dead, single, strict=True)
    parts = [np.frombuffer(part, "<f4" if len(part) == size else "<f8") for part, size in sized]
    return main, np.concatenate(parts, dtype=np.float64)


def _of_numbers(
    connection: Connection,
    query: sa.Select[Any],
    place: Place,
    table: sa.Table,
    numbers: Iterable[int] | None,
) -> Rows:
    """Rows of a study's trials, of all or of some numbers, in the order of the table's key."""
    query = query.where(table.c.study_id == place.study_id).order_by(*table.primary_key)
    if numbers is None:
        return connection.execute(query).all()
    return [
        row for chunk in chunks(numbers) for row in connection.execute(query.where(table.c.number.in_(chunk)))
    ]


def read_cohorts(connection: Connection, place: Place, *, last: bool = False) -> list[Cohort]:
    """All cohorts in their order, or only the last.

    Raises:
        StorageError: one is missing, or its row is not as it was written.
    """
    count = read_tally(connection, place).cohorts
    expected = range(max(0, count - 1) if last else 0, count)
    query = sa.select(cohorts).where(cohorts.c.number >= expected.start)
    found = _complete(connection, place, cohorts, query, "cohort", expected)
    return [cohort_of(row) for row in found]


def cohort_of(row: Sequence[Any]) -> Cohort:
    """The cohort of a sound row."""
    return Cohort(row[1], {trial: (before, target) for trial, before, target in json.loads(row[2])})


def read_runs(connection: Connection, place: Place) -> list[Run]:
    """All runs in their order.

    Raises:
        StorageError: one is missing, or its row is not as it was written.
    """
    expected = range(1, read_tally(connection, place).runs + 1)
    found = _complete(connection, place, runs, sa.select(runs), "run", expected)
    return [run_of(row) for row in found]


def run_of(row: Sequence[Any]) -> Run:
    """The run of a sound row."""
    return Run(row[1], json.loads(row[2]), time_of(row[3]))


def read_queue(connection: Connection, place: Place) -> list[Queued]:
    """All points that were queued, in their order.

    Raises:
        StorageError: one is missing, or its row is not as it was written.
    """
    expected = range(read_tally(connection, place).queued)
    found = _complete(connection, place, queue, sa.select(queue), "queued point", expected)
    return [queued_of(row) for row in found]


def queued_of(row: Sequence[Any]) -> Queued:
    """The queued point of a sound row."""
    return Queued(row[1], json.loads(row[2]), row[3])


def read_scorings(connection: Connection, place: Place) -> list[Scoring]:
    """All looks at the rows that are kept back, in their order.

    Raises:
        StorageError: one is missing, or its row is not as it was written.
    """
    expected = range(1, read_tally(connection, place).scorings + 1)
    found = _complete(connection, place, scorings, sa.select(scorings), "scoring", expected)
    return [scoring_of(row) for row in found]


def scoring_of(row: Sequence[Any]) -> Scoring:
    """The scoring of a sound row."""
    return Scoring(row[1], row[2], json.loads(row[3]), bytes(row[4]), time_of(row[5]))


def _complete(
    connection: Connection, place: Place, table: sa.Table, query: sa.Select[Any], what: str, expected: range
) -> Rows:
    """Rows of a study whose second column counts, all of them there and sound."""
    query = query.where(table.c.study_id == place.study_id).order_by(*table.primary_key)
    found = connection.execute(query).all()
    if [row[1] for row in found] != list(expected):
        raise place.damaged("", f"expected {what}s up to {expected.stop - 1}; found others, or some missing")
    for row in rows.torn(found):
        raise place.damaged(f"{what} {row[1]}", "its row does not fit its checksum")
    return found


def read_checkpoints(connection: Connection, place: Place) -> dict[int, tuple[int, bytes]]:
    """(epoch, weights) by trial; those that are not as they were written are left out."""
    of_study = sa.select(checkpoints).where(checkpoints.c.study_id == place.study_id)
    try:
        found = connection.execute(of_study.order_by(checkpoints.c.number)).all()
    except (ValueError, TypeError):
        return {}
    return {row[1]: (row[2], row[3]) for row in found if rows.sound_checkpoint(row)}


def record_columns(study_id: int, record: StudyRecord, created: datetime) -> dict[str, Any]:
    """The columns of a study; `created` is naive UTC."""
    fields = asdict(record)
    del fields["seconds"]  # they are in the tally
    text = rows.compact(fields)
    return {
        "study_id": study_id,
        "name": record.name,
        "record": text,
        "created": created,
        "checksum": checksum((study_id, record.name, text, created)),
    }


def row_record(shown: str, row: Row[Any], tally: Tally) -> StudyRecord:
    """The record of a row of the studies.

    Raises:
        StorageError: the row is not as it was written.
    """
    if row.checksum != checksum((row.study_id, row.name, row.record, row.created)):
        raise damaged(shown, f'study "{row.name}"', "its record does not fit its checksum")
    return record_of(row.record, tally)


def record_of(text: str, tally: Tally) -> StudyRecord:
    """The record of its column."""
    fields = json.loads(text)
    fields["objectives"] = tuple(fields.get("objectives", ()))
    return StudyRecord(**fields, seconds=tally.seconds)
