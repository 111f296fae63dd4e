"""The usual way to train one network: a plain torch loop that does nothing but train.

It is what every row calls "solo", and what the peers train with. Nothing is moved, converted or waited for in
a step. Only torch is imported, so that a peer's process starts as fast as anybody's script.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Data(NamedTuple):
    """x [rows, features] float32; y [rows], int64 classes, or float32 zeros and ones."""

    x_train: Tensor
    y_train: Tensor
    x_valid: Tensor
    y_valid: Tensor


class Epoch(NamedTuple):
    """Means over the mini-batches of an epoch and over the validation set, as scalar tensors."""

    train_loss: Tensor
    valid_loss: Tensor
    valid_accuracy: Tensor


def network(features: int, hidden: Sequence[int], outputs: int, activation: str) -> nn.Sequential:
    """A multi-layer perceptron: logits [B, outputs], or [B] where there is one output."""
    layers: list[nn.Module] = []
    units = [features, *hidden]
    for inputs, width in itertools.pairwise(units):
        layers += [nn.Linear(inputs, width), ACTIVATIONS[activation]()]
    layers.append(nn.Linear(units[-1], outputs))
    if outputs == 1:
        layers.append(nn.Flatten(0))  # [B, 1] → [B]
    return nn.Sequential(*layers)


def descent(model: nn.Module, settings: Mapping[str, Any]) -> torch.optim.SGD:
    """torch's own gradient descent, by hpsearch's names of the hyper-parameters."""
    return torch.optim.SGD(
        model.parameters(),
        lr=settings["learning_rate"],
        momentum=settings["momentum"],
        weight_decay=settings["weight_decay"],
    )


def mean_loss(logits: Tensor, y: Tensor) -> Tensor:
    """The mean loss over rows: of classes, or of one output that says yes or no."""
    if logits.dim() == 1:
        return functional.binary_cross_entropy_with_logits(logits, y)
    return functional.cross_entropy(logits, y)


def train_epoch(
    model: nn.Module, optimizer: torch.optim.SGD, data: Data, order: Tensor, batch: int
) -> Tensor:
    """One epoch of whole mini-batches of `batch` rows in `order`; their mean loss, a scalar tensor."""
    steps, total = len(order) // batch, torch.zeros(())
    for start in range(0, steps * batch, batch):
        rows = order[start : start + batch]
        loss = mean_loss(model(data.x_train[rows]), data.y_train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()
    return total / steps


def train(
    model: nn.Module, optimizer: torch.optim.SGD, data: Data, epochs: int, batch: int
) -> Iterator[Epoch]:
    """Train epoch by epoch, with one pass over the validation set at the end of each."""
    for _ in range(epochs):
        train_loss = train_epoch(model, optimizer, data, torch.randperm(len(data.x_train)), batch)
        with torch.no_grad():
            logits = model(data.x_valid)
            right = (
                (logits > 0) == (data.y_valid > 0.5)
                if logits.dim() == 1
                else logits.argmax(1) == data.y_valid
            )
            yield Epoch(train_loss, mean_loss(logits, data.y_valid), right.double().mean())
