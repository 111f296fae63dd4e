"""Activations, in place, forward and backward, and torch's modules for the reference.

To add one, add an entry to `ACTIVATIONS` and its name to study/hyperparameters.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hpsearch.study.hyperparameters import LEAKY_SLOPE

_aten = torch.ops.aten


ELU_ALPHA = 1.0


@dataclass(frozen=True)
class Activation:
    """One activation f.

    forward(z) turns z into y = f(z) in place.
    backward(g, y) turns g = ∂L/∂y into ∂L/∂z in place; all of these know f′ from y alone.
    zero_at_zero: f(0) = 0, so that padded units stay zero by themselves.
    """

    name: str
    forward: Callable[[Tensor], object]
    backward: Callable[[Tensor, Tensor], object]
    module: Callable[[], nn.Module]
    zero_at_zero: bool = True


def _nothing(*_: Tensor) -> None:
    return None


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation(
            "relu",
            torch.relu_,
            lambda g, y: _aten.threshold_backward.grad_input(g, y, 0, grad_input=g),
            nn.ReLU,
        ),
        Activation(
            "leaky_relu",
            lambda z: nn.functional.leaky_relu_(z, LEAKY_SLOPE),
            lambda g, y: _aten.leaky_relu_backward.grad_input(g, y, LEAKY_SLOPE, True, grad_input=g),
            lambda: nn.LeakyReLU(LEAKY_SLOPE),
        ),
        Activation(
            "elu",
            lambda z: nn.functional.elu_(z, ELU_ALPHA),
            lambda g, y: _aten.elu_backward.grad_input(g, ELU_ALPHA, 1.0, 1.0, True, y, grad_input=g),
            lambda: nn.ELU(ELU_ALPHA),
        ),
        Activation(
            "tanh", torch.tanh_, lambda g, y: _aten.tanh_backward.grad_input(g, y, grad_input=g), nn.Tanh
        ),
        Activation(
            "sigmoid",
            torch.sigmoid_,
            lambda g, y: _aten.sigmoid_backward.grad_input(g, y, grad_input=g),
            nn.Sigmoid,
            zero_at_zero=False,
        ),
        Activation("none", _nothing, _nothing, nn.Identity),
    )
}
