"""The range of pixels: of the training set, and of new images in that of the training set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import MOST_SHARES, Image
from hpsearch.data.raw import Indices, Pixels
from hpsearch.errors import DataError, plural

_ROWS = 256
"""Images that are looked at together."""

_MOST_LEVELS = 1 << 16
_LARGEST = 1e30
_SLACK = 0.1
"""Of the training set's range: whole pixels beyond it by less are nothing to tell of."""


def fitted_image(source: str, pixels: Pixels, train: Indices) -> Image:
    """How [n, height, width, channels] pixels become features: by the channels of the rows `train`.

    Raises:
        DataError: all of these images are the same.
    """
    first = pixels[train[0]]
    if all((pixels[row] == first).all() for row in train):
        raise DataError(f"{source}: all images of the training set are the same; nothing can be learnt")
    _, height, width, channels = pixels.shape
    if pixels.dtype == np.float32:
        return _fitted_numbers(pixels, train)
    values = np.arange(np.iinfo(pixels.dtype).max + 1)
    fitted = np.zeros(len(values), np.int64)
    mean, std = [], []
    for channel in range(channels):
        counts = _counts(pixels[..., channel], train, len(values))
        centre = float(counts @ values / counts.sum())
        mean.append(centre)
        std.append(float(np.sqrt(counts @ (values - centre) ** 2 / counts.sum())) or 1.0)
        fitted += counts
    others = np.setdiff1d(np.arange(len(pixels)), train)
    levels = int(np.count_nonzero(fitted + _counts(pixels, others, len(values))))
    there = np.flatnonzero(fitted)
    dtype: Any = pixels.dtype.name
    return Image(height, width, tuple(mean), tuple(std), dtype, float(there[0]), float(there[-1]), levels)


def _groups(rows: Indices) -> list[Indices]:
    return np.array_split(rows, len(rows) // _ROWS + 1)


def _counts(pixels: Pixels, rows: Indices, values: int) -> NDArray[np.int64]:
    """[values] how often each whole number is in some rows."""
    counts = np.zeros(values, np.int64)
    for some in _groups(rows):
        counts += np.bincount(pixels[some].ravel(), minlength=values)
    return counts


def _fitted_numbers(pixels: Pixels, train: Indices) -> Image:
    """`fitted_image` of float32 pixels."""
    groups = _groups(train)
    count = len(train) * pixels.shape[1] * pixels.shape[2]
    mean = sum(pixels[rows].sum((0, 1, 2), dtype=np.float64) for rows in groups) / count
    squares = sum(((pixels[rows] - mean) ** 2).sum((0, 1, 2)) for rows in groups)
    std = np.sqrt(squares / count)
    low = min(float(pixels[rows].min()) for rows in groups)
    high = max(float(pixels[rows].max()) for rows in groups)
    constant = np.where(std > 0, std, 1.0)
    height, width = pixels.shape[1:3]
    return Image(
        height, width, tuple(mean.tolist()), tuple(constant.tolist()), "float32", low, high, _levels(pixels)
    )


def _levels(pixels: Pixels) -> int | None:
    found: NDArray[Any] = np.empty(0, np.float32)
    for rows in _groups(np.arange(len(pixels))):
        found = np.union1d(found, pixels[rows])
        if len(found) > _MOST_LEVELS:
            return None
    return len(found)


def pixels_of(name: str, values: NDArray[Any]) -> Pixels:
    """[n, height, width, channels] pixels to train on, of an array's numbers.

    Whole numbers from 0 to 255 or 65535 are pixels of 8 or 16 bits, all others stay as they are: the type
    is a property of the whole array.

    Raises:
        DataError: some are no finite numbers.
    """
    if values.dtype == np.uint8 or not values.size:
        return values.astype(np.uint8)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    low, high = _range(name, values)
    is_shares = values.dtype.kind == "f" and high <= 1
    if low >= 0 and high <= np.iinfo(np.uint16).max and not is_shares and _is_whole(values):
        return values.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)
    return values.astype(np.float32)


def pixels_like(name: str, values: NDArray[Any], image: Image) -> tuple[Pixels, tuple[str, ...]]:
    """[n, height, width, channels] new pixels in the range of the training set, and what to say of them.

    values: decoded files or an array's numbers.

    Raises:
        DataError: it is not clear what they are in that range.
    """
    if not values.size:
        return values.astype(image.dtype), ()
    pixels, notes = _in_units_of(name, values, image)
    slack = 0.0 if image.dtype == "float32" else _SLACK * (image.high - image.low)
    least, most = float(pixels.min()), float(pixels.max())
    if least < image.low - slack or most > image.high + slack:
        outside = int(((pixels < image.low - slack) | (pixels > image.high + slack)).sum())
        notes = (
            *notes,
            f"{plural(outside, 'pixel value')} outside the range of the training set, {image.low:g} to "
            f"{image.high:g}; found {least:g} to {most:g}",
        )
    return pixels, notes


def _in_units_of(name: str, values: NDArray[Any], image: Image) -> tuple[Pixels, tuple[str, ...]]:
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    if values.dtype == image.dtype and values.dtype != np.float32:
        return values, ()
    own = {"uint8": 255, "uint16": 65535}.get(values.dtype.name)
    is_wider = image.dtype == "float32" or (image.dtype, own) == ("uint16", 255)
    low, high = _range(name, values)
    if own is not None and is_wider:
        if image.white is None:
            raise _unclear(name, image, f"pixels from 0 to {own}")
        if image.white == own:
            return values.astype(np.float32), ()
        said = f"pixels from 0 to {own} scaled to the model's 0 to {image.white:g}"
        return values * np.float32(image.white / own), (said,)
    pixels, notes = values.astype(np.float32), tuple[str, ...]()
    if values.dtype.kind == "f" and image.dtype != "float32" and high <= MOST_SHARES < image.high:
        if image.dtype != "uint8" or low < 0:
            raise _unclear(name, image, f"{low:g} to {high:g}")
        pixels *= 255
        notes = (f"numbers from {low:g} to {high:g} taken for shares of 255",)
    if image.dtype == "uint8" and pixels.min() >= 0 and pixels.max() <= 255:
        pixels = np.rint(pixels).astype(np.uint8)
    return pixels, notes


def _unclear(name: str, image: Image, found: str) -> DataError:
    return DataError(
        f"{name}: expected pixels in the range of the training set, {image.low:g} to {image.high:g}; found "
        f"{found}; scale them as the training set was, and save them as .npz"
    )


def _range(name: str, values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if not (low >= -_LARGEST and high <= _LARGEST):  # neither for NaN
        raise DataError(
            f"{name}: expected finite numbers up to {_LARGEST:g} as pixels; found {low:g} to {high:g}"
        )
    return low, high


def _is_whole(values: NDArray[Any]) -> bool:
    if values.dtype.kind in "iu":
        return True
    return all((values[at : at + _ROWS] % 1 == 0).all() for at in range(0, len(values), _ROWS))
