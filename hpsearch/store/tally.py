"""How much a study has, in one row."""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.records import State


@dataclass(frozen=True)
class Tally:
    """What a study has: seconds trained, trials by state, the best value of the complete ones, and how many
    cohorts, runs, queued points and scorings. The fields are the columns of its table.
    """

    seconds: float = 0.0
    running: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    best: float | None = None
    cohorts: int = 0
    runs: int = 0
    queued: int = 0
    scorings: int = 0

    @property
    def trials(self) -> int:
        return sum(self.counts.values())

    @property
    def counts(self) -> dict[State, int]:
        return {state: getattr(self, state) for state in State}
