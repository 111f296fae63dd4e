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
from hpsearch.train.problem import Problem


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
    criterion = problem.loss.module()
    batch = problem.batch(configuration.batch_size)
    first_epoch = lane.epoch + 1
    curve = np.zeros((last_epoch - first_epoch + 1, 4))
    for epoch in range(first_epoch, last_epoch + 1):
        order = problem.order(epoch)
        losses, contributions = [], []
        for start in range(0, problem.rows - batch + 1, batch):
            rows = order[start : start + batch]
            x, y = problem.x_train[rows], problem.y_train[rows]
            logits = model(x)
            loss = criterion(_shaped(logits), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            contributions.append(_contribution(problem, logits, y))
        with torch.no_grad():
            valid = model(problem.x_valid)
            valid_loss = criterion(_shaped(valid), problem.y_valid).item()
        curve[epoch - first_epoch] = (
            np.mean(losses),
            _finish(problem, float(np.mean(contributions)), problem.y_train),
            valid_loss,
            _finish(problem, _contribution(problem, valid, problem.y_valid), problem.y_valid),
        )
    return _result(lane, curve, first_epoch, model, optimizer, last_epoch)


def _model(problem: Problem, configuration: Configuration, state: LaneState) -> nn.Sequential:
    shapes = layer_shapes(problem.features, configuration, problem.outputs)
    modules: list[nn.Module] = []
    for inputs, outputs in shapes:
        modules.append(nn.Linear(inputs, outputs, device=problem.device, dtype=problem.dtype))
        modules.append(ACTIVATIONS[configuration.activation].module())
    model = nn.Sequential(*modules[:-1])
    with torch.no_grad():
        for parameter, value in _parameters(model, state.parameters):
            parameter.copy_(value)
    return model


def _parameters(model: nn.Module, flat: Tensor) -> Iterator[tuple[nn.Parameter, Tensor]]:
    """Each parameter of the model with its values from a lane's flat tensor."""
    at = 0
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


def _contribution(problem: Problem, logits: Tensor, y: Tensor) -> float:
    return problem.metric.contributions(logits.detach()[None], y).double().mean().item()


def _finish(problem: Problem, mean: float, targets: Tensor) -> float:
    variance = targets.double().var(correction=0)
    return problem.metric.finish(torch.tensor(mean, dtype=torch.float64), variance, problem.target_std).item()


def _result(
    lane: Lane,
    curve: FloatArray,
    first_epoch: int,
    model: nn.Module,
    optimizer: torch.optim.SGD,
    last_epoch: int,
) -> LaneResult:
    def flat(tensors: Iterator[Tensor]) -> Tensor:
        return torch.cat([(t.T if t.dim() == 2 else t).detach().reshape(-1).cpu() for t in tensors])

    parameters = flat(iter(model.parameters()))
    buffers = [optimizer.state[p].get("momentum_buffer") for p in model.parameters()]
    momentum = (
        torch.zeros_like(parameters)
        if any(buffer is None for buffer in buffers)
        else flat(buffer for buffer in buffers if buffer is not None)
    )
    return finish_lane(lane.trial, curve, first_epoch, LaneState(last_epoch, parameters, momentum))
