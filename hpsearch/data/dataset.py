"""A data set, ready for training: plain arrays, split and transformed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import Task


@dataclass(frozen=True)
class Part:
    """The rows of one part.

    x: [rows, features] float32. y: [rows], int64 class indices for multiclass, float32 0 and 1 for
    binary, float32 standardised targets for regression.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64] | NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Dataset:
    """Three parts of one source.

    target_mean, target_std: of the training part's targets, for regression (otherwise 0 and 1);
    prediction · target_std + target_mean is in the target's own unit.
    hash: sha256 of the source's content, before any transformation or split.
    notes: sentences that the user should read (rows left out, a constant column …).
    """

    name: str
    task: Task
    train: Part
    valid: Part
    test: Part
    features: tuple[str, ...]
    classes: tuple[str, ...]
    hash: str
    target_mean: float = 0.0
    target_std: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """Units of the last layer: one a class, or one for binary and regression."""
        return len(self.classes) if self.task is Task.MULTICLASS else 1
