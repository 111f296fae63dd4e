"""What a run measures of itself, and what follows: how far it is, and how long the rest will take."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.records import Trial
from hpsearch.running.forecast import (
    Begun,
    Judged,
    Pace,
    Plan,
    Seconds,
    cost_of,
    expected_share,
    later_share,
    seconds_left,
    shares,
)
from hpsearch.running.pool import Going, TileResult
from hpsearch.running.workload import AnyWorkload, Cost, Tile
from hpsearch.search import Stopping
from hpsearch.study.file import Study


@dataclass(frozen=True)
class View:
    """What is ahead. left: until the end. rung: seconds until the tiles in training have ended."""

    left: Seconds
    rung: float


class Outlook:
    """Hears of all that a run trains and judges."""

    def __init__(self, study: Study, stopping: Stopping, workload: AnyWorkload, workers: int) -> None:
        self._study, self._stopping, self._workload, self._workers = study, stopping, workload, workers
        self._shares = expected_share(study), later_share(study)
        self._pace = Pace()
        self._judged: dict[int, Judged] = defaultdict(Judged)
        self._tiles: list[Tile[Any]] = []
        self._bound: set[int] = set()
        self._costs: dict[int, Cost] = {}
        self._recent: deque[Cost] = deque(maxlen=2 * study.search.cohort)
        self.steps = 0

    def begin(self, tiles: Iterable[Tile[Any]], *, again: bool) -> None:
        """These are given to the workers; again: what an earlier process trained already."""
        self._tiles = list(tiles)
        # Trials that catch up only come back to where they were.
        self._bound = set() if again else {lane.trial for tile in self._tiles for lane in tile.lanes}
        for lane in (lane for tile in self._tiles for lane in tile.lanes):
            cost = self._workload.cost(lane)
            if lane.trial not in self._costs and not lane.epoch:
                self._recent.append(cost)
            self._costs[lane.trial] = cost

    def take(self, result: TileResult) -> None:
        """A tile has ended."""
        self._tiles = [tile for tile in self._tiles if tile is not result.tile]
        epochs = {lane.trial: float(len(lane.curve)) for lane in result.lanes}
        self._measure(self._pace, result.tile, epochs, result.seconds)
        self.steps += sum(round(self._costs[trial].steps * count) for trial, count in epochs.items())
        for lane, asked in zip(result.lanes, result.tile.lanes, strict=True):
            pauses = self._stopping.pauses(lane.trial)
            if lane.failure is not None:
                epoch = min(epoch for epoch in pauses if epoch > asked.epoch)
                self._judge(epoch, lane.trial, went_on=False, first=not self._judged[epoch].count)
            elif result.tile.last_epoch >= pauses[-1]:
                del self._costs[lane.trial]

    def judge(self, epoch: int, arrived: Iterable[int], stopped: Collection[int], *, first: bool) -> None:
        """At a rung some of the trials that arrived go on; first: none had come there before."""
        for number in arrived:
            self._judge(epoch, number, number not in stopped, first)

    def _judge(self, epoch: int, number: int, went_on: bool, first: bool) -> None:
        cost = self._costs[number].lane if number in self._costs else 0.0
        self._judged[epoch].add(cost, went_on, first)
        if not went_on:
            self._costs.pop(number, None)

    def steps_inside(self, going: Sequence[Going]) -> int:
        """Optimiser steps in tiles that have not ended."""
        inside = [(n, each.epochs) for tile in going for n, each in tile.lanes.items() if n in self._costs]
        return sum(int(self._costs[number].steps * epochs) for number, epochs in inside)

    def view(
        self,
        running: Mapping[int, Trial],
        rungs: Mapping[int, int],
        new: range,
        going: Sequence[Going],
        *,
        overhead: float,
        epochs: float = math.inf,
    ) -> View | None:
        """What is ahead; None while nothing is known.

        running: trials that have begun, by number; rungs: the next one of each. new: numbers of those that
        have not. going: tiles in training. overhead: seconds between two cohorts. epochs: after which no more
        trials begin.
        """
        pace = self._pace.copy()
        for each in going:
            self._measure(pace, each.tile, {n: i.epochs for n, i in each.lanes.items()}, each.seconds)
        if not pace.known:
            return None
        known = {id(each.tile): each for each in going}
        rest = [(tile, self._rest(tile, known.get(id(tile)), pace)) for tile in self._tiles]
        # The first of those of which nothing is known may be in training, too.
        at_work = [each for tile, each in rest if id(tile) in known]
        unknown = [each for tile, each in rest if id(tile) not in known]
        at_work += unknown[: max(0, self._workers - len(at_work))]
        rung = max(at_work, default=0.0)
        seconds = [each for _, each in rest]
        begun = max(sum(seconds) / self._workers, max(seconds, default=0.0))
        recent = self._recent or [*self._costs.values()]
        lane, tile = cost_of(recent, pace)
        plan = Plan(
            ways=shares(self._stopping, new) if new else {},
            new=len(new),
            cost=lane,
            cohort=self._study.search.cohort,
            workers=self._workers,
            tile=tile,
            together=max((cost.together for cost in recent), default=1),
            kinds=len({cost.kind for cost in recent}) or 1,
            overhead=overhead,
            epochs=epochs,
            unfinished=[self._begun(each, rungs.get(n, 0), pace, lane) for n, each in running.items()],
            judged=self._judged,
            share=self._shares[0],
            later=self._shares[1],
        )
        return View(seconds_left(plan, begun, pace.doubt), rung)

    def _begun(self, trial: Trial, rung: int, pace: Pace, usual: float) -> Begun:
        """A running trial, after the tile that it is in if that goes to its rung."""
        cost = self._costs.get(trial.number)
        own = usual if cost is None else cost.lane * pace.of(cost.kind)
        there = trial.epochs >= rung or trial.number in self._bound
        behind = max(rung, trial.epochs) if there else trial.epochs
        return Begun(self._stopping.pauses(trial.number), behind, own, judged=not there)

    def _measure(self, pace: Pace, tile: Tile[Any], epochs: Mapping[int, float], seconds: float) -> None:
        """What a tile, or a part of one, took. epochs: that it trained, by trial."""
        costs = [self._costs[lane.trial] for lane in tile.lanes]
        longest = max(epochs.values(), default=0.0)
        lanes = sum(self._costs[trial].lane * count for trial, count in epochs.items())
        if (predicted := lanes + longest * max(cost.tile for cost in costs)) > 0:
            pace.add(costs[0].kind, seconds, predicted)

    def _rest(self, tile: Tile[Any], going: Going | None, pace: Pace) -> float:
        """Seconds that the rest of a tile takes."""
        costs = [self._costs[lane.trial] for lane in tile.lanes]
        epochs = tile.last_epoch - tile.lanes[0].epoch
        inside = max((each.epochs for each in going.lanes.values()), default=0.0) if going else 0.0
        each: float = max(cost.tile for cost in costs) + sum(cost.lane for cost in costs)
        return float(max(0.0, epochs - inside) * each * pace.of(costs[0].kind))
