"""A data set, ready for training: plain arrays, split and transformed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.columns import Columns
from hpsearch.errors import HpsearchError
from hpsearch.records import Task

MOST_SHARES = 2.0
"""Numbers up to this are shares of white, some of them sharpened beyond 1; larger ones are of 0 to 255."""

PixelType = Literal["uint8", "uint16", "float32"]


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
    """How a row's features are an image: its pixels from left to right, line by line, channel by channel.

    mean, std: of each channel (one for grey, else red, green, blue) in the training set's pixels;
    feature · std + mean is a pixel. A channel that is constant there has standard deviation 1.
    dtype: of pixels: uint8, uint16, or float32 where a source has other numbers. low, high: the range of the
    training set's pixels. levels: how many different values there are in all splits; None if very many.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: PixelType = "uint8"
    low: float = 0.0
    high: float = 255.0
    levels: int | None = 256

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

    @property
    def white(self) -> float | None:
        """What stands for white, where the range tells: 255, 65535, or 1 of shares; else None."""
        if self.dtype != "float32":
            return float(np.iinfo(self.dtype).max)
        if self.low < 0 or self.high > 255:
            return None
        return 1.0 if self.high <= MOST_SHARES else 255.0

    def standardised(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """[n, height · width · channels] features of [n, height, width, channels] pixels."""
        x = pixels.astype(np.float32)
        x -= np.array(self.mean, np.float32)
        x /= np.array(self.std, np.float32)
        return x.reshape(len(pixels), self.size)

    def pixels(self, x: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """[n, height, width, channels] pixels, of `dtype`, of [n, height · width · channels] features."""
        pixels = x.reshape(len(x), self.height, self.width, self.channels) * np.array(self.std, np.float32)
        pixels += np.array(self.mean, np.float32)
        if self.dtype == "float32":
            return pixels
        return np.clip(np.rint(pixels, out=pixels), 0, self.white, out=pixels).astype(self.dtype)

    def displayed(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Pixels from 0 to 255 of others, the training set's range from black to white."""
        if pixels.dtype == np.uint8:
            return pixels
        shares = (pixels.astype(np.float32) - self.low) * (255 / ((self.high - self.low) or 1))
        return np.clip(np.rint(shares, out=shares), 0, 255, out=shares).astype(np.uint8)


@dataclass(frozen=True)
class Dataset:
    """Three parts of one source.

    target_mean, target_std: of the training set's targets, for regression (otherwise 0 and 1; for positive
    regression 0 and the mean); prediction · target_std + target_mean is in the target's own unit.
    hash: sha256 of the source's content, before any transformation or split.
    notes: sentences that the user should read (rows left out, a constant column …).
    image: how features are images, if the source holds images; columns: how those of a table are made of
    its columns. target: name of the column that is predicted, "label" or "folder" of images.
    left_out: files beside the images that are none. ignored: columns of the table that are no features.
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
    left_out: int = 0
    ignored: tuple[str, ...] = ()

    def pictures(self, x: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """The images [n, height, width, channels] whose features are `x`, [n, features], as they were read.

        Raises:
            HpsearchError: the source does not hold images.
        """
        if self.image is None:
            raise HpsearchError(f"{self.name}: expected a data set of images; found one of a table")
        return self.image.pixels(x)

    def displayed(self, x: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """`pictures` from black, 0, to white, 255.

        Raises:
            HpsearchError: the source does not hold images.
        """
        pixels = self.pictures(x)
        assert self.image is not None
        return self.image.displayed(pixels)

    @property
    def images(self) -> dict[str, Any] | None:
        """What was read of images, as JSON-able values: how many, of what shape and with how many values."""
        if self.image is None:
            return None
        return {
            "count": len(self.train) + len(self.valid) + len(self.test),
            "shape": [self.image.height, self.image.width, self.image.channels],
            "levels": self.image.levels,
            "left_out": self.left_out,
        }

    @property
    def outputs(self) -> int:
        """Units of the last layer: one a class, or one for binary and regression."""
        return len(self.classes) if self.task is Task.MULTICLASS else 1
