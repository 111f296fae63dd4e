"""What commands and calls from Python do unless they are told otherwise; importing it costs nothing."""

from __future__ import annotations

DEFAULT_STORAGE = "sqlite:///hpsearch.db"

TOP, CONFIRM_SEEDS = 8, 5
"""Finalists, and the fresh seeds on which each is trained."""

COMPARE_SEEDS = 10
"""On which two trials are compared."""

REPEATS, REPEAT_SEEDS = 10, 3
"""How often a comparison splits, searches and chooses, and the fresh seeds of each choice.

With the study's own search as the first, about ten times the cost of the study. Few seeds are enough: what
varies between repeats is the split and what was found on it.
"""

MOST_REPEATS = 1_000

LEAST_SEEDS = 3
"""An interval of fewer would say nothing."""
