"""How a lane's flat state is laid out: the one place that knows the order and shapes of its parameters."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

from hpsearch.study.hyperparameters import Configuration

Role = Literal["weight", "bias", "gain", "shift", "slope", "mean", "variance"]


@dataclass(frozen=True)
class Piece:
    """A parameter of one layer (counted from 0), or a running statistic of its batch normalisation.

    shape: weight [inputs, outputs], slope [1] or [units], all others [outputs].
    """

    layer: int
    role: Role
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def layer_shapes(features: int, configuration: Configuration, outputs: int) -> list[tuple[int, int]]:
    """(inputs, outputs) of each linear layer, from the input's side.

    A hidden layer has `fan` linear outputs for each unit: maxout takes the largest of them.
    """
    units = [features, *configuration.layers, outputs]
    shapes = list(itertools.pairwise(units))
    hidden = [(inputs, width * configuration.fan) for inputs, width in shapes[:-1]]
    return [*hidden, shapes[-1]]


def parameter_pieces(features: int, configuration: Configuration, outputs: int) -> list[Piece]:
    """What is learned, in the order of the flat state: layer by layer from the input's side.

    In a layer: weight, bias (unless there are none), gain and shift of batch normalisation, PReLU's slopes.
    """
    pieces = []
    shapes = layer_shapes(features, configuration, outputs)
    for layer, (inputs, width) in enumerate(shapes):
        pieces.append(Piece(layer, "weight", (inputs, width)))
        if configuration.bias:
            pieces.append(Piece(layer, "bias", (width,)))
        if layer + 1 == len(shapes):
            break
        if configuration.batch_norm:
            pieces += [Piece(layer, "gain", (width,)), Piece(layer, "shift", (width,))]
        if configuration.activation == "prelu":
            pieces.append(Piece(layer, "slope", (width if configuration.slopes == "unit" else 1,)))
    return pieces


def running_pieces(features: int, configuration: Configuration, outputs: int) -> list[Piece]:
    """Means and variances that batch normalisation keeps for evaluation; nothing without it."""
    if not configuration.batch_norm:
        return []
    hidden = layer_shapes(features, configuration, outputs)[:-1]
    return [
        Piece(layer, role, (width,))
        for layer, (_, width) in enumerate(hidden)
        for role in ("mean", "variance")
    ]


def parameter_count(features: int, configuration: Configuration, outputs: int) -> int:
    """How many numbers the network learns."""
    return sum(piece.size for piece in parameter_pieces(features, configuration, outputs))
