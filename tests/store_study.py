"""A small study with every state of a trial, and a database to keep it in, for the tests of storage."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hpsearch.records import (
    CURVE_COLUMNS,
    VALID_LOSS,
    VALID_METRIC,
    Cohort,
    FloatArray,
    Segment,
    State,
    StudyRecord,
    Trial,
)
from hpsearch.store import Database, StudyStore

EPOCHS = 9
START = datetime(2026, 5, 1, 12, 0, 0, 250000, UTC)


def record(name: str = "digits", epochs: int = EPOCHS, **fields: Any) -> StudyRecord:
    """A record as `run` makes it."""
    document = {
        "study": {"name": name, "seed": 0},
        "data": {"source": "digits", "task": "multiclass"},
        "space": {
            "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
            "depth": {"low": 1, "high": 5},
            "activation": ["relu", "tanh"],
            "nesterov": [False, True],
            "width": 64,
        },
        "train": {"epochs": epochs, "loss": "cross_entropy", "metric": "accuracy"},
        "search": {"trials": 16},
    }
    given = {"direction": "maximize", "task": "multiclass", "metric": "accuracy", "data_hash": "0" * 64}
    return StudyRecord(name=name, document=document, **(given | fields))


def new_trial(number: int, cohort: int = 0) -> Trial:
    """A trial that was asked for and has not begun."""
    params = {
        "learning_rate": 0.1 / (number + 1),
        "depth": number % 5 + 1,
        "activation": ("relu", "tanh")[number % 2],
        "nesterov": number % 3 == 0,
    }
    return Trial(number, cohort, params, started=START + timedelta(seconds=number))


def curve_of(number: int, epochs: int = EPOCHS) -> FloatArray:
    """The curve of a trial: a function of its number."""
    return np.random.default_rng(number).random((epochs, len(CURVE_COLUMNS)))


def finished_trial(trial: Trial, state: State = State.COMPLETE, epochs: int = EPOCHS) -> Trial:
    """The trial after so many epochs of its curve."""
    ended = trial.started + timedelta(minutes=1) if trial.started else None
    if state is State.FAILED:
        return replace(
            trial, state=state, epochs=epochs, reason=f"diverged at epoch {epochs}", finished=ended
        )
    curve = curve_of(trial.number, epochs)
    metric = curve[:, VALID_METRIC]
    return replace(
        trial,
        state=state,
        epochs=epochs,
        value=float(metric.max()),
        loss=float(curve[metric.argmax(), VALID_LOSS]),
        best_epoch=int(metric.argmax()) + 1,
        reason="stopped early" if state is State.PRUNED else None,
        finished=ended if state.finished else None,
    )


def all_states() -> tuple[list[Trial], list[Segment]]:
    """Trials of every state, with their curves; the last has not begun."""
    trials = [
        finished_trial(new_trial(0)),
        finished_trial(new_trial(1), State.PRUNED, 3),
        finished_trial(new_trial(2), State.FAILED, 2),
        finished_trial(new_trial(3), State.RUNNING, 3),
        replace(finished_trial(new_trial(4)), value=math.inf),
        new_trial(5),
    ]
    curves = {trial.number: curve_of(trial.number, trial.epochs) for trial in trials if trial.epochs}
    curves[2][-1] = [math.nan, -math.inf, math.inf, math.nan]
    curves[4][0, VALID_METRIC] = -math.inf
    return trials, [Segment(number, 0, 1, curve, 0.25) for number, curve in curves.items()]


def fill(store: StudyStore) -> tuple[list[Trial], list[Segment]]:
    """Store the trials of `all_states` in two commits."""
    trials, segments = all_states()
    store.begin()
    started = [new_trial(trial.number) for trial in trials]
    store.commit(cohort=Cohort(0, {t.number: (0, EPOCHS) for t in trials}), started=started)
    store.commit(segments=segments, updated=trials[:-1], seconds=1.5)
    store.end()
    return trials, segments


@cache
def filled_file() -> bytes:
    """A database with the study of `fill`."""
    with TemporaryDirectory() as folder:
        with Database.open(f"sqlite:///{folder}/x.db", create=True) as database:
            fill(database.create_study(record()))
        return Path(folder, "x.db").read_bytes()


def execute(path: Path, statement: str, *values: Any) -> list[Any]:
    """Run a statement on the file behind everyone's back; returns its rows."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()
