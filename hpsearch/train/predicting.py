"""Targets and scores of predictions, by the trainer's own metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import Task
from hpsearch.train.problem import Problem, Targets
from hpsearch.train.representation import Representation


@dataclass(frozen=True)
class Goal:
    """What a network learns to predict, (target − mean) / std, and how its outputs are scored.

    loss, metric, representation: as in `Problem`.
    """

    task: Task
    mean: float
    std: float
    loss: str
    metric: str
    representation: Representation

    def learnt(self, truth: NDArray[np.int64] | NDArray[np.float64]) -> Targets:
        """[n] targets as in `data.Part`, from class indices or numbers in the target's own unit."""
        if self.task is Task.MULTICLASS:
            return truth.astype(np.int64)
        scaled: NDArray[np.float32] = ((truth - self.mean) / self.std).astype(np.float32)
        return scaled

    def score(self, logits: NDArray[np.float32], truth: NDArray[np.int64] | NDArray[np.float64]) -> float:
        """The metric of raw outputs [n, O] on rows with known targets; NaN if undefined there."""
        import torch

        from hpsearch.train.tensors import tensors_of

        y = self.learnt(truth)
        empty = np.zeros((len(y), 1), np.float32)
        problem = Problem(
            empty,
            y,
            empty,
            y,
            logits.shape[1],
            self.loss,
            self.metric,
            0,
            self.std,
            self.representation,
        )
        tensors = tensors_of(problem)
        value = tensors.value(torch.from_numpy(logits), tensors.y_valid, tensors.y_valid)
        return value if np.isfinite(value) else float("nan")
