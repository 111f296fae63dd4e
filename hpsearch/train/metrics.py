"""Metrics of all lanes: a contribution of each row, its mean, and what the mean stands for.

Logits are [T, M, O]; targets [M]. To add a metric, add an entry to `METRICS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """One metric.

    contributions(logits [T, M, O], targets [M]) → [T, M].
    finish(mean [T] of the contributions, variance of the part's targets, target_std) → [T] in the
    target's own unit, for tensors and arrays alike.
    """

    name: str
    contributions: Callable[[Tensor, Tensor], Tensor]
    finish: Callable[[Any, Any, float], Any]


def _correct(logits: Tensor, targets: Tensor) -> Tensor:
    if logits.shape[2] == 1:
        return (logits[:, :, 0] > 0) == (targets > 0.5)
    return logits.argmax(2) == targets


def _absolute(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits[:, :, 0] - targets).abs_()


def _squared(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits[:, :, 0] - targets).square_()


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


def loss_metric(values: Callable[[Tensor, Tensor], Tensor]) -> Metric:
    """The loss itself as the metric that is ranked."""
    return Metric("loss", values, lambda mean, variance, std: mean)


def finish_metric(name: str, mean: Any, variance: Any, target_std: float) -> Any:
    """What the mean contributions of the metric `name`, which may be "loss", stand for."""
    return mean if name == "loss" else METRICS[name].finish(mean, variance, target_std)
