"""Trials and what belongs to them as rows: what stands in the columns, and the checksums over them.

Each function `…_row` gives a row of an own table by column; the checksum is over all other columns.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from hpsearch.errors import StorageError
from hpsearch.records import (
    CURVE_COLUMNS,
    VALID_METRIC,
    Cohort,
    FloatArray,
    Params,
    Segment,
    State,
    Trial,
    Trials,
    microseconds,
    time_of,
)
from hpsearch.store.optuna_tables import stored_intermediate, stored_value
from hpsearch.store.schema import CHECKED, Tally, checksum

OPTUNA_STATE = {
    State.RUNNING: TrialState.RUNNING,
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
}
STATE = {state.name: own for own, state in OPTUNA_STATE.items()}
"""Own states by the names of Optuna's."""

MOST_EPOCHS = 20
SPREAD_EPOCHS = 10
"""Intermediate values that a trial has in Optuna's tables; its whole curve is in own ones."""


ParamRow = tuple[str, float, str]
"""Name, Optuna's number for the value, and the distribution as JSON."""

Distributions = Mapping[str, tuple[BaseDistribution, str]]
"""Of a study: by name, the distribution and its JSON."""


# -- values ----------------------------------------------------------------------------------------


def plain(number: float) -> float:
    """The number without the sign of a zero, which SQLite does not keep."""
    return float(number) + 0.0


def number_text(number: float | None) -> str | None:
    """A float as text that reads back exactly."""
    return None if number is None else repr(float(number))


def text_number(text: str | None) -> float | None:
    """The float of `number_text`."""
    return None if text is None else float(text)


def stored_time(time: datetime | None) -> int:
    """A time as own tables have it, in microseconds since 1970; now, where there is no time."""
    return microseconds(time or datetime.now(UTC))


def optuna_time(stored: int) -> datetime:
    """The time of `stored_time` as Optuna's tables have it: naive UTC."""
    return time_of(stored).replace(tzinfo=None)


def compact(value: Any) -> str:
    """The value as JSON without blanks; floats read back exactly."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- rows of own tables ----------------------------------------------------------------------------

_ASKED = ("study_id", "number", "trial_id", "cohort", "params", "started")
_OUTCOME = ("state", "epochs", "value", "loss", "best_epoch", "reason", "finished", "others")


def asked_row(study_id: int, trial_id: int, trial: Trial, params: Params, started: int) -> dict[str, Any]:
    """What does not change after a trial was asked for. params: as `known_params` gives them."""
    fields = study_id, int(trial.number), trial_id, int(trial.cohort), compact(params), started
    return {**dict(zip(_ASKED, fields, strict=True)), "asked_checksum": checksum(fields)}


def outcome_row(asked: Sequence[Any], trial: Trial, finished: int | None) -> dict[str, Any]:
    """What does: the other columns of a trial; their checksum is over the whole row.

    asked: values of the columns of `asked_row`.
    """
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
    return {
        **dict(zip(_OUTCOME, fields, strict=True)),
        "outcome_checksum": checksum((*asked, *fields)),
    }


_CURVE = (
    "study_id",
    "number",
    "first_epoch",
    "epochs",
    "columns",
    "cohort",
    "run",
    "lane",
    "width",
    "seconds",
)


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
    data = curve_bytes(segment.curve)
    return {**dict(zip(_CURVE, fields, strict=True)), "data": data, "checksum": checksum(fields, data)}


def curve_bytes(curve: np.ndarray) -> bytes:
    """Losses and metrics as float64, epoch by epoch; then the shares of dead units.

    These are float32 where that is exact, as it is for whatever training gives; the length says which.
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
    """[epochs, columns] of a sound row of the curves."""
    epochs, columns, data = row[3], row[4], row[10]
    count = len(CURVE_COLUMNS)
    main = np.frombuffer(data, "<f8", epochs * count).reshape(epochs, count)
    dead = data[main.nbytes :]
    kind = "<f4" if len(dead) == 4 * epochs * (columns - count) else "<f8"
    return np.hstack([main, np.frombuffer(dead, kind).reshape(epochs, columns - count)], dtype=np.float64)


def cohort_row(study_id: int, cohort: Cohort) -> dict[str, Any]:
    """A cohort."""
    lanes = [[int(number), int(before), int(reach)] for number, (before, reach) in cohort.lanes.items()]
    return _sealed("study_id number lanes", (study_id, int(cohort.number), compact(lanes)))


def run_row(study_id: int, number: int, provenance: Mapping[str, Any], begun: int) -> dict[str, Any]:
    """A run."""
    return _sealed("study_id number provenance begun", (study_id, number, compact(provenance), begun))


def queue_row(study_id: int, position: int, params: Params, trial: int | None) -> dict[str, Any]:
    """A point that waits, or has become a trial."""
    return _sealed("study_id position params trial", (study_id, position, compact(params), trial))


def scoring_row(
    study_id: int, number: int, purpose: str, about: Mapping[str, Any], data: bytes, done: int
) -> dict[str, Any]:
    """A look at the rows that are kept back."""
    fields = study_id, number, purpose, compact(about), data, done
    return _sealed("study_id number purpose about data done", fields)


def checkpoint_row(study_id: int, number: int, epoch: int, data: bytes) -> dict[str, Any]:
    """A running trial's weights."""
    fields = study_id, int(number), int(epoch)
    row = _sealed("study_id number epoch", fields)
    return {**row, "data": data, "checksum": checksum(fields, data)}


def tally_row(study_id: int, tally: Tally) -> dict[str, Any]:
    """A tally."""
    own = {**vars(tally), "seconds": plain(tally.seconds), "best": number_text(tally.best)}
    return _sealed(" ".join(("study_id", *own)), (study_id, *own.values()))


def _sealed(names: str, fields: tuple[Any, ...]) -> dict[str, Any]:
    """The fields by their names, with their checksum."""
    return {**dict(zip(names.split(), fields, strict=True)), "checksum": checksum(fields)}


# -- rows of Optuna's tables -----------------------------------------------------------------------


def kept_epochs(epochs: int) -> frozenset[int]:
    """The epochs whose validation metric goes into Optuna's tables, for trials of at most so many.

    All of them up to 20; of more, ten spaced logarithmically from 1 to the last. The last epoch of each
    piece of a curve comes on top (writing.py), so that a stopped trial's last value is there, too.
    """
    if epochs <= MOST_EPOCHS:
        return frozenset(range(1, epochs + 1))
    return frozenset(np.geomspace(1, epochs, SPREAD_EPOCHS).round().astype(int).tolist())


def known_params(
    study: str, what: str, params: Params, distributions: Distributions
) -> tuple[Params, list[ParamRow]]:
    """Parameters as they come back, and as Optuna stores them, both in the order given.

    what: whose they are, for messages.

    Raises:
        StorageError: a value is not one of its distribution, so it would not come back as it is.
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
    """The columns of the trial's values in Optuna's table, in the objectives' order; none where it has none.

    objectives: how many others than the metric the study has.

    Raises:
        StorageError: the trial is complete and has not all its values, which Optuna cannot represent.
    """
    values = [trial.value, *trial.others]
    missing = len(values) <= objectives or any(value is None or math.isnan(value) for value in values)
    if trial.state is State.COMPLETE and missing:
        raise StorageError(
            f'study "{study}", trial {trial.number}: expected a value for a complete trial'
            f"{' in each objective' if objectives else ''}; found {', '.join(map(str, values))}"
        )
    if trial.state not in (State.COMPLETE, State.PRUNED) or missing:
        return []
    return [stored_value(plain(value)) for value in values if value is not None]


def intermediate_values(kept: frozenset[int], segment: Segment) -> Iterator[tuple[int, float | None, Any]]:
    """Step and columns of the intermediate values that Optuna's tables have of a piece of a curve.

    kept: epochs of `kept_epochs`; the piece's last one is there, too.
    """
    for epoch, metric in kept_metrics(kept, segment):
        yield epoch, *stored_intermediate(metric)


def kept_metrics(kept: frozenset[int], segment: Segment) -> Iterator[tuple[int, float]]:
    """Epochs and validation metrics of them."""
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
    """The trials of rows of their table, whose columns are as the table has them, and sound."""
    columns = list(zip(*rows, strict=True)) or [()] * 16
    _, number, _, cohort, params, started, _, state, epochs = columns[:9]
    value, loss, best_epoch, reason, finished, others, _ = columns[9:]
    return Trials(
        number=number,
        cohort=cohort,
        params=json.loads(f"[{','.join(params)}]"),  # in one go, which is several times faster
        state=[_STATES[each] for each in state],
        epochs=epochs,
        value=[None if each is None else float(each) for each in value],
        loss=[None if each is None else float(each) for each in loss],
        best_epoch=best_epoch,
        reason=reason,
        started=started,
        finished=finished,
        others=[() if each is None else tuple(json.loads(each)) for each in others],
        weights=[None] * len(number),
    )


def sound_asked(row: Sequence[Any]) -> bool:
    """Whether that part of the row is which does not change after the trial was asked for."""
    return bool(checksum(tuple(row[:6])) == row[6])


def sound_curve(row: Sequence[Any]) -> bool:
    """Whether a row of the curves, with all its columns, is as it was written."""
    return not torn_curves([row])


def sound_checkpoint(row: Sequence[Any]) -> bool:
    """Whether a row of the checkpoints, with all its columns, is as it was written."""
    return bool(checksum(tuple(row[:3]), row[3]) == row[4])


def sound(row: Sequence[Any]) -> bool:
    """Whether a row whose last column is a checksum of all others is as it was written."""
    return not torn([row])


def torn(rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Rows whose last column is no checksum of all others; of very many, so that each call counts."""
    blake2b = hashlib.blake2b
    return [
        row
        for row in rows
        if blake2b(repr(tuple(row[:-1])).encode(), digest_size=CHECKED).digest() != row[-1]
    ]


def torn_curves(rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Rows of the curves, with all their columns, that are not as they were written."""
    blake2b = hashlib.blake2b
    return [
        row
        for row in rows
        if blake2b(repr(tuple(row[:10])).encode() + row[10], digest_size=CHECKED).digest() != row[11]
    ]


def tally_of(row: Sequence[Any]) -> Tally:
    """The tally of a row, without its checksum."""
    names = list(Tally.__dataclass_fields__)
    values = dict(zip(names, row[1:-1], strict=True))
    return Tally(**{**values, "best": text_number(values["best"])})
