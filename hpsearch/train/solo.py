"""The reference: each lane by itself, in the loop of a textbook, with torch.nn and torch.optim.

What the cohort trainer computes is tested against this; it is not used for studies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hpsearch.records import FloatArray
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train.activations import ACTIVATIONS
from hpsearch.train.lanes import Lane, LaneResult, LaneState, finish_lane, layer_shapes
from hpsearch.train.problem import Floats, Problem
from hpsearch.train.tensors import Tensors


def train_solo(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Train each lane alone from its epoch to `last_epoch`; the same contract as `train_cohort`."""
    return [_train(problem, lane, last_epoch) for lane in lanes]


def _train(problem: Problem, lane: Lane, last_epoch: int) -> LaneResult:
    configuration, state = lane.configuration, lane.begin(problem)
    model = _model(problem, configuration, state)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=configuration.learning_rate,
        momentum=configuration.momentum,
        nesterov=configuration.nesterov and configuration.momentum > 0,
        weight_decay=configuration.weight_decay,
    )
    _load_momentum(optimizer, model, state)
    data = problem.tensors
    criterion = data.loss.module()
    batch = problem.batch(configuration.batch_size)
    first_epoch = lane.epoch + 1
    curve = np.zeros((last_epoch - first_epoch + 1, 4))
    for epoch, order in enumerate(data.orders(first_epoch, last_epoch)):
        losses, contributions = [], []
        for start in range(0, problem.rows - batch + 1, batch):
            rows = order[start : start + batch]
            x, y = data.x_train[rows], data.y_train[rows]
            logits = model(x)
            loss = criterion(_shaped(logits), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            contributions.append(_contribution(data, logits, y))
        with torch.no_grad():
            valid = model(data.x_valid)
            valid_loss = criterion(_shaped(valid), data.y_valid).item()
        curve[epoch] = (
            np.mean(losses),
            _finish(data, float(np.mean(contributions)), data.y_train),
            valid_loss,
            _finish(data, _contribution(data, valid, data.y_valid), data.y_valid),
        )
    return _result(lane, curve, first_epoch, model, optimizer, last_epoch)


def _model(problem: Problem, configuration: Configuration, state: LaneState) -> nn.Sequential:
    shapes = layer_shapes(problem.features, configuration, problem.outputs)
    modules: list[nn.Module] = []
    like = problem.tensors.x_train
    for inputs, outputs in shapes:
        modules.append(nn.Linear(inputs, outputs, device=like.device, dtype=like.dtype))
        modules.append(ACTIVATIONS[configuration.activation].module())
    model = nn.Sequential(*modules[:-1])
    with torch.no_grad():
        for parameter, value in _parameters(model, state.parameters):
            parameter.copy_(value)
    return model


def _parameters(model: nn.Module, state: Floats) -> Iterator[tuple[nn.Parameter, Tensor]]:
    """Each parameter of the model with its values from a lane's flat tensor."""
    at, flat = 0, torch.from_numpy(state)
    for parameter in model.parameters():
        values = flat[at : at + parameter.numel()]
        at += parameter.numel()
        if parameter.dim() == 2:  # torch keeps weights as [outputs, inputs]
            values = values.view(parameter.shape[1], parameter.shape[0]).T
        yield parameter, values.to(parameter.device)


def _load_momentum(optimizer: torch.optim.SGD, model: nn.Module, state: LaneState) -> None:
    if state.epoch > 0 and optimizer.param_groups[0]["momentum"] > 0:
        for parameter, values in _parameters(model, state.momentum):
            optimizer.state[parameter]["momentum_buffer"] = values.contiguous().clone()


def _shaped(logits: Tensor) -> Tensor:
    """[B, O] for classes, [B] for a single output, as torch's losses want them."""
    return logits[:, 0] if logits.shape[1] == 1 else logits


def _contribution(data: Tensors, logits: Tensor, y: Tensor) -> float:
    return data.metric.contributions(logits.detach()[None], y).double().mean().item()


def _finish(data: Tensors, mean: float, targets: Tensor) -> float:
    return data.finish(torch.tensor(mean, dtype=torch.float64), targets).item()


def _result(
    lane: Lane,
    curve: FloatArray,
    first_epoch: int,
    model: nn.Module,
    optimizer: torch.optim.SGD,
    last_epoch: int,
) -> LaneResult:
    def flat(tensors: Iterator[Tensor]) -> Floats:
        array: Floats = torch.cat(
            [(t.T if t.dim() == 2 else t).detach().reshape(-1).cpu() for t in tensors]
        ).numpy()
        return array

    parameters = flat(iter(model.parameters()))
    buffers = [optimizer.state[p].get("momentum_buffer") for p in model.parameters()]
    momentum = (
        np.zeros_like(parameters)
        if any(buffer is None for buffer in buffers)
        else flat(buffer for buffer in buffers if buffer is not None)
    )
    return finish_lane(lane.trial, curve, first_epoch, LaneState(last_epoch, parameters, momentum))
