"""Honest statistics of few repeats: intervals, ranks that may be shared, and chances.

Arrays in, plain values out; every function names its source and what it assumes.
"""

from __future__ import annotations

from hpsearch.stats.estimates import FEWEST, LEVEL, Estimate, estimate

__all__ = ["FEWEST", "LEVEL", "Estimate", "estimate"]
