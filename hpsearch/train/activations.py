"""Activations of many lanes at once, forward and backward, and torch's modules for the reference.

To add one, add an entry to `ACTIVATIONS` and its name to study/hyperparameters.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hpsearch.study.hyperparameters import Configuration

_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """One activation f without parameters of its own; α is [lanes, 1, 1].

    forward(z, α) turns z into y = f(z) in place. backward(g, v, α) turns g = ∂L/∂y into ∂L/∂z in place, where
    v is y, or z if `from_input`: these don't know f′ from y alone. zero_at_zero: f(0) = 0, so that padded
    units stay zero by themselves.
    """

    name: str
    forward: Callable[[Tensor, Tensor], object]
    backward: Callable[[Tensor, Tensor, Tensor], object]
    module: Callable[[float], nn.Module]
    zero_at_zero: bool = True
    from_input: bool = False


class Maxout(nn.Module):
    """The largest of each `pieces` neighbouring units (Goodfellow et al. 2013): [B, units · pieces] → [B,
    units].
    """

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, z: Tensor) -> Tensor:
        return z.view(*z.shape[:-1], -1, self.pieces).amax(-1)


def _normal_cdf(z: Tensor) -> Tensor:
    """Φ(z). torch's own GELU takes another kernel, with other last bits, where there is a single lane."""
    return (1 + torch.erf(z / math.sqrt(2))) / 2


def _nothing(*_: object) -> None:
    return None


_LISTED = (
    Activation(
        "relu",
        lambda z, a: torch.relu_(z),
        lambda g, y, a: _aten.threshold_backward.grad_input(g, y, 0, grad_input=g),
        lambda a: nn.ReLU(),
    ),
    Activation(
        "leaky_relu",
        lambda z, a: z.copy_(torch.where(z > 0, z, z * a)),
        lambda g, y, a: g.mul_(torch.where(y > 0, 1.0, a)),
        nn.LeakyReLU,
    ),
    Activation(
        "elu",
        lambda z, a: z.copy_(torch.where(z > 0, z, torch.expm1(z) * a)),
        lambda g, y, a: g.mul_(torch.where(y > 0, 1.0, y + a)),
        nn.ELU,
    ),
    Activation(
        "gelu",
        lambda z, a: z.mul_(_normal_cdf(z)),
        lambda g, z, a: g.mul_(_normal_cdf(z) + z * torch.exp(z * z / -2) / math.sqrt(2 * math.pi)),
        lambda a: nn.GELU(),
        from_input=True,
    ),
    Activation(
        "silu",
        lambda z, a: _aten.silu_(z),
        lambda g, z, a: _aten.silu_backward.grad_input(g, z, grad_input=g),
        lambda a: nn.SiLU(),
        from_input=True,
    ),
    Activation(
        "tanh",
        lambda z, a: torch.tanh_(z),
        lambda g, y, a: _aten.tanh_backward.grad_input(g, y, grad_input=g),
        lambda a: nn.Tanh(),
    ),
    Activation(
        "sigmoid",
        lambda z, a: torch.sigmoid_(z),
        lambda g, y, a: _aten.sigmoid_backward.grad_input(g, y, grad_input=g),
        lambda a: nn.Sigmoid(),
        zero_at_zero=False,
    ),
    Activation("none", _nothing, _nothing, lambda a: nn.Identity()),
)
ACTIVATIONS = {activation.name: activation for activation in _LISTED}
"""By name; PReLU and maxout, which are more than a function of one number, are in train.hidden."""


def module(configuration: Configuration, width: int) -> nn.Module:
    """The activation of one lane's hidden layer of `width` units, as torch has it."""
    if configuration.activation == "prelu":
        return nn.PReLU(width if configuration.slopes == "unit" else 1)
    if configuration.activation == "maxout":
        return Maxout(configuration.pieces)
    return ACTIVATIONS[configuration.activation].module(configuration.alpha)
