"""Tiles of lanes through `tile.c`: the contract of the cohort trainer, and its numbers but for rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import DEAD, VALID_METRIC, FloatArray
from hpsearch.study.layout import layer_shapes
from hpsearch.telling import Inside, tell
from hpsearch.train.lanes import Lane, LaneResult, finish_lane
from hpsearch.train.metrics import WHOLE, finish_metric
from hpsearch.train.native.build import Kernel
from hpsearch.train.native.interface import LaneStruct, PartStruct, PlanStruct, hyper_parameters, number
from hpsearch.train.problem import Problem
from hpsearch.train.rates import is_constant, step_sizes


def train_native(
    kernel: Kernel, problem: Problem, lanes: Sequence[Lane], last_epoch: int
) -> list[LaneResult]:
    """Train lanes of one batch size together, from their common epoch to `last_epoch`.

    Raises:
        MemoryError: the tile does not fit the memory; nothing has happened.
    """
    first_epoch, epochs = lanes[0].epoch + 1, last_epoch - lanes[0].epoch
    tile = _Tile(kernel, problem, lanes, first_epoch, last_epoch)
    tell(tile.look)
    if problem.metric in WHOLE:
        # Such a metric is computed between two epochs, from the raw outputs of all rows.
        for epoch in range(epochs):
            tile.train(epoch, 1)
            tile.measure(epoch)
    else:
        tile.train(0, epochs)
    results = []
    for at, lane in enumerate(lanes):
        result = finish_lane(lane.trial, tile.curve(at), first_epoch, tile.states[at])
        outputs = tile.outputs(at) if problem.keep_outputs and result.failure is None else None
        results.append(replace(result, evaluating=tile.evaluating[at], outputs=outputs))
    return results


class _Tile:
    """The arrays of lanes in training, which the kernel reads and writes in place."""

    def __init__(
        self, kernel: Kernel, problem: Problem, lanes: Sequence[Lane], first_epoch: int, last_epoch: int
    ) -> None:
        self._kernel, self._problem, self._lanes = kernel, problem, lanes
        batch_size = lanes[0].configuration.batch_size
        epochs = last_epoch - first_epoch + 1
        self._batch, self._seen = problem.batch(batch_size), problem.seen(batch_size)
        self._steps = problem.steps(batch_size)
        self._orders = np.stack([problem.order(epoch) for epoch in range(first_epoch, last_epoch + 1)])
        self.states = [lane.begin(problem).copy(last_epoch) for lane in lanes]
        self._units = [_units(problem, lane) for lane in lanes]
        self._sizes = [_sizes(problem, lane, first_epoch, last_epoch) for lane in lanes]
        self._sums = [np.zeros((epochs, DEAD + len(lane.configuration.layers))) for lane in lanes]
        kept = problem.metric in WHOLE or problem.keep_outputs
        rows = self._seen + len(problem.x_valid) if kept else 0
        self._logits = np.zeros((len(lanes), rows, problem.outputs), np.float32)
        self._done = [0] * len(lanes)
        self._counted = np.zeros(1, np.int64)
        self._variances = [targets.astype(np.float64).var() for targets in (problem.y_train, problem.y_valid)]
        # What the kernel works on: epochs behind it, and its lanes by place; replaced as a whole, since
        # another thread may read it.
        self._now: tuple[int, dict[int, LaneStruct]] = 0, {}
        self.evaluating = [0.0] * len(lanes)

    def train(self, epoch: int, epochs: int) -> None:
        """Train lanes that have not failed yet for `epochs` epochs, of which `epoch` are behind."""
        problem, losses = self._problem, [0, 2]
        alive = [
            at
            for at, done in enumerate(self._done)
            if done == epoch and np.isfinite(self._sums[at][:epoch][-1:, losses]).all()
        ]
        if not alive:
            return
        structs = (LaneStruct * len(alive))(*(self._struct(at, epoch) for at in alive))
        plan = PlanStruct(
            loss=number("loss", problem.loss),
            metric=number("metric", problem.metric),
            representation=number("representation", problem.representation),
            keep_last=int(problem.keep_last),
            batch=self._batch,
            epochs=epochs,
            orders=_address(self._orders[epoch:]),
            steps=_address(self._counted),
        )
        self._now = epoch, dict(zip(alive, structs, strict=True))
        train, valid = _part(problem.x_train, problem.y_train), _part(problem.x_valid, problem.y_valid)
        if self._kernel.train_tile(structs, len(alive), train, valid, plan) < 0:
            raise MemoryError
        for at, struct in self._now[1].items():
            self._done[at] += struct.done
            self.evaluating[at] += struct.evaluating

    def _struct(self, at: int, epoch: int) -> LaneStruct:
        state, units = self.states[at], self._units[at]
        sizes, logits = self._sizes[at], self._logits[at]
        return LaneStruct(
            **hyper_parameters(self._lanes[at].configuration),
            layers=len(units) - 1,
            units=_address(units),
            sizes=None if sizes is None else _address(sizes[epoch * self._steps :]),
            parameters=_address(state.parameters),
            velocity=_address(state.momentum),
            second=_address(state.second),
            curve=_address(self._sums[at][epoch:]),
            logits=_address(logits) if logits.size else None,
        )

    def measure(self, epoch: int) -> None:
        """Put a metric of all rows at once, of the epoch that was trained last, into the curves."""
        problem, whole = self._problem, WHOLE[self._problem.metric]
        trained = [at for at, done in enumerate(self._done) if done == epoch + 1]
        if not trained:
            return
        logits = self._logits[trained]
        seen = problem.y_train[self._orders[epoch, : self._seen]].astype(np.int64)
        for column, outputs, targets in (
            (1, logits[:, : self._seen], seen),
            (3, logits[:, self._seen :], problem.y_valid.astype(np.int64)),
        ):
            for at, value in zip(trained, whole(outputs, targets), strict=True):
                self._sums[at][epoch, column] = value

    def outputs(self, at: int) -> NDArray[np.float32]:
        """[rows, O] raw outputs of a lane for the validation rows, after the epoch that was trained last."""
        return self._logits[at, self._seen :].copy()

    def look(self) -> dict[int, Inside]:
        """How far each lane is; another thread asks."""
        behind, structs = self._now
        steps = int(self._counted[0])
        inside = {}
        for at, lane in enumerate(self._lanes):
            struct = structs.get(at)
            done = self._done[at] if struct is None else behind + struct.done
            known = min(done, behind) if self._problem.metric in WHOLE else done
            curve = self._finished(self._sums[at][:known])
            # Who has diverged is done; all others are in the epoch that the steps are in.
            going = struct is not None and bool(np.isfinite(self._sums[at][:done][-1:, [0, 2]]).all())
            epochs = max(done, min(steps / self._steps, done + 1.0)) if going else done
            inside[lane.trial] = Inside(min(epochs, float(len(self._sums[at]))), curve[:, VALID_METRIC])
        return inside

    def curve(self, at: int) -> FloatArray:
        """[epochs, 4 + hidden layers] of a lane, from the sums over rows."""
        return self._finished(self._sums[at][: self._done[at]])

    def _finished(self, sums: FloatArray) -> FloatArray:
        """[epochs, 4 + hidden layers] from as many sums over rows."""
        problem, curve = self._problem, sums.copy()
        curve[:, 0] /= self._seen
        curve[:, 2] /= len(problem.x_valid)
        if problem.metric in WHOLE:
            return curve
        rows = self._seen, len(problem.x_valid)
        for column, count, variance in zip((1, VALID_METRIC), rows, self._variances, strict=True):
            curve[:, column] = finish_metric(
                problem.metric, curve[:, column] / count, variance, problem.target_std
            )
        return curve


def _units(problem: Problem, lane: Lane) -> NDArray[np.int32]:
    shapes = layer_shapes(problem.features, lane.configuration, problem.outputs)
    return np.array([problem.features, *(outputs for _, outputs in shapes)], dtype=np.int32)


def _sizes(problem: Problem, lane: Lane, first_epoch: int, last_epoch: int) -> NDArray[np.float32] | None:
    """[steps, 3] what each step takes, or None where it is always the same."""
    if is_constant(lane.configuration):
        return None
    tables = step_sizes(problem, lane.configuration, first_epoch, last_epoch)
    return np.stack(tables, axis=1).astype(np.float32)


def _part(x: NDArray[np.generic], y: NDArray[np.generic]) -> PartStruct:
    part = PartStruct(len(x), _address(x))
    if y.dtype == np.int64:
        setattr(part, "class", _address(y))
    else:
        part.target = _address(y)
    return part


def _address(array: NDArray[np.generic]) -> int:
    """Where the array lies; it must outlive the call. numpy's typed pointers are in reference cycles, which
    keep weights in memory until the garbage is collected.
    """
    assert array.flags.c_contiguous
    return array.ctypes.data
