"""The cohort trainer: all lanes of a tile as one stacked network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from hpsearch.train.lanes import Lane, LaneResult, finish_lane
from hpsearch.train.memory import LOGITS_AT_ONCE, VALID_ROWS
from hpsearch.train.network import StackedNetwork, sort_key
from hpsearch.train.optimizer import StackedSGD
from hpsearch.train.planner import padded_widths
from hpsearch.train.problem import Problem
from hpsearch.train.stack import Network, aligned
from hpsearch.train.tensors import Tensors


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
    step, evaluation = Step(data, network, B), Evaluation(data, network)
    steps = problem.rows // B
    kept = max(1, min(steps, LOGITS_AT_ONCE // (B * problem.outputs)))
    seen = aligned(data.x_train, T, kept, B, problem.outputs)
    seen_targets = data.y_train.new_empty(kept, B)
    curve = torch.zeros(last_epoch - first_epoch + 1, 4, T, dtype=data.sums_dtype, device=data.device)

    for epoch, order in enumerate(data.orders(first_epoch, last_epoch)):
        train = Sums(data, T)
        for number in range(steps):
            step.rows.copy_(order[number * B : (number + 1) * B])
            step()
            at = number % kept
            seen[:, at], seen_targets[at] = step.logits, step.targets
            if at + 1 == kept or number + 1 == steps:
                train.add(seen[:, : at + 1], seen_targets[: at + 1])
        curve[epoch, :2] = train.means(data.y_train)
        curve[epoch, 2:] = evaluation.means()

    curves, states = curve.double().cpu().numpy(), network.states(last_epoch)
    results = {
        at: finish_lane(lane.trial, curves[:, :, index].copy(), first_epoch, state)
        for index, (at, lane, state) in enumerate(zip(ranked, tile, states, strict=True))
    }
    return [results[at] for at in range(T)]


class Step:
    """A mini-batch's step of all lanes, on the rows in `rows` [B].

    It reads and writes nothing but buffers that stay where they are, and never waits for the device.
    After it, `targets` [B] and `logits` [T, B, O] are those of the mini-batch, before the update.
    """

    def __init__(self, data: Tensors, network: Network, batch: int) -> None:
        T, O = len(network.lanes), data.problem.outputs  # noqa: E741
        self._data, self._network = data, network
        self._optimizer = StackedSGD(network.parameters, network.lanes)
        self._values, self._gradients = network.buffers(batch), network.buffers(batch)
        self._x = data.x_train.new_empty(batch, data.problem.features)
        self._d_logits = aligned(data.x_train, T, batch, O)
        self.rows = torch.zeros(batch, dtype=torch.int64, device=data.device)
        self.targets = data.y_train.new_empty(batch)
        self.logits = aligned(data.x_train, T, batch, O)

    def __call__(self) -> None:
        torch.index_select(self._data.x_train, 0, self.rows, out=self._x)
        torch.index_select(self._data.y_train, 0, self.rows, out=self.targets)
        self._network.forward(self._x, self.logits, self._values)
        self._data.loss.gradient(self.logits, self.targets, self._d_logits)
        self._network.backward(self._x, self._d_logits, self._values, self._gradients)
        self._optimizer.step()


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

    def __init__(self, data: Tensors, network: Network) -> None:
        self._data, self._network = data, network
        rows, T = len(data.x_valid), len(network.lanes)
        starts = range(0, rows, VALID_ROWS)
        self._parts = [slice(start, min(start + VALID_ROWS, rows)) for start in starts]
        # Whole parts share their buffers; the last one may be shorter.
        self._buffers = {size: network.buffers(size) for size in {p.stop - p.start for p in self._parts}}
        self._logits = aligned(data.x_valid, T, min(VALID_ROWS, rows), data.problem.outputs)

    def means(self) -> Tensor:
        """[2, T] float64: validation loss and metric of each lane."""
        sums = Sums(self._data, len(self._network.lanes))
        for part in self._parts:
            size = part.stop - part.start
            logits = self._logits[:, :size]
            self._network.forward(self._data.x_valid[part], logits, self._buffers[size])
            sums.add(logits[:, None], self._data.y_valid[part][None])
        return sums.means(self._data.y_valid)
