"""The cohort trainer: all lanes of a tile as one stacked network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.records import DEAD, VALID_LOSS, VALID_METRIC, FloatArray
from hpsearch.telling import Inside, tell
from hpsearch.train.lanes import Lane, LaneResult, finish_lane
from hpsearch.train.memory import LOGITS_AT_ONCE, VALID_ROWS
from hpsearch.train.metrics import WHOLE
from hpsearch.train.network import StackedNetwork, sort_key
from hpsearch.train.optimizer import StackedOptimizer
from hpsearch.train.planner import padded_widths, stack_key
from hpsearch.train.problem import Problem
from hpsearch.train.stack import Network, aligned
from hpsearch.train.tensors import Tensors, one_torch_thread, tensors_of


@one_torch_thread()
@torch.inference_mode()
def train_cohort(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Train lanes from their common epoch to `last_epoch`; results in the order of the lanes.

    Every epoch is a fresh random order of the rows; the last incomplete mini-batch is dropped, unless
    `problem.keep_last` or the data are fewer than one. Training figures are running means over the rows of
    the epoch's mini-batches; validation figures are taken at its end.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for at, lane in enumerate(lanes):
        alike.setdefault(stack_key(lane), []).append(at)
    results: dict[int, LaneResult] = {}
    for group in alike.values():
        trained = _train_alike(problem, [lanes[at] for at in group], last_epoch)
        results |= zip(group, trained, strict=True)
    return [results[at] for at in range(len(lanes))]


def _train_alike(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Lanes of one `stack_key`, as one network."""
    ranked = sorted(range(len(lanes)), key=lambda i: sort_key(lanes[i]))
    tile = [lanes[i] for i in ranked]
    first_epoch = tile[0].epoch + 1
    T, B = len(tile), problem.batch(tile[0].configuration.batch_size)
    data = tensors_of(problem)
    network = StackedNetwork(problem, tile, padded_widths(problem, tile))
    training, evaluation = Training(data, network, B), Evaluation(data, network)
    deepest = len(tile[0].configuration.layers)
    curve = torch.zeros(
        last_epoch - first_epoch + 1, DEAD + deepest, T, dtype=data.sums_dtype, device=data.device
    )
    seen = _Seen(data, tile, training, len(curve))
    tell(seen.look)
    for epoch, order in enumerate(data.orders(first_epoch, last_epoch)):
        curve[epoch, :VALID_LOSS] = training.epoch(first_epoch + epoch, order)
        curve[epoch, VALID_LOSS:DEAD] = evaluation.means()
        for layer, dead in enumerate(evaluation.dead()):
            curve[epoch, DEAD + layer, : len(dead)] = dead
        seen.add(curve[epoch, VALID_METRIC])

    curves, states = curve.double().cpu().numpy(), network.states(last_epoch)
    results = {}
    for index, (at, lane, state) in enumerate(zip(ranked, tile, states, strict=True)):
        own = curves[:, : DEAD + len(lane.configuration.layers), index].copy()
        result = finish_lane(lane.trial, own, first_epoch, state)
        kept = problem.keep_outputs and result.failure is None
        results[at] = replace(result, outputs=evaluation.outputs(index)) if kept else result
    return [results[at] for at in range(T)]


class _Seen:
    """What another thread may see of a tile in training: steps made, and metrics of the epochs behind it."""

    def __init__(self, data: Tensors, tile: Sequence[Lane], training: Training, epochs: int) -> None:
        self._tile, self._training, self._epochs = tile, training, 0
        # Pinned, a GPU writes there when it gets so far, and nothing waits for it.
        self._metrics = torch.full(
            (epochs, len(tile)), torch.nan, dtype=data.sums_dtype, pin_memory=data.device.type == "cuda"
        )
        self._read: FloatArray = self._metrics.numpy()
        self._steps = data.problem.steps(tile[0].configuration.batch_size)

    def add(self, metrics: Tensor) -> None:
        """The validation metric [T] of the next epoch."""
        self._metrics[self._epochs].copy_(metrics, non_blocking=True)
        self._epochs += 1

    def look(self) -> dict[int, Inside]:
        """How far each lane is."""
        epochs = self._epochs
        metrics = self._read[:epochs].astype(np.float64)
        done = min(max(epochs, self._training.steps / self._steps), float(len(self._read)))
        return {lane.trial: Inside(done, metrics[:, at]) for at, lane in enumerate(self._tile)}


class Training:
    """Epochs of all lanes: mini-batches in order, and the running means over their rows.

    steps: made so far.
    """

    def __init__(self, data: Tensors, network: Network, batch: int) -> None:
        self._data, self._network, self._batch = data, network, batch
        optimizer = StackedOptimizer(data.problem, network.parameters, network.lanes)
        self._optimizer, T, O = optimizer, len(network.lanes), data.problem.outputs  # noqa: E741
        self._step = Step(data, network, optimizer, batch)
        rest = data.rows % batch if data.problem.keep_last else 0
        self._last = Step(data, network, optimizer, rest) if rest else None
        self.steps = 0
        self._kept = max(1, min(data.rows // batch, LOGITS_AT_ONCE // (batch * O)))
        self._seen = aligned(data.x_train, T, self._kept, batch, O)
        self._seen_targets = data.y_train.new_empty(self._kept, batch)

    def epoch(self, number: int, order: Tensor) -> Tensor:
        """Train on the rows in `order`; [2, T] mean loss and metric, each mini-batch's before its update."""
        self._network.begin(number)
        self._optimizer.begin(number)
        sums, B, step = Sums(self._data, len(self._network.lanes)), self._batch, self._step
        steps = self._data.rows // B
        for at in range(steps):
            step(order[at * B : (at + 1) * B])
            self.steps += 1
            place = at % self._kept
            self._seen[:, place], self._seen_targets[place] = step.logits, step.targets
            if place + 1 == self._kept or at + 1 == steps:
                sums.add(self._seen[:, : place + 1], self._seen_targets[: place + 1])
        if self._last is not None:
            self._last(order[steps * B :])
            self.steps += 1
            sums.add(self._last.logits[:, None], self._last.targets[None])
        return sums.means(self._data.y_train)


class Step:
    """A mini-batch's step of all lanes, for mini-batches of one size.

    It reads and writes nothing but buffers that stay where they are, and never waits for the device.
    After it, `targets` [B] and `logits` [T, B, O] are those of the mini-batch, before the update.
    """

    def __init__(self, data: Tensors, network: Network, optimizer: StackedOptimizer, batch: int) -> None:
        T, O = len(network.lanes), data.problem.outputs  # noqa: E741
        self._data, self._network, self._optimizer = data, network, optimizer
        self._values, self._gradients = network.buffers(batch), network.buffers(batch)
        self._x = data.x_train.new_empty(batch, data.problem.features)
        self._d_logits = aligned(data.x_train, T, batch, O)
        self._rows = torch.zeros(batch, dtype=torch.int64, device=data.device)
        self.targets = data.y_train.new_empty(batch)
        self.logits = aligned(data.x_train, T, batch, O)

    def __call__(self, rows: Tensor) -> None:
        """rows: [B] of the training set."""
        self._rows.copy_(rows)
        torch.index_select(self._data.x_train, 0, self._rows, out=self._x)
        torch.index_select(self._data.y_train, 0, self._rows, out=self.targets)
        self._network.forward(self._x, self.logits, self._values, training=True)
        self._data.loss.gradient(self.logits, self.targets, self._d_logits)
        self._network.backward(self._x, self._d_logits, self._values, self._gradients)
        self._optimizer.step()


class Sums:
    """Sums of losses and metric contributions of all lanes over the rows seen so far.

    For a metric of all rows at once, their raw outputs are kept.
    """

    def __init__(self, data: Tensors, lanes: int) -> None:
        self._data, self._rows = data, 0
        self._sums = torch.zeros(2, lanes, dtype=data.sums_dtype, device=data.device)
        self._whole = WHOLE.get(data.problem.metric)
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """logits [T, S, B, O] of S mini-batches with targets [S, B]."""
        T, S, B, O = logits.shape  # noqa: E741
        joined = logits.view(T, S * B, O)
        flat = targets.reshape(-1)
        contributions = self._data.loss.values(joined, flat), self._data.contributions(joined, flat)
        for total, each in zip(self._sums, contributions, strict=True):
            total += each.sum(1, dtype=total.dtype)
        self._rows += S * B
        if self._whole is not None:
            self._logits.append(joined.clone())
            self._targets.append(flat.clone())

    def means(self, targets: Tensor) -> Tensor:
        """[2, T] float64: mean loss, and the metric that the mean contributions stand for."""
        loss, metric = self._sums / self._rows
        if self._whole is None:
            return torch.stack([loss, self._data.finish(metric, targets)])
        logits, seen = torch.cat(self._logits, 1).cpu().numpy(), torch.cat(self._targets).cpu().numpy()
        values = self._whole(logits, seen.astype(np.int64))
        return torch.stack([loss, torch.from_numpy(values).to(loss)])


class Evaluation:
    """Loss and metric of all lanes on the validation set, in large batches, and who is dead there."""

    def __init__(self, data: Tensors, network: Network) -> None:
        self._data, self._network = data, network
        rows, T = len(data.x_valid), len(network.lanes)
        starts = range(0, rows, VALID_ROWS)
        self._parts = [slice(start, min(start + VALID_ROWS, rows)) for start in starts]
        # Whole parts share their buffers; the last one may be shorter.
        self._buffers = {size: network.buffers(size) for size in {p.stop - p.start for p in self._parts}}
        self._logits = aligned(data.x_valid, T, min(VALID_ROWS, rows), data.problem.outputs)
        self._alive: list[Tensor] = []
        self._outputs: list[Tensor] = []
        layers = [lane.configuration.layers for lane in network.lanes]
        self._widths = [
            torch.tensor([float(own[layer]) for own in layers if len(own) > layer], device=data.device)
            for layer in range(max(map(len, layers)))
        ]

    def means(self) -> Tensor:
        """[2, T] float64: validation loss and metric of each lane."""
        sums = Sums(self._data, len(self._network.lanes))
        self._alive, self._outputs = [], []
        for part in self._parts:
            size = part.stop - part.start
            logits, values = self._logits[:, :size], self._buffers[size]
            self._network.forward(self._data.x_valid[part], logits, values)
            sums.add(logits[:, None], self._data.y_valid[part][None])
            if self._data.problem.keep_outputs:
                self._outputs.append(logits.clone())
            alive = [(each != 0).any(1) for each in self._network.hidden(values)]
            before = self._alive or alive
            self._alive = [a | b for a, b in zip(before, alive, strict=True)]
        return sums.means(self._data.y_valid)

    def outputs(self, lane: int) -> NDArray[np.floating[Any]]:
        """[rows, O] raw outputs of a lane for the validation rows, where they are kept."""
        kept: NDArray[np.floating[Any]] = torch.cat([part[lane] for part in self._outputs]).cpu().numpy()
        return kept

    def dead(self) -> list[Tensor]:
        """[n] for each hidden layer: the share of units that were 0 for every row, of its lanes."""
        return [
            (widths - alive.sum(1)).to(self._data.sums_dtype) / widths
            for alive, widths in zip(self._alive, self._widths, strict=True)
        ]
