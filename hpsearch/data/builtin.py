"""Sources that need no file: scikit-learn's small data sets and generated points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets

from hpsearch.data.raw import Raw, Refuse, frame_hash, generator
from hpsearch.records import Task
from hpsearch.study.schema import DataSection

GENERATED = ("xor", "spiral", "paws")
_DEFAULT_ROWS = 400
_DEFAULT_NOISE = {"xor": 0.1, "spiral": 0.03, "paws": 0.03}
_ARMS = 3
_PAW, _REACH = 0.35, 0.65
"""Radii of a paw and of the rounded hull around both, whose middles are 1 apart."""

_COPIED: dict[str, tuple[Task, Callable[[], Any]]] = {
    "digits": (Task.MULTICLASS, datasets.load_digits),
    "breast_cancer": (Task.BINARY, datasets.load_breast_cancer),
    "wine": (Task.MULTICLASS, datasets.load_wine),
    "iris": (Task.MULTICLASS, datasets.load_iris),
    "diabetes": (Task.REGRESSION, lambda: datasets.load_diabetes(scaled=False)),
}

BUILT_IN = (*_COPIED, *GENERATED)


def read_built_in(data: DataSection, seed: int, refuse: Refuse) -> Raw:
    """The rows of the built-in source `data.source`.

    `data.rows` and `data.noise` are for generated sources: how many points, 400 when absent, and the
    standard deviation of what is added to their coordinates after the class was decided, when absent
    0.1 for xor and 0.03 for spiral and paws.

    Raises:
        HpsearchError: a key that this source does not have.
    """
    if data.target is not None:
        raise refuse("target", f'the built-in source "{data.source}" knows its target; leave the key out')
    if data.source in _COPIED:
        task, load = _COPIED[data.source]
        frame = _copied(load())
    else:
        task = Task.MULTICLASS if data.source == "spiral" else Task.BINARY
        rows = _DEFAULT_ROWS if data.rows is None else data.rows
        noise = _DEFAULT_NOISE[data.source] if data.noise is None else data.noise
        points = {"xor": _xor, "spiral": _spiral, "paws": _paws}[data.source]
        frame = points(rows, noise, generator(seed, f"data.{data.source}"))
    return Raw(data.source, frame, "target", frame_hash(frame), task)


def _copied(bunch: Any) -> pd.DataFrame:
    frame = pd.DataFrame(bunch.data, columns=[str(name) for name in bunch.feature_names])
    names = getattr(bunch, "target_names", None)
    return frame.assign(target=bunch.target if names is None else np.asarray(names)[bunch.target])


def _xor(rows: int, noise: float, random: np.random.Generator) -> pd.DataFrame:
    """Points of the square from -1 to 1; the class is 1 where the signs of x and y differ."""
    points = random.uniform(-1, 1, (rows, 2))
    target = (np.sign(points[:, 0]) != np.sign(points[:, 1])).astype(np.int64)
    return _plane(points + noise * random.standard_normal((rows, 2)), target)


def _spiral(rows: int, noise: float, random: np.random.Generator) -> pd.DataFrame:
    """Three interleaved arms, a whole turn each, from near the middle to the unit circle."""
    target = np.arange(rows) % _ARMS
    radius = random.uniform(0.1, 1, rows)
    angle = 2 * np.pi * (radius + target / _ARMS)
    points = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return _plane(points + noise * random.standard_normal((rows, 2)), target.astype(np.int64))


def _paws(rows: int, noise: float, random: np.random.Generator) -> pd.DataFrame:
    """Class 1 in two discs, class 0 in what is left of a convex hull around both; half the rows each."""
    target = np.arange(rows) % 2
    points = np.empty((rows, 2))
    waiting = np.arange(rows)
    while len(waiting):
        drawn = random.uniform((-0.5 - _REACH, -_REACH), (0.5 + _REACH, _REACH), (len(waiting), 2))
        to_disc = np.hypot(np.abs(drawn[:, 0]) - 0.5, drawn[:, 1])
        to_hull = np.hypot(np.maximum(np.abs(drawn[:, 0]) - 0.5, 0), drawn[:, 1])
        fits = np.where(target[waiting] == 1, to_disc < _PAW, (to_disc >= _PAW) & (to_hull < _REACH))
        points[waiting[fits]] = drawn[fits]
        waiting = waiting[~fits]
    return _plane(points + noise * random.standard_normal((rows, 2)), target.astype(np.int64))


def _plane(points: np.ndarray[Any, np.dtype[np.float64]], target: Any) -> pd.DataFrame:
    return pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "target": target})
