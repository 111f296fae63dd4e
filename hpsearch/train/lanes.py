"""What goes into training and what comes out: lanes, their states and their results.

A lane is a trial's slot in a cohort. Its state is a value: with it, and nothing else, training goes on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hpsearch import seeds
from hpsearch.records import FloatArray
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train.problem import Floats, Problem


@dataclass(frozen=True)
class LaneState:
    """A lane after `epoch` epochs.

    parameters, momentum: [P] flat; layer by layer from the input's side, weights [inputs, outputs] row
    by row, then biases [outputs].
    """

    epoch: int
    parameters: Floats
    momentum: Floats


@dataclass(frozen=True)
class Lane:
    """A trial to be trained on from `state`, or from fresh weights where that is None."""

    trial: int
    configuration: Configuration
    state: LaneState | None = None

    @property
    def epoch(self) -> int:
        """Epochs trained before."""
        return 0 if self.state is None else self.state.epoch

    def begin(self, problem: Problem) -> LaneState:
        """The state to train on from."""
        return self.state or initial_state(problem, self.trial, self.configuration)


@dataclass(frozen=True)
class LaneResult:
    """A lane after training.

    curve: [epochs, 4] float64 (records.CURVE_COLUMNS), up to and including the epoch of a failure.
    failure: why the lane diverged, or None; it has no state then.
    evaluating: seconds of the lane's training that went into the validation part, where that is known.
    """

    trial: int
    curve: FloatArray
    state: LaneState | None
    failure: str | None
    evaluating: float = 0.0


class Trainer(Protocol):
    """Trains lanes from their common epoch to `last_epoch`; `cohort` and `solo` implement it."""

    def __call__(self, problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
        """Results in the order of the lanes, whose epoch and batch size must be the same."""
        ...


def layer_shapes(features: int, configuration: Configuration, outputs: int) -> list[tuple[int, int]]:
    """(inputs, outputs) of each linear layer, from the input's side."""
    units = [features, *configuration.layers, outputs]
    return list(itertools.pairwise(units))


def initial_state(problem: Problem, trial: int, configuration: Configuration) -> LaneState:
    """Fresh weights of a trial: a function of the study's seed and the trial's number alone.

    Weights and biases are uniform in ±init_scale/√inputs, which for init_scale = 1 is what
    torch.nn.Linear draws (kaiming_uniform with a = √5).
    """
    random = seeds.generator(problem.seed, "initial weights", trial)
    pieces = []
    for inputs, outputs in layer_shapes(problem.features, configuration, problem.outputs):
        bound = configuration.init_scale / math.sqrt(inputs)
        pieces.append(random.uniform(-bound, bound, inputs * outputs + outputs))
    parameters: Floats = np.concatenate(pieces).astype(problem.dtype)
    return LaneState(0, parameters, np.zeros_like(parameters))


def finish_lane(trial: int, curve: FloatArray, first_epoch: int, state: LaneState) -> LaneResult:
    """The result of a lane: its curve is cut, and its state dropped, where it diverged.

    A lane has diverged in the first epoch whose training or validation loss is NaN or infinite.
    """
    losses = curve[:, [0, 2]]
    bad = np.flatnonzero(~np.isfinite(losses).all(axis=1))
    if not len(bad):
        return LaneResult(trial, curve, state, None)
    at = int(bad[0])
    which, value = (
        ("training", losses[at, 0]) if not np.isfinite(losses[at, 0]) else ("validation", losses[at, 1])
    )
    failure = (
        f"diverged: {which} loss {'NaN' if math.isnan(value) else 'infinite'} in epoch {first_epoch + at}"
    )
    return LaneResult(trial, curve[: at + 1].copy(), None, failure)
