"""Plain values for every room: what is trained, what comes out, what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Params = dict[str, Any]
"""The searched hyper-parameters of one trial, by name; fixed ones are the study's."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CURVE_COLUMNS = ("train_loss", "train_metric", "valid_loss", "valid_metric")
"""The first columns of a curve; "metric" stands for the study's own. After them comes, for each hidden layer,
the share of its units that are 0 on the whole validation set: dead units, with ReLUs."""
TRAIN_LOSS, TRAIN_METRIC, VALID_LOSS, VALID_METRIC = range(4)
DEAD = len(CURVE_COLUMNS)
"""Where the shares of dead units begin."""


def valid_place(metric: str) -> int:
    """The column of a curve with that validation metric."""
    return VALID_LOSS if metric == "loss" else VALID_METRIC


_1970 = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(time: datetime) -> int:
    """Whole microseconds since 1970."""
    return (time.astimezone(UTC) - _1970) // timedelta(0, 0, 1)


def time_of(microseconds: int) -> datetime:
    """The inverse of `microseconds`, in UTC."""
    return _1970 + timedelta(0, 0, microseconds)


class Task(StrEnum):
    """What is predicted."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    POSITIVE_REGRESSION = "positive_regression"


class State(StrEnum):
    """State of a trial; `failed` is a trial that diverged."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        return self is not State.RUNNING


@dataclass(frozen=True)
class Trial:
    """One trial as it is stored.

    `epochs` are trained and stored so far. `value` is what they score on validation (see `stats.score`), with
    the validation loss `loss`; the network that has it is that after `best_epoch` (from 1), by default the
    last epoch. All three are None before the first epoch and for failed trials. `cohort` is the number of the
    cohort it began in. `others` are the values of the study's further objectives, () if there are none yet.
    `weights` is the number its initial weights were drawn for, if it was copied from another study that
    numbered it differently.
    """

    number: int
    cohort: int
    params: Params
    state: State = State.RUNNING
    epochs: int = 0
    value: float | None = None
    loss: float | None = None
    best_epoch: int | None = None
    reason: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    others: tuple[float, ...] = ()
    weights: int | None = None

    @property
    def drawn_as(self) -> int:
        """The number that, with the study's seed, determines its initial weights and dropout masks."""
        return self.number if self.weights is None else self.weights


class Trials(Sequence[Trial]):
    """Trials as columns, named as Trial's fields; each trial is made when first asked for.

    Times are whole microseconds since 1970.
    """

    def __init__(
        self,
        *,
        number: Sequence[int],
        cohort: Sequence[int],
        params: Sequence[Params],
        state: Sequence[State],
        epochs: Sequence[int],
        value: Sequence[float | None],
        loss: Sequence[float | None],
        best_epoch: Sequence[int | None],
        reason: Sequence[str | None],
        started: Sequence[int | None],
        finished: Sequence[int | None],
        others: Sequence[tuple[float, ...]],
        weights: Sequence[int | None],
    ) -> None:
        self.number, self.cohort, self.params, self.state = number, cohort, params, state
        self.epochs, self.value, self.loss, self.best_epoch = epochs, value, loss, best_epoch
        self.reason, self.started, self.finished = reason, started, finished
        self.others, self.weights = others, weights
        self._made: list[Trial | None] = [None] * len(number)

    @classmethod
    def join(cls, trials: Iterable[Trial]) -> Trials:
        """Of single trials."""
        if isinstance(trials, Trials):
            return trials
        given = list(trials)
        columns: dict[str, Any] = {
            each.name: [getattr(trial, each.name) for trial in given] for each in fields(Trial)
        }
        for name in ("started", "finished"):
            columns[name] = [None if time is None else microseconds(time) for time in columns[name]]
        joined = cls(**columns)
        joined._made = list(given)
        return joined

    def __len__(self) -> int:
        return len(self.number)

    @overload
    def __getitem__(self, at: int) -> Trial: ...

    @overload
    def __getitem__(self, at: slice) -> list[Trial]: ...

    def __getitem__(self, at: int | slice) -> Trial | list[Trial]:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        made = self._made[at]
        if made is None:
            made = self._made[at] = self._make(at)
        return made

    def __iter__(self) -> Iterator[Trial]:
        return (made or self[at] for at, made in enumerate(self._made))

    def _make(self, at: int) -> Trial:
        started, finished = self.started[at], self.finished[at]
        return Trial(
            self.number[at],
            self.cohort[at],
            self.params[at],
            self.state[at],
            self.epochs[at],
            self.value[at],
            self.loss[at],
            self.best_epoch[at],
            self.reason[at],
            None if started is None else time_of(started),
            None if finished is None else time_of(finished),
            self.others[at],
            self.weights[at],
        )


@dataclass(frozen=True)
class Segment:
    """The piece of a trial's curve between two rungs.

    curve: [epochs, len(CURVE_COLUMNS) + hidden layers] float64 for epochs first_epoch, first_epoch + 1, …
    cohort: number of the cohort that trained it. seconds: the lane's share of training time. run: number of
    the run that trained it, as lane `lane` of a tile of `width` lanes; all three are 0 if unknown.
    """

    trial: int
    cohort: int
    first_epoch: int
    curve: FloatArray
    seconds: float = 0.0
    run: int = 0
    lane: int = 0
    width: int = 0

    @property
    def last_epoch(self) -> int:
        return self.first_epoch + len(self.curve) - 1


def divergence(curve: FloatArray, first_epoch: int) -> tuple[int, str] | None:
    """Rows of a curve from `first_epoch` up to and including its divergence, and the reason; or None.

    It diverges in the first epoch whose training or validation loss is NaN or infinite.
    """
    losses = curve[:, [TRAIN_LOSS, VALID_LOSS]]
    bad = np.flatnonzero(~np.isfinite(losses).all(axis=1))
    if not len(bad):
        return None
    at = int(bad[0])
    training = not np.isfinite(losses[at, 0])
    which, value = ("training", losses[at, 0]) if training else ("validation", losses[at, 1])
    what = "NaN" if np.isnan(value) else "infinite"
    return at + 1, f"diverged: {which} loss {what} in epoch {first_epoch + at}"


class Curves(Mapping[int, FloatArray]):
    """Curves by trial number, in rising order, cut from common arrays when asked for.

    numbers: [n] of the trials. epochs: [n] of each. columns: [n] of each. main: [all epochs, 4] losses and
    metrics, trial after trial. dead: the shares of dead units, trial after trial, epoch by epoch.
    """

    def __init__(
        self, numbers: IntArray, epochs: IntArray, columns: IntArray, main: FloatArray, dead: FloatArray
    ) -> None:
        self.numbers, self.epochs, self.columns = numbers, epochs, columns
        self.main, self.dead = main, dead
        self._ends = np.cumsum(epochs)
        self._dead_ends = np.cumsum(epochs * (columns - DEAD))

    @classmethod
    def join(cls, curves: Mapping[int, FloatArray]) -> Curves:
        """Of curves by trial number."""
        if isinstance(curves, Curves):
            return curves
        ordered = sorted(curves.items())
        nothing = np.empty(0)
        return cls(
            np.array([number for number, _ in ordered], dtype=np.int64),
            np.array([len(curve) for _, curve in ordered], dtype=np.int64),
            np.array([curve.shape[1] for _, curve in ordered], dtype=np.int64),
            np.concatenate([nothing.reshape(0, DEAD), *(curve[:, :DEAD] for _, curve in ordered)]),
            np.concatenate([nothing, *(curve[:, DEAD:].ravel() for _, curve in ordered)]),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers.tolist())

    def __getitem__(self, number: int) -> FloatArray:
        at = int(np.searchsorted(self.numbers, number))
        if at == len(self) or self.numbers[at] != number:
            raise KeyError(number)
        epochs, end, dead_end = self.epochs[at], self._ends[at], self._dead_ends[at]
        main: FloatArray = self.main[end - epochs : end]
        layers = self.columns[at] - DEAD
        if not layers:
            return main
        dead = self.dead[dead_end - epochs * layers : dead_end].reshape(epochs, layers)
        return np.hstack([main, dead])

    def at(self, epoch: int, back: int = 0) -> tuple[IntArray, FloatArray]:
        """Numbers of the trials that reached an epoch, and their losses and metrics there or so many epochs
        before, [trials, 4].
        """
        there = self.epochs >= epoch
        return self.numbers[there], self.main[(self._ends - self.epochs)[there] + epoch - 1 - back]

    def last_dead(self) -> FloatArray:
        """[n] the largest share of dead units in any layer after the last epoch; 0 without hidden layers."""
        largest = np.zeros(len(self))
        for count in np.unique(self.columns[self.columns > DEAD]):
            of = np.flatnonzero((self.columns == count) & (self.epochs > 0))
            places = self._dead_ends[of, None] - np.arange(1, count - DEAD + 1)
            largest[of] = self.dead[places].max(axis=1)
        return largest


@dataclass(frozen=True)
class Cohort:
    """Lanes that train up to their next rungs, as decided before the cohort begins.

    lanes: trial number → (epochs trained before, epochs to reach).
    """

    number: int
    lanes: dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Run:
    """A process that trained the study, or began to.

    number: from 1. provenance: JSON-able, what its numbers depend on. begun: when.
    """

    number: int
    provenance: dict[str, Any]
    begun: datetime


@dataclass(frozen=True)
class Queued:
    """A point that the user wants tried.

    position: in the queue, from 0. params: some or all of the searched hyper-parameters; the sampler
    chooses the others. trial: number of the trial it became, None while it waits.
    """

    position: int
    params: Params
    trial: int | None = None


@dataclass(frozen=True)
class Scoring:
    """One look at the held-out rows, stored so that all looks are counted.

    number: from 1. purpose: such as "confirmation". about: JSON-able, what was scored. data: safetensors of
    the results, or empty.
    """

    number: int
    purpose: str
    about: dict[str, Any]
    data: bytes
    when: datetime


GUESSES = ("majority class", "mean")
LINEAR, NEIGHBOURS, BOOSTING = "linear model", "nearest neighbours", "gradient boosting"
"""Names of baselines: what is guessed without a feature, and the models."""

MOST_ROWS, MOST_PAIRS, MOST_CLASSES = 10_000, 1_000, 100
"""Of what models say of single test rows, so much is stored: what each row adds to the metric, to compare
models on the same rows; targets with predictions of a regression; and counts of so many classes by class."""


EVEN = 0.5
"""The probability above which the second of two classes is decided for where no threshold was chosen."""


@dataclass(frozen=True)
class Baseline:
    """A simple model with default settings, trained on the study's training rows.

    valid, test: the study's metric there; None where the model has none. seconds: of one core. note: on
    how many rows it was trained, or why it was not; "" for all of them. counts: [classes, classes] test rows
    by true class and predicted class. shares: [rows] what each of the first test rows adds to the metric
    (train.metrics.contributions). Both are empty where there are none. threshold: probability of the second
    class above which test rows were decided for it, chosen on validation; decided: the metric there with it.
    """

    name: str
    valid: float | None
    test: float | None
    seconds: float
    note: str = ""
    counts: IntArray = field(default_factory=lambda: np.empty((0, 0), np.int64), repr=False)
    shares: FloatArray = field(default_factory=lambda: np.empty(0), repr=False)
    threshold: float = EVEN
    decided: float | None = None

    @property
    def promise(self) -> float | None:
        """Its validation metric, as the test set is decided."""
        return self.valid if self.decided is None else self.decided

    def on(self, part: str) -> float | None:
        """Its score on "test" or "validation"."""
        return self.test if part == "test" else self.valid


@dataclass(frozen=True)
class Progress:
    """The progress of a running study, for a display.

    finished, failed, epochs: what is stored; epochs are those of this run. trained, steps: epochs and
    optimiser steps of this run, those of tiles that have not ended among them. best: of the complete trials.
    leading: of all trials that have not diverged, after any epoch so far; leading_epoch: its epoch. left:
    (low, high) seconds until training ends, None while nothing is measured. rung: seconds until what trains
    now is stored, where a run that is asked to stop ends.
    """

    finished: int
    total: int
    failed: int
    epochs: int
    seconds: float
    best_value: float | None
    best_trial: int | None
    trained: float = 0.0
    steps: int = 0
    leading_value: float | None = None
    leading_trial: int | None = None
    leading_epoch: int | None = None
    left: tuple[float, float] | None = None
    rung: float | None = None


@dataclass(frozen=True)
class StudyRecord:
    """What is stored of a study besides its trials.

    document: the resolved study (every key, defaults filled in), as JSON-able values.
    origin: the study file's path, base of relative data paths. provenance: versions, device, threads …
    objectives: names of those minimised besides the metric. parent: of a fork, see running.fork.
    """

    name: str
    document: dict[str, Any]
    direction: str
    task: str
    metric: str
    data_hash: str
    data_summary: dict[str, Any] = field(default_factory=dict)
    origin: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    objectives: tuple[str, ...] = ()
    parent: dict[str, Any] = field(default_factory=dict)
