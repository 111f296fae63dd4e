"""Whether trials came out the same when they were trained again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hpsearch.records import Segment, State


@dataclass(frozen=True)
class Replayed:
    """A trial that was trained again.

    epochs: of the stored curve. pieces: as it was trained, with their curves left out. differs_from: the
    first epoch (counted from 1) with a figure that is not the stored one, bit for bit; None if there is none.
    largest: the greatest absolute difference of a figure; infinite where only one of the two is a number, or
    where this curve ended sooner. failure: why this time it diverged, if it did.
    """

    trial: int
    state: State
    epochs: int
    pieces: tuple[Segment, ...]
    differs_from: int | None = None
    largest: float = 0.0
    failure: str | None = None

    @property
    def identical(self) -> bool:
        return self.differs_from is None

    @property
    def piece(self) -> Segment | None:
        """The piece in which the curves begin to differ."""
        if self.differs_from is None:
            return None
        return next(p for p in reversed(self.pieces) if p.first_epoch <= self.differs_from)


@dataclass(frozen=True)
class RunDifference:
    """What is recorded otherwise of a run than of the process that trained its trials again.

    run: its number; 0, which begun at None, where runs were not recorded yet. trials: replayed ones that it
    trained. fields: name → (then, now); those that only one side has are not among them.
    """

    run: int
    begun: datetime | None
    trials: tuple[int, ...]
    fields: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Replay:
    """Trials of a study in number order, and the runs that had trained them."""

    study: str
    trials: tuple[Replayed, ...]
    runs: tuple[RunDifference, ...]

    @property
    def identical(self) -> bool:
        """Whether every curve is the stored one, bit for bit."""
        return all(trial.identical for trial in self.trials)
