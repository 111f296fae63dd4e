"""The threshold of a binary class: where validation says that another one than 0.5 makes the metric better.

A threshold is a probability of the second class. It is applied by shifting raw outputs, so whatever decides
by the sign of an output needs to know nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import EVEN, Task
from hpsearch.train.metrics import OF_TWO, WHOLE
from hpsearch.train.representation import represent

_EDGE = 1e-12
"""So far from 0 and 1 a threshold stays: its log odds are finite."""

Outputs = TypeVar("Outputs", bound=NDArray[np.floating[Any]])


def shifted(outputs: Outputs, threshold: float) -> Outputs:
    """Raw outputs [M, 1] less the one whose probability is the threshold: above 0 where it is exceeded.

    At 0.5, which stands for no threshold in other tasks, they stay as they are.
    """
    if threshold == EVEN:
        return outputs
    return outputs - outputs.dtype.type(np.log(threshold) - np.log1p(-threshold))  # type: ignore[return-value]


def best_threshold(
    metric: str, outputs: NDArray[np.floating[Any]], targets: NDArray[np.number[Any]]
) -> float:
    """The threshold with the best metric, one of `OF_TWO`, of raw outputs [M, 1] for classes [M].

    All thresholds between two neighbouring probabilities decide alike. Of those with the best metric the
    middle of the widest interval is taken: it is the farthest from where the metric falls off. 0.5 where a
    class has no row.
    """
    second = targets > 0.5
    there = np.array([(~second).sum(), second.sum()], np.float64)
    if not there.all():
        return EVEN
    shares = represent(Task.BINARY, outputs, "identity")
    order = np.argsort(-shares, kind="stable")
    ranked, hits = shares[order], np.cumsum(second[order])
    # Between these lie the thresholds that take the first 0 … M rows for the second class.
    above, below = np.append(1.0, ranked), np.append(ranked, 0.0)
    cuts = np.flatnonzero(above > below)
    taken = cuts.astype(np.float64)
    found = np.append(0, hits)[cuts].astype(np.float64)
    first = there[0] - (taken - found)
    values = OF_TWO[metric](
        np.column_stack([first, found]), np.column_stack([len(shares) - taken, taken]), there
    )
    best = np.flatnonzero(values == values.max())
    runs = np.split(cuts[best], np.flatnonzero(np.diff(best) > 1) + 1)
    low, high = max(
        ((below[run[-1]], above[run[0]]) for run in runs), key=lambda ends: (ends[1] - ends[0], ends)
    )
    return float(np.clip((low + high) / 2, _EDGE, 1 - _EDGE))


def choose_threshold(
    metric: str, parts: Sequence[tuple[NDArray[np.floating[Any]], NDArray[np.number[Any]]]]
) -> float:
    """One threshold for several networks: the mean of each one's best, if their metric is then better.

    A single network's best varies with its luck. Otherwise 0.5.

    Args:
        parts: of each network raw outputs [M, 1] for validation rows, and their classes [M].
    """
    mean = float(np.mean([best_threshold(metric, outputs, targets) for outputs, targets in parts]))

    def value(threshold: float) -> float:
        of_each = (
            WHOLE[metric](shifted(outputs, threshold)[None], targets.astype(np.int64))[0]
            for outputs, targets in parts
        )
        return float(np.mean(list(of_each)))

    return mean if value(mean) > value(EVEN) else EVEN
