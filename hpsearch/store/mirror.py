"""Optuna's tables held against own rows: they should tell Optuna's tools the same."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from optuna.study import StudyDirection

from hpsearch.errors import HpsearchError
from hpsearch.records import Segment, StudyRecord, Trial
from hpsearch.store import rows
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
from hpsearch.store.rescue import Source, Values
from hpsearch.store.writing import Target

Difference = tuple[str, str]
"""(what of a study, how it is)"""

_Grouped = dict[Any, list[Values]]


class Mirror:
    """All rows of Optuna's tables that mirror own ones. Attributes that its users add are theirs."""

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
        """Whether there is anything of a study; if not, Optuna's own commands have deleted it."""
        return study_id in self._studies or study_id in self._trials

    def names(self) -> dict[Any, Any]:
        """Names of all studies by number, those of Optuna alone included."""
        return {study_id: found[0][0] for study_id, found in self._studies.items()}

    def of_study(self, target: Target, record: StudyRecord) -> Iterator[Difference]:
        """What is said otherwise of the study itself."""
        if self._studies.get(target.study_id) != [(record.name,)]:
            yield "", _otherwise("name")
        ways = [record.direction.upper(), *(StudyDirection.MINIMIZE.name for _ in record.objectives)]
        if not _same(self._directions.get(target.study_id), enumerate(ways)):
            yield "", _otherwise("directions")
        names = "study:metric_names", json.dumps([record.metric, *record.objectives])
        if names not in self._attributes.get(target.study_id, ()):
            yield "", _otherwise("names of metrics")

    def of_trials(
        self, target: Target, trials: Iterable[tuple[Trial, int, Sequence[Segment]]], total: int
    ) -> Iterator[Difference]:
        """What is said otherwise of trials, given with Optuna's trial_ids and their pieces of curves."""
        found = defaultdict(list)
        for number, *row in self._trials.get(target.study_id, ()):
            found[number].append(tuple(row))
        for trial, trial_id, segments in trials:
            rows_of = found[trial.number]
            # Own rows have 0 where Optuna's public calls have made the trial.
            if len(rows_of) != 1 or trial_id not in (0, rows_of[0][0]):
                yield f"trial {trial.number}", f"Optuna's tables have {len(rows_of)} of it, or another"
                continue
            for what in self._differing(target, trial, rows_of[0], segments):
                yield f"trial {trial.number}", _otherwise(what)
        for number, rows_of in found.items():
            if rows_of and not (isinstance(number, int) and 0 <= number < total):
                yield f"trial {number}", "only Optuna's tables have it"

    def _differing(
        self, target: Target, trial: Trial, found: Values, segments: Sequence[Segment]
    ) -> Iterator[str]:
        """What of a trial is said otherwise; found: its row, from the trial_id on."""
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
    """Whether the same rows are there, in any order; to SQLite, -0 is 0."""
    return Counter(found or ()) == Counter(expected)


def _otherwise(what: str) -> str:
    return f"Optuna's tables have other {what}"


@lru_cache(maxsize=1024)
def _canonical(text: str) -> str:
    """JSON in one of its spellings; what is none stays as it is."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (TypeError, ValueError):
        return text


def _grouped(source: Source, table: Any, key: str, *columns: str) -> _Grouped:
    """Values of some columns, by that of the first."""
    names = [column.name for column in table.columns]
    at, places = names.index(key), [names.index(name) for name in columns]
    grouped: _Grouped = defaultdict(list)
    for row in source.rows(table):
        grouped[row[at]].append(tuple(row[place] for place in places))
    return dict(grouped)
