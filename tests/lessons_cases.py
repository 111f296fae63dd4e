"""Made-up studies of which it is known what each hyper-parameter does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hpsearch.records import FloatArray, State, Trial
from hpsearch.results.frames import Report
from tests.report_study import RECORD
from tests.studies import finished_report

SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
    "momentum": {"low": 0.0, "high": 0.95},
    "batch_size": [16, 32, 64, 128],
    "depth": {"low": 1, "high": 4},
    "activation": ["relu", "tanh", "sigmoid"],
}
Function = Callable[[dict[str, FloatArray], np.random.Generator], FloatArray]
"""Places of the values in their ranges, from 0 to 1, by name → a value of each trial, more is better."""


def planted(
    function: Function,
    seed: int = 0,
    trials: int = 128,
    *,
    minimize: bool = False,
    diverged: float = 0.0,
    scientific: tuple[str, ...] = (),
    epochs: int = 9,
    stopped_at: int | None = None,
) -> Report:
    """A study whose points are drawn evenly and whose values are those of a function.

    diverged: the share of trials that do. stopped_at: epoch after which all but the best third are stopped.
    """
    random = np.random.default_rng([seed, 11])
    places = {name: random.random(trials) for name in ("learning_rate", "momentum")}
    counts = {"batch_size": 4, "depth": 4, "activation": 3}
    places |= {name: random.integers(0, count, trials) / (count - 1) for name, count in counts.items()}
    values = np.asarray(function(places, random), dtype=np.float64) * (-1 if minimize else 1)
    lost = random.random(trials) < diverged
    kept = np.sort(values)[:: 1 if minimize else -1][: trials // 3]
    found, curves = [], {}
    for number in range(trials):
        params = {
            "learning_rate": float(10 ** (3 * places["learning_rate"][number] - 3)),
            "momentum": float(0.95 * places["momentum"][number]),
            "batch_size": SPACE["batch_size"][round(3 * places["batch_size"][number])],
            "depth": 1 + round(3 * places["depth"][number]),
            "activation": SPACE["activation"][round(2 * places["activation"][number])],
        }
        length = epochs if stopped_at is None or values[number] in kept else stopped_at
        curve = np.full((length, 4), values[number])
        curve[:, 2] = -values[number] if not minimize else values[number]
        trial = Trial(number, number // 64, params, State.COMPLETE, length, float(values[number]), 1.0, 1)
        if length < epochs:
            trial = replace(trial, state=State.PRUNED)
        if lost[number]:
            curve[-1] = np.nan
            trial = replace(trial, state=State.FAILED, value=None, loss=None, best_epoch=None, reason="NaN")
        found.append(trial)
        curves[number] = curve
    document = {
        **RECORD.document,
        "space": SPACE,
        "train": {"epochs": epochs, "loss": "cross_entropy", "metric": "accuracy"},
        "search": {"sampler": "random", "trials": trials, "scientific": list(scientific)},
    }
    direction = "minimize" if minimize else "maximize"
    return finished_report(replace(RECORD, document=document, direction=direction), found, curves)
