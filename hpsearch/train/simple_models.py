"""The baselines themselves: scikit-learn's models with their defaults, in a process of their own.

They are trained on the rows that the networks are trained on, prepared alike (numbers standardised,
categories one-hot, missing values filled in; images as their pixels), and scored by the trainer's own
metrics. `main` is what the process runs: it reads a `Job` and writes a `Baseline` after the other.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import (
    BOOSTING,
    EVEN,
    GUESSES,
    LINEAR,
    MOST_CLASSES,
    MOST_ROWS,
    NEIGHBOURS,
    Baseline,
    FloatArray,
)
from hpsearch.train.metrics import confusion, contributions, score
from hpsearch.train.representation import decide
from hpsearch.train.thresholds import choose_threshold, shifted

_SECONDS = {LINEAR: 8.0, NEIGHBOURS: 10.0, BOOSTING: 15.0}
"""That a model may take, by the rules below; it gets as many training rows as fit into them."""

_FEWEST_ROWS = 1_000
"""With less than so many of more training rows, a model would tell little: it is left out."""

# What the models take on one core of an AMD EPYC (Zen 4), measured with scikit-learn 1.9 on made-up rows.
_FLOAT = 1e-11
"""Seconds a multiplication and addition in products of matrices."""
_ITERATIONS = 100
"""Of gradient descent at most, and of boosting."""
_DISTANCE = 6e-11
"""Seconds for one feature of one pair of rows."""
_PAIR = 16
"""A pair itself costs as much as so many features."""
_HISTOGRAM = 7.5e-5
"""Seconds for one feature of one tree, however few rows there are."""
_BINNED = 6e-9
"""Seconds for one feature of one row in one tree."""


@dataclass(frozen=True)
class Job:
    """What to train on, and how it is scored.

    x, y: features, and class indices (int64) or standardised targets, of all training rows in a random
    order; x may hold the first of them alone. The same of the other splits. classes: 0 for a regression.
    std: unit of regression targets. seed: of boosting's own split. thresholds: whether test rows are decided
    at a threshold chosen on validation.
    """

    x: NDArray[np.float32]
    y: NDArray[Any]
    x_valid: NDArray[np.float32]
    y_valid: NDArray[Any]
    x_test: NDArray[np.float32]
    y_test: NDArray[Any]
    classes: int
    metric: str
    std: float
    seed: int
    thresholds: bool = False


def most_rows(name: str, features: int, classes: int, scored: int) -> int:
    """How many training rows the model can have in its time; classes: 0 for a regression.

    scored: rows that it has to predict.
    """
    seconds, outputs = _SECONDS.get(name, np.inf), classes if classes > 2 else 1
    if name == LINEAR:
        # Iterations of products there and back; or for Ridge one of the features with themselves.
        products = 2 * _ITERATIONS * outputs if classes else features
        return int(seconds / (_FLOAT * features * products))
    if name == NEIGHBOURS:
        return int(seconds / (_DISTANCE * (features + _PAIR) * max(1, scored)))
    if name == BOOSTING:
        trees = _ITERATIONS * outputs
        return max(0, int((seconds / (trees * features) - _HISTOGRAM) / _BINNED))
    return sys.maxsize


def models(classes: int, seed: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Names, and what makes the models; each import is paid for by the model that needs it."""

    def guess() -> Any:
        from sklearn.dummy import DummyClassifier, DummyRegressor

        return DummyClassifier(strategy="prior") if classes else DummyRegressor()

    def linear() -> Any:
        from sklearn.linear_model import LogisticRegression, Ridge

        return LogisticRegression(max_iter=_ITERATIONS) if classes else Ridge()

    def neighbours() -> Any:
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        # A tree finds the same neighbours, but of a dozen features ten times as slowly.
        kind = KNeighborsClassifier if classes else KNeighborsRegressor
        return kind(algorithm="brute")

    def boosting() -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
        return kind(random_state=seed)

    yield GUESSES[0] if classes else GUESSES[1], guess
    yield LINEAR, linear
    yield NEIGHBOURS, neighbours
    yield BOOSTING, boosting


def baselines(job: Job) -> Iterator[Baseline]:
    """All of them, the quickest first."""
    for name, make in models(job.classes, job.seed):
        limit = most_rows(name, job.x.shape[1], job.classes, len(job.x_valid) + len(job.x_test))
        rows = min(limit, len(job.y))
        if rows < min(_FEWEST_ROWS, len(job.y)):
            about = f"{len(job.y):,} rows × {job.x.shape[1]:,} features"
            about += f" × {job.classes} classes" if job.classes else ""
            yield Baseline(name, None, None, 0.0, f"left out: {about} would take minutes")
            continue
        model = make()  # which may import scikit-learn: not the model's own time
        began = process_time()
        note = f"trained on {rows:,} of {len(job.y):,} rows" if rows < len(job.y) else ""
        try:
            yield _trained(job, name, model, rows, note, began)
        except (ValueError, MemoryError, np.linalg.LinAlgError) as error:
            why = " ".join(str(error).split()) or "out of memory"
            yield Baseline(name, None, None, process_time() - began, f"left out: scikit-learn says {why}")


def _trained(job: Job, name: str, model: Any, rows: int, note: str, began: float) -> Baseline:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 100 iterations were not enough, with the scores as they are
        # A guess needs no features, and takes all targets.
        x = job.x[:rows] if rows <= len(job.x) else np.zeros((rows, 1), np.float32)
        model.fit(x, job.y[:rows])
    valid, test = (_outputs(job, model, x) for x in (job.x_valid, job.x_test))
    valid_score, threshold, decided = score(job.metric, valid, job.y_valid, job.std), EVEN, None
    if job.thresholds and len(test):
        threshold = choose_threshold(job.metric, [(valid, job.y_valid)])
        decided = score(job.metric, shifted(valid, threshold), job.y_valid)
        test = shifted(test, threshold)
    counts = np.zeros((0, 0), np.int64)
    if 0 < job.classes <= MOST_CLASSES:
        counts = confusion(job.y_test, decide(test), job.classes)
    shares = contributions(job.metric, test[:MOST_ROWS], job.y_test[:MOST_ROWS]) if len(test) else None
    return Baseline(
        name,
        valid_score,
        score(job.metric, test, job.y_test, job.std) if len(test) else None,
        process_time() - began,
        note,
        counts,
        np.empty(0) if shares is None else shares,
        threshold,
        decided,
    )


def _outputs(job: Job, model: Any, x: NDArray[np.float32]) -> FloatArray:
    """[M, O] raw outputs like a network's: logarithms of probabilities, or what a regression predicts.

    A class without a training row has the probability 0, whose logarithm is −∞.
    """
    if not len(x):
        return np.empty((0, max(1, job.classes) if job.classes != 2 else 1))
    if not job.classes:
        return np.asarray(model.predict(x), np.float64).reshape(-1, 1)
    shares = np.zeros((len(x), job.classes))
    shares[:, model.classes_.astype(int)] = model.predict_proba(x)
    with np.errstate(divide="ignore"):
        logs = np.log(shares)
    return logs[:, 1:] - logs[:, :1] if job.classes == 2 else logs


def main() -> None:
    """Reads a job from standard input and writes baselines to standard output, both pickled.

    It ends with the process that started it, which holds the other end of the input, even if that is killed.
    """
    results, silent = os.fdopen(os.dup(1), "wb"), os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    if hasattr(os, "nice"):
        os.nice(19)
    job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_follow_parent, daemon=True).start()
    for each in baselines(job):
        pickle.dump(each, results)
        results.flush()


def _follow_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
