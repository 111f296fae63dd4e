"""The workload of networks on a data set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

# As a module, so that what is called is looked up when it is: tests put their own trainer there.
from hpsearch import train
from hpsearch.records import CURVE_COLUMNS, Trial
from hpsearch.running.workload import Cost, Tile
from hpsearch.study.layout import parameter_count
from hpsearch.study.space import Space
from hpsearch.train import Lane, LaneResult, LaneState, Problem


@dataclass(frozen=True, eq=False)
class Networks:
    """Trials are networks that learn a problem; space: gives the hyper-parameters that trials do not have."""

    problem: Problem
    space: Space

    columns = CURVE_COLUMNS

    def lane(self, trial: Trial, state: LaneState | None) -> Lane:
        return Lane(trial.number, self.space.configuration(trial.params), state, trial.weights)

    def tiles(self, lanes: Sequence[Lane], targets: Sequence[int], workers: int) -> Sequence[Tile[Lane]]:
        return train.plan(self.problem, lanes, targets, workers)

    def train(self, tile: Tile[Lane]) -> Sequence[LaneResult]:
        return train.train_lanes(self.problem, tile.lanes, tile.last_epoch)

    def parameters(self, trial: Trial) -> int:
        configuration = self.space.configuration(trial.params)
        return parameter_count(self.problem.features, configuration, self.problem.outputs)

    def cost(self, lane: Lane) -> Cost:
        c = train.cost(self.problem, lane)
        return Cost(c.kind, c.together, c.tile, c.lane, self.problem.steps(lane.configuration.batch_size))

    def operations(self, lane: Lane, epochs: int) -> float:
        problem = self.problem
        units = [problem.features, *lane.configuration.layers, problem.outputs]
        weights = sum(a * b for a, b in itertools.pairwise(units))
        batch = problem.batch(lane.configuration.batch_size)
        # Forward, to the weights and to the layer below; nothing is below the first layer.
        step = 6 * weights - 2 * units[0] * units[1]
        rows = problem.rows // batch * batch
        return epochs * (rows * step + 2 * weights * len(problem.x_valid))

    def pack(self, state: LaneState) -> bytes:
        return train.pack(state)

    def unpack(self, epoch: int, data: bytes) -> LaneState:
        return train.unpack(epoch, data)

    def __reduce__(self) -> tuple[Any, ...]:
        # A new problem has no tensors yet: each process makes its own, on its own handle of the device.
        return Networks, (replace(self.problem), self.space)
