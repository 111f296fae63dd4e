"""Honest statistics for few repeats: intervals, shared ranks, and probabilities.

Arrays in, plain values out; every function names its source and assumptions.
"""

from __future__ import annotations

from hpsearch.stats.chances import AS_GOOD, chance_of_best
from hpsearch.stats.contrast import (
    BETTER,
    EQUAL,
    UNCLEAR,
    WORSE,
    BySeed,
    Difference,
    Regression,
    by_seed,
    comparable,
    difference,
    regression,
    verdict,
)
from hpsearch.stats.estimates import FEWEST, LEVEL, Estimate, Scored, estimate
from hpsearch.stats.ranking import Pair, Ranking, rank_arms

__all__ = [
    "AS_GOOD",
    "BETTER",
    "EQUAL",
    "FEWEST",
    "LEVEL",
    "UNCLEAR",
    "WORSE",
    "BySeed",
    "Difference",
    "Estimate",
    "Pair",
    "Ranking",
    "Regression",
    "Scored",
    "by_seed",
    "chance_of_best",
    "comparable",
    "difference",
    "estimate",
    "rank_arms",
    "regression",
    "verdict",
]
