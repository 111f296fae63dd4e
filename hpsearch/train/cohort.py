"""The cohort trainer: all lanes of a tile as one stacked network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from hpsearch.train.lanes import Lane, LaneResult, finish_lane
from hpsearch.train.network import StackedNetwork, aligned, sort_key
from hpsearch.train.optimizer import StackedSGD
from hpsearch.train.planner import padded_widths
from hpsearch.train.problem import Problem

_LOGITS_AT_ONCE = 1 << 15
"""Logits of a lane that are kept before losses and metrics are taken from them."""

_VALID_ROWS = 1024
"""Rows of the validation part that are evaluated together: constant, so that no bit depends on it."""


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """One torch thread within: several would cut a lane's vectors where their shares end.

    Tiles are spread over threads instead (engine.pool).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_torch_thread()
@torch.inference_mode()
def train_cohort(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Train lanes from their common epoch to `last_epoch`; results in the order of the lanes.

    Every epoch is a fresh random order of the rows; the last incomplete mini-batch is dropped, unless
    the data are fewer than one. Training figures are running means over the epoch's mini-batches;
    validation figures are taken at its end.
    """
    ranked = sorted(range(len(lanes)), key=lambda i: sort_key(lanes[i]))
    tile = [lanes[i] for i in ranked]
    first_epoch = tile[0].epoch + 1
    T, B = len(tile), problem.batch(tile[0].configuration.batch_size)
    network = StackedNetwork(problem, tile, padded_widths(problem, tile))
    optimizer = StackedSGD(network.blocks, tile)
    values, gradients = network.buffers(B), network.buffers(B)
    evaluation = Evaluation(problem, network)
    steps = problem.rows // B
    kept = max(1, min(steps, _LOGITS_AT_ONCE // (B * problem.outputs)))
    logits, d_logits = (aligned(problem.x_train, T, B, problem.outputs) for _ in range(2))
    seen = aligned(problem.x_train, T, kept, B, problem.outputs)
    x = problem.x_train.new_empty(B, problem.features)
    curve = torch.zeros(last_epoch - first_epoch + 1, 4, T, dtype=problem.sums_dtype, device=problem.device)

    for epoch in range(first_epoch, last_epoch + 1):
        order = problem.order(epoch)[: steps * B]
        targets = problem.y_train[order].view(steps, B)
        train = Sums(problem, T)
        for step, rows in enumerate(order.view(steps, B)):
            torch.index_select(problem.x_train, 0, rows, out=x)
            network.forward(x, logits, values)
            seen[:, step % kept] = logits
            problem.loss.gradient(logits, targets[step], d_logits)
            network.backward(x, d_logits, values, gradients)
            optimizer.step()
            if (step + 1) % kept == 0 or step + 1 == steps:
                train.add(seen[:, : step % kept + 1], targets[step - step % kept : step + 1])
        curve[epoch - first_epoch, :2] = train.means(problem.y_train)
        curve[epoch - first_epoch, 2:] = evaluation.means()

    curves = curve.double().cpu().numpy()
    results = {
        at: finish_lane(
            tile[index].trial, curves[:, :, index].copy(), first_epoch, network.state(index, last_epoch)
        )
        for index, at in enumerate(ranked)
    }
    return [results[at] for at in range(T)]


class Sums:
    """Sums of losses and metric contributions of all lanes over the rows seen so far."""

    def __init__(self, problem: Problem, lanes: int) -> None:
        self._problem, self._rows = problem, 0
        self._sums = torch.zeros(2, lanes, dtype=problem.sums_dtype, device=problem.device)

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """logits [T, S, B, O] of S mini-batches with targets [S, B]."""
        T, S, B, O = logits.shape  # noqa: E741
        joined = logits.view(T, S * B, O)
        flat = targets.reshape(-1)
        contributions = (
            self._problem.loss.values(joined, flat),
            self._problem.metric.contributions(joined, flat),
        )
        for total, each in zip(self._sums, contributions, strict=True):
            total += each.sum(1, dtype=total.dtype)
        self._rows += S * B

    def means(self, targets: Tensor) -> Tensor:
        """[2, T] float64: mean loss, and the metric that the mean contributions stand for."""
        loss, metric = self._sums / self._rows
        variance = targets.to(loss.dtype).var(correction=0)
        return torch.stack([loss, self._problem.metric.finish(metric, variance, self._problem.target_std)])


class Evaluation:
    """Loss and metric of all lanes on the validation part, in large batches."""

    def __init__(self, problem: Problem, network: StackedNetwork) -> None:
        self._problem, self._network = problem, network
        rows, T = len(problem.x_valid), len(network.lanes)
        self._parts = []
        for start in range(0, rows, _VALID_ROWS):
            stop = min(start + _VALID_ROWS, rows)
            self._parts.append((slice(start, stop), network.buffers(stop - start)))
        self._logits = aligned(problem.x_valid, T, min(_VALID_ROWS, rows), problem.outputs)

    def means(self) -> Tensor:
        """[2, T] float64: validation loss and metric of each lane."""
        sums = Sums(self._problem, len(self._network.lanes))
        for part, buffers in self._parts:
            logits = self._logits[:, : part.stop - part.start]
            self._network.forward(self._problem.x_valid[part], logits, buffers)
            sums.add(logits[:, None], self._problem.y_valid[part][None])
        return sums.means(self._problem.y_valid)
