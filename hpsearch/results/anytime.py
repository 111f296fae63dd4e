"""What a search had at any time: the best validation metric so far against what it took."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.records import FloatArray, IntArray, Segment, StudyRecord, Trial, valid_place


@dataclass(frozen=True)
class Anytime:
    """What a search had after each piece of training: [pieces] trials finished, epochs trained, seconds of
    the study, and the best validation metric so far.
    """

    trials: IntArray
    epochs: IntArray
    seconds: FloatArray
    best: FloatArray

    def at(self, axis: str, budget: float) -> float:
        """The best so far when no more than `budget` of "trials", "epochs" or "seconds" was spent; NaN before
        anything was.
        """
        count = int(np.searchsorted(getattr(self, axis), budget, side="right"))
        return float(self.best[count - 1]) if count else math.nan

    def spent(self, axis: str) -> float:
        """All of "trials", "epochs" or "seconds"."""
        spent = getattr(self, axis)
        return float(spent[-1]) if len(spent) else 0.0


def anytime(record: StudyRecord, trials: list[Trial], segments: list[Segment]) -> Anytime:
    """The best validation metric so far against what it took, in the order in which cohorts were trained.

    Pieces of curves know their share of the threads' time; together they took what the study took.
    """
    column = valid_place(record.metric)
    ordered = sorted(segments, key=lambda each: (each.cohort, each.trial))
    best_of, whole = (
        (np.fmax, np.fmax.accumulate) if record.direction == "maximize" else (np.fmin, np.fmin.accumulate)
    )
    tops: FloatArray = np.array([best_of.reduce(each.curve[:, column]) for each in ordered])
    finished = {trial.number: trial.epochs for trial in trials if trial.state.finished}
    ends = np.array([finished.get(each.trial) == each.last_epoch for each in ordered], dtype=np.int64)
    seconds = np.cumsum([each.seconds for each in ordered])
    share = record.seconds / seconds[-1] if len(ordered) and seconds[-1] > 0 else 1.0
    columns: dict[str, Any] = {
        "trials": np.cumsum(ends),
        "epochs": np.cumsum([len(each.curve) for each in ordered], dtype=np.int64),
        "seconds": seconds * share,
        "best": whole(tops) if len(tops) else tops,
    }
    return Anytime(**columns)
