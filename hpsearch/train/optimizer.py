"""Stochastic gradient descent with per-lane hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hpsearch.study.hyperparameters import Configuration
from hpsearch.train.lanes import Lane
from hpsearch.train.native import load_kernel
from hpsearch.train.network import Block


class StackedSGD:
    """torch.optim.SGD on all lanes at once.

    g ← g + λθ;  v ← ρv + g;  θ ← θ − ε v, with Nesterov's momentum θ ← θ − ε(g + ρv)
    (Sutskever et al. 2013, in the form of torch.optim.SGD).
    """

    def __init__(self, blocks: Sequence[Block], lanes: Sequence[Lane]) -> None:
        configurations = [lane.configuration for lane in lanes]
        self._steps: list[Callable[[], None]] = []
        for block in blocks:
            make = _FusedStep if _is_large(block.weight) else _Step
            self._steps.append(make(block, configurations[block.start : block.stop]))

    def step(self) -> None:
        """One update of every block from its gradients, which are overwritten."""
        for step in self._steps:
            step()


_LARGE = 1 << 15
"""Weights of a layer from which the step's passes over memory cost more than the calls."""


def _is_large(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and math.prod(weight.shape[1:]) >= _LARGE
        and load_kernel() is not None
    )


class _FusedStep:
    """The same step in one pass over memory instead of eleven, by the native kernel, lane by lane."""

    def __init__(self, block: Block, configurations: Sequence[Configuration]) -> None:
        kernel = load_kernel()
        assert kernel is not None
        self._step = kernel.sgd_step
        self._block = block  # keeps the tensors' memory alive
        self._calls = []
        for lane, c in enumerate(configurations):
            settings = (c.learning_rate, c.momentum, c.weight_decay, int(c.nesterov))
            for tensors in (
                (block.weight, block.m_weight, block.d_weight),
                (block.bias, block.m_bias, block.d_bias),
            ):
                own = [tensor[lane] for tensor in tensors]
                self._calls.append((own[0].numel(), *(t.data_ptr() for t in own), *settings))

    def __call__(self) -> None:
        for call in self._calls:
            self._step(*call)


class _Step:
    def __init__(self, block: Block, configurations: Sequence[Configuration]) -> None:
        def column(values: list[float]) -> Tensor:
            return block.weight.new_tensor(values)[:, None, None]  # [n, 1, 1]

        self.learning_rate = column([c.learning_rate for c in configurations])
        self.momentum = column([c.momentum for c in configurations])
        decays = [c.weight_decay for c in configurations]
        self.weight_decay = column(decays) if any(decays) else None
        nesterov = [float(c.nesterov) for c in configurations]
        # The gradient's share in Nesterov's update, and the momentum's: g + ρv, or v alone.
        self.nesterov = (column(nesterov), self.momentum * column(nesterov) + 1 - column(nesterov))
        self.any_nesterov = any(nesterov)
        self.tensors = (
            (block.weight, block.d_weight, block.m_weight),
            (block.bias, block.d_bias, block.m_bias),
        )

    def __call__(self) -> None:
        for parameter, gradient, velocity in self.tensors:
            if self.weight_decay is not None:
                gradient.addcmul_(parameter, self.weight_decay)
            velocity.mul_(self.momentum).add_(gradient)
            if self.any_nesterov:
                own, other = self.nesterov
                gradient.mul_(own).addcmul_(velocity, other)
                parameter.addcmul_(gradient, self.learning_rate, value=-1)
            else:
                parameter.addcmul_(velocity, self.learning_rate, value=-1)
