"""A data set as tensors on a device, with everything that all lanes have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.train.losses import LOSSES, Loss
from hpsearch.train.metrics import METRICS, Metric, loss_metric


@dataclass(frozen=True)
class Problem:
    """What is trained on.

    x_train: [rows, features]; y_train: [rows] (int64 classes, otherwise the dtype of x); likewise
    x_valid and y_valid. outputs: units of the last layer. target_std: unit of regression targets.
    pad_widths: round hidden widths up to buckets, for studies with many of them (train.planner).
    """

    x_train: Tensor
    y_train: Tensor
    x_valid: Tensor
    y_valid: Tensor
    outputs: int
    loss: Loss
    metric: Metric
    seed: int
    target_std: float = 1.0
    pad_widths: bool = False

    @classmethod
    def from_dataset(
        cls,
        dataset: Dataset,
        loss: str,
        metric: str,
        seed: int,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        pad_widths: bool = False,
    ) -> Problem:
        """Tensors of the training and validation parts; the test part stays out."""

        def tensor(array: object) -> Tensor:
            made = torch.as_tensor(array)
            return made.to(device, dtype if made.is_floating_point() else None)

        return cls(
            tensor(dataset.train.x),
            tensor(dataset.train.y),
            tensor(dataset.valid.x),
            tensor(dataset.valid.y),
            dataset.outputs,
            LOSSES[loss],
            loss_metric(LOSSES[loss].values) if metric == "loss" else METRICS[metric],
            seed,
            dataset.target_std,
            pad_widths,
        )

    @property
    def rows(self) -> int:
        return self.x_train.shape[0]

    @property
    def features(self) -> int:
        return self.x_train.shape[1]

    @property
    def device(self) -> torch.device:
        return self.x_train.device

    @property
    def dtype(self) -> torch.dtype:
        return self.x_train.dtype

    @property
    def sums_dtype(self) -> torch.dtype:
        """Type in which losses and metrics are summed; Apple's GPUs have no float64."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def batch(self, batch_size: int) -> int:
        """Rows in a mini-batch: `batch_size`, or all rows when the data are fewer."""
        return min(batch_size, self.rows)

    def order(self, epoch: int) -> Tensor:
        """[rows] int64 on the device: the order of the rows in an epoch (counted from 1).

        The same for all trials of the study, so that trials differ by their hyper-parameters alone.
        """
        return _order(self.seed, epoch, self.rows, self.device)


@lru_cache(maxsize=32)
def _order(seed: int, epoch: int, rows: int, device: torch.device) -> Tensor:
    return torch.from_numpy(seeds.generator(seed, "order", epoch).permutation(rows)).to(device)
