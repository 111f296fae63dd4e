"""Losses: values and gradients at the logits of all lanes, and torch's module for the reference.

Logits are [T, B, O]; targets [B] are the same for all lanes. To add a loss, add an entry to `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Loss:
    """One loss.

    values(logits [T, B, O], targets [B]) → [T, B], the loss of each row.
    gradient(logits [T, B, O], targets [B], out [T, B, O]) writes ∂(mean over B)/∂logits of each lane;
    lanes are summed, so that each lane's gradient is that of a solo run.
    module: torch.nn's own, with the mean over rows.
    """

    name: str
    values: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor, Tensor], None]
    module: Callable[[], nn.Module]


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


def _mse_values(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits[:, :, 0] - targets).square_()


def _mse_gradient(logits: Tensor, targets: Tensor, out: Tensor) -> None:
    torch.sub(logits, targets[:, None], out=out)
    out.mul_(2 / out.shape[1])


def _l1_values(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits[:, :, 0] - targets).abs_()


def _l1_gradient(logits: Tensor, targets: Tensor, out: Tensor) -> None:
    torch.sub(logits, targets[:, None], out=out)
    out.sign_().div_(out.shape[1])


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("cross_entropy", _cross_entropy_values, _cross_entropy_gradient, nn.CrossEntropyLoss),
        Loss("bce", _bce_values, _bce_gradient, nn.BCEWithLogitsLoss),
        Loss("mse", _mse_values, _mse_gradient, nn.MSELoss),
        Loss("l1", _l1_values, _l1_gradient, nn.L1Loss),
    )
}
