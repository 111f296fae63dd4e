"""Reading a study back: checks every row against its checksum, and row counts against the tally."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import numpy as np
import sqlalchemy as sa
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from sqlalchemy.engine import Connection, Row

from hpsearch.errors import StorageError, plural
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
from hpsearch.store.ddl import (
    Tally,
    checkpoints,
    cohorts,
    curves,
    queue,
    runs,
    scorings,
    studies,
    tallies,
    trials,
)

Rows = Sequence[Sequence[Any]]
"""Rows of an own table, all columns in order."""

MISFIT = "does not match its checksum"

_MAIN = 8 * len(CURVE_COLUMNS)
"""Bytes of an epoch's losses and metrics."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Kind(Generic[T]):
    """A kind of numbered rows of a study; the table's second column counts from `first` without gaps.

    count: the field of the tally that says how many. what: one of them, for messages. make: of a sound row.
    """

    table: sa.Table
    count: str
    what: str
    first: int
    make: Callable[[Sequence[Any]], T]

    def numbers(self, tally: Tally) -> range:
        """The numbers that must be there."""
        return range(self.first, self.first + getattr(tally, self.count))


_Count = Annotated[int, Field(ge=0, strict=True)]


class _About(BaseModel):
    """What is taken for granted about a scoring; each purpose has more."""

    trials: list[_Count | None] = []
    epochs: list[_Count | None] = []
    seeds: _Count = 0
    rows: _Count = 0
    finished: _Count = 0
    part: str = ""


_LANES = TypeAdapter(list[tuple[_Count, _Count, _Count]])
_TABLE = TypeAdapter(dict[str, Any])


def _table(text: str) -> dict[str, Any]:
    _TABLE.validate_json(text)
    table: dict[str, Any] = json.loads(text)
    return table


def _about(text: str) -> dict[str, Any]:
    _About.model_validate_json(text)
    return _table(text)


COHORTS = Kind(
    cohorts,
    "cohorts",
    "cohort",
    0,
    lambda row: Cohort(row[1], {trial: (before, to) for trial, before, to in _LANES.validate_json(row[2])}),
)
RUNS = Kind(runs, "runs", "run", 1, lambda row: Run(row[1], _table(row[2]), time_of(row[3])))
QUEUE = Kind(queue, "queued", "queued point", 0, lambda row: Queued(row[1], _table(row[2]), row[3]))
SCORINGS = Kind(
    scorings,
    "scorings",
    "scoring",
    1,
    lambda row: Scoring(row[1], row[2], _about(row[3]), bytes(row[4]), time_of(row[5])),
)
KINDS: tuple[Kind[Any], ...] = (COHORTS, RUNS, QUEUE, SCORINGS)


@dataclass(frozen=True)
class Place:
    """A study to read from. shown: the database, for messages."""

    shown: str
    study_id: int
    study: str

    def damaged(self, what: str, found: str) -> StorageError:
        """The error for damaged rows. what: of the study, such as "trial 3"."""
        return damaged(self.shown, f'study "{self.study}"{what and f", {what}"}', found)


def damaged(shown: str, what: str, found: str) -> StorageError:
    """The error for damaged rows."""
    return StorageError(
        f"{shown}: {what}: {found}. The database was damaged or edited: restore it from a backup, salvage "
        "the sound rows (hpsearch doctor --salvage), or delete the study (hpsearch delete) and run it again."
    )


@contextmanager
def readable(shown: str, what: str) -> Iterator[None]:
    """Report values that are not as hpsearch writes them as damage."""
    try:
        yield
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise damaged(shown, what, f"a stored value cannot be read ({reason(error)})") from None


def reason(error: Exception) -> str:
    """In one line, why a value cannot be read."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error)


@contextmanager
def without_collecting() -> Iterator[None]:
    """Pause the garbage collector: creating very many objects without cycles takes half the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_tally(connection: Connection, place: Place) -> Tally:
    """How much the study has of everything.

    Raises:
        StorageError: the row is missing or damaged.
    """
    row = connection.execute(sa.select(tallies).where(tallies.c.study_id == place.study_id)).first()
    if row is None or not rows.sound(tallies, row):
        raise place.damaged("", f"its tally is missing or {MISFIT}")
    with readable(place.shown, f'study "{place.study}"'):
        return rows.tally_of(row)


def read_trials(connection: Connection, place: Place, numbers: Iterable[int] | None = None) -> Trials:
    """Trials by number: all, or those of the given numbers that exist.

    Raises:
        StorageError: a row is missing or damaged.
    """
    wanted = None if numbers is None else set(numbers)
    with without_collecting():
        found = _of_numbers(connection, sa.select(trials), place, trials, wanted)
        if wanted is None:
            tally, states = read_tally(connection, place), Counter(row[7] for row in found)
            if [row[1] for row in found] != list(range(tally.trials)):
                raise place.damaged(
                    "", f"expected {plural(tally.trials, 'trial')}; found missing or extra ones"
                )
            if any(states[state] != count for state, count in tally.counts.items()):
                raise place.damaged("", "its trials are not in the states that its tally counts")
        elif missing := wanted - {row[1] for row in found}:
            count = read_tally(connection, place).trials
            for number in sorted(number for number in missing if 0 <= number < count):
                raise place.damaged(f"trial {number}", "its row is missing")
        for row in rows.torn(trials, found):
            raise place.damaged(f"trial {row[1]}", f"its row {MISFIT}")
        return rows.trials_of(found)


def read_curves(
    connection: Connection, place: Place, numbers: Iterable[int] | None = None, of: Trials | None = None
) -> Curves:
    """Curves by trial, [epochs, columns]; trials without an epoch have none.

    of: these trials, if already read.

    Raises:
        StorageError: a piece is missing or damaged.
    """
    with without_collecting():
        told = None
        if of is not None:
            told = {n: epochs for n, epochs in zip(of.number, of.epochs, strict=True) if epochs}
        pieces, having, begin, ends = _pieces(connection, place, numbers, told)
        columns, epochs = _integers(pieces, 4), np.diff(ends, prepend=0)
        of_trial = np.repeat(columns[begin], np.diff(begin, append=len(pieces)))
        for at in np.flatnonzero(columns != of_trial).tolist():
            what = f"expected a curve with {of_trial[at]} columns; found {columns[at]}"
            raise place.damaged(f"trial {pieces[at][1]}", what)
        return Curves(having, epochs, columns[begin], *_unpacked(pieces))


def read_segments(
    connection: Connection, place: Place, numbers: Iterable[int] | None = None
) -> list[Segment]:
    """Curves in the pieces in which they were trained, by trial and epoch.

    Raises:
        StorageError: a piece is missing or damaged.
    """
    return [segment_of(row) for row in _pieces(connection, place, numbers)[0]]


def segment_of(row: Sequence[Any]) -> Segment:
    """The piece of a curve in a sound row."""
    _, trial, first, _, _, cohort, run, lane, width, seconds, _, _ = row
    return Segment(trial, cohort, first, rows.curve_of(row), seconds, run, lane, width)


def _pieces(
    connection: Connection, place: Place, numbers: Iterable[int] | None, told: dict[int, int] | None = None
) -> tuple[Rows, IntArray, IntArray, IntArray]:
    """Sound rows of curves by trial and epoch, without gaps. For each trial with rows: its number, the place
    of its first row, and the epochs of all trials up to and including it.

    told: epochs by trial, for those with at least one, if already known.

    Raises:
        StorageError: a piece is missing or damaged.
    """
    wanted = None if numbers is None else list(numbers)
    pieces = _of_numbers(connection, sa.select(curves), place, curves, wanted)
    for row in rows.torn_curves(pieces):
        raise place.damaged(f"trial {row[1]}", f"its curve from epoch {row[2]} {MISFIT}")
    trial, first, epochs = (_integers(pieces, column) for column in (1, 2, 3))
    ends = np.cumsum(epochs)
    begin = np.flatnonzero(np.diff(trial, prepend=-1))
    before = np.repeat((ends - epochs)[begin], np.diff(begin, append=len(trial)))
    expected = ends - epochs - before + 1
    for at in np.flatnonzero(first != expected):
        what = f"expected its curve to continue at epoch {expected[at]}; found epoch {first[at]}"
        raise place.damaged(f"trial {trial[at]}", what)
    ends = ends[np.append(begin[1:], len(trial)) - 1] if len(trial) else ends
    reached = dict(zip(trial[begin].tolist(), np.diff(ends, prepend=0).tolist(), strict=True))
    if told is None:
        query = sa.select(trials.c.number, trials.c.epochs).where(trials.c.epochs > 0)
        told = {row[0]: row[1] for row in _of_numbers(connection, query, place, trials, wanted)}
    if reached != told:
        number = min(n for n in reached.keys() | told.keys() if reached.get(n) != told.get(n))
        what = f"expected a curve of {told.get(number, 0)} epochs; found {reached.get(number, 0)}"
        raise place.damaged(f"trial {number}", what)
    return pieces, trial[begin], begin, ends


def _integers(found: Rows, column: int) -> IntArray:
    return np.array([row[column] for row in found], dtype=np.int64)


def _unpacked(pieces: Rows) -> tuple[FloatArray, FloatArray]:
    """Losses and metrics, and shares of dead units, of sound curve rows; see rows.curve_bytes."""
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
    """Rows of a study by the table's key, of all or some trials."""
    query = query.where(table.c.study_id == place.study_id).order_by(*table.primary_key)
    if numbers is None:
        return connection.execute(query).all()
    return [
        row for chunk in chunks(numbers) for row in connection.execute(query.where(table.c.number.in_(chunk)))
    ]


def read_kind(connection: Connection, place: Place, kind: Kind[T], *, last: bool = False) -> list[T]:
    """All of a kind in order, or only the last.

    Raises:
        StorageError: one is missing or damaged.
    """
    table, numbers = kind.table, kind.numbers(read_tally(connection, place))
    query = sa.select(table).where(table.c.study_id == place.study_id).order_by(*table.primary_key)
    if last:
        numbers = numbers[-1:]
        query = query.where(table.columns[1] >= numbers.start)
    found = connection.execute(query).all()
    if [row[1] for row in found] != list(numbers):
        raise place.damaged(
            "", f"expected {plural(numbers.stop - kind.first, kind.what)}; found missing or extra ones"
        )
    for row in rows.torn(table, found):
        raise place.damaged(f"{kind.what} {row[1]}", f"its row {MISFIT}")
    with readable(place.shown, f'study "{place.study}", {kind.table.name}'):
        return [kind.make(row) for row in found]


def read_checkpoints(connection: Connection, place: Place) -> dict[int, tuple[int, bytes]]:
    """(epoch, weights) by trial, without damaged ones."""
    of_study = sa.select(checkpoints).where(checkpoints.c.study_id == place.study_id)
    try:
        found = connection.execute(of_study.order_by(checkpoints.c.number)).all()
    except (ValueError, TypeError):
        return {}
    return {row[1]: (row[2], row[3]) for row in found if rows.sound_checkpoint(row)}


def record_of_row(shown: str, row: Row[Any], tally: Tally) -> StudyRecord:
    """The record in a row of the studies.

    Raises:
        StorageError: the row is damaged.
    """
    if not rows.sound(studies, row):
        raise damaged(shown, f'study "{row.name}"', f"its record {MISFIT}")
    with readable(shown, f'study "{row.name}", its record'):
        return rows.record_of(row.record, tally)
