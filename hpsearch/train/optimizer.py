"""Gradient descent and Adam with per-lane hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hpsearch.study.hyperparameters import ADAPTIVE, Configuration
from hpsearch.train.lanes import Lane
from hpsearch.train.problem import Problem
from hpsearch.train.rates import is_constant, step_sizes
from hpsearch.train.stack import Parameter
from hpsearch.train.tensors import tensors_of


class Sizes(NamedTuple):
    """Step sizes by lane (see train.rates.step_sizes)."""

    factor: Tensor
    root: Tensor
    rate: Tensor


class StackedOptimizer:
    """torch.optim.SGD, or Adam and AdamW, on all lanes at once; a tile has either the first or the others.

    Learning rates may change from step to step: `begin` lays out an epoch's, and each step takes the next.
    """

    def __init__(self, problem: Problem, parameters: Sequence[Parameter], lanes: Sequence[Lane]) -> None:
        self._problem, self._configurations = problem, [lane.configuration for lane in lanes]
        like = tensors_of(problem).x_train
        self._constant = all(is_constant(c) for c in self._configurations)
        rates = like.new_tensor([c.learning_rate for c in self._configurations])
        # [T] each: what the next step takes, and of which every parameter's step holds views.
        self._sizes = Sizes(rates, torch.ones_like(rates), rates.clone())
        self._epoch: list[Tensor] = []
        self._next = 0
        adaptive = self._configurations[0].optimizer in ADAPTIVE
        assert all((c.optimizer in ADAPTIVE) == adaptive for c in self._configurations)
        make = _Adam if adaptive else _Descent
        self._steps: list[Callable[[], None]] = [
            make(each, self._configurations[each.start : each.stop], self._sizes) for each in parameters
        ]

    def begin(self, epoch: int) -> None:
        """The next step is the first of an epoch (counted from 1)."""
        if self._constant:
            return
        tables = [step_sizes(self._problem, c, epoch, epoch) for c in self._configurations]
        self._epoch = [
            torch.from_numpy(np.stack(table, axis=1).astype(self._problem.dtype)).to(self._sizes[0].device)
            for table in zip(*tables, strict=True)
        ]  # [steps, T] each
        self._next = 0

    def step(self) -> None:
        """One update of every parameter from its gradient, which is overwritten."""
        if not self._constant:
            for values, table in zip(self._sizes, self._epoch, strict=True):
                values.copy_(table[self._next])
            self._next += 1
        for step in self._steps:
            step()


class _Step:
    """The update of one parameter; columns are [n, 1, …] of one number a lane."""

    def __init__(self, parameter: Parameter, configurations: Sequence[Configuration], sizes: Sizes) -> None:
        self.parameter = parameter
        ones = (1,) * (parameter.value.dim() - 1)
        own = slice(parameter.start, parameter.stop)
        self.sizes = Sizes(*(values[own].view(-1, *ones) for values in sizes))

        def column(values: list[float]) -> Tensor:
            return parameter.value.new_tensor(values).view(-1, *ones)

        self._columns(configurations, column)

    def _columns(
        self, configurations: Sequence[Configuration], column: Callable[[list[float]], Tensor]
    ) -> None:
        raise NotImplementedError


class _Descent(_Step):
    """g ← g + λθ;  v ← ρv + g;  θ ← θ − ε v, with Nesterov's momentum θ ← θ − ε(g + ρv)
    (Sutskever et al. 2013, in the form of torch.optim.SGD).
    """

    def _columns(
        self, configurations: Sequence[Configuration], column: Callable[[list[float]], Tensor]
    ) -> None:
        self.momentum = column([c.momentum for c in configurations])
        decays = [c.weight_decay for c in configurations]
        self.weight_decay = column(decays) if any(decays) else None
        nesterov = [float(c.nesterov) for c in configurations]
        # The gradient's share in Nesterov's update, and the momentum's: g + ρv, or v alone.
        self.nesterov = (column(nesterov), self.momentum * column(nesterov) + 1 - column(nesterov))
        self.any_nesterov = any(nesterov)

    def __call__(self) -> None:
        value, gradient, velocity = self.parameter.value, self.parameter.gradient, self.parameter.momentum
        if self.weight_decay is not None:
            gradient.addcmul_(value, self.weight_decay)
        velocity.mul_(self.momentum).add_(gradient)
        if self.any_nesterov:
            own, other = self.nesterov
            gradient.mul_(own).addcmul_(velocity, other)
            value.addcmul_(gradient, self.sizes.factor, value=-1)
        else:
            value.addcmul_(velocity, self.sizes.factor, value=-1)


class _Adam(_Step):
    """m ← β₁m + (1 − β₁)g;  s ← β₂s + (1 − β₂)g²;  θ ← θ − ε m̂ / (√ŝ + ϵ), bias-corrected (Kingma & Ba 2015,
    algorithm 1). Adam: g ← g + λθ first. AdamW: θ ← θ − ελθ first (Loshchilov & Hutter 2019, algorithm 2).
    """

    def _columns(
        self, configurations: Sequence[Configuration], column: Callable[[list[float]], Tensor]
    ) -> None:
        self.beta1 = column([c.beta1 for c in configurations])
        self.beta2 = column([c.beta2 for c in configurations])
        self.rest1, self.rest2 = (
            column([1 - getattr(c, name) for c in configurations]) for name in ("beta1", "beta2")
        )
        self.epsilon = column([c.epsilon for c in configurations])
        coupled = [c.weight_decay * (c.optimizer == "adam") for c in configurations]
        decoupled = [c.weight_decay * (c.optimizer == "adamw") for c in configurations]
        self.coupled = column(coupled) if any(coupled) else None
        self.decoupled = column(decoupled) if any(decoupled) else None

    def __call__(self) -> None:
        p = self.parameter
        if self.decoupled is not None:
            p.value.mul_(1 - self.sizes.rate * self.decoupled)
        if self.coupled is not None:
            p.gradient.addcmul_(p.value, self.coupled)
        p.momentum.mul_(self.beta1).addcmul_(p.gradient, self.rest1)
        p.second.mul_(self.beta2).addcmul_(p.gradient.square_(), self.rest2)
        torch.sqrt(p.second, out=p.gradient)
        p.gradient.mul_(self.sizes.root).add_(self.epsilon)
        torch.div(p.momentum, p.gradient, out=p.gradient)
        p.value.addcmul_(p.gradient, self.sizes.factor, value=-1)
