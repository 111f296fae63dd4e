"""What a model's raw output represents. Models never apply it: losses take raw outputs."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import FloatArray, Task

Representation = Literal["identity", "softplus", "relu"]
"""Of regression outputs o: o itself, log(1 + eᵒ), or max(o, 0)."""


def represent(task: Task, logits: NDArray[np.floating[Any]], representation: Representation) -> FloatArray:
    """What raw outputs [M, O] represent for the task, in float64.

    binary: σ(o) [M], the probability of the second class. multiclass: softmax [M, O]. regression: o [M], and
    positive regression softplus(o) or ReLU(o) [M], to be multiplied by the target's unit.
    """
    o = logits.astype(np.float64)
    if task is Task.MULTICLASS:
        exponentials = np.exp(o - o.max(axis=1, keepdims=True))
        shares: FloatArray = exponentials / exponentials.sum(axis=1, keepdims=True)
        return shares
    o = o[:, 0]
    if task is Task.BINARY:
        return np.where(o >= 0, 1 / (1 + np.exp(-np.abs(o))), np.exp(-np.abs(o)) / (1 + np.exp(-np.abs(o))))
    if representation == "softplus":
        softplus: FloatArray = np.logaddexp(0, o)
        return softplus
    return np.maximum(o, 0) if representation == "relu" else o


def decide(logits: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """The predicted class […] of raw outputs […, O]: the largest, or o > 0 for a single output."""
    decided = logits[..., 0] > 0 if logits.shape[-1] == 1 else logits.argmax(axis=-1)
    return decided.astype(np.int64)
