"""Means of values that vary by seed, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hpsearch.records import FloatArray

LEVEL = 0.95
FEWEST = 3
"""An interval from fewer values would say nothing."""

SAME = 1e-9
"""Values that vary by less than this share of their size are equal: what differs is rounding."""


@dataclass(frozen=True)
class Estimate:
    """A mean of values that vary by seed, and its t interval; without one where all values are equal."""

    mean: float
    sd: float
    low: float | None
    high: float | None


class Scored:
    """What has scores [seeds] on fresh seeds, NaN where it diverged."""

    scores: FloatArray

    @property
    def diverged(self) -> int:
        """Seeds with which it diverged."""
        return int(np.isnan(self.scores).sum())

    @cached_property
    def estimate(self) -> Estimate | None:
        """Of the scores of the seeds with which it did not diverge; None of fewer than three."""
        return estimate(self.scores[~np.isnan(self.scores)])


def estimate(values: FloatArray, level: float = LEVEL, scale: float | None = None) -> Estimate | None:
    """Mean, standard deviation and Student's t interval (1908) of values [n]; None of fewer than three.

    scale: of the numbers from which the values were taken, to tell equal ones from rounding.
    """
    if len(values) < FEWEST:
        return None
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    if np.ptp(values) <= SAME * (np.abs(values).max() if scale is None else scale):
        return Estimate(mean, 0.0, None, None)
    from scipy import stats  # 0.3 s that reports without a comparison need not pay

    interval = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    return Estimate(mean, sd, float(interval.low), float(interval.high))
