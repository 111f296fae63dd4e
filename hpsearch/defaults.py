"""What commands and calls from Python do unless they are told otherwise; importing it costs nothing."""

from __future__ import annotations

DEFAULT_STORAGE = "sqlite:///hpsearch.db"

TOP, CONFIRM_SEEDS = 8, 5
"""Finalists, and the fresh seeds on which each is trained."""

COMPARE_SEEDS = 10
"""On which two trials are compared."""

LEAST_SEEDS = 3
"""An interval of fewer would say nothing."""
