"""The score of a trial: what is taken from its validation curve to rank it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpsearch.records import FloatArray

LAST, SMOOTHED, BEST = "last", "smoothed", "best"
"""The metric after the last epoch; its mean over the last fifth of the epochs; that of the best epoch."""

_FIFTH = 5


def window(score: str, epoch: int) -> int:
    """How many epochs up to `epoch` are averaged for a trial's score there."""
    return max(1, epoch // _FIFTH) if score == SMOOTHED else 1


def average(rows: Sequence[FloatArray]) -> FloatArray:
    """The mean of arrays, summed in their order, so that it comes out the same for one trial and for many."""
    total: FloatArray = rows[0] if len(rows) == 1 else sum(rows[1:], rows[0]) / len(rows)
    return total


def at_epoch(score: str, values: FloatArray, epoch: int) -> FloatArray:
    """[columns] of a curve [epochs, columns] at a rung: at that epoch, or averaged up to it."""
    return average(list(values[epoch - window(score, epoch) : epoch]))


def scored(score: str, turned: FloatArray, loss: FloatArray) -> tuple[float, float, int]:
    """(value, loss, epoch from 1) of a trial with this curve.

    turned: [epochs] validation metric, its sign such that more is better; so is the value's. loss: [epochs]
    on validation. The network after the epoch is the trial's: `last` and `smoothed` rank what training ends
    with; of several best epochs the first counts.
    """
    if score == BEST:
        best = int(turned.argmax())
        return float(turned[best]), float(loss[best]), best + 1
    value, mean_loss = at_epoch(score, np.column_stack([turned, loss]), len(turned)).tolist()
    return value, mean_loss, len(turned)
