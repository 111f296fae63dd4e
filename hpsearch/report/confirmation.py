"""Finalists on fresh seeds: what of the best trials' scores was luck, and which of them really differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from hpsearch.records import FloatArray
from hpsearch.stats import Estimate, estimate


@dataclass(frozen=True)
class Finalist:
    """One of the best trials by validation, trained again on fresh seeds.

    selected: the validation metric for which it was chosen. epochs: for which it is trained, those after
    which it was best. scores, losses: [seeds] on the part that is scored; NaN where it diverged. curves: one
    a seed, [epochs, columns] as records.Segment has them, on the training and validation parts; up to the
    epoch in which it diverged.
    """

    trial: int
    selected: float
    epochs: int
    scores: FloatArray
    losses: FloatArray
    curves: tuple[FloatArray, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def diverged(self) -> int:
        """Seeds with which it diverged."""
        return int(np.isnan(self.scores).sum())

    @cached_property
    def estimate(self) -> Estimate | None:
        """Of the scores of the seeds with which it did not diverge; None of fewer than three."""
        return estimate(self.scores[~np.isnan(self.scores)])


@dataclass(frozen=True)
class Use:
    """One look at the scored part: what was trained for it, and when."""

    purpose: str
    trials: int
    seeds: int
    when: datetime


@dataclass(frozen=True)
class Confirmation:
    """The finalists of a study, each trained on the same fresh seeds and scored once.

    part: "test", or "validation" where there is no test part; rows: of it. resampled: with each seed the rows
    of training and validation were divided anew. complete: trials from which the finalists were chosen, the
    first by validation. uses: all looks at the part so far, the last of them this one.
    """

    metric: str
    maximize: bool
    part: str
    rows: int
    seeds: int
    resampled: bool
    complete: int
    finalists: tuple[Finalist, ...]
    uses: tuple[Use, ...] = ()
