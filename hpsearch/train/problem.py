"""A data set with everything that all lanes share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.study.batches import batch_rows, steps_per_epoch
from hpsearch.train.representation import Representation

Floats = NDArray[np.floating[Any]]
Targets = NDArray[np.int64] | NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """The data, loss and settings to train on.

    x_train: [rows, features] float32 (float64 to check the arithmetic); y_train: [rows] (int64 classes,
    otherwise the dtype of x); likewise x_valid and y_valid. outputs: units of the last layer. loss, metric:
    their names. representation: what a regression's raw outputs represent. target_std: unit of regression
    targets. epochs: the epoch limit, over which schedules run. keep_last: use an epoch's last mini-batch even
    if it is incomplete. pad_widths: round hidden widths up to buckets when stacked in torch, for studies with
    many of them (train.planner). device: cpu, or one of torch's. keep_outputs: results have the raw outputs
    for the validation rows after the last epoch (`train_lanes` alone).
    """

    x_train: Floats
    y_train: Targets
    x_valid: Floats
    y_valid: Targets
    outputs: int
    loss: str
    metric: str
    seed: int
    target_std: float = 1.0
    representation: Representation = "identity"
    epochs: int = 1
    keep_last: bool = False
    pad_widths: bool = False
    device: str = "cpu"
    keep_outputs: bool = False

    @classmethod
    def from_dataset(cls, dataset: Dataset, loss: str, metric: str, seed: int, **settings: Any) -> Problem:
        """The training and validation splits; never the test set. settings: further fields."""
        return cls(
            np.ascontiguousarray(dataset.train.x),
            np.require(dataset.train.y, requirements="C"),
            np.ascontiguousarray(dataset.valid.x),
            np.require(dataset.valid.y, requirements="C"),
            dataset.outputs,
            loss,
            metric,
            seed,
            dataset.target_std,
            **settings,
        )

    @property
    def rows(self) -> int:
        return len(self.x_train)

    @property
    def features(self) -> int:
        return int(self.x_train.shape[1])

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        return self.x_train.dtype

    def batch(self, batch_size: int | str) -> int:
        """Rows in a mini-batch: `batch_size`, or all rows when it is "all" or the data are fewer."""
        return batch_rows(self.rows, batch_size)

    def steps(self, batch_size: int | str) -> int:
        """Mini-batches in an epoch."""
        return steps_per_epoch(self.rows, batch_size, self.keep_last)

    def seen(self, batch_size: int | str) -> int:
        """Rows that an epoch trains on: the first ones of its order."""
        return min(self.rows, self.steps(batch_size) * self.batch(batch_size))

    def order(self, epoch: int) -> NDArray[np.int64]:
        """[rows]: the order of the rows in an epoch (counted from 1).

        All trials of a study share it, so that they differ only in their hyper-parameters.
        """
        return _order(self.seed, epoch, self.rows)


@lru_cache(maxsize=32)
def _order(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = seeds.generator(seed, "order", epoch).permutation(rows)
    order.flags.writeable = False
    return order
