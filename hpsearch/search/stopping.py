"""Which trials go on at a rung."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Score = tuple[float, float]
"""(metric turned so that more is better, minus the validation loss): compared in this order."""


@dataclass(frozen=True)
class Verdict:
    """Trials that stop at a rung, and the metric that would have been enough to go on."""

    stopped: frozenset[int]
    needed: float | None = None


class Stopping(Protocol):
    """A stopping rule."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trials pause and are judged; the last is the most that a trial gets."""
        ...

    def judge(self, scores: Mapping[int, Score], arrived: Sequence[int]) -> Verdict:
        """Judge the trials that have just `arrived` at a rung.

        scores: of all trials that ever reached this rung, the new ones included, by number.
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
    """Nobody is stopped; the rungs are only the points at which results are stored."""

    rungs: tuple[int, ...]

    def judge(self, scores: Mapping[int, Score], arrived: Sequence[int]) -> Verdict:
        return Verdict(frozenset())


@dataclass(frozen=True)
class Halving:
    """Asynchronous successive halving (Li et al. 2020, algorithm 2), judged by the cohort.

    A trial goes on if it is among the best 1/factor of all that have reached the rung so far; the
    first few always keep one. Trials that arrive together are judged against each other as well.
    Equal metrics are told apart by the validation loss.
    """

    rungs: tuple[int, ...]
    factor: int

    def judge(self, scores: Mapping[int, Score], arrived: Sequence[int]) -> Verdict:
        places = max(1, len(scores) // self.factor)
        needed = sorted(scores.values(), reverse=True)[places - 1]
        return Verdict(frozenset(n for n in arrived if scores[n] < needed), needed[0])


def make_stopping(name: str, epochs: int, factor: int, min_epochs: int | None) -> Stopping:
    """The rule that a study file calls `name`.

    The first rung is min_epochs, by default epochs/factor², so that there are three rungs.
    """
    rungs = geometric_rungs(epochs, min_epochs or max(1, epochs // factor**2), factor)
    return Halving(rungs, factor) if name == "halving" else Keep(rungs)
