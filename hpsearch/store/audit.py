"""Check every row of a database: is it sound, is any missing, do Optuna's tables agree?"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from hpsearch.errors import HpsearchError, StorageError, plural
from hpsearch.records import Segment, StudyRecord, Trial, time_of
from hpsearch.store import reading, rows
from hpsearch.store.connection import Connector
from hpsearch.store.database import Database
from hpsearch.store.ddl import VERSION, Tally, checkpoints, curves, studies, tallies, trials, versions
from hpsearch.store.optuna_tables import (
    optuna_attributes,
    optuna_directions,
    optuna_intermediate,
    optuna_params,
    optuna_studies,
    optuna_study_attributes,
    optuna_trials,
    optuna_values,
)
from hpsearch.store.reading import KINDS, MISFIT, Kind, T
from hpsearch.store.rescue import FileSource, SelectSource, Source, Values
from hpsearch.store.study import target_of
from hpsearch.store.writing import Target

_TABLES = (studies, tallies, trials, curves, *(kind.table for kind in KINDS), checkpoints)


@dataclass(frozen=True)
class Damage:
    """Something damaged. what: part of the study, such as "trial 3"; "" for the study itself."""

    what: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: {self.found}" if self.what else self.found


@dataclass
class Examined:
    """A study: what is sound, and what is damaged.

    record, tally: None if damaged. total: how many trials there should be. trials: sound ones, by number.
    ids: Optuna's ids of these. asked: trials of which only the request is sound, not the outcome. segments:
    by trial, sound pieces of its curve from epoch 1 up to the first gap. found: by kind, the numbers that
    should be there, and the sound ones by number. checkpoints: sound ones, by trial.
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
    found: dict[Kind[Any], tuple[range, dict[int, Any]]] = field(default_factory=dict)
    checkpoints: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)

    def numbered(self, kind: Kind[T]) -> list[tuple[int, T | None]]:
        """Every number that should be there, with what is stored under it; None if damaged."""
        numbers, sound = self.found[kind]
        return [(number, sound.get(number)) for number in numbers]

    @property
    def whole(self) -> set[int]:
        """Numbers of the trials that are sound, along with their curves."""
        return {
            number
            for number, trial in self.trials.items()
            if trial.epochs == sum(len(piece.curve) for piece in self.segments.get(number, ()))
        }


@dataclass(frozen=True)
class Audit:
    """The state of a database.

    shown: the URL, safe to print. studies: of hpsearch. others: names of plain Optuna studies, which nothing
    here can verify. damages: of the database itself, not of a single study.
    """

    shown: str
    studies: list[Examined]
    others: list[str]
    damages: list[Damage]

    @property
    def sound(self) -> bool:
        return not self.damages and not any(study.damages for study in self.studies)


def audit(url: str) -> Audit:
    """Verify a whole database, after upgrading own tables of an older version.

    Raises:
        StorageError: there is no such database, or it belongs to another program or a newer hpsearch.
    """
    connector, bulk = Connector(url), True
    try:
        with Database.open(url) as database:
            bulk = database.bulk
        trouble = None
    except StorageError as error:
        if connector.path is None or not os.path.isfile(connector.path):
            raise
        trouble = error
    if connector.path is not None:
        source = FileSource(connector.path)
        try:
            if trouble is not None:
                # Salvageable only if it visibly has studies of this version.
                stored = [row[1] for row in source.rows(versions)]
                if not any(True for _ in source.rows(studies)) or stored not in ([], [VERSION]):
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


def _examined(source: Source, shown: str, bulk: bool) -> Audit:
    """bulk: whether Optuna's tables are of the known revision; others are not checked."""
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
            damages.append(Damage("", f"rows without a study, {study_id!r}: {there}"))
        elif mirror is None or mirror.knows(study_id):  # otherwise Optuna's own commands deleted it
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
    damages: list[Damage] = []
    _, name, _, created, _ = found[studies.name][0]
    tally = None
    if len(found[tallies.name]) == 1:
        tally = _made(_sound(tallies, rows.tally_of), found[tallies.name][0])
    of_row = _sound(studies, lambda row: rows.record_of(row[2], tally or Tally()))
    if (record := _made(of_row, found[studies.name][0])) is None:
        damages.append(Damage("", f"its record {MISFIT}"))
    if tally is None:
        damages.append(Damage("", f"its tally is missing or {MISFIT}"))
    study = Examined(study_id, str(name), created, record, tally, damages=damages)
    _examine_trials(study, found[trials.name])
    _examine_curves(study, found[curves.name])
    _examine_others(study, found)
    return study


def _examine_trials(study: Examined, found: Sequence[Values]) -> None:
    sound, torn = _parted(_sound(trials, lambda row: rows.trials_of([row])[0]), found)
    study.trials = {trial.number: trial for _, trial in sound}
    study.ids = {row[1]: row[2] for row, _ in sound}
    for row in torn:
        study.damages.append(Damage(_named("trial", row[1]), f"its row {MISFIT}"))
        if (asked := _made(_asked, row)) is not None:
            study.asked[row[1]] = asked
    known = study.trials.keys() | study.asked.keys()
    study.total = max(known, default=-1) + 1 if study.tally is None else study.tally.trials
    missing = sorted(set(range(study.total)) - {row[1] for row in found})
    study.damages += [Damage(f"trial {number}", "its row is missing") for number in missing]
    for number in sorted(known - set(range(study.total))):
        study.damages.append(
            Damage(f"trial {number}", f"the study should have {plural(study.total, 'trial')}")
        )
    states = Counter(trial.state for trial in study.trials.values())
    if study.tally and not study.damages and +Counter(study.tally.counts) != states:
        study.damages.append(Damage("", "its trials are not in the states that its tally counts"))


def _examine_curves(study: Examined, found: Sequence[Values]) -> None:
    sound, torn = _parted(_sound_curve, found)
    study.damages += [
        Damage(_named("trial", row[1]), f"its curve from epoch {row[2]} {MISFIT}") for row in torn
    ]
    pieces, named = defaultdict(list), {row[1] for row in torn}
    for row, segment in sound:
        pieces[row[1]].append(segment)
    known = study.trials.keys() | study.asked.keys()
    for number in sorted(pieces.keys() | known):
        ordered = sorted(pieces.get(number, ()), key=lambda piece: piece.first_epoch)
        whole, reached = list[Segment](), 0
        for piece in ordered:
            if piece.first_epoch != reached + 1:
                break
            whole.append(piece)
            reached = piece.last_epoch
        study.segments[number] = whole
        trial = study.trials.get(number)
        if len(whole) < len(ordered) or (trial is not None and trial.epochs != reached):
            should = "" if trial is None else f" of {trial.epochs} epochs"
            if number not in named:
                what = f"expected a curve{should}; found {reached} epochs without a gap"
                study.damages.append(Damage(f"trial {number}", what))
        elif number not in known and number >= study.total:
            study.damages.append(Damage(f"trial {number}", "it has a curve but no row"))


def _examine_others(study: Examined, found: dict[str, list[Values]]) -> None:
    for kind in KINDS:
        stored = found[kind.table.name]
        sound, torn = _parted(_sound(kind.table, kind.make), stored)
        study.damages += [Damage(_named(kind.what, row[1]), f"its row {MISFIT}") for row in torn]
        numbers = {row[1] for row, _ in sound}
        if study.tally is None:
            expected = range(kind.first, max(numbers, default=kind.first - 1) + 1)
        else:
            expected = kind.numbers(study.tally)
        study.found[kind] = expected, {row[1]: made for row, made in sound}
        for number in sorted(set(expected) - {row[1] for row in stored}):
            study.damages.append(Damage(f"{kind.what} {number}", "its row is missing"))
        for number in sorted(numbers - set(expected)):
            should = f"the study should have {plural(len(expected), kind.what)}"
            study.damages.append(Damage(f"{kind.what} {number}", should))
    sound, torn = _parted(_sound_checkpoint, found[checkpoints.name])
    study.damages += [Damage(_named("trial", row[1]), f"its checkpoint {MISFIT}") for row in torn]
    for row, _ in sound:
        trial = study.trials.get(row[1])
        if trial is None or trial.state.finished or row[2] > trial.epochs:
            study.damages.append(Damage(f"trial {row[1]}", "its checkpoint is ahead of its epochs"))
        else:
            study.checkpoints[row[1]] = row[2], row[3]


def _mirrored(study: Examined, mirror: Mirror) -> Iterator[tuple[str, str]]:
    """Differences between a study's sound rows and Optuna's tables, as fields of Damage."""
    if study.record is None:
        return
    try:
        target = target_of(study.study_id, study.record)
    except HpsearchError as error:
        yield "", f"its settings are unreadable: {error}"
        return
    yield from mirror.of_study(target, study.record)
    whole = (
        (study.trials[number], study.ids[number], study.segments[number]) for number in sorted(study.whole)
    )
    yield from mirror.of_trials(target, whole, study.total)


Make = Callable[[Values], Any]
"""Makes what a row holds; raises where the row is damaged."""


def _sound(table: sa.Table, make: Make) -> Make:
    """A `make` that checks the checksum first."""

    def checked(row: Values) -> Any:
        if not rows.sound(table, row):
            raise ValueError(MISFIT)
        return make(row)

    return checked


def _sound_curve(row: Values) -> Segment:
    if not rows.sound_curve(row):
        raise ValueError(MISFIT)
    return reading.segment_of(row)


def _sound_checkpoint(row: Values) -> tuple[int, bytes]:
    if not rows.sound_checkpoint(row):
        raise ValueError(MISFIT)
    return row[2], row[3]


def _asked(row: Values) -> Trial:
    """What was asked for, of a trial whose outcome is damaged."""
    if not rows.sound_asked(row):
        raise ValueError(MISFIT)
    return Trial(row[1], row[3], json.loads(row[4]), started=time_of(row[5]))


def _made(make: Make, row: Values) -> Any:
    """What a row holds; None if it is damaged, also by values of the wrong type for their column."""
    try:
        return make(row)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError):
        return None


def _parted(make: Make, found: Sequence[Values]) -> tuple[list[tuple[Values, Any]], list[Values]]:
    """Sound rows with what they hold, and damaged ones."""
    sound, torn = list[tuple[Values, Any]](), list[Values]()
    for row in found:
        made = _made(make, row)
        if made is None:
            torn.append(row)
        else:
            sound.append((row, made))
    return sound, torn


def _named(what: str, number: Any) -> str:
    return f"{what} {number}" if isinstance(number, int) else f"a {what} without a number"


# -- Optuna's tables ------------------------------------------------------------------------------

_Grouped = dict[Any, list[Values]]


class Mirror:
    """All rows of Optuna's tables that mirror own ones; attributes that users add do not count."""

    def __init__(self, source: Source) -> None:
        self._studies = _grouped(source, optuna_studies, "study_id", "study_name")
        self._directions = _grouped(source, optuna_directions, "study_id", "objective", "direction")
        self._attributes = _grouped(source, optuna_study_attributes, "study_id", "key", "value_json")
        trial = "number", "trial_id", "state", "datetime_start", "datetime_complete"
        self._trials = _grouped(source, optuna_trials, "study_id", *trial)
        param = "param_name", "param_value", "distribution_json"
        self._params = _grouped(source, optuna_params, "trial_id", *param)
        self._values = _grouped(source, optuna_values, "trial_id", "objective", "value", "value_type")
        step = "step", "intermediate_value", "intermediate_value_type"
        self._steps = _grouped(source, optuna_intermediate, "trial_id", *step)
        self._told = _grouped(source, optuna_attributes, "trial_id", "key", "value_json")

    def knows(self, study_id: int) -> bool:
        """Whether anything of a study is there; if not, Optuna's own commands deleted it."""
        return study_id in self._studies or study_id in self._trials

    def names(self) -> dict[Any, Any]:
        """Names of all studies by number, plain Optuna studies included."""
        return {study_id: found[0][0] for study_id, found in self._studies.items()}

    def of_study(self, target: Target, record: StudyRecord) -> Iterator[tuple[str, str]]:
        """Differences in the study itself."""
        if self._studies.get(target.study_id) != [(record.name,)]:
            yield "", _otherwise("name")
        ways = enumerate(way.name for way in rows.directions(record))
        if not _same(self._directions.get(target.study_id), ways):
            yield "", _otherwise("directions")
        names = rows.METRIC_NAMES, json.dumps(rows.metric_names(record))
        if names not in self._attributes.get(target.study_id, ()):
            yield "", _otherwise("metric names")

    def of_trials(
        self, target: Target, trials: Iterable[tuple[Trial, int, Sequence[Segment]]], total: int
    ) -> Iterator[tuple[str, str]]:
        """Differences in trials, given with Optuna's trial_ids and their pieces of curves."""
        found = defaultdict(list)
        for number, *row in self._trials.get(target.study_id, ()):
            found[number].append(tuple(row))
        for trial, trial_id, segments in trials:
            rows_of = found[trial.number]
            # Own rows have 0 where Optuna's public calls created the trial.
            if len(rows_of) != 1 or trial_id not in (0, rows_of[0][0]):
                yield f"trial {trial.number}", f"Optuna's tables have {len(rows_of)} of it, or another one"
                continue
            for what in self._differing(target, trial, rows_of[0], segments):
                yield f"trial {trial.number}", _otherwise(what)
        for number, rows_of in found.items():
            if rows_of and not (isinstance(number, int) and 0 <= number < total):
                yield f"trial {number}", "only Optuna's tables have it"

    def _differing(
        self, target: Target, trial: Trial, found: Values, segments: Sequence[Segment]
    ) -> Iterator[str]:
        """What of a trial differs; found: its row, from the trial_id on."""
        trial_id, ended = found[0], trial.finished
        if found[1:] != (
            rows.OPTUNA_STATE[trial.state].name,
            rows.optuna_time(rows.stored_time(trial.started)),
            None if ended is None else rows.optuna_time(rows.stored_time(ended)),
        ):
            yield "state or times"
        try:
            _, params = rows.known_params(target.name, "", trial.params, target.distributions)
            values = rows.optuna_values_of(target.name, trial, target.objectives)
        except HpsearchError:
            yield "hyper-parameters than the study's space"
            return
        stored = ((name, value, _canonical(text)) for name, value, text in self._params.get(trial_id, ()))
        if not _same(stored, ((name, value, _canonical(text)) for name, value, text in params)):
            yield "hyper-parameters"
        expected = ((place, value, kind.name) for place, (value, kind) in enumerate(values))
        if not _same(self._values.get(trial_id), expected):
            yield "values"
        steps = (
            (epoch, value, kind.name)
            for segment in segments
            for epoch, value, kind in rows.intermediate_values(target.kept, segment)
        )
        if not _same(self._steps.get(trial_id), steps):
            yield "intermediate values"
        told = rows.attributes(trial).items() if trial.state.finished else ()
        if not {(key, json.dumps(value)) for key, value in told} <= set(self._told.get(trial_id, ())):
            yield "attributes"


def _same(found: Iterable[Values] | None, expected: Iterable[Values]) -> bool:
    """Whether the same rows are there, in any order."""
    return Counter(found or ()) == Counter(expected)


def _otherwise(what: str) -> str:
    return f"Optuna's tables have other {what}"


@lru_cache(maxsize=1024)
def _canonical(text: str) -> str:
    """JSON with sorted keys; other text unchanged."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (TypeError, ValueError):
        return text


def _grouped(source: Source, table: Any, key: str, *columns: str) -> _Grouped:
    """Values of some columns, by that of `key`."""
    names = [column.name for column in table.columns]
    at, places = names.index(key), [names.index(name) for name in columns]
    grouped: _Grouped = defaultdict(list)
    for row in source.rows(table):
        grouped[row[at]].append(tuple(row[place] for place in places))
    return dict(grouped)
