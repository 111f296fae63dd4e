"""Looking at every row of a database: is it as it was written, is any missing, does the mirror agree?"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hpsearch.errors import HpsearchError, StorageError
from hpsearch.records import Cohort, Queued, Run, Scoring, Segment, StudyRecord, Trial, time_of
from hpsearch.store import reading, rows
from hpsearch.store.connection import Connector
from hpsearch.store.database import Database
from hpsearch.store.mirror import Mirror
from hpsearch.store.reading import record_of
from hpsearch.store.rescue import FileSource, SelectSource, Source, Values
from hpsearch.store.schema import (
    VERSION,
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
    versions,
)
from hpsearch.store.study import target_of

_TABLES = (studies, tallies, trials, curves, cohorts, runs, queue, scorings, checkpoints)
_MISFIT = "does not fit its checksum"


@dataclass(frozen=True)
class Damage:
    """Something that is not as it was written. what: of the study, such as "trial 3"; "" for the study."""

    what: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: {self.found}" if self.what else self.found


@dataclass
class Examined:
    """A study as it was found: what of it is sound, and what is damaged.

    record, tally: None if damaged. total: how many trials there should be. trials: sound ones, by number;
    ids: Optuna's of these. asked: those of which only that is sound which was asked. segments: sound pieces
    of curves from epoch 1 on, as far as they follow each other, by trial. cohorts, runs, queue, scorings,
    checkpoints: the sound ones; expected: by the name of each of these tables, the numbers that should be
    there.
    """

    study_id: int
    name: str
    created: datetime
    record: StudyRecord | None
    tally: Tally | None
    total: int = 0
    trials: dict[int, Trial] = field(default_factory=dict)
    ids: dict[int, int] = field(default_factory=dict)
    asked: dict[int, Trial] = field(default_factory=dict)
    segments: dict[int, list[Segment]] = field(default_factory=dict)
    cohorts: dict[int, Cohort] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    queue: dict[int, Queued] = field(default_factory=dict)
    scorings: dict[int, Scoring] = field(default_factory=dict)
    checkpoints: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    expected: dict[str, range] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)

    @property
    def whole(self) -> set[int]:
        """Numbers of the trials that are sound together with their curves."""
        return {
            number
            for number, trial in self.trials.items()
            if trial.epochs == sum(len(piece.curve) for piece in self.segments.get(number, ()))
        }


@dataclass(frozen=True)
class Audit:
    """What was found.

    shown: the URL, safe to show. studies: of hpsearch. others: names of those that are Optuna's alone, which
    nothing here can verify. damages: of the database itself, of no single study.
    """

    shown: str
    studies: list[Examined]
    others: list[str]
    damages: list[Damage]

    @property
    def sound(self) -> bool:
        return not self.damages and not any(study.damages for study in self.studies)


def audit(url: str) -> Audit:
    """Verify a whole database; tables of an older version are brought up to date first.

    Raises:
        StorageError: there is no such database, or it is another program's or a newer hpsearch's.
    """
    connector, bulk = Connector(url), True
    try:
        with Database.open(url) as database:
            bulk = database.bulk
        trouble = None
    except StorageError as error:
        if connector.path is None or connector.missing:
            raise
        trouble = error
    if connector.path is not None:
        source = FileSource(connector.path)
        try:
            if trouble is not None and not _is_ours(source):
                raise trouble
            found = _examined(source, connector.shown, bulk)
        finally:
            source.close()
    else:
        with connector.reading() as connection:
            found = _examined(SelectSource(connection), connector.shown, bulk)
        connector.close()
    if trouble is not None:
        found.damages.insert(0, Damage("", str(trouble)))
    return found


def _is_ours(source: Source) -> bool:
    """Whether a file that cannot be opened has studies of this version, as far as can be seen."""
    stored = [row[1] for row in source.rows(versions)]
    return any(True for _ in source.rows(studies)) and stored in ([], [VERSION])


def _examined(source: Source, shown: str, bulk: bool) -> Audit:
    """bulk: whether Optuna's tables are known; those of another revision are not looked at."""
    damages = [Damage("the file", text) for text in source.complaints()]
    own: dict[Any, dict[str, list[Values]]] = defaultdict(lambda: defaultdict(list))
    with reading.without_collecting():
        for table in _TABLES:
            for row in source.rows(table):
                own[row[0]][table.name].append(row)
        mirror = Mirror(source) if bulk else None
    found = []
    for study_id, rows_of in own.items():
        if not rows_of[studies.name]:
            there = ", ".join(f"{len(r)} in {name}" for name, r in rows_of.items() if r)
            damages.append(Damage("", f"rows of a study that has no record, {study_id!r}: {there}"))
        elif mirror is None or mirror.knows(study_id):  # otherwise Optuna's own commands have deleted it
            study = _examine(study_id, rows_of)
            if mirror is not None:
                study.damages += [Damage(*difference) for difference in _mirrored(study, mirror)]
            found.append(study)
    damages += [
        Damage(f"table {hole.table}" if hole.table else "", f"{hole.where} cannot be read: {hole.error}")
        for hole in source.holes
    ]
    names = {} if mirror is None else mirror.names()
    others = [str(name) for study_id, name in names.items() if not own[study_id][studies.name]]
    return Audit(shown, found, others, damages)


def _examine(study_id: int, found: dict[str, list[Values]]) -> Examined:
    """The study of own rows."""
    damages: list[Damage] = []
    _, name, text, created, _ = found[studies.name][0]
    if not _fits(rows.sound, found[studies.name][0]):
        damages.append(Damage("", f"its record {_MISFIT}"))
        text = None
    tally = None
    if len(found[tallies.name]) == 1 and _fits(rows.sound, found[tallies.name][0]):
        tally = rows.tally_of(found[tallies.name][0])
    else:
        damages.append(Damage("", f"its tally is missing or {_MISFIT}"))
    record = None if text is None else record_of(text, tally or Tally())
    study = Examined(study_id, str(name), created, record, tally, damages=damages)
    _examine_trials(study, found[trials.name])
    _examine_curves(study, found[curves.name])
    _examine_others(study, found)
    return study


def _examine_trials(study: Examined, found: Sequence[Values]) -> None:
    sound, torn = _parted(rows.sound, found)
    study.trials = {trial.number: trial for trial in rows.trials_of(sound)}
    study.ids = {row[1]: row[2] for row in sound}
    for row in torn:
        study.damages.append(Damage(_named("trial", row[1]), f"its row {_MISFIT}"))
        if _fits(rows.sound_asked, row):
            study.asked[row[1]] = Trial(row[1], row[3], json.loads(row[4]), started=time_of(row[5]))
    known = study.trials.keys() | study.asked.keys()
    study.total = max(known, default=-1) + 1 if study.tally is None else study.tally.trials
    missing = sorted(set(range(study.total)) - {row[1] for row in found})
    study.damages += [Damage(f"trial {number}", "its row is missing") for number in missing]
    for number in sorted(known - set(range(study.total))):
        study.damages.append(Damage(f"trial {number}", f"there should be {study.total} trials"))
    states = Counter(trial.state for trial in study.trials.values())
    if study.tally and not study.damages and +Counter(study.tally.counts) != states:
        study.damages.append(Damage("", "its trials are not in the states that its tally counts"))


def _examine_curves(study: Examined, found: Sequence[Values]) -> None:
    sound, torn = _parted(rows.sound_curve, found)
    study.damages += [
        Damage(_named("trial", row[1]), f"its curve from epoch {row[2]} {_MISFIT}") for row in torn
    ]
    pieces, named = defaultdict(list), {row[1] for row in torn}
    for row in sound:
        pieces[row[1]].append(row)
    known = study.trials.keys() | study.asked.keys()
    for number in sorted(pieces.keys() | known):
        ordered = sorted(pieces.get(number, ()), key=lambda row: row[2])
        whole = _leading(ordered)
        study.segments[number] = [reading.segment_of(row) for row in whole]
        reached = sum(row[3] for row in whole)
        trial = study.trials.get(number)
        if len(whole) < len(ordered) or (trial is not None and trial.epochs != reached):
            should = "" if trial is None else f" of {trial.epochs} epochs"
            if number not in named:
                what = f"expected a curve{should}; found {reached} epochs that follow each other"
                study.damages.append(Damage(f"trial {number}", what))
        elif number not in known and number >= study.total:
            study.damages.append(Damage(f"trial {number}", "it has a curve and no row"))


def _leading(ordered: Sequence[Values]) -> list[Values]:
    """Pieces of a curve from epoch 1 on, as far as they follow each other."""
    whole: list[Values] = []
    reached = 0
    for row in ordered:
        if row[2] != reached + 1:
            break
        whole.append(row)
        reached += row[3]
    return whole


def _examine_others(study: Examined, found: dict[str, list[Values]]) -> None:
    told = study.tally
    counted = (
        (cohorts, "cohort", 0, None if told is None else told.cohorts),
        (runs, "run", 1, None if told is None else told.runs),
        (queue, "queued point", 0, None if told is None else told.queued),
        (scorings, "scoring", 1, None if told is None else told.scorings),
    )
    good: dict[str, list[Values]] = {}
    for table, what, first, count in counted:
        good[table.name], torn = _parted(rows.sound, found[table.name])
        study.damages += [Damage(_named(what, row[1]), f"its row {_MISFIT}") for row in torn]
        numbers = {row[1] for row in good[table.name]}
        expected = range(first, max(numbers, default=first - 1) + 1 if count is None else first + count)
        study.expected[table.name] = expected
        missing = sorted(set(expected) - {row[1] for row in found[table.name]})
        study.damages += [Damage(f"{what} {number}", "its row is missing") for number in missing]
        for number in sorted(numbers - set(expected)):
            study.damages.append(Damage(f"{what} {number}", f"there should be {len(expected)} of them"))
    study.cohorts = {row[1]: reading.cohort_of(row) for row in good[cohorts.name]}
    study.runs = {row[1]: reading.run_of(row) for row in good[runs.name]}
    study.queue = {row[1]: reading.queued_of(row) for row in good[queue.name]}
    study.scorings = {row[1]: reading.scoring_of(row) for row in good[scorings.name]}
    sound, torn = _parted(rows.sound_checkpoint, found[checkpoints.name])
    study.damages += [Damage(_named("trial", row[1]), f"its checkpoint {_MISFIT}") for row in torn]
    for row in sound:
        trial = study.trials.get(row[1])
        if trial is None or trial.state.finished or row[2] > trial.epochs:
            study.damages.append(Damage(f"trial {row[1]}", "it has a checkpoint, and is not that far"))
        else:
            study.checkpoints[row[1]] = row[2], row[3]


def _mirrored(study: Examined, mirror: Mirror) -> Iterator[tuple[str, str]]:
    """(what, how it is) of differences between a study's sound rows and Optuna's tables."""
    if study.record is None:
        return
    try:
        target = target_of(study.study_id, study.record)
    except HpsearchError as error:
        yield "", f"its settings cannot be read: {error}"
        return
    yield from mirror.of_study(target, study.record)
    whole = (
        (study.trials[number], study.ids[number], study.segments[number]) for number in sorted(study.whole)
    )
    yield from mirror.of_trials(target, whole, study.total)


def _parted(check: Callable[[Values], bool], found: Sequence[Values]) -> tuple[list[Values], list[Values]]:
    """Sound rows, and the others."""
    parted: tuple[list[Values], list[Values]] = [], []
    for row in found:
        parted[not _fits(check, row)].append(row)
    return parted


def _fits(check: Callable[[Values], bool], row: Values) -> bool:
    """Whether a row is sound; values that are not even of their column's type are not."""
    try:
        return check(row)
    except (TypeError, ValueError, AttributeError):
        return False


def _named(what: str, number: Any) -> str:
    return f"{what} {number}" if isinstance(number, int) else f"a {what} without a number"
