"""A made-up study with every state of a trial, for the tests of reports."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from hpsearch.records import (
    TRAIN_LOSS,
    TRAIN_METRIC,
    VALID_LOSS,
    VALID_METRIC,
    FloatArray,
    State,
    StudyRecord,
    Trial,
)

EPOCHS = 27
RUNGS = (3, 9)
DOCUMENT: dict[str, Any] = {
    "study": {"name": "digits", "seed": 0},
    "data": {"source": "digits", "task": "multiclass"},
    "space": {
        "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
        "momentum": {"low": 0.0, "high": 0.95},
        "batch_size": [16, 32, 64, 128, 256],
        "depth": {"low": 1, "high": 5},
        "activation": ["relu", "leaky_relu", "tanh", "sigmoid"],
        "width": 64,
        "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
    },
    "train": {"epochs": EPOCHS, "loss": "cross_entropy", "metric": "accuracy"},
    "search": {"sampler": "tpe", "trials": 120, "stopping": "halving"},
}
RECORD = StudyRecord(
    name="digits",
    document=DOCUMENT,
    direction="maximize",
    task="multiclass",
    metric="accuracy",
    data_hash="0" * 64,
    data_summary={
        "train": 1078,
        "valid": 359,
        "test": 360,
        "features": 64,
        "classes": [str(n) for n in range(10)],
    },
    origin="studies/digits.toml",
    provenance={"python": "3.11", "threads": 1},
    seconds=6.125,
)


def example(count: int = 120) -> tuple[StudyRecord, list[Trial], dict[int, FloatArray]]:
    """Record, trials in number order and curves: a share complete, stopped, diverged, the last running."""
    random = np.random.default_rng(7)
    trials, curves = [], {}
    for number in range(count):
        params = {
            "learning_rate": float(10 ** random.uniform(-4, 0)),
            "momentum": float(random.uniform(0, 0.95)),
            "batch_size": int(random.choice([16, 32, 64, 128, 256])),
            "depth": int(random.integers(1, 6)),
            "activation": str(random.choice(["relu", "leaky_relu", "tanh", "sigmoid"])),
            "weight_decay": float(10 ** random.uniform(-6, -2)),
        }
        full = made_up_curve(params, random)
        trial = Trial(number, cohort=number // 64, params=params)
        speed = params["learning_rate"] / (1 - params["momentum"])
        if speed > 4:
            diverged_at = 1 + number % 4
            curves[number] = np.concatenate([full[: diverged_at - 1], np.full((1, 4), math.nan)])
            reason = f"the loss is not finite in epoch {diverged_at}"
            trial = replace(trial, state=State.FAILED, epochs=diverged_at, reason=reason)
        elif number == count - 1:
            curves[number] = full[:3]
            trial = scored(replace(trial, state=State.RUNNING), curves[number])
        elif full[2, VALID_METRIC] < 0.5 or full[8, VALID_METRIC] < 0.8:
            rung = RUNGS[0] if full[2, VALID_METRIC] < 0.5 else RUNGS[1]
            curves[number] = full[:rung]
            reason = f"not among the best third at epoch {rung}"
            trial = scored(replace(trial, state=State.PRUNED, reason=reason), curves[number])
        else:
            curves[number] = full
            trial = scored(replace(trial, state=State.COMPLETE), full)
        trials.append(trial)
    return RECORD, trials, curves


def made_up_curve(params: dict[str, Any], random: np.random.Generator) -> FloatArray:
    """[EPOCHS, 4] a plausible course: fast for large steps, noisy for the largest."""
    epochs = np.arange(1.0, EPOCHS + 1)
    speed = params["learning_rate"] / (1 - params["momentum"]) * 32 / params["batch_size"]
    top = 0.985 - 0.01 * abs(params["depth"] - 3) - 0.02 * min(speed, 2)
    accuracy = 0.1 + (top - 0.1) * (1 - np.exp(-((20 * speed * epochs) ** 0.6)))
    accuracy = np.round((accuracy + random.normal(0, 0.003, EPOCHS)).clip(0.05, 1) * 359) / 359
    curve: FloatArray = np.empty((EPOCHS, 4))
    curve[:, VALID_METRIC] = accuracy
    curve[:, VALID_LOSS] = 2.3 * (1 - accuracy) + 0.03 + random.uniform(0, 0.01, EPOCHS)
    curve[:, TRAIN_METRIC] = (accuracy + 0.01).clip(0, 1)
    curve[:, TRAIN_LOSS] = curve[:, VALID_LOSS] * 0.8
    return curve


def scored(trial: Trial, curve: FloatArray) -> Trial:
    """The trial with epochs, value, loss and best epoch as its curve says."""
    best = int(np.argmax(curve[:, VALID_METRIC]))
    return replace(
        trial,
        epochs=len(curve),
        value=float(curve[best, VALID_METRIC]),
        loss=float(curve[best, VALID_LOSS]),
        best_epoch=best + 1,
    )
