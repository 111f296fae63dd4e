"""The numbers of a report as pandas frames; tables, charts and files are made from them alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpsearch.errors import NothingToShowError
from hpsearch.records import (
    CURVE_COLUMNS,
    DEAD,
    TRAIN_METRIC,
    VALID_LOSS,
    VALID_METRIC,
    FloatArray,
    State,
    StudyRecord,
    Trial,
)
from hpsearch.report.text import counts_text
from hpsearch.study.file import study_from_document
from hpsearch.study.hyperparameters import HYPER_PARAMETERS
from hpsearch.study.space import Space

if TYPE_CHECKING:
    from hpsearch.report.comparison import Comparison

PARAM = "param_"
_DTYPES = {"float": "float64", "int": "Int64", "bool": "boolean", "name": "str", "layers": "str"}
_GROUPS = (State.COMPLETE, State.PRUNED, State.FAILED, State.RUNNING)


@dataclass(frozen=True)
class Report:
    """What a report is made from.

    trials: as `trials_frame` gives it. curves: trial number → [epochs, columns], see `records.Segment`.
    comparison: the answer to the study's question, where it has one. notes: what could not be told, and why.
    """

    record: StudyRecord
    trials: pd.DataFrame
    curves: Mapping[int, FloatArray]
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()

    @property
    def ranked(self) -> pd.DataFrame:
        """The trials that have a rank, best first."""
        return self.trials[self.trials["rank"].notna()]

    @property
    def parameters(self) -> list[str]:
        """Names of the searched hyper-parameters, in the study file's order."""
        columns = map(str, self.trials.columns)
        return [column.removeprefix(PARAM) for column in columns if column.startswith(PARAM)]

    @property
    def counts(self) -> dict[State, int]:
        """Number of trials in each state."""
        return count_states(self.trials)

    @property
    def epochs(self) -> int:
        """Epochs trained in all trials together."""
        return int(self.trials["epochs"].sum())

    @property
    def epochs_per_second(self) -> float | None:
        """Trained epochs per second of the study's time; None before any time was recorded."""
        return self.epochs / self.record.seconds if self.record.seconds > 0 else None

    def row(self, trial: int) -> dict[Any, Any]:
        """The trial's row of the frame, by column."""
        (row,) = self.trials[self.trials["trial"] == trial].to_dict("records")
        return row

    def valid_metric(self, trial: int) -> FloatArray:
        """[epochs] the ranked metric on the validation part, epoch by epoch."""
        curve = self.curves.get(trial, np.empty((0, len(CURVE_COLUMNS))))
        values: FloatArray = curve[:, VALID_LOSS if self.record.metric == "loss" else VALID_METRIC]
        return values


def finished_report(record: StudyRecord, trials: Sequence[Trial], curves: Mapping[int, FloatArray]) -> Report:
    """The report of a study.

    Raises:
        NothingToShowError: no trial is finished.
    """
    if not any(trial.state.finished for trial in trials):
        counts = Counter(trial.state for trial in trials)
        found = counts_text(counts) or "no trial at all"
        raise NothingToShowError(
            f"study {record.name}: expected at least one finished trial; found {found}. "
            f"To train: hpsearch run {record.origin or record.name}"
        )
    return Report(record, trials_frame(record, trials), curves)


def space_of(record: StudyRecord) -> Space:
    """The space that the study searches."""
    return study_from_document(record.document, record.origin).space


def count_states(trials: pd.DataFrame) -> dict[State, int]:
    """Number of trials in each state, for a frame of trials."""
    counts = Counter(trials["state"])
    return {state: counts[str(state)] for state in State}


def trials_frame(record: StudyRecord, trials: Iterable[Trial]) -> pd.DataFrame:
    """All trials, one a row: rank, trial, state, value, loss, epochs, best_epoch, param_…, reason.

    Complete trials come first and have ranks 1, 2, …: by value in the study's direction, then the lower
    loss, then the lower number. After them, without a rank: complete ones whose value is not finite,
    stopped ones (best value first), failed ones and running ones (by number).
    """
    ordered = sorted(trials, key=lambda trial: _place(trial, record.direction == "maximize"))
    ranks = [n if _ranked(trial) else None for n, trial in enumerate(ordered, start=1)]
    columns: dict[str, pd.Series] = {
        "rank": pd.Series(ranks, dtype="Int64"),
        "trial": pd.Series([trial.number for trial in ordered], dtype="int64"),
        "state": pd.Series([str(trial.state) for trial in ordered], dtype="str"),
        "value": pd.Series([trial.value for trial in ordered], dtype="float64"),
        "loss": pd.Series([trial.loss for trial in ordered], dtype="float64"),
        "epochs": pd.Series([trial.epochs for trial in ordered], dtype="int64"),
        "best_epoch": pd.Series([trial.best_epoch for trial in ordered], dtype="Int64"),
    }
    for name in space_of(record).searched:
        values = [trial.params.get(name) for trial in ordered]
        words = HYPER_PARAMETERS[name].words and any(isinstance(value, str) for value in values)
        dtype = "object" if words else _DTYPES[HYPER_PARAMETERS[name].kind]
        columns[PARAM + name] = pd.Series(values, dtype=dtype)
    columns["reason"] = pd.Series([_reason(trial) for trial in ordered], dtype="str")
    return pd.DataFrame(columns)


def curves_frame(record: StudyRecord, curves: Mapping[int, FloatArray]) -> pd.DataFrame:
    """The curves as `curves --format csv` has them, one row a trial and epoch, epochs from 1.

    Columns: trial, epoch, train_loss, train_<metric>, valid_loss, valid_<metric>; without the two of the
    metric when that is the loss itself. Then dead_1, dead_2, …: the share of units of each hidden layer that
    are 0 on the whole validation part; NaN for trials without that layer.
    """
    numbers = sorted(curves)
    lengths = [len(curves[number]) for number in numbers]
    widest = max((curve.shape[1] for curve in curves.values()), default=DEAD)
    values = np.full((sum(lengths), widest), np.nan)
    for number, end in zip(numbers, np.cumsum(lengths).tolist(), strict=True):
        values[end - len(curves[number]) : end, : curves[number].shape[1]] = curves[number]
    columns = {
        "trial": np.repeat(np.array(numbers, dtype=np.int64), lengths),
        "epoch": np.concatenate([np.empty(0, np.int64), *(np.arange(1, n + 1) for n in lengths)]),
    }
    for place, name in curve_columns(record.metric, widest):
        columns[name] = values[:, place]
    return pd.DataFrame(columns)


def curve_columns(metric: str, count: int) -> list[tuple[int, str]]:
    """(place, name) of what is shown of a curve of `count` columns.

    Those of the metric have its name, and are left out when it is the loss itself; dead_1, … are of the
    hidden layers.
    """
    names = [column.replace("metric", metric) for column in CURVE_COLUMNS]
    names += [f"dead_{layer + 1}" for layer in range(count - DEAD)]
    twice = (TRAIN_METRIC, VALID_METRIC) if metric == "loss" else ()
    return [(place, name) for place, name in enumerate(names) if place not in twice]


def _ranked(trial: Trial) -> bool:
    return trial.state is State.COMPLETE and trial.value is not None and math.isfinite(trial.value)


def _place(trial: Trial, maximize: bool) -> tuple[int, bool, float, float, int]:
    """Sorting key of a trial: group, then value, loss and number."""
    group = _GROUPS.index(trial.state)
    if trial.state in (State.FAILED, State.RUNNING):
        return group, False, 0.0, 0.0, trial.number
    value = trial.value if trial.value is not None and math.isfinite(trial.value) else None
    loss = trial.loss if trial.loss is not None and not math.isnan(trial.loss) else math.inf
    signed = 0.0 if value is None else -value if maximize else value
    return group, value is None, signed, loss, trial.number


def _reason(trial: Trial) -> str | None:
    """Why a trial has no rank; every finished one without a rank gets a reason."""
    if trial.reason or trial.state is State.RUNNING or _ranked(trial):
        return trial.reason
    if trial.state is State.PRUNED:
        return f"stopped after epoch {trial.epochs}"
    if trial.state is State.COMPLETE:
        return f"the value is not a finite number: {trial.value}"
    return f"diverged after epoch {trial.epochs}"
