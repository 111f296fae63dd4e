"""The numbers of a report as pandas frames, from which all tables, charts and files are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpsearch.errors import NothingToShowError
from hpsearch.records import (
    CURVE_COLUMNS,
    DEAD,
    TRAIN_METRIC,
    VALID_METRIC,
    Baseline,
    Curves,
    FloatArray,
    IntArray,
    Run,
    State,
    StudyRecord,
    Trial,
    Trials,
    valid_place,
)
from hpsearch.stats.pareto import pareto_front
from hpsearch.study.file import study_from_document
from hpsearch.study.hyperparameters import HYPER_PARAMETERS
from hpsearch.study.space import Space
from hpsearch.text import counts_text, missing

if TYPE_CHECKING:
    from hpsearch.results.confirmation import Confirmation
    from hpsearch.results.contrast import Contrast

PARAM = "param_"
_DTYPES = {"float": "float64", "int": "Int64", "bool": "boolean", "name": "str", "layers": "str"}
_OBJECTIVE_DTYPES = {"parameters": "Int64"}
_GROUPS = {State.COMPLETE: 0, State.PRUNED: 1, State.FAILED: 2, State.RUNNING: 3}


@dataclass(frozen=True)
class Report:
    """What a report is made from.

    trials: see `trials_frame`. curves: trial number → [epochs, columns], see `records.Segment`. comparison:
    the answer to `[compare]`, if stored. confirmation: the finalists on fresh seeds, if trained. notes: what
    is missing, and why. runs: that trained the study. baselines: simple models on its data, if trained.
    """

    record: StudyRecord
    trials: pd.DataFrame
    curves: Mapping[int, FloatArray]
    comparison: Contrast | None = None
    confirmation: Confirmation | None = None
    notes: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    baselines: tuple[Baseline, ...] = ()

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
    def objectives(self) -> list[str]:
        """Names of the objectives besides the metric, each a column of the trials."""
        return [name for name in self.record.objectives if name != self.record.metric]

    @property
    def best(self) -> int | None:
        """The trial to use: the best confirmed one, otherwise the best by validation, if any."""
        if self.confirmation is not None:
            return self.confirmation.best.trial
        return int(self.ranked["trial"].iloc[0]) if len(self.ranked) else None

    @property
    def front(self) -> pd.DataFrame:
        """The trials of the Pareto front, best metric first; none in a study of one objective."""
        return self.trials[self.trials["pareto"]] if self.objectives else self.trials.head(0)

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

    def params(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        """The searched hyper-parameters of a row of the frame; those that mean nothing to it are left out."""
        values = {name: row[PARAM + name] for name in self.parameters}
        return {name: value for name, value in values.items() if not missing(value)}

    def valid_metric(self, trial: int) -> FloatArray:
        """[epochs] validation metric."""
        curve = self.curves.get(trial, np.empty((0, len(CURVE_COLUMNS))))
        values: FloatArray = curve[:, valid_place(self.record.metric)]
        return values


def with_note(report: Report, text: str) -> Report:
    """The report with one more line of notes."""
    return replace(report, notes=(*report.notes, " ".join(text.split())))


def check_finished(record: StudyRecord, counts: Mapping[State, int]) -> None:
    """Check that any trial is finished. counts: trials by state.

    Raises:
        NothingToShowError: no trial is finished.
    """
    if not any(count for state, count in counts.items() if state.finished):
        found = counts_text(counts) or "no trial at all"
        raise NothingToShowError(
            f"study {record.name}: expected at least one finished trial; found {found}. "
            f"To train: hpsearch run {record.origin or record.name}"
        )


def space_of(record: StudyRecord) -> Space:
    """The space that the study searches."""
    return study_from_document(record.document, record.origin).space


def count_states(trials: pd.DataFrame) -> dict[State, int]:
    """Number of trials in each state, for a frame of trials."""
    counts = trials["state"].value_counts()
    return {state: int(counts.get(str(state), 0)) for state in State}


def trials_frame(record: StudyRecord, trials: Iterable[Trial]) -> pd.DataFrame:
    """All trials, one a row: rank, trial, state, value, loss, epochs, best_epoch, param_…, reason.

    Complete trials come first and have ranks 1, 2, …: by value in the study's direction, then the lower
    loss, then the lower number. After them, without a rank: complete ones whose value is not finite,
    stopped ones (best value first), failed ones and running ones (by number). After the loss of a study with
    several objectives come columns of the further ones, and `pareto`: whether the trial has a rank and is on
    the Pareto front.
    """
    given = Trials.join(trials)
    order, ranks = _ranking(given, record.direction == "maximize")
    places = order.tolist()

    def column(values: Sequence[Any], dtype: str) -> pd.Series:
        return pd.Series([values[at] for at in places], dtype=dtype)

    ranked = ranks > 0
    columns: dict[str, pd.Series] = {
        "rank": pd.Series(pd.arrays.IntegerArray(ranks, ~ranked)),
        "trial": column(given.number, "int64"),
        "state": column([state.value for state in given.state], "str"),
        "value": column(given.value, "float64"),
        "loss": column(given.loss, "float64"),
        **(_objective_columns(record, given, order) if record.objectives else {}),
        "epochs": column(given.epochs, "int64"),
        "best_epoch": column(given.best_epoch, "Int64"),
    }
    for name in space_of(record).searched:
        values = [params.get(name) for params in given.params]
        words = HYPER_PARAMETERS[name].words and any(isinstance(value, str) for value in values)
        columns[PARAM + name] = column(values, "object" if words else _DTYPES[HYPER_PARAMETERS[name].kind])
    reasons = list(given.reason)
    for at in order[~ranked].tolist():
        reasons[at] = reason_of(given[at], ranked=False)
    columns["reason"] = column(reasons, "str")
    return pd.DataFrame(columns)


def _objective_columns(record: StudyRecord, trials: Trials, order: IntArray) -> dict[str, pd.Series]:
    """Of a study with several objectives: the values of the further ones, and whether on the Pareto front.

    The loss has a column of its own in every study.
    """
    columns = {
        name: pd.Series(values, dtype=_OBJECTIVE_DTYPES.get(name, "float64"))
        for name, values in zip(record.objectives, _others(record, trials)[order].T, strict=True)
        if name != "loss"
    }
    return {**columns, "pareto": pd.Series(pareto_front(costs_of(record, trials))[order])}


def costs_of(record: StudyRecord, trials: Sequence[Trial]) -> FloatArray:
    """[trials, objectives] to minimise: the metric, negated if more is better, and the others; NaN without a
    rank.
    """
    given = Trials.join(trials)
    sign = -1.0 if record.direction == "maximize" else 1.0
    value = np.array(given.value, dtype=np.float64)
    complete = np.array([state is State.COMPLETE for state in given.state], dtype=bool)
    costs = np.column_stack([sign * value, _others(record, given)])
    costs[~(complete & np.isfinite(value))] = np.nan
    return costs


def _others(record: StudyRecord, trials: Trials) -> FloatArray:
    """[trials, further objectives] their values, NaN where a trial has none."""
    nothing = (np.nan,) * len(record.objectives)
    values = np.array([others or nothing for others in trials.others], dtype=np.float64)
    return values.reshape(len(trials), len(record.objectives))


def rank_of(record: StudyRecord, trials: Sequence[Trial], number: int) -> tuple[int | None, int]:
    """A trial's rank, if any, and the number of ranked trials; see trials_frame."""
    given = Trials.join(trials)
    order, ranks = _ranking(given, record.direction == "maximize")
    place = order.tolist().index(given.number.index(number))
    return int(ranks[place]) or None, int(ranks.max(initial=0))


def _ranking(trials: Trials, maximize: bool) -> tuple[IntArray, IntArray]:
    """The order of the trials (see trials_frame), as places in what is given; ranks in it, 0 for none."""
    numbers = np.array(trials.number, dtype=np.int64)
    group = np.array([_GROUPS[state] for state in trials.state], dtype=np.int64)
    value, loss = np.array(trials.value, dtype=np.float64), np.array(trials.loss, dtype=np.float64)
    judged = group <= _GROUPS[State.PRUNED]
    finite = np.isfinite(value)
    value = np.where(judged & finite, -value if maximize else value, 0.0)
    loss = np.where(judged, np.where(np.isnan(loss), np.inf, loss), 0.0)
    order = np.lexsort((numbers, loss, value, judged & ~finite, group))
    ranked = (finite & (group == _GROUPS[State.COMPLETE]))[order]
    return order, np.where(ranked, np.arange(1, len(order) + 1), 0)


def curves_frame(record: StudyRecord, curves: Mapping[int, FloatArray]) -> pd.DataFrame:
    """The curves as `curves --format csv` has them, one row a trial and epoch, epochs from 1.

    Columns: trial, epoch, train_loss, train_<metric>, valid_loss, valid_<metric>; without the two of the
    metric when that is the loss itself. Then dead_1, dead_2, …: the share of units of each hidden layer that
    are 0 on the whole validation set; NaN for trials without that layer.
    """
    joined = Curves.join(curves)
    ends = np.cumsum(joined.epochs)
    widest = int(joined.columns.max(initial=DEAD))
    values = np.full((len(joined.main), widest), np.nan)
    values[:, :DEAD] = joined.main
    dead = np.repeat(joined.columns - DEAD, joined.epochs)[:, None] > np.arange(widest - DEAD)
    values[:, DEAD:][dead] = joined.dead
    columns = {
        "trial": np.repeat(joined.numbers, joined.epochs),
        "epoch": np.arange(1, len(values) + 1) - np.repeat(ends - joined.epochs, joined.epochs),
    }
    for place, name in curve_columns(record.metric, widest):
        columns[name] = values[:, place]
    return pd.DataFrame(columns)


def curve_columns(metric: str, count: int) -> list[tuple[int, str]]:
    """(place, name) of the columns to show of a curve with `count` columns.

    Those of the metric have its name, and are left out when it is the loss itself; dead_1, … are of the
    hidden layers.
    """
    names = [column.replace("metric", metric) for column in CURVE_COLUMNS]
    names += [f"dead_{layer + 1}" for layer in range(count - DEAD)]
    twice = (TRAIN_METRIC, VALID_METRIC) if metric == "loss" else ()
    return [(place, name) for place, name in enumerate(names) if place not in twice]


def reason_of(trial: Trial, ranked: bool) -> str | None:
    """Why a trial has no rank; every finished one without a rank gets a reason."""
    if trial.reason or trial.state is State.RUNNING or ranked:
        return trial.reason
    if trial.state is State.PRUNED:
        return f"stopped after epoch {trial.epochs}"
    if trial.state is State.COMPLETE:
        return f"the value is not a finite number: {trial.value}"
    return f"diverged after epoch {trial.epochs}"
