"""Lanes through `lane.c`: the same contract as the cohort trainer, and the same numbers but for rounding."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hpsearch.records import FloatArray
from hpsearch.train.activations import LEAKY_SLOPE
from hpsearch.train.lanes import Lane, LaneResult, LaneState, finish_lane, layer_shapes
from hpsearch.train.native.build import (
    Kernel,
    LaneStruct,
    PartStruct,
    c_double_p,
    c_float_p,
    c_int32_p,
    c_int64_p,
)
from hpsearch.train.problem import Problem

_ACTIVATIONS = ("relu", "leaky_relu", "elu", "tanh", "sigmoid", "none")
_LOSSES = ("cross_entropy", "bce", "mse", "l1")
_CONTRIBUTIONS = {"accuracy": 0, "error": 0, "mae": 1, "rmse": 2, "r2": 2, "loss": 3}

MOST_WEIGHTS = 1 << 18
"""Weights of a layer above which a library's blocked products win over staying in the cache."""

_Floats = NDArray[np.float32]


def fits(problem: Problem, lane: Lane) -> bool:
    """Whether the native trainer is meant for this lane: a function of the lane alone."""
    shapes = layer_shapes(problem.features, lane.configuration, problem.outputs)
    return (
        problem.device.type == "cpu"
        and problem.dtype == torch.float32
        and problem.loss.name in _LOSSES
        and problem.metric.name in _CONTRIBUTIONS
        and lane.configuration.activation in _ACTIVATIONS
        and len(shapes) <= 64
        and all(inputs * outputs <= MOST_WEIGHTS for inputs, outputs in shapes)
    )


def train_native(
    kernel: Kernel, problem: Problem, lanes: Sequence[Lane], last_epoch: int
) -> list[LaneResult]:
    """Train lanes one after the other from their common epoch to `last_epoch`."""
    first_epoch = lanes[0].epoch + 1
    orders = np.stack([problem.order(epoch).numpy() for epoch in range(first_epoch, last_epoch + 1)])
    train = _part(problem.x_train, problem.y_train)
    valid = _part(problem.x_valid, problem.y_valid)
    return [_train(kernel, problem, lane, train, valid, orders) for lane in lanes]


def _part(x: torch.Tensor, y: torch.Tensor) -> PartStruct:
    part = PartStruct(len(x), _pointer(x.numpy(), c_float_p))
    if y.is_floating_point():
        part.target = _pointer(y.numpy(), c_float_p)
    else:
        setattr(part, "class", _pointer(y.numpy(), c_int64_p))
    return part


def _train(
    kernel: Kernel,
    problem: Problem,
    lane: Lane,
    train: PartStruct,
    valid: PartStruct,
    orders: NDArray[np.int64],
) -> LaneResult:
    configuration, state, epochs = lane.configuration, lane.begin(problem), len(orders)
    shapes = layer_shapes(problem.features, configuration, problem.outputs)
    used = np.array([problem.features, *(outputs for _, outputs in shapes)], dtype=np.int32)
    units = used.copy()
    units[1:] = -(-used[1:] // kernel.vector_width) * kernel.vector_width
    parameters = _padded(state.parameters.numpy(), used, units)
    velocity = _padded(state.momentum.numpy(), used, units)
    batch = problem.batch(configuration.batch_size)
    struct = LaneStruct(
        layers=len(shapes),
        units=_pointer(units, c_int32_p),
        used=_pointer(used, c_int32_p),
        activation=_ACTIVATIONS.index(configuration.activation),
        loss=_LOSSES.index(problem.loss.name),
        contribution=_CONTRIBUTIONS[problem.metric.name],
        slope=LEAKY_SLOPE,
        learning_rate=configuration.learning_rate,
        momentum=configuration.momentum,
        weight_decay=configuration.weight_decay,
        nesterov=int(configuration.nesterov),
        parameters=_pointer(parameters, c_float_p),
        velocity=_pointer(velocity, c_float_p),
    )
    work = np.empty(kernel.work_size(ctypes.byref(struct), batch), dtype=np.float32)
    struct.work = _pointer(work, c_float_p)
    sums = np.zeros((epochs, 4))
    done = kernel.train_lane(
        ctypes.byref(struct),
        ctypes.byref(train),
        ctypes.byref(valid),
        batch,
        _pointer(orders, c_int64_p),
        epochs,
        _pointer(sums, c_double_p),
    )
    after = LaneState(
        lane.epoch + epochs,
        torch.from_numpy(_unpadded(parameters, used, units)),
        torch.from_numpy(_unpadded(velocity, used, units)),
    )
    curve = _curve(problem, sums[:done], batch)
    return finish_lane(lane.trial, curve, lane.epoch + 1, after)


def _curve(problem: Problem, sums: FloatArray, batch: int) -> FloatArray:
    """[epochs, 4] losses and metrics from their sums over rows."""
    seen = problem.rows // batch * batch
    curve = sums / [seen, seen, len(problem.x_valid), len(problem.x_valid)]
    for column, targets in ((1, problem.y_train), (3, problem.y_valid)):
        variance = targets.double().var(correction=0)
        mean = torch.from_numpy(curve[:, column].copy())
        curve[:, column] = problem.metric.finish(mean, variance, problem.target_std).numpy()
    return curve


def _layers(used: NDArray[np.int32], units: NDArray[np.int32]) -> list[tuple[slice, int, slice, int, int]]:
    """Of each layer: place in the flat state, outputs there; place in the padded one, rows and columns."""
    layers, own, padded = [], 0, 0
    for layer in range(len(used) - 1):
        inputs, outputs, rows, columns = (
            int(n) for n in (used[layer], used[layer + 1], units[layer], units[layer + 1])
        )
        here, there = (inputs + 1) * outputs, (rows + 1) * columns
        layers.append((slice(own, own + here), outputs, slice(padded, padded + there), rows, columns))
        own, padded = own + here, padded + there
    return layers


def _padded(flat: _Floats, used: NDArray[np.int32], units: NDArray[np.int32]) -> _Floats:
    """A lane's flat state with zeros where units are padded: [rows + 1, columns] a layer, bias last."""
    size = int(((units[:-1].astype(np.int64) + 1) * units[1:]).sum())
    out = np.zeros(size, dtype=np.float32)
    for source, outputs, place, rows, columns in _layers(used, units):
        matrix = flat[source].reshape(-1, outputs)
        padded = out[place].reshape(rows + 1, columns)
        padded[: len(matrix) - 1, :outputs] = matrix[:-1]
        padded[rows, :outputs] = matrix[-1]
    return out


def _unpadded(padded: _Floats, used: NDArray[np.int32], units: NDArray[np.int32]) -> _Floats:
    """The inverse of `_padded`."""
    pieces = []
    for source, outputs, place, rows, columns in _layers(used, units):
        inputs = (source.stop - source.start) // outputs - 1
        matrix = padded[place].reshape(rows + 1, columns)
        pieces.append(matrix[:inputs, :outputs].reshape(-1))
        pieces.append(matrix[rows, :outputs])
    return np.concatenate(pieces)


def _pointer(array: NDArray[np.generic], kind: type) -> ctypes._Pointer:  # type: ignore[type-arg]
    assert array.flags.c_contiguous
    return array.ctypes.data_as(kind)
