"""How far the gradients of mini-batches, and their moving averages, lie from the gradient of all rows.

All of it at frozen weights. Every quantity measured is of the form E‖Σᵢ cᵢ gᵢ − g‖², where gᵢ is the gradient
of row i's loss, g the mean of all of them, and the weights c sum to 1: 1/B on the rows of a mini-batch, and
sums of (1−ρ)ρᵏ/B for the velocity that momentum keeps. So one backward pass measures one draw, whatever it
consists of, and for rows in random order the expectation has a closed form (`expected`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from hpsearch.records import FloatArray
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train.lanes import LaneState
from hpsearch.train.problem import Problem
from hpsearch.train.solo import build_model
from hpsearch.train.tensors import tensors_of

NUMBERS_AT_ONCE = 1 << 22
"""Draws are taken together as long as their gradients, and their units' values, are no more numbers."""

KEPT_NUMBERS = 1 << 25
"""Largest table of all rows' gradients that is kept: draws of many rows are then products with it."""

FEW = 1 / 8
"""Share of the rows up to which a draw is quicker on its own than as a product with all of them."""

FORGOTTEN = 1e-6
"""Weight of the velocity's mini-batches below which the older ones are left out."""

Draw = tuple[NDArray[np.int64], FloatArray]
"""Rows [M] and their weights [M]: a weighted mean of gradients."""


@dataclass(frozen=True)
class Measured:
    """A mean over random draws, with its standard error."""

    mean: float
    standard_error: float
    draws: int


NOTHING_RANDOM = Measured(0.0, 0.0, 1)
"""Of a mini-batch of all rows, whose gradient is g itself."""


class Gradients:
    """The gradient of the training loss at a trial's weights, row by row and as a whole.

    The network is as in evaluation: dropout is off and batch normalisation takes its running statistics, so
    that a row's gradient does not depend on the other rows. Weight decay, the same for all, is left out.
    full: g, [1, size]. variance: σ² = E‖gᵢ − g‖² over all rows. square: ‖g‖².
    """

    def __init__(self, problem: Problem, configuration: Configuration, state: LaneState) -> None:
        self.rows, self._data = problem.rows, tensors_of(problem)
        self._model = model = build_model(problem, configuration, state).eval()
        self._parameters = {name: p.detach() for name, p in model.named_parameters()}
        self.size = sum(p.numel() for p in self._parameters.values())
        self._units = problem.features + sum(configuration.layers) * configuration.fan + problem.outputs

        def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
            logits = functional_call(model, parameters, (x,))  # [M, O]
            return (self._data.loss.values(logits[None], y)[0] * weights).sum()

        self._gradients: Callable[..., dict[str, Tensor]] = vmap(grad(loss), in_dims=(None, 0, 0, 0))
        self.full = self._combine([(np.arange(self.rows), np.full(self.rows, 1 / self.rows))])
        self.square = float(self.full.square().sum(dtype=self._data.sums_dtype))
        self.variance = max(0.0, float(self._row_squares().mean()) - self.square)

    def deviations(self, draws: Sequence[Draw]) -> FloatArray:
        """[draws]: ‖Σᵢ cᵢ gᵢ − g‖² of each draw."""
        longest = max(len(rows) for rows, _ in draws)
        kept = len(draws) > 1 and longest > FEW * self.rows and self.rows * self.size <= KEPT_NUMBERS
        combine = self._combine_kept if kept else self._combine
        step = max(1, NUMBERS_AT_ONCE // max(self.size, min(longest, self._most_rows) * self._units))
        pieces = []
        for at in range(0, len(draws), step):
            away = combine(draws[at : at + step]).sub_(self.full)
            pieces.append(away.square_().sum(1, dtype=self._data.sums_dtype).cpu().double().numpy())
        return np.concatenate(pieces)

    @property
    def _most_rows(self) -> int:
        """Rows of a draw that go through the network together."""
        return max(1, NUMBERS_AT_ONCE // self._units)

    def _row_squares(self) -> FloatArray:
        """[rows]: ‖gᵢ‖² of each row, without its gradient: that of a layer's weights is aᵢδᵢᵀ.

        aᵢ is what goes into the layer, δᵢ the gradient of what comes out; ‖aᵢδᵢᵀ‖ = ‖aᵢ‖‖δᵢ‖.
        """
        passed: list[tuple[Tensor, Tensor]] = []
        layers = {name: m for name, m in self._model.named_modules() if isinstance(m, nn.Linear)}
        others = {
            name: p for name, p in self._parameters.items() if name.removesuffix(".weight") not in layers
        }
        squares = []
        for at in range(0, self.rows, self._most_rows):
            x, y = (part[at : at + self._most_rows] for part in (self._data.x_train, self._data.y_train))
            hooks = [
                m.register_forward_hook(lambda _, a, z: passed.append((a[0], z))) for m in layers.values()
            ]
            loss = self._data.loss.values(self._model(x)[None], y).sum()
            for hook in hooks:
                hook.remove()
            deltas = torch.autograd.grad(loss, [z for _, z in passed])
            sums = [a.square().sum(1) * d.square().sum(1) for (a, _), d in zip(passed, deltas, strict=True)]
            passed.clear()
            if others:
                rest = self._gradients(others, x[:, None], y[:, None], torch.ones_like(x[:, :1]))
                sums += [gradient.square().flatten(1).sum(1) for gradient in rest.values()]
            squares.append(torch.stack(sums).sum(0).detach().cpu().double().numpy())
        return np.concatenate(squares)

    @cached_property
    def _by_row(self) -> Tensor:
        """[rows, size]: the gradient of each row."""
        step = max(1, NUMBERS_AT_ONCE // max(self.size, self._units))
        every, one = np.arange(self.rows), np.ones(1)
        singles = [(every[row : row + 1], one) for row in every]
        return torch.cat([self._combine(singles[at : at + step]) for at in range(0, self.rows, step)])

    def _combine_kept(self, draws: Sequence[Draw]) -> Tensor:
        """Σᵢ cᵢ gᵢ of each draw, [D, size]: one product, if all the rows' gradients can be kept."""
        weights = np.zeros((len(draws), self.rows))
        for at, (rows, shares) in enumerate(draws):
            np.add.at(weights[at], rows, shares)
        return self._tensor(weights) @ self._by_row

    def _combine(self, draws: Sequence[Draw]) -> Tensor:
        """Σᵢ cᵢ gᵢ of each draw, [D, size]: the gradient of Σᵢ cᵢ times the loss of row i."""
        longest = max(len(rows) for rows, _ in draws)
        rows = np.zeros((len(draws), longest), np.int64)  # filled up with a row of weight 0
        weights = np.zeros((len(draws), longest))
        for at, (taken, shares) in enumerate(draws):
            rows[at, : len(taken)], weights[at, : len(taken)] = taken, shares
        total = self._data.x_train.new_zeros(len(draws), self.size)
        for at in range(0, longest, self._most_rows):
            part = slice(at, at + self._most_rows)
            index = torch.from_numpy(rows[:, part]).to(total.device)
            x, y = self._data.x_train[index], self._data.y_train[index]  # [D, M, features], [D, M]
            piece = self._gradients(self._parameters, x, y, self._tensor(weights[:, part]))
            total += torch.cat([gradient.flatten(1) for gradient in piece.values()], dim=1)
        return total

    def _tensor(self, weights: FloatArray) -> Tensor:
        return torch.from_numpy(weights).to(self._data.x_train.dtype).to(self._data.device)


def epoch_sizes(problem: Problem, batch_size: int | str) -> NDArray[np.int64]:
    """[S]: rows of the mini-batches of an epoch; the last one may be smaller where it is kept."""
    batch, steps = problem.batch(batch_size), problem.steps(batch_size)
    return np.minimum(batch, problem.rows - batch * np.arange(steps))


def measure_batches(
    gradients: Gradients, batch_size: int, draws: int, random: np.random.Generator
) -> Measured:
    """E‖g_B − g‖² of mini-batches of B rows, each drawn without replacement."""
    if batch_size == gradients.rows:
        return NOTHING_RANDOM

    def draw() -> Draw:
        rows = random.choice(gradients.rows, batch_size, replace=False, shuffle=False)
        return rows, np.full(batch_size, 1 / batch_size)

    return _measure(gradients, draw, draws, batch_size)


def measure_velocity(
    gradients: Gradients, sizes: NDArray[np.int64], momentum: float, draws: int, random: np.random.Generator
) -> Measured:
    """E‖(1−ρ) Σₖ ρᵏ g_{t−k} − g‖² of the normalised velocity, where training draws its mini-batches.

    Each epoch takes the rows in a random order, in mini-batches of `sizes` [S] rows; t is a random step.
    """
    if len(sizes) == 1 and sizes[0] == gradients.rows:
        return NOTHING_RANDOM
    weights = velocity_weights(momentum)

    def draw() -> Draw:
        total, steps = np.zeros(gradients.rows), len(sizes)
        newest = int(random.integers(1, steps + 1))
        for epoch_end in range(newest, len(weights) + steps, steps):
            age = epoch_end - 1 - np.arange(steps)  # of each mini-batch of this epoch, in steps
            known = (age >= 0) & (age < len(weights))
            shares = np.where(known, weights[age.clip(0, len(weights) - 1)], 0) / sizes
            order = random.permutation(gradients.rows)[: int(sizes.sum())]
            total[order] += np.repeat(shares, sizes)
        rows = np.flatnonzero(total)
        return rows, total[rows]

    return _measure(gradients, draw, draws, gradients.rows)


def _measure(gradients: Gradients, draw: Callable[[], Draw], draws: int, longest: int) -> Measured:
    """The mean of at least two draws, whose rows are at most `longest`; they are made as they are needed."""
    values: list[FloatArray] = []
    together = max(1, NUMBERS_AT_ONCE // longest)
    for at in range(0, draws, together):
        values.append(gradients.deviations([draw() for _ in range(min(together, draws - at))]))
    found = np.concatenate(values)
    return Measured(float(found.mean()), float(found.std(ddof=1)) / math.sqrt(draws), draws)


def velocity_weights(momentum: float) -> FloatArray:
    """[K]: the shares of the last, last but one … mini-batch in the normalised velocity; they sum to 1."""
    length = 1 if momentum == 0 else math.ceil(math.log(FORGOTTEN) / math.log(momentum))
    powers = momentum ** np.arange(length, dtype=np.float64)
    weights: FloatArray = powers / powers.sum()
    return weights


def expected(variance: float, rows: int, squares: float, squared_sums: float) -> float:
    """E‖Σᵢ cᵢ (gᵢ − g)‖² for rows in random order, with Σcᵢ² = `squares` and (Σcᵢ)² = `squared_sums`.

    Of two different rows, E⟨gᵢ − g, gⱼ − g⟩ = −σ²/(N−1), since all deviations sum to 0.
    """
    return variance * max(0.0, rows * squares - squared_sums) / max(1, rows - 1)


def batch_law(variance: float, rows: int, batch_size: int) -> float:
    """E‖g_B − g‖² of mini-batches without replacement: σ²/B · (N−B)/(N−1)."""
    return expected(variance, rows, 1 / batch_size, 1.0)


def velocity_law(variance: float, rows: int, sizes: NDArray[np.int64], momentum: float) -> float:
    """What `measure_velocity` estimates: mini-batches of one epoch have no row in common.

    Averaged over the steps of an epoch, with a term for each epoch that the velocity reaches back to.
    """
    weights, steps = velocity_weights(momentum), len(sizes)
    until = np.concatenate([[0.0], np.cumsum(weights)])
    newest = np.arange(1, steps + 1)  # mini-batches of the newest epoch that are in the velocity
    squared_sums = np.zeros(steps)
    for first in range(-steps, len(weights), steps):
        begin, end = (np.clip(first + newest + more, 0, len(weights)) for more in (0, steps))
        squared_sums += (until[end] - until[begin]) ** 2
    squares = float(np.square(weights).sum() * np.mean(1 / sizes))
    return expected(variance, rows, squares, float(squared_sums.mean()))
