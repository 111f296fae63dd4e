"""What a run reports as it goes; a display overrides the methods it cares about."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from hpsearch.records import Progress, State
from hpsearch.text import counts_text, progress_text

if TYPE_CHECKING:
    from hpsearch.data import Dataset
    from hpsearch.running.estimate import Estimate
    from hpsearch.running.machine import Machine
    from hpsearch.running.pool import StopFlag
    from hpsearch.study.file import Study


@dataclass(frozen=True)
class Beginning:
    """A run before it trains.

    asked: trials the study asks for; it has more where more have begun. counts: trials by state.
    left: estimates what is left, probing the machine for a moment. stop: stops the run at the next rung.
    warnings: what differs from the process that trained the study before. notes: what
    the user may want to know, too.
    """

    study: Study
    dataset: Dataset
    machine: Machine
    asked: int
    counts: dict[State, int]
    left: Callable[[], Estimate]
    stop: StopFlag
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ending:
    """A run after it trained. counts: trials by state. url: of the database, without its password.

    enough: why no more trials begin although the study asks for more, if so.
    """

    study: Study
    counts: dict[State, int]
    url: str
    enough: str | None


_LINE_EVERY = 1.0
"""Seconds between two changes of a line."""


class Watch:
    """Hears everything, shows only warnings. An error raised by a method ends the run."""

    def reads(self, done: int, total: int) -> None:
        """`done` of `total` images are decoded."""

    def forks(self, parent: str, taken: int, finished: int) -> None:
        """A fork took over `taken` of its parent's finished trials."""

    def begins(self, beginning: Beginning) -> None:
        """The study is open, and training begins."""

    def finds_complete(self, study: Study, dataset: Dataset, asked: int, why: str) -> None:
        """There is nothing to train, and why. asked: trials that were asked for, perhaps too few."""

    def warns(self, text: str) -> None:
        """Something that the user should know."""
        warnings.warn(text, stacklevel=2)

    def progresses(self, progress: Progress) -> None:
        """How far the study is; called a few times a second."""

    def ends(self, ending: Ending) -> None:
        """Training has ended; finalists and comparison come next if the study is complete."""

    def retrains(self, done: int, total: int) -> None:
        """Retraining finalists or arms on fresh seeds: `done` of `total` epochs."""

    def repeats(self, done: int, total: int) -> None:
        """Repeating a comparison on other splits: `done` of `total` repeats."""

    def says(self, text: str) -> None:
        """What takes a while now."""


class Progressing(Watch):
    """Tells a function of each progress."""

    def __init__(self, tell: Callable[[Progress], None]) -> None:
        self._tell = tell

    def progresses(self, progress: Progress) -> None:
        self._tell(progress)


class ProgressLine(Watch):
    """One line that is overwritten, in a notebook or at a Python prompt; what differs is a line of its own.

    out: where to write, standard output by default. width: of the line, in columns.
    """

    def __init__(self, out: TextIO | None = None, width: int = 100) -> None:
        self._out, self._width = out, width
        self._metric, self._said = "", -math.inf

    def begins(self, beginning: Beginning) -> None:
        self._metric = beginning.study.train.metric or ""

    def progresses(self, progress: Progress) -> None:
        if progress.seconds - self._said >= _LINE_EVERY:
            self._said = progress.seconds
            self._write(progress_text(progress, self._metric, self._width))

    def ends(self, ending: Ending) -> None:
        finished = sum(count for state, count in ending.counts.items() if state.finished)
        self._write(f"{finished:,} trials ({counts_text(ending.counts)})", "\n")

    def retrains(self, done: int, total: int) -> None:
        text = f"retraining on fresh seeds   {done:,}/{total:,} epochs"
        self._write(text, "\n" if done == total else "")

    def says(self, text: str) -> None:
        self._write(text, "\n")

    def _write(self, text: str, end: str = "") -> None:
        print(f"\r{text:<{self._width}}", end=end, file=self._out, flush=True)
