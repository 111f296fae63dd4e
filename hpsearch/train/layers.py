"""A trained network as a list of torch's own modules and named arrays, for files that others can read.

Nothing here needs torch but `build`: a native trainer's weights can be exported without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpsearch.study.hyperparameters import Configuration
from hpsearch.study.layout import Role, layer_shapes, parameter_pieces, running_pieces
from hpsearch.train.lanes import LaneState
from hpsearch.train.problem import Floats

if TYPE_CHECKING:
    from torch import nn

PREFIX = "layers"
"""Of the arrays' names, such as "layers.0.weight"."""

_MODULES = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "maxout": "MaxPool1d",
}
"""torch.nn's, by activation; none has none. Of rows [n, units · pieces] MaxPool1d takes the largest of each
`pieces` neighbouring units, which is maxout (Goodfellow et al. 2013)."""

MODULES = frozenset({"Linear", "BatchNorm1d", *_MODULES.values()})
"""All that a network may be made of."""

_ROWS = 4096
"""Rows that go through the network at once."""


@dataclass(frozen=True)
class Layer:
    """torch.nn.<module>(*arguments)."""

    module: str
    arguments: tuple[float | int | bool, ...] = ()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of its arrays, as torch names and lays them out."""
        if self.module == "Linear":
            inputs, outputs, bias = (*self.arguments, True)[:3]
            return {"weight": (int(outputs), int(inputs))} | ({"bias": (int(outputs),)} if bias else {})
        if self.module == "BatchNorm1d":
            return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (int(self.arguments[0]),))
        return {"weight": (int(self.arguments[0]),)} if self.module == "PReLU" else {}


def layers_of(features: int, configuration: Configuration, outputs: int) -> list[Layer]:
    """The network of a configuration for evaluation: dropout, which is off there, is left out."""
    c = configuration
    *hidden, last = layer_shapes(features, c, outputs)
    bias: tuple[bool, ...] = () if c.bias else (False,)
    layers = []
    for (inputs, wide), width in zip(hidden, c.layers, strict=True):
        layers.append(Layer("Linear", (inputs, wide, *bias)))
        if c.batch_norm:
            layers.append(Layer("BatchNorm1d", (wide,)))
        if c.activation != "none":
            layers.append(Layer(_MODULES[c.activation], _arguments(c, width)))
    return [*layers, Layer("Linear", (*last, *bias))]


def _arguments(c: Configuration, width: int) -> tuple[float | int, ...]:
    if c.activation == "prelu":
        return (width if c.slopes == "unit" else 1,)
    if c.activation == "maxout":
        return (c.pieces,)
    return (c.alpha,) if c.activation in ("leaky_relu", "elu") else ()


def arrays_of(
    features: int, configuration: Configuration, outputs: int, state: LaneState
) -> dict[str, Floats]:
    """The weights of a state by their names in a torch.nn.Sequential of `layers_of` called "layers"."""
    layers = layers_of(features, configuration, outputs)
    linear = [place for place, layer in enumerate(layers) if layer.module == "Linear"]
    slopes = [place for place, layer in enumerate(layers) if layer.module == "PReLU"]

    def name(layer: int, role: Role) -> str:
        if role == "slope":
            return f"{PREFIX}.{slopes[layer]}.weight"
        if role in ("weight", "bias"):
            return f"{PREFIX}.{linear[layer]}.{role}"
        own = {"gain": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}
        return f"{PREFIX}.{linear[layer] + 1}.{own[role]}"

    arrays = {}
    for pieces, flat in (
        (parameter_pieces(features, configuration, outputs), state.parameters),
        (running_pieces(features, configuration, outputs), state.running),
    ):
        at = 0
        for piece in pieces:
            own = flat[at : at + piece.size].reshape(piece.shape)
            at += piece.size
            # torch keeps weights as [outputs, inputs]
            arrays[name(piece.layer, piece.role)] = np.ascontiguousarray(own.T)
    return arrays


def shapes_of(layers: Sequence[Layer]) -> dict[str, tuple[int, ...]]:
    """Shapes of all arrays of a network by their names."""
    return {
        f"{PREFIX}.{place}.{name}": shape
        for place, layer in enumerate(layers)
        for name, shape in layer.shapes().items()
    }


def build(layers: Sequence[Layer], arrays: Mapping[str, Floats]) -> nn.Sequential:
    """The network with its weights: raw outputs [n, outputs] of rows [n, features]."""
    import torch
    from torch import nn

    network = nn.Sequential(*(getattr(nn, layer.module)(*layer.arguments) for layer in layers))
    state = {name.removeprefix(f"{PREFIX}."): torch.tensor(array) for name, array in arrays.items()}
    network.load_state_dict(state)
    return network.eval()


def raw_outputs(network: nn.Sequential, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, outputs] float32 of prepared rows [n, features], some thousands at a time."""
    import torch

    with torch.inference_mode():
        parts = [
            network(torch.from_numpy(x[start : start + _ROWS])).numpy() for start in range(0, len(x), _ROWS)
        ]
    logits: NDArray[np.float32] = np.concatenate(parts)
    return logits
