"""How much a first study searches: an answer in seconds, or more of what may pay.

`python -m benchmarks.effort` measures what each effort finds and what each dimension is worth; docs/log.md
has the figures. Batch size, activation and schedule gained nothing on average, so they stay fixed. The C
kernel trains all of it; dropout and batch normalisation are left to the user, since torch alone trains them,
five times slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hpsearch.study.starter import WIDTH, Line


class Effort(StrEnum):
    """How much is searched; each space holds the one before."""

    QUICK = "quick"
    GOOD = "good"
    BEST = "best"


@dataclass(frozen=True)
class Searched:
    """What an effort searches.

    longer: a factor on the epochs of a quick study. lines: of the file, by field of `Starter`.
    """

    trials: int
    longer: int
    lines: dict[str, Any]


def searched(effort: Effort, batch: Line, width: int) -> Searched:
    """The space of an effort; batch: the line of one batch size. width: one that suits the data."""
    quick: dict[str, Any] = {"batch_size": batch, "width": (f"width = {width}", WIDTH)}
    good = {
        **quick,
        "momentum": ("momentum = { low = 0.5, high = 0.98 }", "trades off against the learning rate"),
        "width": ("width = { low = 16, high = 256, log = true }", f"{WIDTH}: wide ones fit more, and cost"),
        "weight_decay": ("weight_decay = { low = 1e-6, high = 1e-2, log = true }", "more for few rows"),
    }
    best = {
        **good,
        "optimizer": (
            ('optimizer = ["sgd", "adamw"]', "each with a rate of its own, since they differ a hundredfold"),
            ("adamw.learning_rate = { low = 1e-4, high = 0.1, log = true }", ""),
        ),
    }
    return {
        Effort.QUICK: Searched(192, 1, quick),
        Effort.GOOD: Searched(384, 1, good),
        Effort.BEST: Searched(768, 3, best),
    }[effort]
