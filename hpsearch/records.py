"""Plain values that every layer may use: what is trained, what came out, what is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Params = dict[str, Any]
"""The searched hyper-parameters of one trial, by name; fixed ones are the study's."""

FloatArray = NDArray[np.float64]

CURVE_COLUMNS = ("train_loss", "train_metric", "valid_loss", "valid_metric")
"""The first columns of a curve; "metric" stands for the study's own. After them comes, for each hidden layer,
the share of its units that are 0 on the whole validation part: dead ones, if the activation is ReLU."""
TRAIN_LOSS, TRAIN_METRIC, VALID_LOSS, VALID_METRIC = range(4)
DEAD = len(CURVE_COLUMNS)
"""Where the shares of dead units begin."""


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

    `epochs` are trained and stored so far. `value` is the best validation metric of these, reached
    first at `best_epoch` (counted from 1), where the validation loss was `loss`; all three are None
    before the first epoch and for failed trials. `cohort` is the number of the cohort it was asked in.
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


@dataclass(frozen=True)
class Segment:
    """The piece of a trial's curve between two rungs.

    curve: [epochs, len(CURVE_COLUMNS) + hidden layers] float64 for epochs first_epoch, first_epoch + 1, …
    cohort: number of the cohort in which it was trained. seconds: the lane's share of training time.
    """

    trial: int
    cohort: int
    first_epoch: int
    curve: FloatArray
    seconds: float = 0.0

    @property
    def last_epoch(self) -> int:
        return self.first_epoch + len(self.curve) - 1


@dataclass(frozen=True)
class Cohort:
    """A set of lanes trained together up to their next rungs, as decided before it began.

    lanes: trial number → (epochs trained before, epochs to reach).
    """

    number: int
    lanes: dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Progress:
    """How far a running study is, for a display."""

    finished: int
    total: int
    failed: int
    epochs: int
    seconds: float
    best_value: float | None
    best_trial: int | None


@dataclass(frozen=True)
class StudyRecord:
    """What is stored of a study beside its trials.

    document: the resolved study (every key, defaults filled in), as JSON-able values.
    origin: the study file's path, base of relative data paths. provenance: versions, device, threads …
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
