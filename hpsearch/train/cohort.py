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
from hpsearch.train.tensors import Tensors

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
    data = problem.tensors
    network = StackedNetwork(problem, tile, padded_widths(problem, tile))
    optimizer = StackedSGD(network.blocks, tile)
    values, gradients = network.buffers(B), network.buffers(B)
    evaluation = Evaluation(data, network)
    steps = problem.rows // B
    kept = max(1, min(steps, _LOGITS_AT_ONCE // (B * problem.outputs)))
    logits, d_logits = (aligned(data.x_train, T, B, problem.outputs) for _ in range(2))
    seen = aligned(data.x_train, T, kept, B, problem.outputs)
    x = data.x_train.new_empty(B, problem.features)
    curve = torch.zeros(last_epoch - first_epoch + 1, 4, T, dtype=data.sums_dtype, device=data.device)

    for epoch, whole_order in enumerate(data.orders(first_epoch, last_epoch)):
        order = whole_order[: steps * B]
        targets = data.y_train[order].view(steps, B)
        train = Sums(data, T)
        for step, rows in enumerate(order.view(steps, B)):
            torch.index_select(data.x_train, 0, rows, out=x)
            network.forward(x, logits, values)
            seen[:, step % kept] = logits
            data.loss.gradient(logits, targets[step], d_logits)
            network.backward(x, d_logits, values, gradients)
            optimizer.step()
            if (step + 1) % kept == 0 or step + 1 == steps:
                train.add(seen[:, : step % kept + 1], targets[step - step % kept : step + 1])
        curve[epoch, :2] = train.means(data.y_train)
        curve[epoch, 2:] = evaluation.means()

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

    def __init__(self, data: Tensors, lanes: int) -> None:
        self._data, self._rows = data, 0
        self._sums = torch.zeros(2, lanes, dtype=data.sums_dtype, device=data.device)

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """logits [T, S, B, O] of S mini-batches with targets [S, B]."""
        T, S, B, O = logits.shape  # noqa: E741
        joined = logits.view(T, S * B, O)
        flat = targets.reshape(-1)
        contributions = (
            self._data.loss.values(joined, flat),
            self._data.metric.contributions(joined, flat),
        )
        for total, each in zip(self._sums, contributions, strict=True):
            total += each.sum(1, dtype=total.dtype)
        self._rows += S * B

    def means(self, targets: Tensor) -> Tensor:
        """[2, T] float64: mean loss, and the metric that the mean contributions stand for."""
        loss, metric = self._sums / self._rows
        return torch.stack([loss, self._data.finish(metric, targets)])


class Evaluation:
    """Loss and metric of all lanes on the validation part, in large batches."""

    def __init__(self, data: Tensors, network: StackedNetwork) -> None:
        self._data, self._network = data, network
        rows, T = len(data.x_valid), len(network.lanes)
        self._parts = []
        for start in range(0, rows, _VALID_ROWS):
            stop = min(start + _VALID_ROWS, rows)
            self._parts.append((slice(start, stop), network.buffers(stop - start)))
        self._logits = aligned(data.x_valid, T, min(_VALID_ROWS, rows), network.problem.outputs)

    def means(self) -> Tensor:
        """[2, T] float64: validation loss and metric of each lane."""
        sums = Sums(self._data, len(self._network.lanes))
        for part, buffers in self._parts:
            logits = self._logits[:, : part.stop - part.start]
            self._network.forward(self._data.x_valid[part], logits, buffers)
            sums.add(logits[:, None], self._data.y_valid[part][None])
        return sums.means(self._data.y_valid)
