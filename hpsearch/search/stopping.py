"""Which trials go on at a rung."""

from __future__ import annotations

import math
from binascii import crc32
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import FloatArray
from hpsearch.study.file import Study
from hpsearch.study.methods import STOPPING

Score = tuple[float, float]
"""(metric turned so that more is better, minus the validation loss): compared in this order."""

STARTUP = 5
"""Complete trials before which `Median` stops nobody; Optuna's own default."""


@dataclass
class Rung:
    """What is known at an epoch of trials that are judged against each other.

    scores: of all that ever reached it without diverging, by number. ranked: the same, in rising order.
    complete: in rising order, the metrics at this epoch of those that were trained to the end.
    """

    epoch: int
    scores: dict[int, Score] = field(default_factory=dict)
    ranked: list[Score] = field(default_factory=list)
    complete: list[float] = field(default_factory=list)

    def arrive(self, number: int, score: Score) -> None:
        """A trial has reached the rung."""
        self.scores[number] = score
        insort(self.ranked, score)

    def end(self, number: int) -> None:
        """A trial that had reached the rung is complete."""
        insort(self.complete, self.scores[number][0])


@dataclass(frozen=True)
class Words:
    """How a rule says why it stops a trial. metric: its name. sign: −1 where less is better."""

    metric: str
    sign: float

    def number(self, turned: float) -> str:
        """A metric, which was turned so that more is better, as it is."""
        return f"{self.sign * turned:.4g}"


class Stopping(Protocol):
    """A stopping rule."""

    @property
    def one_group(self) -> bool:
        """All trials are judged against each other, and pause at all of the rungs."""
        ...

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trials may pause to be judged; the last is the most that a trial gets."""
        ...

    def pauses(self, trial: int) -> tuple[int, ...]:
        """Those of the rungs at which this trial pauses."""
        ...

    def group(self, trial: int) -> int:
        """Trials of different groups are not judged against each other."""
        ...

    def judge(self, rung: Rung, arrived: Mapping[int, FloatArray], words: Words) -> dict[int, str]:
        """The trials of those that have just arrived at a rung that stop there, and why.

        arrived: by number, [epochs] the metric on the validation part, turned so that more is better; all of
        the group that the rung is of.
        """
        ...


def geometric_rungs(epochs: int, first: int, factor: int) -> tuple[int, ...]:
    """first, first · factor, … and `epochs` itself as the last."""
    rungs = []
    rung = first
    while rung < epochs:
        rungs.append(rung)
        rung *= factor
    return (*rungs, epochs)


def even_rungs(epochs: int, interval: int) -> tuple[int, ...]:
    """interval, 2 · interval, … and `epochs` itself as the last."""
    return (*range(interval, epochs, interval), epochs)


@dataclass(frozen=True)
class Keep:
    """Nobody is stopped; the rungs are only the points at which results are stored."""

    rungs: tuple[int, ...]

    @property
    def one_group(self) -> bool:
        return True

    def pauses(self, trial: int) -> tuple[int, ...]:
        return self.rungs

    def group(self, trial: int) -> int:
        return 0

    def judge(self, rung: Rung, arrived: Mapping[int, FloatArray], words: Words) -> dict[int, str]:
        return {}


@dataclass(frozen=True)
class Halving(Keep):
    """Asynchronous successive halving (Li et al. 2020, algorithm 2), judged by the cohort.

    A trial goes on if it is among the best 1/factor of all that have reached the rung so far; the
    first few always keep one. Trials that arrive together are judged against each other as well.
    Equal metrics are told apart by the validation loss, where Optuna's pruner lets all of them go on.
    """

    factor: int

    def judge(self, rung: Rung, arrived: Mapping[int, FloatArray], words: Words) -> dict[int, str]:
        places = max(1, len(rung.ranked) // self.factor)
        needed = rung.ranked[-places]
        among = f"among {plural(len(rung.ranked), 'trial')}"

        def why(own: Score) -> str:
            equal = ", and a lower loss" if own[0] == needed[0] else ""
            return f"{words.metric} {words.number(own[0])}, needed {words.number(needed[0])}{equal} {among}"

        return {n: why(rung.scores[n]) for n in arrived if rung.scores[n] < needed}


@dataclass(frozen=True)
class Hyperband(Halving):
    """Hyperband (Li et al. 2018) as Optuna has it: brackets that halve from the first rung, the second, … on.

    The bracket is a function of the study's name and the trial's number; budgets are those of Optuna's
    HyperbandPruner (Li et al., algorithm 1, as shares of the trials).
    """

    name: str

    @property
    def one_group(self) -> bool:
        return False

    @property
    def budgets(self) -> list[int]:
        """How many trials of so many go to each bracket; bracket b begins to halve at rung b."""
        count = math.floor(math.log(self.rungs[-1] / self.rungs[0], self.factor)) + 1
        return [math.ceil(count * self.factor ** (count - 1 - b) / (count - b)) for b in range(count)]

    def group(self, trial: int) -> int:
        place = crc32(f"{self.name}_{trial}".encode()) % sum(self.budgets)
        return int(np.searchsorted(np.cumsum(self.budgets), place, side="right"))

    def pauses(self, trial: int) -> tuple[int, ...]:
        return self.rungs[self.group(trial) :]


@dataclass(frozen=True)
class Median(Keep):
    """The median rule (Golovin et al. 2017) as Optuna's MedianPruner has it.

    A trial stops whose best metric so far is worse than the median of what the complete trials had at this
    epoch; nobody does before five are complete.
    """

    def judge(self, rung: Rung, arrived: Mapping[int, FloatArray], words: Words) -> dict[int, str]:
        known = rung.complete
        if len(known) < STARTUP:
            return {}
        middle = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
        stopped = {}
        for number, metric in arrived.items():
            best = float(metric[: rung.epoch].max())
            if best < middle:
                stopped[number] = (
                    f"best {words.metric} so far {words.number(best)}, the median of {len(known)} complete "
                    f"trials at this epoch is {words.number(middle)}"
                )
        return stopped


@dataclass(frozen=True)
class Patience(Keep):
    """Early stopping as Optuna's PatientPruner has it: no improvement of more than `delta` in the last
    `patience` + 1 epochs."""

    patience: int
    delta: float

    def judge(self, rung: Rung, arrived: Mapping[int, FloatArray], words: Words) -> dict[int, str]:
        stopped = {}
        for number, curve in arrived.items():
            if rung.epoch <= self.patience + 1:
                continue
            before, lately = curve[: -self.patience - 1].max(), curve[-self.patience - 1 :].max()
            if before - self.delta > lately:
                stopped[number] = (
                    f"{words.metric} was {words.number(before)} and no better than {words.number(lately)} "
                    f"in the last {self.patience + 1} epochs"
                )
        return stopped


def make_stopping(study: Study) -> Stopping:
    """The study's rule."""
    rule: Stopping = STOPPING[study.search.stopping].load()(study)
    return rule


# What study.methods names: each makes a rule of a study.


def keep(study: Study) -> Stopping:
    return Keep(_rungs(study))


def halving(study: Study) -> Stopping:
    return Halving(_rungs(study), study.search.factor)


def hyperband(study: Study) -> Stopping:
    return Hyperband(_rungs(study), study.search.factor, study.name)


def median(study: Study) -> Stopping:
    return Median(_looks(study))


def patience(study: Study) -> Stopping:
    search = study.search
    return Patience(_looks(study), search.patience or max(2, study.train.epochs // 5), search.min_delta)


def _first(study: Study) -> int:
    """The first rung is min_epochs, by default epochs/factor², so that there are three rungs."""
    return study.search.min_epochs or max(1, study.train.epochs // study.search.factor**2)


def _rungs(study: Study) -> tuple[int, ...]:
    return geometric_rungs(study.train.epochs, _first(study), study.search.factor)


def _looks(study: Study) -> tuple[int, ...]:
    """`median` and `patience` look at every epoch that is a multiple of the first rung."""
    return even_rungs(study.train.epochs, _first(study))
