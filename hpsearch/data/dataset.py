"""A data set, ready for training: plain arrays, split and transformed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.columns import Columns
from hpsearch.errors import HpsearchError
from hpsearch.records import Task


@dataclass(frozen=True)
class Part:
    """The rows of one part.

    x: [rows, features] float32. y: [rows], int64 class indices for multiclass, float32 0 and 1 for
    binary, float32 standardised targets for regression; for positive regression divided by their mean.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64] | NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Image:
    """How a row's features are a picture: its pixels from left to right, line by line, channel by channel.

    mean, std: of each channel (one for grey, else red, green, blue) in the training part's pixels from 0 to
    255; feature · std + mean is a pixel. A channel that is constant there has standard deviation 1.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return len(self.mean)

    @property
    def size(self) -> int:
        """How many features a picture has."""
        return self.height * self.width * self.channels

    @property
    def features(self) -> tuple[str, ...]:
        """Their names, such as "3,5,red" in line 3 and column 5, both from 0."""
        ends = ("",) if self.channels == 1 else (",red", ",green", ",blue")
        return tuple(f"{y},{x}{end}" for y in range(self.height) for x in range(self.width) for end in ends)

    def standardised(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[n, height · width · channels] features of [n, height, width, channels] pixels."""
        x = pixels.astype(np.float32)
        x -= np.array(self.mean, np.float32)
        x /= np.array(self.std, np.float32)
        return x.reshape(len(pixels), self.size)

    def pixels(self, x: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """[n, height, width, channels] pixels of [n, height · width · channels] features."""
        pixels = x.reshape(len(x), self.height, self.width, self.channels) * np.array(self.std, np.float32)
        pixels += np.array(self.mean, np.float32)
        whole: NDArray[np.uint8] = np.clip(np.rint(pixels, out=pixels), 0, 255, out=pixels).astype(np.uint8)
        return whole


@dataclass(frozen=True)
class Dataset:
    """Three parts of one source.

    target_mean, target_std: of the training part's targets, for regression (otherwise 0 and 1; for positive
    regression 0 and the mean); prediction · target_std + target_mean is in the target's own unit.
    hash: sha256 of the source's content, before any transformation or split.
    notes: sentences that the user should read (rows left out, a constant column …).
    image: how features are pictures, if the source holds pictures; columns: how those of a table are made of
    its columns. target: name of the column that is predicted, "label" or "folder" of pictures.
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
    image: Image | None = None
    columns: Columns | None = None
    target: str = ""

    def pictures(self, x: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """The pictures [n, height, width, channels] whose features are `x`, [n, features].

        Raises:
            HpsearchError: the source does not hold pictures.
        """
        if self.image is None:
            raise HpsearchError(f"{self.name}: expected a data set of images; found one of a table")
        return self.image.pixels(x)

    @property
    def outputs(self) -> int:
        """Units of the last layer: one a class, or one for binary and regression."""
        return len(self.classes) if self.task is Task.MULTICLASS else 1
