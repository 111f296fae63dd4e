"""Stochastic gradient descent with per-lane hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from hpsearch.study.hyperparameters import Configuration
from hpsearch.train.lanes import Lane
from hpsearch.train.network import Block


class StackedSGD:
    """torch.optim.SGD on all lanes at once.

    g ← g + λθ;  v ← ρv + g;  θ ← θ − ε v, with Nesterov's momentum θ ← θ − ε(g + ρv)
    (Sutskever et al. 2013, in the form of torch.optim.SGD).
    """

    def __init__(self, blocks: Sequence[Block], lanes: Sequence[Lane]) -> None:
        configurations = [lane.configuration for lane in lanes]
        self._steps = [_Step(block, configurations[block.start : block.stop]) for block in blocks]

    def step(self) -> None:
        """One update of every block from its gradients, which are overwritten."""
        for step in self._steps:
            step()


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
