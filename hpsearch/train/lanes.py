"""What goes into training and what comes out: lanes, their states and their results.

A lane is a trial's slot in a cohort. Its state is a value: with it, and nothing else, training goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hpsearch import seeds
from hpsearch.records import FloatArray, divergence
from hpsearch.study.hyperparameters import ADAPTIVE, Configuration
from hpsearch.study.layout import Piece, layer_shapes, parameter_pieces, running_pieces
from hpsearch.train.problem import Floats, Problem


@dataclass(frozen=True)
class LaneState:
    """A lane after `epoch` epochs.

    parameters, momentum: [P] flat, laid out by study.layout. momentum is SGD's velocity, or Adam's mean of
    gradients. second: [P] Adam's mean of squared gradients, [0] for SGD. running: means and variances of
    batch normalisation, [0] without it.
    """

    epoch: int
    parameters: Floats
    momentum: Floats
    second: Floats
    running: Floats

    def copy(self, epoch: int) -> LaneState:
        """A copy, for a lane that is trained in place up to `epoch`."""
        arrays = self.parameters, self.momentum, self.second, self.running
        return LaneState(epoch, *(array.copy() for array in arrays))


@dataclass(frozen=True)
class Lane:
    """A trial to train further from `state`; None: from fresh weights.

    weights: the number that seeds its weights, if not the trial's own (records.Trial).
    """

    trial: int
    configuration: Configuration
    state: LaneState | None = None
    weights: int | None = None

    @property
    def epoch(self) -> int:
        """Epochs already trained."""
        return 0 if self.state is None else self.state.epoch

    @property
    def drawn_as(self) -> int:
        """The number of which its initial weights and its dropout are functions, with the study's seed."""
        return self.trial if self.weights is None else self.weights

    def begin(self, problem: Problem) -> LaneState:
        """The state to continue from."""
        return self.state or initial_state(problem, self.drawn_as, self.configuration)


@dataclass(frozen=True)
class LaneResult:
    """A lane after training.

    curve: [epochs, 4 + hidden layers] float64 (see records.Segment), up to and including the epoch of a
    failure.
    failure: why the lane diverged, which then has no state; or None.
    evaluating: seconds spent on the validation split, if known. outputs: [rows, O] raw outputs for the
    validation rows after the last epoch, where the problem keeps them and the lane did not diverge.
    """

    trial: int
    curve: FloatArray
    state: LaneState | None
    failure: str | None
    evaluating: float = 0.0
    outputs: Floats | None = None


class Trainer(Protocol):
    """Trains lanes from their common epoch to `last_epoch`; `cohort` and `solo` implement it."""

    def __call__(self, problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
        """Results in the order of the lanes, which share epoch and batch size."""
        ...


def initial_state(problem: Problem, trial: int, configuration: Configuration) -> LaneState:
    """A fresh trial: a function of the study's seed, the trial's number and its configuration."""
    random = seeds.generator(problem.seed, "initial weights", trial)
    sizes = problem.features, configuration, problem.outputs
    pieces = [_initial(piece, configuration, random) for piece in _fan_in(*sizes)]
    parameters: Floats = np.concatenate(pieces).astype(problem.dtype)
    running = [np.full(p.size, float(p.role == "variance")) for p in running_pieces(*sizes)]
    return LaneState(
        0,
        parameters,
        np.zeros_like(parameters),
        np.zeros(len(parameters) if configuration.optimizer in ADAPTIVE else 0, problem.dtype),
        np.concatenate([np.empty(0), *running]).astype(problem.dtype),
    )


def _fan_in(
    features: int, configuration: Configuration, outputs: int
) -> Iterator[tuple[Piece, tuple[int, int]]]:
    """Each parameter with (inputs, outputs) of its layer."""
    shapes = layer_shapes(features, configuration, outputs)
    for piece in parameter_pieces(features, configuration, outputs):
        yield piece, shapes[piece.layer]


def _initial(
    place: tuple[Piece, tuple[int, int]], configuration: Configuration, random: np.random.Generator
) -> FloatArray:
    """Fresh values [size] of one parameter.

    default: weights and biases uniform in ±1/√inputs, what torch.nn.Linear draws (kaiming_uniform with a =
    √5). kaiming: normal, √(2/inputs) (He et al. 2015, equation 10). xavier: uniform in ±√(6/(inputs +
    outputs)) (Glorot & Bengio 2010, equation 16). normal: √(1/inputs). All times init_scale; biases are then
    0.
    """
    piece, (inputs, outputs) = place
    scale, size = configuration.init_scale, piece.size
    if piece.role in ("gain", "shift"):
        return np.full(size, float(piece.role == "gain"))
    if piece.role == "slope":
        return np.full(size, configuration.alpha)
    if configuration.init == "default":
        bound = scale / math.sqrt(inputs)
        return random.uniform(-bound, bound, size)
    if piece.role == "bias" or configuration.init == "zeros":
        return np.zeros(size)
    if configuration.init == "xavier":
        bound = scale * math.sqrt(6 / (inputs + outputs))
        return random.uniform(-bound, bound, size)
    return random.normal(0, scale * math.sqrt((2 if configuration.init == "kaiming" else 1) / inputs), size)


def finish_lane(trial: int, curve: FloatArray, first_epoch: int, state: LaneState) -> LaneResult:
    """The result of a lane; a diverged one has its curve cut and its state dropped."""
    found = divergence(curve, first_epoch)
    if found is None:
        return LaneResult(trial, curve, state, None)
    rows, failure = found
    return LaneResult(trial, curve[:rows].copy(), None, failure)
