"""Landscapes: what a trial comes out as, without training it, from tables and a surrogate of real runs.

The tables hold every configuration of a grid (HPOBench's networks, FCNet's of HPOLib, NAS-Bench-201); the
surrogate (YAHPO's of LCBench) knows the learning curves of networks on tables of data, epoch by epoch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from benchmarks.digits import ROOT
from hpsearch.records import FloatArray, IntArray
from hpsearch.study.space import Choice, Range, Space

DATA = ROOT.parent / "shared" / "data"
TABLES, SURROGATE = DATA / "hpo-tables", DATA / "yahpo" / "lcbench"

EPOCHS = 52
"""Of LCBench's curves."""

_ACCURACY = 1
"""Column of the surrogate's outputs that is the validation accuracy in percent."""

_CHOICES = ("batch_size", "activation_fn_1", "activation_fn_2", "lr_schedule")
"""Axes of tables that a study file would give as a list of values; others are steps of a range."""

_POINTS = 4096
"""Random points from which the best of a surrogate is looked for, and which say what is usual."""


@dataclass(frozen=True)
class Landscape:
    """A space, and what becomes of its points.

    curves: of points [n, parameters], as Optuna represents them inside, and epochs from 1 on, the metric
    [n, epochs]. epochs: how long a trial trains at most; 1 where only its end is known.
    known: the best that there is; None where it has to be looked for.
    """

    name: str
    space: Space
    maximize: bool
    curves: Callable[[FloatArray, IntArray], FloatArray]
    epochs: int = 1
    known: float | None = None

    def values(self, points: FloatArray) -> FloatArray:
        """[n] the metric after the last epoch."""
        last: FloatArray = self.curves(points, np.array([self.epochs]))[:, 0]
        return last

    @cached_property
    def best(self) -> float:
        """The best value that there is; of a surrogate, that a search from many points finds."""
        return self._climbed() if self.known is None else self.known

    @cached_property
    def usual(self) -> float:
        """The median value of points drawn at random."""
        return float(np.median(self.values(random_points(self.space, _POINTS, 0))))

    def regret(self, values: FloatArray) -> FloatArray:
        """How far values are from the best: 0 is the best, 1 the median of random points."""
        regret: FloatArray = np.maximum((values - self.best) / (self.usual - self.best), 0.0)
        return regret

    def _climbed(self) -> float:
        """Of random points the best go on: a few parameters are drawn again, and what is better stays."""
        random = np.random.default_rng(0)
        sign = 1.0 if self.maximize else -1.0
        points = random_points(self.space, _POINTS, 0)
        scores = sign * self.values(points)
        for step in range(40):
            kept = np.argsort(-scores, kind="stable")[:64]
            parents, best = points[kept], scores[kept]
            fresh = random_points(self.space, 8 * len(kept), step + 1)
            again = random.random(fresh.shape) < 2 / fresh.shape[1]
            children = np.where(again, fresh, np.repeat(parents, 8, axis=0))
            points = np.concatenate([parents, children])
            scores = np.concatenate([best, sign * self.values(children)])
        found = self.curves(points[np.argsort(-scores)[:64]], np.arange(1, self.epochs + 1))
        return sign * float((sign * found).max())


def random_points(space: Space, count: int, seed: int) -> FloatArray:
    """[count, parameters] as Optuna represents them inside, evenly over the space."""
    random = np.random.default_rng(seed)
    columns = []
    for entry in space.searched.values():
        draw = random.random(count)
        if isinstance(entry, Choice):
            columns.append(np.floor(draw * len(entry.values)))
            continue
        low, high = (entry.low - 0.5, entry.high + 0.5) if entry.integer else (entry.low, entry.high)
        x = low * (high / low) ** draw if entry.log else low + (high - low) * draw
        columns.append(np.clip(np.round(x), entry.low, entry.high) if entry.integer else x)
    return np.stack(columns, axis=1)


def names(tasks: int) -> list[str]:
    """All tables, and so many tasks of LCBench, evenly over its list."""
    return [*_FAMILIES, *(task_names(tasks) if tasks else ())]


def task_names(count: int) -> list[str]:
    """So many of LCBench's 34 tasks, evenly over the list."""
    known = sorted(set(_encoding()) - {"#na#", "167083"})
    return [f"lcbench-{known[at * len(known) // count]}" for at in range(count)]


@cache
def landscape(name: str) -> Landscape:
    """The landscape of this name: of each trial only how it ends."""
    return lcbench(name) if name.startswith("lcbench-") else _table(name)


_FAMILIES = {
    "hpobench-car": ("hpobench", "val_acc"),
    "hpobench-phoneme": ("hpobench", "val_acc"),
    "hpobench-segment": ("hpobench", "val_acc"),
    "hpobench-vehicle": ("hpobench", "val_acc"),
    "hpolib-naval_propulsion": ("hpolib", "val_loss"),
    "nasbench201-cifar10": ("nasbench201", "val_acc"),
}
"""Of each table the description of its grid, and the metric."""


def _table(name: str) -> Landscape:
    """A whole grid: the mean over a configuration's seeds; of a loss, its logarithm."""
    family, metric = _FAMILIES[name]
    description: dict[str, Any] = json.loads((TABLES / f"{family}.space.json").read_text(encoding="utf-8"))
    axes = {axis: description["space"][axis] for axis in description["order"]}
    with np.load(TABLES / f"{name}.npz", allow_pickle=False) as arrays:
        values = np.nanmean(arrays[metric].astype(np.float64), axis=1)
    maximize = description["metrics"][metric] == "maximize"
    if not maximize:
        values = np.log10(values)
    sizes = [len(axis) for axis in axes.values()]
    if len(values) != math.prod(sizes):
        raise ValueError(f"{name}: expected {math.prod(sizes):,} configurations; found {len(values):,}")
    return Landscape(
        name=name,
        space=Space({axis: _axis(axis, known) for axis, known in axes.items()}),
        maximize=maximize,
        curves=lambda points, epochs: values[np.ravel_multi_index(points.T.astype(np.intp), sizes), None],
        known=float(values.max() if maximize else values.min()),
    )


def _axis(name: str, known: list[Any]) -> Choice | Range:
    """An axis of a grid; of a range, the place in it."""
    if name in _CHOICES or isinstance(known[0], str):
        return Choice(tuple(known))
    return Range(0, len(known) - 1, integer=True)


_BATCH_SIZES = (16, 32, 64, 128, 256, 512)
_LCBENCH = Space(
    {
        "batch_size": Choice(_BATCH_SIZES),
        "learning_rate": Range(1e-4, 0.1, log=True),
        "momentum": Range(0.1, 0.99),
        "weight_decay": Range(1e-5, 0.1, log=True),
        "num_layers": Range(1, 5, integer=True),
        "max_units": Range(64, 1024, log=True, integer=True),
        "max_dropout": Range(0.0, 1.0),
    }
)


@cache
def lcbench(name: str, whole: bool = False) -> Landscape:
    """Validation accuracy in percent of networks on one of LCBench's tasks, after 52 epochs.

    whole: with the curves up to there.
    """
    code = _encoding()[name.removeprefix("lcbench-")]

    def curves(points: FloatArray, epochs: IntArray) -> FloatArray:
        rows = np.repeat(points, len(epochs), axis=0)
        rows[:, 0] = np.array(_BATCH_SIZES)[rows[:, 0].astype(np.intp)]
        inputs = np.column_stack([np.tile(epochs, len(points)), rows]).astype(np.float32)
        tasks = np.full((len(rows), 1), code, np.int32)
        out = _session().run(None, {"x_cat": tasks, "x_cont": inputs})[0]
        found: FloatArray = out[:, _ACCURACY].astype(np.float64).reshape(len(points), -1)
        return found

    def ends(points: FloatArray, epochs: IntArray) -> FloatArray:
        return curves(points, np.array([EPOCHS]))

    if whole:
        return Landscape(name, _LCBENCH, True, curves, EPOCHS)
    return Landscape(name, _LCBENCH, True, ends)


@cache
def _encoding() -> dict[str, int]:
    text = (SURROGATE / "encoding.json").read_text(encoding="utf-8")
    encoding: dict[str, int] = json.loads(text)["OpenML_task_id"]
    return encoding


@cache
def _session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(SURROGATE / "model.onnx"), options)
