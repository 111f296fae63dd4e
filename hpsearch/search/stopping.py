"""Which trials continue at a rung, and when a study has enough of them: functions of what is stored."""

from __future__ import annotations

import math
from binascii import crc32
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import FloatArray
from hpsearch.search.history import RUNNING, History
from hpsearch.stats.score import BEST
from hpsearch.study.file import Study
from hpsearch.study.methods import STOPPING

Score = tuple[float, float]
"""(signed metric, minus the validation loss), compared in this order; signed: higher is better."""

STARTUP = 5
"""Complete trials that `Median` waits for; Optuna's own default."""


@dataclass
class Rung:
    """The state of one rung, for a group of trials judged against each other.

    scores: by number, of all trials that reached it without diverging. ranked: the same, rising.
    complete: metrics at this epoch of the trials trained to the end, rising.
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
    """Wording of a rule's reasons. metric: its name. sign: −1 if lower is better."""

    metric: str
    sign: float

    def number(self, turned: float) -> str:
        """A signed metric with its own sign."""
        return f"{self.sign * turned:.4g}"


class Stopping(Protocol):
    """A stopping rule."""

    @property
    def one_group(self) -> bool:
        """All trials are judged against each other and pause at every rung."""
        ...

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trials may pause to be judged; the last is the epoch limit."""
        ...

    def pauses(self, trial: int) -> tuple[int, ...]:
        """The rungs at which this trial pauses."""
        ...

    def group(self, trial: int) -> int:
        """Trials of different groups are not judged against each other."""
        ...

    def judge(self, rung: Rung, arrived: Mapping[int, FloatArray], words: Words) -> dict[int, str]:
        """Reasons by number of the trials that stop at a rung.

        arrived: by number, [epochs] the signed validation metric of the trials that just arrived, all of the
        rung's group.
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


@dataclass(frozen=True)
class Keep:
    """Stops nobody; rungs only mark when results are stored."""

    rungs: tuple[int, ...]

    one_group: ClassVar[bool] = True

    def pauses(self, trial: int) -> tuple[int, ...]:
        return self.rungs

    def group(self, trial: int) -> int:
        return 0

    def judge(self, rung: Rung, arrived: Mapping[int, FloatArray], words: Words) -> dict[int, str]:
        return {}


@dataclass(frozen=True)
class Halving(Keep):
    """Asynchronous successive halving (Li et al. 2020, algorithm 2), judged by the cohort.

    A trial continues if it is among the best 1/factor of all that have reached the rung so far, and at least
    one does. Trials that arrive together compete with each other too. The validation loss breaks ties, where
    Optuna's pruner lets all of them continue.
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
    """Hyperband (Li et al. 2018) as in Optuna: brackets that start halving at the first rung, the second, …

    The bracket is a function of the study's name and the trial's number; budgets are those of Optuna's
    HyperbandPruner (Li et al., algorithm 1, as shares of the trials).
    """

    name: str

    one_group: ClassVar[bool] = False

    @property
    def budgets(self) -> list[int]:
        """Shares of the trials by bracket; bracket b starts halving at rung b."""
        count = math.floor(math.log(self.rungs[-1] / self.rungs[0], self.factor)) + 1
        return [math.ceil(count * self.factor ** (count - 1 - b) / (count - b)) for b in range(count)]

    def group(self, trial: int) -> int:
        place = crc32(f"{self.name}_{trial}".encode()) % sum(self.budgets)
        return int(np.searchsorted(np.cumsum(self.budgets), place, side="right"))

    def pauses(self, trial: int) -> tuple[int, ...]:
        return self.rungs[self.group(trial) :]


@dataclass(frozen=True)
class Median(Keep):
    """The median rule (Golovin et al. 2017).

    Once five trials are complete, a trial stops if its score at this epoch is worse than the median of
    theirs. best: as in Optuna's MedianPruner, its best metric so far is taken instead.
    """

    best: bool = False

    def judge(self, rung: Rung, arrived: Mapping[int, FloatArray], words: Words) -> dict[int, str]:
        known = rung.complete
        if len(known) < STARTUP:
            return {}
        middle = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
        stopped = {}
        for number, metric in arrived.items():
            own = float(metric[: rung.epoch].max()) if self.best else rung.scores[number][0]
            if own < middle:
                said = f"best {words.metric} so far" if self.best else words.metric
                stopped[number] = (
                    f"{said} {words.number(own)}, the median of {len(known)} complete "
                    f"trials at this epoch is {words.number(middle)}"
                )
        return stopped


@dataclass(frozen=True)
class Patience(Keep):
    """Early stopping as in Optuna's PatientPruner: the last `patience` + 1 epochs fell short of the best
    before by more than `delta`.
    """

    patience: int
    delta: float

    def judge(self, rung: Rung, arrived: Mapping[int, FloatArray], words: Words) -> dict[int, str]:
        stopped = {}
        for number, curve in arrived.items() if rung.epoch > self.patience + 1 else ():
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


# Named in study.methods: each creates a study's rule.


def keep(study: Study) -> Stopping:
    return Keep(_rungs(study))


def halving(study: Study) -> Stopping:
    return Halving(_rungs(study), study.search.factor)


def hyperband(study: Study) -> Stopping:
    return Hyperband(_rungs(study), study.search.factor, study.name)


def median(study: Study) -> Stopping:
    return Median(_looks(study), study.train.score == BEST)


def patience(study: Study) -> Stopping:
    search = study.search
    return Patience(_looks(study), search.patience or max(2, study.train.epochs // 5), search.min_delta)


def _first(study: Study) -> int:
    """The first rung: min_epochs, by default epochs/factor², which gives three rungs."""
    return study.search.min_epochs or max(1, study.train.epochs // study.search.factor**2)


def _rungs(study: Study) -> tuple[int, ...]:
    return geometric_rungs(study.train.epochs, _first(study), study.search.factor)


def _looks(study: Study) -> tuple[int, ...]:
    """`median` and `patience` look at every multiple of the first rung, and at the last epoch."""
    epochs, first = study.train.epochs, _first(study)
    return (*range(first, epochs, first), epochs)


def trials_left(study: Study, history: History, most: int | None = None) -> int:
    """How many more trials may start. most: the sampler's own limit (a grid's size)."""
    total = study.search.trials if most is None else min(study.search.trials, most)
    return 0 if enough(study, history) else max(0, total - len(history))


def enough(study: Study, history: History) -> str | None:
    """Why no more trials start, short of the total; None if more may."""
    limit, give_up = study.search.epoch_limit, study.search.give_up
    if limit is not None and int(history.epochs.sum()) >= limit:
        return f"the limit of {limit:,} epochs is reached"
    if give_up is None:
        return None
    values = study.sign * history.value[history.state != RUNNING]
    values = np.where(np.isnan(values), -np.inf, values)
    if len(values) <= give_up.trials:
        return None
    before, lately = values[: -give_up.trials].max(), values[-give_up.trials :].max()
    if lately > before + give_up.delta:
        return None
    beyond = f" of more than {give_up.delta:g}" if give_up.delta else ""
    return f"the last {give_up.trials:,} trials brought no improvement{beyond}"
