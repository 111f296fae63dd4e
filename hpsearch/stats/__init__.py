"""Honest statistics of few repeats: intervals, ranks that may be shared, and chances.

Arrays in, plain values out; every function names its source and what it assumes.
"""

from __future__ import annotations

from hpsearch.stats.chances import AS_GOOD, chance_of_best
from hpsearch.stats.estimates import FEWEST, LEVEL, Estimate, Scored, estimate
from hpsearch.stats.ranking import Pair, Ranking, rank_arms
from hpsearch.stats.versus import Gap, Regression, gap, regression

__all__ = [
    "AS_GOOD",
    "FEWEST",
    "LEVEL",
    "Estimate",
    "Gap",
    "Pair",
    "Ranking",
    "Regression",
    "Scored",
    "chance_of_best",
    "estimate",
    "gap",
    "rank_arms",
    "regression",
]
