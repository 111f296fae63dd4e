"""A trial's configuration that was trained again on fresh seeds: what finalists and arms have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpsearch.records import FloatArray, valid_place
from hpsearch.stats import Scored


@dataclass(frozen=True)
class Retrained(Scored):
    """A configuration on each of some fresh seeds.

    trial: whose it is. epochs: for which it is trained. scores, losses: [seeds] on the part that is scored;
    NaN where it diverged. curves: one a seed, [epochs, columns] as records.Segment has them, on the training
    and validation parts; up to the epoch in which it diverged. params: that are searched.
    """

    trial: int | None
    epochs: int | None
    scores: FloatArray
    losses: FloatArray = field(default_factory=lambda: np.empty(0))
    curves: tuple[FloatArray, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)

    def validation(self, metric: str) -> FloatArray:
        """[seeds] the metric on the validation part after the last epoch; NaN where it diverged."""
        place = valid_place(metric)
        values = np.array([curve[-1, place] for curve in self.curves])
        return np.where(np.isnan(self.scores), np.nan, values) if len(values) else values

    def learning(self, metric: str) -> FloatArray:
        """[epochs] the metric on the validation part, on average over the seeds that were trained to the
        end.
        """
        place = valid_place(metric)
        whole = [curve[:, place] for curve in self.curves if len(curve) == self.epochs]
        means: FloatArray = np.mean(whole, axis=0) if whole else np.full(self.epochs or 0, np.nan)
        return means
