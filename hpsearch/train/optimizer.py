"""Stochastic gradient descent with per-lane hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from hpsearch.study.hyperparameters import Configuration
from hpsearch.train.lanes import Lane
from hpsearch.train.stack import Parameter


class StackedSGD:
    """torch.optim.SGD on all lanes at once.

    g ← g + λθ;  v ← ρv + g;  θ ← θ − ε v, with Nesterov's momentum θ ← θ − ε(g + ρv)
    (Sutskever et al. 2013, in the form of torch.optim.SGD).
    """

    def __init__(self, parameters: Sequence[Parameter], lanes: Sequence[Lane]) -> None:
        configurations = [lane.configuration for lane in lanes]
        self._steps = [_Step(each, configurations[each.start : each.stop]) for each in parameters]

    def step(self) -> None:
        """One update of every parameter from its gradient, which is overwritten."""
        for step in self._steps:
            step()


class _Step:
    def __init__(self, parameter: Parameter, configurations: Sequence[Configuration]) -> None:
        def column(values: list[float]) -> Tensor:
            ones = (1,) * (parameter.value.dim() - 1)
            return parameter.value.new_tensor(values).view(-1, *ones)  # [n, 1, …]

        self.parameter = parameter
        self.learning_rate = column([c.learning_rate for c in configurations])
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
            value.addcmul_(gradient, self.learning_rate, value=-1)
        else:
            value.addcmul_(velocity, self.learning_rate, value=-1)
