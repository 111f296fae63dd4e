"""The interface between stacked networks, their trainer and their optimiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from hpsearch.study.hyperparameters import ADAPTIVE
from hpsearch.train.lanes import Lane, LaneState


@dataclass(frozen=True)
class Parameter:
    """A parameter of the lanes start … stop-1: its value, gradient and momentum, each [stop - start, *shape].

    second: Adam's mean of squared gradients, of the same shape; [0] for gradient descent.
    """

    start: int
    stop: int
    value: Tensor
    gradient: Tensor
    momentum: Tensor
    second: Tensor

    @classmethod
    def zeros(cls, lanes: Sequence[Lane], start: int, *shape: int, like: Tensor) -> Parameter:
        """Of `lanes`, the first of which is the one numbered `start`; all have the same kind of optimiser."""
        value, gradient, momentum = (aligned(like, len(lanes), *shape) for _ in range(3))
        adaptive = lanes[0].configuration.optimizer in ADAPTIVE
        second = aligned(like, len(lanes), *shape) if adaptive else like.new_empty(0)
        return cls(start, start + len(lanes), value, gradient, momentum, second)


class Network(Protocol):
    """The networks of all lanes of a tile, stacked.

    Nothing in `forward` and `backward` may wait for the device, or read what is on it: a step runs as
    a sequence of calls that only depends on shapes.
    """

    @property
    def lanes(self) -> Sequence[Lane]:
        """In the order in which they are stacked."""
        ...

    @property
    def parameters(self) -> Sequence[Parameter]: ...

    def begin(self, epoch: int) -> None:
        """The next mini-batch is the first of an epoch."""
        ...

    def buffers(self, rows: int) -> Any:
        """Buffers in which a forward pass of `rows` rows leaves values for the backward pass."""
        ...

    def forward(self, x: Tensor, logits: Tensor, values: Any, training: bool = False) -> None:
        """x [B, features] → logits [T, B, O]; `values` are buffers for B rows. training: with dropout."""
        ...

    def backward(self, x: Tensor, d_logits: Tensor, values: Any, gradients: Any) -> None:
        """∂L/∂logits [T, B, O] → gradients of all parameters, for the `values` of the last forward."""
        ...

    def hidden(self, values: Any) -> Sequence[Tensor]:
        """[n, B, units] of each hidden layer after the last forward, for the n lanes that have it."""
        ...

    def states(self, epoch: int) -> list[LaneState]:
        """Copies of the lanes' states."""
        ...


def aligned(like: Tensor, lanes: int, *shape: int) -> Tensor:
    """Zeros [lanes, *shape] whose lanes begin at multiples of 128 bytes.

    A processor's kernels give other last bits where a matrix is aligned otherwise or where a vector
    is cut short, so without this a lane's numbers would depend on its place in the tile.
    """
    stride = -(-math.prod(shape) // 32) * 32
    inner = [math.prod(shape[at + 1 :]) for at in range(len(shape))]
    return like.new_zeros(lanes * stride).as_strided((lanes, *shape), (stride, *inner))
