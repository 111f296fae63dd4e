"""Studies, trials and all that belongs to them as rows: the values of the columns, and their checksums.

Each function `…_row` returns a row of an own table by column; the checksum covers all other columns.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState
from pydantic import BaseModel, TypeAdapter

from hpsearch.errors import StorageError
from hpsearch.records import (
    CURVE_COLUMNS,
    VALID_METRIC,
    Cohort,
    FloatArray,
    Params,
    Scoring,
    Segment,
    State,
    StudyRecord,
    Task,
    Trial,
    Trials,
    microseconds,
    time_of,
)
from hpsearch.store.ddl import (
    CHECKED,
    OF_STUDY,
    Tally,
    checkpoints,
    checksum,
    cohorts,
    curves,
    queue,
    runs,
    scorings,
    studies,
    tallies,
    trials,
)
from hpsearch.store.optuna_tables import stored_intermediate, stored_value

OPTUNA_STATE = {
    State.RUNNING: TrialState.RUNNING,
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
}

MOST_EPOCHS = 20
SPREAD_EPOCHS = 10
"""Intermediate values that a trial gets in Optuna's tables; its whole curve is in own ones."""

MOST_ROWS = 10_000_000
"""Of a kind in a study; a tally that counts more is damaged, and would be searched for rows without end."""

METRIC_NAMES = "study:metric_names"
"""Optuna's attribute for the names of a study's values."""

ParamRow = tuple[str, float, str]
"""Name, Optuna's number for the value, and the distribution as JSON."""

Distributions = Mapping[str, tuple[BaseDistribution, str]]
"""Distribution and its JSON by hyper-parameter."""


# -- values ----------------------------------------------------------------------------------------


def plain(number: float) -> float:
    """The number with −0 as 0: SQLite drops the sign."""
    return float(number) + 0.0


def number_text(number: float | None) -> str | None:
    """A float as text that reads back exactly."""
    return None if number is None else repr(float(number))


def stored_time(time: datetime | None) -> int:
    """A time in own tables: microseconds since 1970; now, if there is none."""
    return microseconds(time or datetime.now(UTC))


def optuna_time(stored: int) -> datetime:
    """The time of `stored_time` in Optuna's tables: naive UTC."""
    return time_of(stored).replace(tzinfo=None)


def compact(value: Any) -> str:
    """The value as JSON without spaces; floats read back exactly."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- rows of own tables ----------------------------------------------------------------------------


_COLUMNS = {table: table.columns.keys() for table in OF_STUDY}


def _sealed(table: sa.Table, fields: tuple[Any, ...], data: bytes | None = None) -> dict[str, Any]:
    """A row of a table with its checksum; `data` has a column of its own behind the fields."""
    values = fields if data is None else (*fields, data)
    return dict(zip(_COLUMNS[table], (*values, checksum(fields, data or b"")), strict=True))


def study_row(study_id: int, record: StudyRecord, created: datetime) -> dict[str, Any]:
    """A study; `created` is naive UTC."""
    fields = asdict(record)
    del fields["seconds"]  # they are in the tally
    return _sealed(studies, (study_id, record.name, compact(fields), created))


_TRIAL = _COLUMNS[trials]
_ASKED = _TRIAL.index("asked_checksum") + 1


def asked_row(study_id: int, trial_id: int, trial: Trial, params: Params, started: int) -> dict[str, Any]:
    """The columns of a trial that never change. params: as `known_params` returns them."""
    fields = study_id, int(trial.number), trial_id, int(trial.cohort), compact(params), started
    return dict(zip(_TRIAL[:_ASKED], (*fields, checksum(fields)), strict=True))


def outcome_row(asked: Sequence[Any], trial: Trial, finished: int | None) -> dict[str, Any]:
    """The other columns of a trial; their checksum covers the whole row. asked: values of `asked_row`."""
    fields = (
        str(trial.state),
        int(trial.epochs),
        number_text(trial.value),
        number_text(trial.loss),
        None if trial.best_epoch is None else int(trial.best_epoch),
        trial.reason,
        finished,
        compact([float(value) for value in trial.others]) if trial.others else None,
    )
    return dict(zip(_TRIAL[_ASKED:], (*fields, checksum((*asked, *fields))), strict=True))


def curve_row(study_id: int, segment: Segment) -> dict[str, Any]:
    """A piece of a curve."""
    fields = (
        study_id,
        int(segment.trial),
        int(segment.first_epoch),
        len(segment.curve),
        segment.curve.shape[1],
        int(segment.cohort),
        int(segment.run),
        int(segment.lane),
        int(segment.width),
        plain(segment.seconds),
    )
    return _sealed(curves, fields, curve_bytes(segment.curve))


def curve_bytes(curve: np.ndarray) -> bytes:
    """Losses and metrics as float64, epoch by epoch; then the shares of dead units.

    The shares are float32 where that is exact, as for anything that training produces; the length tells.
    """
    count = len(CURVE_COLUMNS)
    data = curve[:, :count].astype("<f8", order="C").tobytes()
    if curve.shape[1] == count:
        return data
    dead = curve[:, count:].astype("<f8", order="C").tobytes()
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.frombuffer(dead, "<f8").astype("<f4")
        exact = narrow.astype("<f8").tobytes() == dead
    return data + (narrow.tobytes() if exact else dead)


def curve_of(row: Sequence[Any]) -> FloatArray:
    """[epochs, columns] of a sound curve row."""
    epochs, columns, data = row[3], row[4], row[10]
    count = len(CURVE_COLUMNS)
    main = np.frombuffer(data, "<f8", epochs * count).reshape(epochs, count)
    dead = data[main.nbytes :]
    kind = "<f4" if len(dead) == 4 * epochs * (columns - count) else "<f8"
    return np.hstack([main, np.frombuffer(dead, kind).reshape(epochs, columns - count)], dtype=np.float64)


def cohort_row(study_id: int, cohort: Cohort) -> dict[str, Any]:
    """A cohort."""
    lanes = [[int(number), int(before), int(reach)] for number, (before, reach) in cohort.lanes.items()]
    return _sealed(cohorts, (study_id, int(cohort.number), compact(lanes)))


def run_row(study_id: int, number: int, provenance: Mapping[str, Any], begun: int) -> dict[str, Any]:
    """A run."""
    return _sealed(runs, (study_id, number, compact(provenance), begun))


def queue_row(study_id: int, position: int, params: Params, trial: int | None) -> dict[str, Any]:
    """A queued point, waiting or already a trial."""
    return _sealed(queue, (study_id, position, compact(params), trial))


def scoring_row(study_id: int, scoring: Scoring) -> dict[str, Any]:
    """A scoring on held-out rows."""
    about, done = compact(scoring.about), stored_time(scoring.when)
    return _sealed(scorings, (study_id, scoring.number, scoring.purpose, about, scoring.data, done))


def checkpoint_row(study_id: int, number: int, epoch: int, data: bytes) -> dict[str, Any]:
    """Weights of a running trial."""
    return _sealed(checkpoints, (study_id, int(number), int(epoch)), data)


def tally_row(study_id: int, tally: Tally) -> dict[str, Any]:
    """A tally."""
    own = {**vars(tally), "seconds": plain(tally.seconds), "best": number_text(tally.best)}
    return _sealed(tallies, (study_id, *own.values()))


# -- rows of Optuna's tables -----------------------------------------------------------------------


def directions(record: StudyRecord) -> list[StudyDirection]:
    """Of the metric and the further objectives, which are all minimized."""
    return [StudyDirection[record.direction.upper()], *(StudyDirection.MINIMIZE for _ in record.objectives)]


def metric_names(record: StudyRecord) -> list[str]:
    """The value of the attribute METRIC_NAMES."""
    return [record.metric, *record.objectives]


def kept_epochs(epochs: int) -> frozenset[int]:
    """The epochs whose validation metric goes into Optuna's tables, for trials of at most `epochs` epochs.

    Up to 20 epochs, all of them; beyond, ten spaced logarithmically from first to last. `kept_metrics` adds
    the last epoch of each piece of a curve, so that a stopped trial keeps its last value.
    """
    if epochs <= MOST_EPOCHS:
        return frozenset(range(1, epochs + 1))
    return frozenset(np.geomspace(1, epochs, SPREAD_EPOCHS).round().astype(int).tolist())


def known_params(
    study: str, what: str, params: Params, distributions: Distributions
) -> tuple[Params, list[ParamRow]]:
    """Parameters as they read back, and as Optuna stores them, both in the given order.

    what: whose they are, for messages.

    Raises:
        StorageError: a value is outside its distribution, so it would read back changed.
    """
    known, rows = {}, []
    for name, value in params.items():
        if name not in distributions:
            searched = ", ".join(distributions) or "none"
            raise StorageError(
                f'study "{study}", {what}: expected the searched hyper-parameters ({searched}); found {name}'
            )
        distribution, text = distributions[name]
        try:
            number = plain(distribution.to_internal_repr(value))
            back = distribution.to_external_repr(number)
            comes_back = back == value
        except (ValueError, TypeError, OverflowError):
            comes_back = False
        if not comes_back:
            raise StorageError(
                f'study "{study}", {what}: {name}: expected a value of {distribution}; found {value!r}'
            )
        known[name] = back
        rows.append((name, number, text))
    return known, rows


def optuna_values_of(study: str, trial: Trial, objectives: int) -> list[tuple[float | None, Any]]:
    """The columns of the trial's values in Optuna's table, metric first; none if the trial has no value.

    objectives: number of further objectives.

    Raises:
        StorageError: the trial is complete and lacks a value, which Optuna cannot represent.
    """
    values = [trial.value, *trial.others]
    missing = len(values) <= objectives or any(value is None or math.isnan(value) for value in values)
    if trial.state is State.COMPLETE and missing:
        raise StorageError(
            f'study "{study}", trial {trial.number}: expected a complete trial to have a value'
            f"{' in each objective' if objectives else ''}; found {', '.join(map(str, values))}"
        )
    if trial.state not in (State.COMPLETE, State.PRUNED) or missing:
        return []
    return [stored_value(plain(value)) for value in values if value is not None]


def intermediate_values(kept: frozenset[int], segment: Segment) -> Iterator[tuple[int, float | None, Any]]:
    """Step and columns of a curve's intermediate values in Optuna's tables. kept: from `kept_epochs`."""
    for epoch, metric in kept_metrics(kept, segment):
        yield epoch, *stored_intermediate(metric)


def kept_metrics(kept: frozenset[int], segment: Segment) -> Iterator[tuple[int, float]]:
    """Kept epochs of a piece of a curve, its last one included, with their validation metrics."""
    for epoch, metric in enumerate(segment.curve[:, VALID_METRIC].tolist(), start=segment.first_epoch):
        if epoch in kept or epoch == segment.last_epoch:
            yield epoch, metric


def attributes(trial: Trial) -> dict[str, Any]:
    """User attributes of a finished trial in Optuna's tables."""
    told = {"epochs": trial.epochs, "best_epoch": trial.best_epoch, "reason": trial.reason}
    return {key: value for key, value in told.items() if value is not None}


# -- rows read back --------------------------------------------------------------------------------


_STATES = {str(state): state for state in State}


def trials_of(rows: Sequence[Sequence[Any]]) -> Trials:
    """The trials of sound rows with all their columns."""
    columns = list(zip(*rows, strict=True)) or [()] * len(_TRIAL)
    _, number, _, cohort, params, started, _, state, epochs = columns[:9]
    value, loss, best_epoch, reason, finished, others, _ = columns[9:]
    points = json.loads(f"[{','.join(params)}]")  # in one go, which is several times faster
    if len(points) != len(rows) or not {dict}.issuperset(map(type, points)):
        raise ValueError("hyper-parameters that are no table")
    for times in (started, [time for time in finished if time is not None]):
        if times:  # they are made when first asked for: too late to say that the row is damaged
            time_of(min(times))
            time_of(max(times))
    return Trials(
        number=number,
        cohort=cohort,
        params=points,
        state=[_STATES[each] for each in state],
        epochs=epochs,
        value=[None if each is None else float(each) for each in value],
        loss=[None if each is None else float(each) for each in loss],
        best_epoch=best_epoch,
        reason=reason,
        started=started,
        finished=finished,
        others=[() if each is None else tuple(map(float, json.loads(each))) for each in others],
        weights=[None] * len(number),
    )


def tally_of(row: Sequence[Any]) -> Tally:
    """The tally of a sound row.

    Raises:
        ValueError: it counts less than none, more than any study has, or its best value is no number.
    """
    values = dict(zip(Tally.__dataclass_fields__, row[1:-1], strict=True))
    best = values["best"]
    if not all(0 <= value <= MOST_ROWS for name, value in values.items() if name not in ("best", "seconds")):
        raise ValueError(f"expected 0 to {MOST_ROWS:,} of each; found {values}")
    return Tally(**{**values, "best": None if best is None else float(best)})


class _Look(BaseModel):
    purpose: str
    trials: int
    seeds: int


class _Parent(BaseModel):
    """What a fork knows of the study that it was copied from."""

    study: str
    trials: list[int]
    weights: list[int] = []
    scorings: list[_Look] = []


_RECORD = TypeAdapter(StudyRecord)


def record_of(text: str, tally: Tally) -> StudyRecord:
    """The study record of its column.

    Raises:
        ValueError: it is not as hpsearch writes it.
    """
    checked = _RECORD.validate_json(text, strict=True)
    tables = (part if isinstance(part, list) else [part] for part in checked.document.values())
    if not all(isinstance(each, dict) for part in tables for each in part):
        raise ValueError("a section of the study file is no table")
    if checked.direction not in ("minimize", "maximize") or checked.task not in {*Task}:
        raise ValueError(f"no direction or task: {checked.direction}, {checked.task}")
    return StudyRecord(**{**json.loads(text), "objectives": checked.objectives}, seconds=tally.seconds)


def _types(column: sa.Column[Any]) -> frozenset[type]:
    """The types of its values."""
    kind = column.type.python_type
    return frozenset((kind, type(None)) if column.nullable else (kind,))


_TYPES = {table: tuple(map(_types, table.columns)) for table in OF_STUDY}


def _mistyped(table: sa.Table, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Rows with a value that is not of its column's type: SQLite keeps any value in any column."""
    types, columns = _TYPES[table], list(zip(*rows, strict=True))
    if not rows or all(
        known.issuperset(map(type, column)) for known, column in zip(types, columns, strict=True)
    ):
        return []
    return [
        row for row in rows if any(type(value) not in known for known, value in zip(types, row, strict=True))
    ]


def sound_asked(row: Sequence[Any]) -> bool:
    """Whether the columns of `asked_row` in a trial's row match their checksum and types."""
    typed = all(type(value) in known for known, value in zip(_TYPES[trials], row[:_ASKED], strict=False))
    return typed and checksum(tuple(row[:6])) == row[6]


def sound_curve(row: Sequence[Any]) -> bool:
    """Whether a curve's row matches its checksum."""
    return not torn_curves([row])


def sound_checkpoint(row: Sequence[Any]) -> bool:
    """Whether a checkpoint's row matches its checksum."""
    return bool(checksum(tuple(row[:3]), row[3]) == row[4]) and not _mistyped(checkpoints, [row])


def sound(table: sa.Table, row: Sequence[Any]) -> bool:
    """Whether a row of any other own table matches its checksum, which is its last column, and its types."""
    return not torn(table, [row])


def torn(table: sa.Table, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Rows that do not match the checksum in their last column, or the types of the columns.

    Written out: each call costs, times many.
    """
    blake2b = hashlib.blake2b
    return [
        row
        for row in rows
        if blake2b(repr(tuple(row[:-1])).encode(), digest_size=CHECKED).digest() != row[-1]
    ] or _mistyped(table, rows)


def torn_curves(rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Rows of curves that do not match their checksum, the types of the columns, or their own size."""
    blake2b, count = hashlib.blake2b, len(CURVE_COLUMNS)
    return (
        [
            row
            for row in rows
            if blake2b(repr(tuple(row[:10])).encode() + row[10], digest_size=CHECKED).digest() != row[11]
        ]
        or _mistyped(curves, rows)
        or [
            row
            for row in rows
            if row[3] < 1
            or row[4] < count
            or len(row[10]) - 8 * count * row[3] not in (each * row[3] * (row[4] - count) for each in (4, 8))
        ]
    )
