"""Made-up studies of a simple model, well ones and ones with one thing planted that is to be found.

A trial's final score falls off quadratically from an optimum in the unit cube of its hyper-parameters; its
curve approaches it exponentially; epochs, seeds and samplers add noise.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpsearch.records import DEAD, Curves, FloatArray, State, StudyRecord, Trials
from hpsearch.results.frames import Report
from tests.studies import finished_report

CLASSES = 10
CHANCE = float(np.log(CLASSES))
VALID_ROWS = 1000
SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
    "momentum": {"low": 0.0, "high": 0.95},
    "batch_size": [16, 32, 64, 128, 256],
    "depth": {"low": 1, "high": 5},
    "width": {"low": 16, "high": 256, "log": True},
    "activation": ["relu", "elu", "tanh", "sigmoid"],
}
OPTIMUM = {"learning_rate": 0.55, "momentum": 0.45, "depth": 0.5, "width": 0.6}
CURVATURE = {"learning_rate": 0.4, "momentum": 0.2, "depth": 0.1, "width": 0.03}
"""Places from 0 to 1; the others are indifferent."""


@dataclass(frozen=True)
class Case:
    """A study's makings, in which by default nothing is wrong.

    curvature: what lies half of a range from the optimum is worse by a quarter of it. speed: epochs in
    which a curve comes nearer by a factor of e. noise: of an epoch; seeds: of a trial. adaptive: the share of
    later trials that lie near the best so far, as with TPE. halving: only one in three goes on from epochs 3
    and 9. overfit: by how much the validation loss rises until the end. cliff: learning_rate/(1 − momentum)
    above which trials diverge. dead: share of trials with dead layers. stuck: share of sigmoid trials that
    learn nothing. counts: validation rows by class. left_out: a hyper-parameter of which the upper 45 % are
    not sampled.
    """

    space: dict[str, Any] = field(default_factory=lambda: SPACE)
    optimum: dict[str, float] = field(default_factory=lambda: OPTIMUM)
    curvature: dict[str, float] = field(default_factory=lambda: CURVATURE)
    top: float = 0.97
    trials: int = 160
    epochs: int = 27
    speed: float = 2.2
    noise: float = 0.002
    seeds: float = 0.002
    adaptive: float = 0.0
    halving: bool = False
    rmse: bool = False
    overfit: float = 0.0
    cliff: float = np.inf
    dead: float = 0.0
    stuck: float = 0.0
    counts: tuple[int, ...] = (VALID_ROWS // CLASSES,) * CLASSES
    left_out: str = ""
    train: dict[str, Any] = field(default_factory=dict)

    def record(self) -> StudyRecord:
        """As the database has it."""
        document = {
            "study": {"name": "made-up", "seed": 0},
            "data": {"source": "digits", "task": "regression" if self.rmse else "multiclass"},
            "space": copy.deepcopy(self.space),
            "train": {
                "epochs": self.epochs,
                "loss": "mse" if self.rmse else "cross_entropy",
                "metric": "rmse" if self.rmse else "accuracy",
                **self.train,
            },
            "search": {
                "trials": self.trials,
                "cohort": 32,
                "sampler": "tpe" if self.adaptive else "random",
                "stopping": "halving" if self.halving else "none",
            },
        }
        summary: dict[str, Any] = {"rows": {"train": 4000, "valid": sum(self.counts), "test": 100}}
        if not self.rmse:
            summary["classes"] = [f"class {n}" for n in range(len(self.counts))]
            summary["class_counts"] = {part: list(self.counts) for part in ("train", "valid")}
        return StudyRecord(
            name="made-up",
            document=document,
            direction="minimize" if self.rmse else "maximize",
            task=document["data"]["task"],
            metric=document["train"]["metric"],
            data_hash="0" * 64,
            data_summary=summary,
            origin="made-up.toml",
        )


def made_up(case: Case, seed: int) -> Report:
    """The report of one study of the case."""
    random = np.random.default_rng(seed)
    cube = sampled(case, random)
    if case.left_out:
        cube[:, list(case.space).index(case.left_out)] *= 0.55
    params = {name: values(entry, cube[:, at]) for at, (name, entry) in enumerate(case.space.items())}
    final = score(case, cube) + random.normal(0, case.seeds, case.trials)
    curves = courses(case, final, random)
    dead = random.random(case.trials) < case.dead
    curves[dead, :, 3] -= 0.1
    if case.stuck:
        stuck = (params["activation"] == "sigmoid") & (random.random(case.trials) < case.stuck)
        curves[stuck] = [CHANCE, 1 / CLASSES, CHANCE, 1 / CLASSES]
    if case.rmse:  # far from 0 … 1, and less is better
        curves[:, :, [1, 3]] = 100 * (1.2 - curves[:, :, [1, 3]])
    shares = np.where(dead[:, None, None], 0.9, random.uniform(0, 0.3, (case.trials, 1, 1)))
    curves = np.concatenate([curves, np.broadcast_to(shares, (*curves.shape[:2], 1))], axis=2)
    return reported(case, params, curves, random)


def sampled(case: Case, random: np.random.Generator) -> FloatArray:
    """[trials, hyper-parameters] points of the unit cube; cohort after cohort of 32, as TPE has them."""
    cube = random.random((case.trials, len(case.space)))
    for begin in range(32, case.trials, 32):
        block = slice(begin, min(begin + 32, case.trials))
        count = block.stop - block.start
        noisy = score(case, cube[:begin]) + random.normal(0, case.seeds + case.noise, begin)
        good = cube[:begin][np.argsort(-noisy)[: max(3, begin // 10)]]
        near = good[random.integers(len(good), size=count)] + random.normal(0, 0.1, (count, cube.shape[1]))
        near = np.abs(near)
        near = np.where(near > 1, 2 - near, near).clip(0, 1 - 1e-9)
        cube[block] = np.where(random.random(count)[:, None] < case.adaptive, near, cube[block])
    return cube


def score(case: Case, cube: FloatArray) -> FloatArray:
    """[n] final scores of points [n, hyper-parameters], without noise."""
    loss = np.zeros(len(cube))
    for at, name in enumerate(case.space):
        if name in case.optimum:
            loss += case.curvature[name] * (cube[:, at] - case.optimum[name]) ** 2
    return np.asarray(case.top - loss)


def values(entry: Any, places: FloatArray) -> Any:
    """[n] a hyper-parameter's values at places of the unit interval."""
    if isinstance(entry, list):
        return np.array(entry, dtype=object)[(places * len(entry)).astype(int)]
    low, high, whole = entry["low"], entry["high"], isinstance(entry["low"], int)
    if whole:
        low, high = low - 0.5, high + 0.5
    found = low * (high / low) ** places if entry.get("log") else low + (high - low) * places
    return np.rint(found).clip(entry["low"], entry["high"]).astype(int) if whole else found


def courses(case: Case, final: FloatArray, random: np.random.Generator) -> FloatArray:
    """[trials, epochs, 4] curves that end at final scores: losses and accuracies."""
    epochs = np.arange(1, case.epochs + 1)
    way = np.exp(-epochs / case.speed)
    noise = random.normal(0, case.noise, (len(final), case.epochs))
    valid = final[:, None] - (final[:, None] - 0.1) * way + noise
    curves = np.empty((len(final), case.epochs, 4))
    curves[:, :, 3] = valid
    curves[:, :, 1] = valid + 0.01
    curves[:, :, 0] = CHANCE * (0.1 + 0.5 * way) * np.exp(-epochs / 40)
    turn = np.maximum(epochs / case.epochs - 0.3, 0) / 0.7
    rise = 1 + case.overfit * turn
    curves[:, :, 2] = CHANCE * (0.12 + 0.5 * way) * rise * np.exp(random.normal(0, 0.03, noise.shape))
    return curves


def reported(case: Case, params: dict[str, Any], curves: FloatArray, random: np.random.Generator) -> Report:
    """The report of trials with these hyper-parameters [trials] and whole curves [trials, epochs, 5]."""
    n, epochs = curves.shape[:2]
    better = -1.0 if case.rmse else 1.0
    metric = better * curves[:, :, 3]
    speed = (
        params["learning_rate"] / (1 - params.get("momentum", np.zeros(n)))
        if "learning_rate" in params
        else np.zeros(n)
    )
    failed = speed * np.exp(random.normal(0, 0.1, n)) > case.cliff
    lengths = np.where(failed, 2, epochs)
    going = ~failed
    for rung in (3, 9) if case.halving else ():
        places = np.flatnonzero(going)
        order = places[np.argsort(-metric[places, :rung].max(1))]
        lost = order[max(1, len(order) // 3) :]
        lengths[lost], going[lost] = rung, False
    curves[failed, 1, :4] = np.nan
    metric = np.where(np.arange(epochs) < lengths[:, None], np.nan_to_num(metric, nan=-np.inf), -np.inf)
    at = metric.argmax(1)
    value = better * metric[np.arange(n), at]
    state = [
        State.FAILED if f else State.COMPLETE if g else State.PRUNED
        for f, g in zip(failed, going, strict=True)
    ]
    names = list(params)
    trials = Trials(
        number=list(range(n)),
        cohort=[number // 32 for number in range(n)],
        params=[
            dict(zip(names, row, strict=True))
            for row in zip(*(plain(column) for column in params.values()), strict=True)
        ]
        if names
        else [{}] * n,
        state=state,
        epochs=lengths.tolist(),
        value=[None if f else float(v) for f, v in zip(failed, value, strict=True)],
        loss=[None if f else float(c) for f, c in zip(failed, curves[np.arange(n), at, 2], strict=True)],
        best_epoch=[None if f else int(a) + 1 for f, a in zip(failed, at, strict=True)],
        reason=[None] * n,
        started=[None] * n,
        finished=[None] * n,
        others=[()] * n,
        weights=[None] * n,
    )
    kept = curves[np.arange(epochs) < lengths[:, None]]
    found = Curves(
        np.arange(n),
        lengths.astype(np.int64),
        np.full(n, DEAD + 1),
        kept[:, :DEAD].copy(),
        kept[:, DEAD].copy(),
    )
    return finished_report(case.record(), trials, found)


def plain(column: Any) -> list[Any]:
    """The values as Python has them."""
    found: list[Any] = column.tolist()
    return found
