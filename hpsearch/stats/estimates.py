"""Means over seeds, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hpsearch.records import FloatArray

LEVEL = 0.95
FEWEST = 3
"""Fewest values for a meaningful interval."""

SAME = 1e-9
"""Relative differences below this are rounding."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its t interval; low, high: None if all values are equal."""

    mean: float
    sd: float
    low: float | None
    high: float | None


class Scored:
    """Anything with scores [seeds] on fresh seeds, NaN if diverged."""

    scores: FloatArray

    @property
    def diverged(self) -> int:
        """Number of diverged seeds."""
        return int(np.isnan(self.scores).sum())

    @cached_property
    def estimate(self) -> Estimate | None:
        """Over the seeds that did not diverge; None for fewer than three."""
        return estimate(self.scores[~np.isnan(self.scores)])


def estimate(values: FloatArray, level: float = LEVEL, scale: float | None = None) -> Estimate | None:
    """Mean, standard deviation and Student's t interval (1908) of values [n]; None for fewer than three.

    scale: size of the numbers behind the values, to tell equality from rounding.
    """
    if len(values) < FEWEST:
        return None
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    if np.ptp(values) <= SAME * (np.abs(values).max() if scale is None else scale):
        return Estimate(mean, 0.0, None, None)
    from scipy import stats  # 0.3 s that reports without a comparison need not pay

    interval = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    return Estimate(mean, sd, float(interval.low), float(interval.high))


def sign_test(count: int) -> float:
    """Two-sided p-value of `count` equal signs, for differences without variance."""
    from scipy.stats import binomtest

    return float(binomtest(count, count).pvalue)
