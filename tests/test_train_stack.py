"""The stacked trainer's step: it never waits for a device, and takes any network with two passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane
from hpsearch.train.cohort import Evaluation, Step, Sums
from hpsearch.train.lanes import LaneState
from hpsearch.train.losses import LOSSES
from hpsearch.train.network import StackedNetwork, sort_key
from hpsearch.train.optimizer import StackedOptimizer
from hpsearch.train.planner import padded_widths, stack_key
from hpsearch.train.stack import Network, Parameter
from hpsearch.train.tensors import tensors_of
from tests.problems import (
    METRIC_OF,
    make_lanes,
    make_problem,
    mixed_configurations,
    varied_configurations,
)


@pytest.mark.parametrize(
    ("loss", "metric"), [*METRIC_OF.items(), ("cross_entropy", "error"), ("mse", "r2"), ("bce", "loss")]
)
@torch.inference_mode()
def test_nothing_within_an_epoch_reads_what_is_on_the_device(loss: str, metric: str) -> None:
    """On torch's meta device there is nothing to read: .item(), .cpu() and `if tensor` raise."""
    problem = make_problem(loss, pad_widths=True, metric=metric, valid_rows=1100)
    problem = dataclasses.replace(problem, device="meta")
    configurations = [*mixed_configurations(32, width=20), *varied_configurations(32, width=20)]
    lanes = [lane for lane in make_lanes(problem, configurations) if stack_key(lane) == (1, 0)]
    lanes.sort(key=sort_key)
    data, T = tensors_of(problem), len(lanes)
    network = StackedNetwork(problem, lanes, padded_widths(problem, lanes))
    optimizer = StackedOptimizer(problem, network.parameters, lanes)
    step, sums = Step(data, network, optimizer, 32), Sums(data, T)
    network.begin(1)
    optimizer.begin(1)
    step(data.orders(1, 1)[0, :32])
    sums.add(step.logits[:, None], step.targets[None])
    evaluation = Evaluation(data, network)
    for means in (sums.means(data.y_train), evaluation.means()):
        assert means.shape == (2, T)
        assert means.is_meta
    assert all(dead.is_meta for dead in evaluation.dead())


class FunctionalNetwork:
    """Networks with one hidden layer through torch.func, as a user's own module would come."""

    def __init__(self, lanes: Sequence[Lane], like: Network) -> None:
        self.lanes = lanes
        self.parameters = [
            Parameter(
                p.start,
                p.stop,
                p.value.clone(),
                torch.empty_like(p.value),
                p.momentum.clone(),
                p.second.clone(),
            )
            for p in like.parameters
        ]

    def begin(self, epoch: int) -> None:
        pass

    def hidden(self, values: dict[str, Any]) -> list[Tensor]:
        return []

    def buffers(self, rows: int) -> dict[str, Any]:
        return {}

    def forward(self, x: Tensor, logits: Tensor, values: dict[str, Any], training: bool = False) -> None:
        def one(w: Tensor, b: Tensor, v: Tensor, c: Tensor) -> Tensor:
            return torch.relu(x @ w + b) @ v + c

        value, values["pull"] = torch.func.vjp(torch.vmap(one), *(p.value for p in self.parameters))
        logits.copy_(value)

    def backward(
        self, x: Tensor, d_logits: Tensor, values: dict[str, Any], gradients: dict[str, Any]
    ) -> None:
        for parameter, gradient in zip(self.parameters, values["pull"](d_logits), strict=True):
            parameter.gradient.copy_(gradient)

    def states(self, epoch: int) -> list[LaneState]:
        raise NotImplementedError


@pytest.mark.parametrize("loss", LOSSES)
def test_a_network_of_another_make_trains_in_the_same_step(loss: str) -> None:
    problem = make_problem(loss)
    configurations = [
        Configuration(learning_rate=rate, momentum=0.9, nesterov=n % 2 == 1, weight_decay=1e-3, width=9)
        for n, rate in enumerate((0.01, 0.05, 0.1))
    ]
    lanes = make_lanes(problem, configurations)
    ours = StackedNetwork(problem, lanes, (9,))
    theirs = FunctionalNetwork(lanes, ours)
    for epoch in (1, 2):
        for network in (ours, theirs):
            optimizer = StackedOptimizer(problem, network.parameters, lanes)
            step = Step(tensors_of(problem), network, optimizer, 50)
            for rows in torch.from_numpy(problem.order(epoch).copy()).split(50):
                step(rows)
    for a, b in zip(ours.parameters, theirs.parameters, strict=True):
        torch.testing.assert_close(a.value, b.value, rtol=1e-4, atol=1e-6)
    means = [Evaluation(tensors_of(problem), network).means() for network in (ours, theirs)]
    torch.testing.assert_close(*means, rtol=1e-5, atol=1e-7)
