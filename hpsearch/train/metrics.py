"""Metrics of all lanes, equal to scikit-learn's.

Most are a mean of contributions by row, transformed (`METRICS`); the others need all rows of a split at once
(`WHOLE`). To add a metric, add an entry there and in study/file.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import FloatArray, IntArray
from hpsearch.train.representation import decide

if TYPE_CHECKING:
    from torch import Tensor

    from hpsearch.train.problem import Targets

Scores = NDArray[np.floating[Any]]
Classes = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Metric:
    """A metric computed from a mean over rows.

    contributions(values [T, M, O], targets [M]) → [T, M]; values are raw outputs, for regression what they
    represent. finish(mean [T] of the contributions, variance of the split's targets, target_std) → [T] in the
    target's own unit. Both take tensors and arrays alike.
    """

    name: str
    contributions: Callable[[Any, Any], Any]
    finish: Callable[[Any, Any, float], Any]


def _correct(logits: Any, targets: Any) -> Any:
    if logits.shape[2] == 1:
        return (logits[:, :, 0] > 0) == (targets > 0.5)
    return logits.argmax(2) == targets


def _absolute(values: Any, targets: Any) -> Any:
    return abs(values[:, :, 0] - targets)


def _squared(values: Any, targets: Any) -> Any:
    distance = values[:, :, 0] - targets
    return distance * distance


def _variance_explained(mean: Any, variance: Any, target_std: float) -> Any:
    return 1 - mean / variance


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", _correct, lambda mean, variance, std: mean),
        Metric("error", _correct, lambda mean, variance, std: 1 - mean),
        Metric("mae", _absolute, lambda mean, variance, std: mean * std),
        Metric("rmse", _squared, lambda mean, variance, std: mean**0.5 * std),
        Metric("r2", _squared, _variance_explained),
    )
}

OWN_LOSS = ("loss", "log_loss")
"""Metrics that are the mean loss itself: of classes, scikit-learn's log_loss is cross entropy."""


def loss_metric(values: Callable[[Tensor, Tensor], Tensor]) -> Metric:
    """The loss itself as the metric that is ranked."""
    return Metric("loss", values, lambda mean, variance, std: mean)


def finish_metric(name: str, mean: Any, variance: Any, target_std: float) -> Any:
    """The metric `name` from its mean contributions."""
    return mean if name in OWN_LOSS else METRICS[name].finish(mean, variance, target_std)


# -- metrics of all rows at once -----------------------------------------------------------------


def _counts(scores: Scores, targets: Classes) -> tuple[FloatArray, FloatArray, FloatArray]:
    """[T, C] rows of each class found, rows assigned to it, and [C] rows that belong to it."""
    decided, classes = decide(scores), max(2, scores.shape[2])
    places = decided + classes * np.arange(len(decided))[:, None]
    count = len(decided) * classes

    def counted(chosen: Classes) -> FloatArray:
        return np.bincount(chosen.ravel(), minlength=count).reshape(-1, classes).astype(np.float64)

    hits = decided == targets
    found = np.bincount(places[hits], minlength=count).reshape(-1, classes).astype(np.float64)
    return found, counted(places), np.bincount(targets, minlength=classes).astype(np.float64)


def _mean_recall(found: FloatArray, taken: FloatArray, there: FloatArray) -> FloatArray:
    """[T] recall averaged over classes; of counts as `_counts` gives them."""
    shares: FloatArray = (found[:, there > 0] / there[there > 0]).mean(axis=1)
    return shares


def _f1_of_each(found: FloatArray, taken: FloatArray, there: FloatArray) -> FloatArray:
    """[T, C] 2·found/(taken + there)."""
    both = taken + there
    return np.divide(2 * found, both, out=np.zeros_like(found), where=both > 0)


def _f1_of_second(found: FloatArray, taken: FloatArray, there: FloatArray) -> FloatArray:
    return _f1_of_each(found, taken, there)[:, 1]


def balanced_accuracy(scores: Scores, targets: Classes) -> FloatArray:
    """[T] recall averaged over classes."""
    return _mean_recall(*_counts(scores, targets))


def f1(scores: Scores, targets: Classes) -> FloatArray:
    """[T] 2·found/(taken + there), of the second class if there are two, otherwise the mean over classes."""
    found, taken, there = _counts(scores, targets)
    if scores.shape[2] == 1:
        return _f1_of_second(found, taken, there)
    each, seen = _f1_of_each(found, taken, there), taken + there > 0
    return np.array([row[own].mean() for row, own in zip(each, seen, strict=True)])


OF_TWO: dict[str, Callable[[FloatArray, FloatArray, FloatArray], FloatArray]] = {
    "balanced_accuracy": _mean_recall,
    "f1": _f1_of_second,
}
"""Metrics of a binary task (study.file.THRESHOLDED) as functions of counts: [T, 2] rows of each class
that are found, rows that are taken for it, and [2] rows that belong to it."""


def auc(scores: Scores, targets: Classes) -> FloatArray:
    """[T] area under the ROC curve (Hanley & McNeil 1982): the mean over classes of each against the rest.

    NaN for a split that lacks positive or negative rows.
    """
    if scores.shape[2] == 1:
        return _ranked(scores[:, :, 0], targets == 1)
    shifted = scores.astype(np.float64) - scores.max(axis=2, keepdims=True)
    shares = np.exp(shifted) / np.exp(shifted).sum(axis=2, keepdims=True)
    each = [_ranked(shares[:, :, c], targets == c) for c in range(scores.shape[2])]
    return np.asarray(np.mean(each, axis=0))


def _ranked(scores: Scores, positive: NDArray[np.bool_]) -> FloatArray:
    """[T] how often a positive row's score [T, M] is above a negative one's, ties counting half."""
    from scipy.stats import rankdata  # 0.3 s that other metrics need not pay

    ones, zeros = positive.sum(), (~positive).sum()
    if not ones or not zeros:
        return np.full(len(scores), np.nan)
    ranks = rankdata(scores, axis=1, nan_policy="propagate")[:, positive].sum(axis=1)
    return np.asarray((ranks - ones * (ones + 1) / 2) / (ones * zeros))


WHOLE: dict[str, Callable[[Scores, Classes], FloatArray]] = {
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "auc": auc,
}
"""Functions of raw outputs [T, M, O] and classes [M] of all rows of a split."""


def confusion(truth: Classes, decided: Classes, classes: int) -> IntArray:
    """[classes, classes] rows by true class, then by decided class."""
    places = truth.astype(np.int64) * classes + decided
    return np.bincount(places, minlength=classes**2).reshape(classes, classes).astype(np.int64)


# -- models without torch ------------------------------------------------------------------------


def contributions(metric: str, outputs: Scores, targets: Targets) -> FloatArray | None:
    """[M] each row's share in the metric, of raw outputs [M, O] (for regression what they represent).

    None for a metric of all rows at once, and for the loss of a regression. Outputs may be infinite where a
    model is certain.
    """
    if metric in METRICS:
        shares: FloatArray = METRICS[metric].contributions(outputs[None], targets)[0].astype(np.float64)
        return shares
    if metric not in OWN_LOSS or targets.dtype != np.int64:
        return None
    o = outputs.astype(np.float64)
    if o.shape[1] == 1:
        return np.asarray(np.logaddexp(0, np.where(targets == 1, -o[:, 0], o[:, 0])))
    return np.asarray(np.logaddexp.reduce(o, axis=1) - o[np.arange(len(o)), targets])


def score(metric: str, outputs: Scores, targets: Targets, target_std: float = 1.0) -> float | None:
    """The metric of raw outputs [M, O], as `contributions` takes them; None where it is not finite."""
    if metric in WHOLE:
        value = float(WHOLE[metric](outputs[None], targets.astype(np.int64))[0])
    else:
        shares = contributions(metric, outputs, targets)
        if shares is None:
            return None
        value = float(finish_metric(metric, shares.mean(), targets.astype(np.float64).var(), target_std))
    return value if np.isfinite(value) else None
