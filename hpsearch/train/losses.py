"""Losses: values and gradients at the logits of all lanes, and torch's module for the reference.

Logits are [T, B, O]; targets [B] are the same for all lanes. To add a loss, add an entry to `LOSSES`. All of
them take raw outputs, because σ, softmax and their logarithms lose everything where they saturate
(docs/losses.md): log(1 − σ(17)) is −∞ in single precision, though the loss is 17.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMALL = -15.0
"""Below it, eᵒ is nothing beside 1 in single precision: log(log(1 + eᵒ)) = o − eᵒ/2, to the last bit."""


@dataclass(frozen=True)
class Loss:
    """One loss.

    values(logits [T, B, O], targets [B]) → [T, B], the loss of each row.
    gradient(logits [T, B, O], targets [B], out [T, B, O]) writes ∂(mean over B)/∂logits of each lane;
    lanes are summed, so that each lane's gradient is that of a solo run.
    reference(logits [B, O], targets [B]) → the mean over rows, by torch.nn alone.
    """

    name: str
    values: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor, Tensor], None]
    reference: Callable[[Tensor, Tensor], Tensor]


def _cross_entropy_values(logits: Tensor, targets: Tensor) -> Tensor:
    # log_softmax subtracts the largest logit first, so logits of ±1e4 are exact.
    picked = targets[None, :, None].expand(logits.shape[0], -1, 1)  # [T, B, 1]
    return functional.log_softmax(logits, 2).gather(2, picked)[:, :, 0].neg_()


def _cross_entropy_gradient(logits: Tensor, targets: Tensor, out: Tensor) -> None:
    torch.softmax(logits, 2, out=out)
    picked = targets[None, :, None].expand(out.shape[0], -1, 1)  # [T, B, 1]
    out.scatter_add_(2, picked, out.new_full((1, 1, 1), -1.0).expand_as(picked))
    out.div_(out.shape[1])


def _bce_values(logits: Tensor, targets: Tensor) -> Tensor:
    o = logits[:, :, 0]
    return functional.binary_cross_entropy_with_logits(o, targets.expand_as(o), reduction="none")


def _bce_gradient(logits: Tensor, targets: Tensor, out: Tensor) -> None:
    torch.sigmoid(logits, out=out)
    out.sub_(targets[:, None]).div_(out.shape[1])


def _mse_gradient(logits: Tensor, targets: Tensor, out: Tensor) -> None:
    torch.sub(logits, targets[:, None], out=out)
    out.mul_(2 / out.shape[1])


def _l1_gradient(logits: Tensor, targets: Tensor, out: Tensor) -> None:
    torch.sub(logits, targets[:, None], out=out)
    out.sign_().div_(out.shape[1])


def softplus(o: Tensor) -> Tensor:
    """log(1 + eᵒ), of exp and log alone: torch's own has other last bits where a vector is cut short, so that
    a lane's numbers would depend on its neighbours.
    """
    e = torch.exp(-o.abs())
    u = e + 1
    log = torch.where(u == 1, e, torch.log(u) * (e / (u - 1)))  # log(1 + e), exact where e is small (Kahan)
    return torch.where(o > 0, o, o - o) + log  # o − o: NaN stays NaN


def sigmoid(o: Tensor) -> Tensor:
    """1/(1 + e⁻ᵒ), of exp alone, for the same reason."""
    e = torch.exp(-o.abs())
    return torch.where(o >= 0, 1 / (1 + e), e / (1 + e))


def _through_softplus(gradient: Callable[[Tensor, Tensor, Tensor], None]) -> Callable[..., None]:
    """The gradient of a loss of softplus(o): softplus′ is σ."""

    def whole(logits: Tensor, targets: Tensor, out: Tensor) -> None:
        gradient(softplus(logits), targets, out)
        out.mul_(sigmoid(logits))

    return whole


def _poisson_values(logits: Tensor, targets: Tensor) -> Tensor:
    """r − y log r for r = softplus(o), whose logarithm is o where eᵒ underflows."""
    o = logits[:, :, 0]
    small = o.clamp(max=_SMALL)
    log = torch.where(o < _SMALL, small - small.exp() / 2, softplus(o.clamp(min=_SMALL)).log())
    return softplus(o) - targets * log


def _poisson_gradient(logits: Tensor, targets: Tensor, out: Tensor) -> None:
    """σ(o) − y σ(o)/softplus(o), where σ/softplus → 1 for o → −∞."""
    share = sigmoid(logits)
    ratio = torch.where(logits < _SMALL, torch.ones_like(share), share / softplus(logits.clamp(min=_SMALL)))
    torch.sub(share, targets[:, None] * ratio, out=out)
    out.div_(out.shape[1])


def _one(module: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda logits, targets: module(logits[:, 0], targets)


def _softplus(module: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda logits, targets: module(functional.softplus(logits[:, 0]), targets)


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("cross_entropy", _cross_entropy_values, _cross_entropy_gradient, nn.CrossEntropyLoss()),
        Loss("bce", _bce_values, _bce_gradient, _one(nn.BCEWithLogitsLoss())),
        Loss("mse", lambda o, y: (o[:, :, 0] - y).square_(), _mse_gradient, _one(nn.MSELoss())),
        Loss("l1", lambda o, y: (o[:, :, 0] - y).abs_(), _l1_gradient, _one(nn.L1Loss())),
        Loss(
            "softplus_mse",
            lambda o, y: (softplus(o[:, :, 0]) - y).square_(),
            _through_softplus(_mse_gradient),
            _softplus(nn.MSELoss()),
        ),
        Loss(
            "softplus_l1",
            lambda o, y: (softplus(o[:, :, 0]) - y).abs_(),
            _through_softplus(_l1_gradient),
            _softplus(nn.L1Loss()),
        ),
        Loss(
            "softplus_poisson",
            _poisson_values,
            _poisson_gradient,
            _softplus(nn.PoissonNLLLoss(log_input=False, eps=0.0)),
        ),
    )
}
"""By name; softplus_… are those of positive regression, of softplus(o) instead of o."""
