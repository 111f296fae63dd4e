"""A problem on a torch device, for the stacked trainer and the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.train.losses import LOSSES, Loss, softplus
from hpsearch.train.metrics import METRICS, OWN_LOSS, WHOLE, Metric, loss_metric
from hpsearch.train.problem import Problem
from hpsearch.train.representation import Representation

_REPRESENT: dict[Representation, Callable[[Tensor], Tensor]] = {
    "identity": lambda o: o,
    "softplus": softplus,
    "relu": lambda o: o.clamp(min=0),
}
"""train.representation's, for tensors."""


@dataclass(frozen=True, eq=False)
class Tensors:
    """The arrays of `problem` as tensors that stay on its device, its loss and its metric.

    A metric of all rows at once (metrics.WHOLE) is not made of contributions: `metric` is the loss then.
    """

    problem: Problem
    x_train: Tensor
    y_train: Tensor
    x_valid: Tensor
    y_valid: Tensor
    loss: Loss
    metric: Metric

    @classmethod
    def of(cls, problem: Problem) -> Tensors:
        def tensor(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(array).to(problem.device)

        loss, metric = LOSSES[problem.loss], problem.metric
        return cls(
            problem,
            tensor(problem.x_train),
            tensor(problem.y_train),
            tensor(problem.x_valid),
            tensor(problem.y_valid),
            loss,
            loss_metric(loss.values) if metric in (*OWN_LOSS, *WHOLE) else METRICS[metric],
        )

    @property
    def rows(self) -> int:
        return self.problem.rows

    @property
    def device(self) -> torch.device:
        return self.x_train.device

    @property
    def sums_dtype(self) -> torch.dtype:
        """Type in which losses and metrics are summed; Apple's GPUs have no float64."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def orders(self, first_epoch: int, last_epoch: int) -> Tensor:
        """[epochs, rows] int64 on the device: the orders of the rows in these epochs (counted from 1)."""
        orders = [self.problem.order(epoch) for epoch in range(first_epoch, last_epoch + 1)]
        return torch.from_numpy(np.stack(orders)).to(self.device)

    def contributions(self, logits: Tensor, targets: Tensor) -> Tensor:
        """[T, M] each row's share in the metric, of raw outputs [T, M, O]."""
        represented = logits
        if self.metric.name != "loss":
            represented = _REPRESENT[self.problem.representation](logits)
        shares: Tensor = self.metric.contributions(represented, targets)
        return shares

    def finish(self, mean: Tensor, targets: Tensor) -> Tensor:
        """[T]: the metric from its mean contributions [T] over rows with `targets`."""
        variance = targets.to(mean.dtype).var(correction=0)
        finished: Tensor = self.metric.finish(mean, variance, self.problem.target_std)
        return finished

    def value(self, logits: Tensor, targets: Tensor, part: Tensor) -> float:
        """The metric of raw outputs [M, O] for rows with `targets` [M]; R² is of the variance in `part`."""
        if whole := WHOLE.get(self.problem.metric):
            return float(whole(logits[None].cpu().numpy(), targets.cpu().numpy().astype(np.int64))[0])
        mean = self.contributions(logits[None], targets).double().mean()
        return self.finish(mean, part).item()


_lock = Lock()


def tensors_of(problem: Problem) -> Tensors:
    """The problem on its device; copied once for all threads, and kept as long as the problem."""
    kept = vars(problem)  # a table of all problems would keep them, since tensors know theirs
    with _lock:
        if "_tensors" not in kept:
            kept["_tensors"] = Tensors.of(problem)
        tensors: Tensors = kept["_tensors"]
        return tensors


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """One torch thread within: several would cut a lane's vectors where their shares end.

    Tiles are spread over threads instead (running/pool.py).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
