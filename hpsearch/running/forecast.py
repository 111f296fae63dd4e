"""How long what is left of a study takes: its cohorts in expectation, at the speed that was measured.

A forecast plays the loop to its end with counts of trials instead of trials: each cohort refills its free
lanes, trains to the next rungs, and the stopping rule's share of them goes on.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from hpsearch.running.workload import Cost
from hpsearch.search import Stopping
from hpsearch.study.file import Study
from hpsearch.study.methods import SAMPLERS

_PLAYED = 40
"""Cohorts that are played; those before them cost what their work does."""

_AVERAGED = 200
"""Trials over which Hyperband's brackets are averaged."""

_DOUBT, _TILT_DOUBT = 40.0, 8.0
"""What is expected counts as much as so many trials that were judged: for shares, and for their costs."""

_BETTER = 1.4
"""Later trials are better than the first cohort: what this adds to the share that goes on, times the first
cohort's share of the trials; measured (docs/log.md)."""


@dataclass(frozen=True)
class Seconds:
    """A range of seconds that the truth should lie in, and what is most likely."""

    low: float
    likely: float
    high: float

    def within(self, most: float | None) -> Seconds:
        """The same, where the time ends after `most` seconds."""
        if most is None:
            return self
        return Seconds(min(self.low, most), min(self.likely, most), min(self.high, most))

    def after(self, passed: float) -> Seconds:
        """The same, so many seconds later."""
        return Seconds(*(max(0.0, each - passed) for each in (self.low, self.likely, self.high)))


def shares(rule: Stopping, numbers: Sequence[int]) -> dict[tuple[int, ...], float]:
    """How often the trials with these numbers pause at which epochs, by those epochs; of the first few."""
    counts = Counter(rule.pauses(number) for number in numbers[: 1 if rule.one_group else _AVERAGED])
    return {pauses: count / counts.total() for pauses, count in counts.items()}


def expected_share(study: Study) -> float:
    """The share of trials that go on at a rung, by the rule alone; 1 where it looks at curves."""
    search = study.search
    return 1 / search.factor if search.stopping in ("halving", "hyperband") else 1.0


def later_share(study: Study) -> float:
    """The share of trials after the first cohort that go on.

    They are judged against the first ones, too, and a sampler that learns makes better ones: so more go on.
    """
    search, share = study.search, expected_share(study)
    if share == 1 or not SAMPLERS[search.sampler].learns:
        return share
    return share * (1 + _BETTER * min(1.0, search.cohort / search.trials))


@dataclass
class Judged:
    """Trials that came to a rung, or diverged on the way, and those that went on.

    first: those that came there first, of whom the rule keeps just its share. Costs are sums over all.
    """

    first: int = 0
    first_on: int = 0
    count: int = 0
    went_on: int = 0
    cost: float = 0.0
    cost_on: float = 0.0

    def add(self, cost: float, went_on: bool, first: bool = False) -> None:
        """One more."""
        if first:
            self.first += 1
            self.first_on += went_on
        else:
            self.count += 1
            self.went_on += went_on
        self.cost += cost
        self.cost_on += cost * went_on

    def share(self, prior: float, sigmas: float) -> float:
        """The share that goes on, so many standard deviations off what is most likely."""
        seen = self.count + _DOUBT
        share = (self.went_on + _DOUBT * prior) / seen
        spread = math.sqrt(share * (1 - share) / seen)
        return min(1.0, max(0.0, share + sigmas * spread))

    def rest(self, first: float, later: float, to_come: float, sigmas: float) -> float:
        """`share` of those to come, under a rule that keeps a fixed share of all.

        Where more went on so far than expected, fewer will: they have raised what is needed. first, later:
        the shares that are expected.
        """
        to_come = max(1.0, to_come)
        owed = (later * (self.count + to_come) - self.went_on) / to_come
        known = self.count / (self.count + _DOUBT / 2)
        share = min(1.0, 1.5 * later, max(0.75 * first, (1 - known) * later + known * owed))
        spread = math.sqrt(share * (1 - share) * (1 / to_come + 1 / (self.count + _DOUBT)))
        return min(1.0, max(0.0, share + sigmas * spread))

    @property
    def tilt(self) -> float:
        """How much more an epoch of those that went on costs than one of all that came."""
        count, on = self.count + self.first, self.went_on + self.first_on
        if not on or not self.cost:
            return 1.0
        ratio = (self.cost_on / on) / (self.cost / count)
        return float(ratio ** (on / (on + _TILT_DOUBT)))


class Pace:
    """How much longer training takes than the cost model says: measured, by kind of lane."""

    def __init__(self) -> None:
        self._measured: dict[Hashable, float] = defaultdict(float)
        self._predicted: dict[Hashable, float] = defaultdict(float)
        self._tiles = 0

    def add(self, kind: Hashable, measured: float, predicted: float) -> None:
        """A tile, or what is trained of one, took so many seconds."""
        self._measured[kind] += measured
        self._predicted[kind] += predicted
        self._tiles += 1

    def copy(self) -> Pace:
        other = Pace()
        other._measured |= self._measured
        other._predicted |= self._predicted
        other._tiles = self._tiles
        return other

    @property
    def known(self) -> bool:
        return sum(self._predicted.values()) > 0

    @property
    def doubt(self) -> float:
        """The relative error that the pace may have."""
        return 0.06 + 0.25 / math.sqrt(1 + self._tiles)

    def of(self, kind: Hashable) -> float:
        """Seconds for each second of the cost model; kinds of which little is known are as all are."""
        total = sum(self._predicted.values())
        overall = sum(self._measured.values()) / total
        doubt = 0.1 * total
        return (self._measured.get(kind, 0.0) + doubt * overall) / (self._predicted.get(kind, 0.0) + doubt)


@dataclass
class Waiting:
    """Trials that wait for their next piece: how many, and what an epoch of one costs, in seconds."""

    count: float = 0.0
    cost: float = 0.0

    def add(self, count: float, cost: float) -> None:
        """More of them."""
        if count > 0:
            self.cost = (self.count * self.cost + count * cost) / (self.count + count)
            self.count += count


@dataclass(frozen=True)
class Begun:
    """A trial that has begun: the epochs at which it pauses, those behind it, and what one costs.

    judged: it goes on for sure; others are still to be judged there.
    """

    pauses: tuple[int, ...]
    behind: int
    cost: float
    judged: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be played.

    ways: share of new trials by the epochs at which they pause. new: trials not begun yet. cost: of an epoch
    of one. tile: of an epoch of a tile, besides its lanes. together: lanes of a tile at most. kinds: of
    lanes, which do not share tiles. cohort, workers: as in the study and the run. overhead: seconds between
    two cohorts. epochs: at which no more trials begin. unfinished: trials that have begun. judged:
    by the epoch of a rung. share: of the first trials at a rung that go on; later: of all others, expected.
    """

    ways: Mapping[tuple[int, ...], float]
    new: int
    cost: float
    cohort: int
    workers: int
    tile: float = 0.0
    together: float = 4.0
    kinds: float = 1.0
    overhead: float = 0.0
    epochs: float = math.inf
    unfinished: Sequence[Begun] = ()
    judged: Mapping[int, Judged] = field(default_factory=dict)
    share: float = 1.0
    later: float = 1.0


def play(plan: Plan, sigmas: float = 0.0) -> float:
    """Seconds until the end, in expectation; sigmas: with shares that go on so many deviations off."""
    stages: dict[tuple[tuple[int, ...], int], Waiting] = defaultdict(Waiting)
    on, reached = _going_on(plan, sigmas), {*plan.judged}
    for each in plan.unfinished:
        stage = sum(epoch <= each.behind for epoch in each.pauses)
        share, tilt = (1.0, 1.0) if each.judged or not each.behind else on[each.behind]
        if share < 1 and each.behind not in reached:
            share = plan.share
        if stage < len(each.pauses):
            stages[each.pauses, stage].add(share, each.cost * tilt)
    reached |= {each.behind for each in plan.unfinished if not each.judged}
    new, seconds, epochs = float(plan.new), 0.0, 0.0
    each_epochs, each_work = one_trial(plan, sigmas)
    if (many := new - _PLAYED * plan.cohort) > 0:
        many = min(many, max(0.0, (plan.epochs - epochs) / max(each_epochs, 1e-9)))
        new, epochs = new - many, many * each_epochs
        seconds += many * each_work / plan.workers + many / plan.cohort * plan.overhead
    while True:
        lanes = sum(waiting.count for waiting in stages.values())
        begin = min(new, max(0.0, plan.cohort - lanes)) if epochs < plan.epochs else 0.0
        new -= begin
        for pauses, share in plan.ways.items():
            stages[pauses, 0].add(begin * share, plan.cost)
        if lanes + begin < 0.05:
            return seconds
        seconds += _cohort(plan, stages) + plan.overhead * min(1.0, lanes + begin)
        going: dict[tuple[tuple[int, ...], int], Waiting] = defaultdict(Waiting)
        for (pauses, stage), waiting in stages.items():
            epochs += waiting.count * _piece(pauses, stage)
            if stage + 1 < len(pauses):
                share, tilt = on[pauses[stage]]
                share = share if pauses[stage] in reached else plan.share
                going[pauses, stage + 1].add(waiting.count * share, waiting.cost * tilt)
        reached |= {pauses[stage] for (pauses, stage), waiting in stages.items() if waiting.count}
        stages = going


def _piece(pauses: tuple[int, ...], stage: int) -> int:
    return pauses[stage] - (pauses[stage - 1] if stage else 0)


def _going_on(plan: Plan, sigmas: float) -> dict[int, tuple[float, float]]:
    """By epoch of a rung: the share of trials that go on there, and how much more they cost."""
    none, on = Judged(), dict[int, tuple[float, float]]()
    for pauses in {*plan.ways, *(each.pauses for each in plan.unfinished)}:
        for stage, epoch in enumerate(pauses):
            judged = plan.judged.get(epoch, none)
            if plan.later < 1:
                waiting = sum(each.behind <= epoch and not each.judged for each in plan.unfinished)
                to_come = plan.new * plan.later**stage + waiting
                share = judged.rest(plan.share, plan.later, to_come, sigmas)
            else:
                share = judged.share(1.0, sigmas) if judged.count else 1.0
            on[epoch] = share, judged.tilt
    return on


def one_trial(plan: Plan, sigmas: float = 0.0) -> tuple[float, float]:
    """Epochs and seconds of one worker that a new trial takes, in full cohorts."""
    on, epochs, work = _going_on(plan, sigmas), 0.0, 0.0
    each_tile = plan.tile / plan.together
    for pauses, share in plan.ways.items():
        count, cost = share, plan.cost
        for stage, epoch in enumerate(pauses):
            epochs += count * _piece(pauses, stage)
            work += count * _piece(pauses, stage) * (cost + each_tile)
            count, cost = count * on[epoch][0], cost * on[epoch][1]
    return epochs, work


def _cohort(plan: Plan, stages: Mapping[tuple[tuple[int, ...], int], Waiting]) -> float:
    """Seconds of a cohort: all of its work on all workers, but no less than its longest tile takes."""
    work = longest = 0.0
    for (pauses, stage), waiting in stages.items():
        if waiting.count <= 0:
            continue
        piece = _piece(pauses, stage)
        tiles = max(min(plan.kinds, waiting.count), waiting.count / plan.together)
        lanes = waiting.count / tiles
        work += piece * (waiting.count * waiting.cost + tiles * plan.tile)
        # Fewer than one trial in expectation: one comes with that chance.
        longest = max(longest, min(1.0, waiting.count) * piece * (max(1.0, lanes) * waiting.cost + plan.tile))
    return max(work / plan.workers, longest)


def seconds_left(plan: Plan, begun: float, doubt: float) -> Seconds:
    """What is left. begun: seconds of the tiles in training. doubt: relative error of the pace."""
    low, likely, high = (begun + play(plan, sigmas) for sigmas in (-1.0, 0.0, 1.0))
    return Seconds(low / (1 + doubt), likely, high * (1 + doubt))


def cost_of(costs: Sequence[Cost], pace: Pace) -> tuple[float, float]:
    """What an epoch takes, at the pace: of a lane on average, and of a tile besides its lanes."""
    if not costs:
        return 0.0, 0.0
    speeds = [pace.of(each.kind) for each in costs]
    lane = sum(each.lane * speed for each, speed in zip(costs, speeds, strict=True)) / len(costs)
    tile = sum(each.tile * speed for each, speed in zip(costs, speeds, strict=True)) / len(costs)
    return lane, tile
