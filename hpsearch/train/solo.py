"""The reference: each lane by itself, in the loop of a textbook, with torch.nn and torch.optim.

What the cohort trainer computes is tested against this; it is not used for studies.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from hpsearch import seeds
from hpsearch.records import DEAD, FloatArray
from hpsearch.study.hyperparameters import ADAPTIVE, Configuration
from hpsearch.study.layout import layer_shapes
from hpsearch.train.activations import module
from hpsearch.train.hidden import dropout_mask
from hpsearch.train.lanes import Lane, LaneResult, LaneState, finish_lane
from hpsearch.train.problem import Floats, Problem
from hpsearch.train.tensors import Tensors, one_torch_thread, tensors_of


@one_torch_thread()
def train_solo(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Train each lane alone from its epoch to `last_epoch`; the same contract as `train_cohort`."""
    return [_train(problem, lane, last_epoch) for lane in lanes]


class SeededDropout(nn.Module):
    """nn.Dropout with masks that are a function of (seed, trial, epoch, layer) instead of global state."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.random = np.random.default_rng()

    def forward(self, h: Tensor) -> Tensor:
        if not self.training or not self.share:
            return h
        mask = dropout_mask(self.random, h.shape[0], h.shape[1], self.share)
        return h * torch.from_numpy(mask).to(h)


def _train(problem: Problem, lane: Lane, last_epoch: int) -> LaneResult:
    configuration, state = lane.configuration, lane.begin(problem)
    model = build_model(problem, configuration, state)
    optimizer = _optimizer(model, configuration)
    _load_moments(optimizer, model, state, problem.steps(configuration.batch_size) * state.epoch)
    rates = _rates(problem, configuration, state.epoch)
    data = tensors_of(problem)
    batch, seen = problem.batch(configuration.batch_size), problem.seen(configuration.batch_size)
    first_epoch = lane.epoch + 1
    curve = np.zeros((last_epoch - first_epoch + 1, DEAD + len(configuration.layers)))
    for epoch, order in enumerate(data.orders(first_epoch, last_epoch)):
        _seed_dropout(model, problem.seed, lane.drawn_as, first_epoch + epoch)
        outputs = []
        for rows in order[:seen].split(batch):
            x, y = data.x_train[rows], data.y_train[rows]
            logits = model(x)
            loss = data.loss.reference(logits, y)
            optimizer.param_groups[0]["lr"] = next(rates)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            outputs.append((logits.detach(), y, loss.item()))
        curve[epoch, :2] = _training_figures(data, outputs)
        model.eval()
        curve[epoch, 2:4], curve[epoch, DEAD:] = _validation_figures(data, model)
        model.train()
    return _result(lane, curve, first_epoch, model, optimizer, last_epoch, problem.dtype)


def _training_figures(data: Tensors, outputs: list[tuple[Tensor, Tensor, float]]) -> tuple[float, float]:
    """Running means over the rows of an epoch."""
    rows = [len(y) for _, y, _ in outputs]
    logits, targets = torch.cat([o for o, _, _ in outputs]), torch.cat([y for _, y, _ in outputs])
    mean_loss = float(np.average([loss for _, _, loss in outputs], weights=rows))
    return mean_loss, data.value(logits, targets, data.y_train)


@torch.no_grad()
def _validation_figures(data: Tensors, model: nn.Sequential) -> tuple[tuple[float, float], list[float]]:
    """(loss, metric) on the validation set, and the share of units of each hidden layer that are 0 there."""
    h, dead = data.x_valid, []
    for layer in model:
        h = layer(h)
        if isinstance(layer, SeededDropout):
            dead.append((h == 0).all(0).double().mean().item())
    loss = data.loss.reference(h, data.y_valid).item()
    return (loss, data.value(h, data.y_valid, data.y_valid)), dead


def build_model(problem: Problem, configuration: Configuration, state: LaneState) -> nn.Sequential:
    """A lane's network with the weights of its state: raw outputs [B, O] of rows [B, features].

    Each hidden layer is Linear, perhaps BatchNorm1d, the activation, and SeededDropout; the last one is
    Linear.
    """
    *hidden, last = layer_shapes(problem.features, configuration, problem.outputs)
    like = tensors_of(problem).x_train
    settings = {"bias": configuration.bias}
    modules: list[nn.Module] = []
    for inputs, outputs in hidden:
        modules.append(nn.Linear(inputs, outputs, **settings))
        if configuration.batch_norm:
            modules.append(nn.BatchNorm1d(outputs))
        modules += [module(configuration, outputs), SeededDropout(configuration.dropout)]
    model = nn.Sequential(*modules, nn.Linear(*last, **settings)).to(like.device, like.dtype)
    with torch.no_grad():
        for parameter, value in _parts(model.parameters(), state.parameters):
            parameter.copy_(value)
        for running, value in _parts(_running(model), state.running):
            running.copy_(value)
    return model


def _running(model: nn.Module) -> Iterator[Tensor]:
    """Running means and variances; batch normalisation's count of batches is not among them."""
    return (buffer for buffer in model.buffers() if buffer.dim())


def _parts(tensors: Iterator[Tensor], flat: Floats) -> Iterator[tuple[Tensor, Tensor]]:
    """Each tensor with its values from a lane's flat array."""
    at, values = 0, torch.from_numpy(flat)
    for tensor in tensors:
        own = values[at : at + tensor.numel()]
        at += tensor.numel()
        # torch keeps weights as [outputs, inputs]
        yield tensor, (own.view(*reversed(tensor.shape)).T if tensor.dim() == 2 else own).to(tensor.device)


def _optimizer(model: nn.Module, configuration: Configuration) -> torch.optim.Optimizer:
    c, parameters = configuration, model.parameters()
    if c.optimizer in ADAPTIVE:
        make = torch.optim.Adam if c.optimizer == "adam" else torch.optim.AdamW
        betas = (c.beta1, c.beta2)
        return make(parameters, c.learning_rate, betas, c.epsilon, weight_decay=c.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=c.learning_rate,
        momentum=c.momentum,
        nesterov=c.nesterov and c.momentum > 0,
        weight_decay=c.weight_decay,
    )


def _load_moments(optimizer: torch.optim.Optimizer, model: nn.Module, state: LaneState, steps: int) -> None:
    if state.epoch == 0:
        return
    names = ("exp_avg", "exp_avg_sq") if len(state.second) else ("momentum_buffer",)
    if len(names) == 1 and not optimizer.param_groups[0]["momentum"]:
        return
    for name, flat in zip(names, (state.momentum, state.second), strict=False):
        for parameter, values in _parts(model.parameters(), flat):
            optimizer.state[parameter][name] = values.contiguous().clone()
            optimizer.state[parameter]["step"] = torch.tensor(float(steps))


def _rates(problem: Problem, configuration: Configuration, epoch: int) -> Iterator[float]:
    """The learning rate of each step after `epoch` epochs: torch's own schedules, times the warm-up."""
    c, steps = configuration, problem.steps(configuration.batch_size)
    model = torch.optim.SGD([torch.zeros(1)], lr=c.learning_rate)  # trains nothing
    schedule: lr_scheduler.LRScheduler = lr_scheduler.ConstantLR(model, factor=1.0)
    if c.schedule == "step":
        schedule = lr_scheduler.StepLR(model, c.step_epochs * steps, c.step_factor)
    elif c.schedule == "cosine":
        schedule = lr_scheduler.CosineAnnealingLR(model, problem.epochs * steps)
    for done in itertools.count():
        warmed = min(1.0, (done + 1) / (c.warmup * steps)) if c.warmup else 1.0
        if done >= epoch * steps:
            yield model.param_groups[0]["lr"] * warmed
        model.step()
        schedule.step()


def _seed_dropout(model: nn.Sequential, seed: int, trial: int, epoch: int) -> None:
    layers = (layer for layer in model if isinstance(layer, SeededDropout))
    for number, layer in enumerate(layers):
        layer.random = seeds.generator(seed, "dropout", trial, epoch, number)


def _result(
    lane: Lane,
    curve: FloatArray,
    first_epoch: int,
    model: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    last_epoch: int,
    dtype: np.dtype[np.floating[Any]],
) -> LaneResult:
    def flat(tensors: Iterator[Tensor]) -> Floats:
        parts = [(t.T if t.dim() == 2 else t).detach().reshape(-1).cpu().numpy() for t in tensors]
        return np.concatenate([np.empty(0, dtype), *parts])

    def moments(name: str) -> Floats:
        states = [optimizer.state[parameter].get(name) for parameter in model.parameters()]
        return flat(state for state in states if state is not None)

    parameters = flat(iter(model.parameters()))
    if lane.configuration.optimizer in ADAPTIVE:
        momentum, second = moments("exp_avg"), moments("exp_avg_sq")
    else:
        momentum, second = moments("momentum_buffer"), np.empty(0, parameters.dtype)
    if not len(momentum):  # plain gradient descent keeps none
        momentum = np.zeros_like(parameters)
    state = LaneState(last_epoch, parameters, momentum, second, flat(_running(model)))
    return finish_lane(lane.trial, curve, first_epoch, state)
