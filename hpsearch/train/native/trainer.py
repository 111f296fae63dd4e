"""Tiles of lanes through `tile.c`: the contract of the cohort trainer, and its numbers but for rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import FloatArray
from hpsearch.study.hyperparameters import LEAKY_SLOPE
from hpsearch.train.lanes import Lane, LaneResult, LaneState, finish_lane, layer_shapes
from hpsearch.train.metrics import finish_metric
from hpsearch.train.native.build import Kernel, LaneStruct, PartStruct, PlanStruct
from hpsearch.train.problem import Problem

_ACTIVATIONS = ("relu", "leaky_relu", "elu", "tanh", "sigmoid", "none")
_LOSSES = ("cross_entropy", "bce", "mse", "l1")
_METRICS = {"accuracy": 0, "error": 0, "mae": 1, "rmse": 2, "r2": 2, "loss": 3}
_MOST_LAYERS = 64


def fits(problem: Problem, lane: Lane) -> bool:
    """Whether tile.c can train this lane: a function of the lane alone."""
    configuration = lane.configuration
    return (
        problem.device == "cpu"
        and problem.dtype == np.float32
        and problem.loss in _LOSSES
        and problem.metric in _METRICS
        and configuration.activation in _ACTIVATIONS
        and len(configuration.layers) < _MOST_LAYERS
    )


def train_native(
    kernel: Kernel, problem: Problem, lanes: Sequence[Lane], last_epoch: int
) -> list[LaneResult]:
    """Train lanes of one batch size together, from their common epoch to `last_epoch`.

    Raises:
        MemoryError: the tile does not fit the memory; nothing has happened.
    """
    first_epoch, epochs = lanes[0].epoch + 1, last_epoch - lanes[0].epoch
    orders = np.stack([problem.order(epoch) for epoch in range(first_epoch, last_epoch + 1)])
    batch = problem.batch(lanes[0].configuration.batch_size)
    plan = PlanStruct(
        loss=_LOSSES.index(problem.loss),
        metric=_METRICS[problem.metric],
        batch=batch,
        epochs=epochs,
        orders=_address(orders),
    )
    states = [_own_state(problem, lane, last_epoch) for lane in lanes]
    units = [_units(problem, lane) for lane in lanes]
    sums = np.zeros((len(lanes), epochs, 4))
    arrays = zip(lanes, units, states, sums, strict=True)
    structs = (LaneStruct * len(lanes))(*(_struct(*own) for own in arrays))
    train, valid = _part(problem.x_train, problem.y_train), _part(problem.x_valid, problem.y_valid)
    if kernel.train_tile(structs, len(lanes), train, valid, plan) < 0:
        raise MemoryError
    results = []
    for at, lane in enumerate(lanes):
        curve = _curve(problem, sums[at, : structs[at].done], batch)
        result = finish_lane(lane.trial, curve, first_epoch, states[at])
        results.append(replace(result, evaluating=structs[at].evaluating))
    return results


def _own_state(problem: Problem, lane: Lane, epoch: int) -> LaneState:
    """A copy of a lane's state, which the kernel trains in place up to `epoch`."""
    state = lane.begin(problem)
    return LaneState(epoch, state.parameters.copy(), state.momentum.copy())


def _units(problem: Problem, lane: Lane) -> NDArray[np.int32]:
    shapes = layer_shapes(problem.features, lane.configuration, problem.outputs)
    return np.array([problem.features, *(outputs for _, outputs in shapes)], dtype=np.int32)


def _struct(
    lane: Lane,
    units: NDArray[np.int32],
    state: LaneState,
    sums: FloatArray,
) -> LaneStruct:
    configuration = lane.configuration
    return LaneStruct(
        layers=len(units) - 1,
        units=_address(units),
        activation=_ACTIVATIONS.index(configuration.activation),
        slope=LEAKY_SLOPE,
        learning_rate=configuration.learning_rate,
        momentum=configuration.momentum,
        weight_decay=configuration.weight_decay,
        nesterov=int(configuration.nesterov),
        parameters=_address(state.parameters),
        velocity=_address(state.momentum),
        curve=_address(sums),
    )


def _part(x: NDArray[np.generic], y: NDArray[np.generic]) -> PartStruct:
    part = PartStruct(len(x), _address(x))
    if y.dtype == np.int64:
        setattr(part, "class", _address(y))
    else:
        part.target = _address(y)
    return part


def _curve(problem: Problem, sums: FloatArray, batch: int) -> FloatArray:
    """[epochs, 4] losses and metrics from their sums over rows."""
    seen = problem.rows // batch * batch
    curve = sums / [seen, seen, len(problem.x_valid), len(problem.x_valid)]
    for column, targets in ((1, problem.y_train), (3, problem.y_valid)):
        variance = targets.astype(np.float64).var()
        curve[:, column] = finish_metric(problem.metric, curve[:, column], variance, problem.target_std)
    return curve


def _address(array: NDArray[np.generic]) -> int:
    """Where the array lies; it must outlive the call. numpy's typed pointers are in reference cycles, which
    keep weights in memory until the garbage is collected.
    """
    assert array.flags.c_contiguous
    return array.ctypes.data
