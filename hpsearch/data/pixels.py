"""Pictures to pixels with Pillow, several at once."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
import psutil
from PIL import Image, ImageOps, UnidentifiedImageError

from hpsearch.data.raw import Advance, Pixels
from hpsearch.errors import DataError

MOST_PIXELS = 100_000_000
"""Of one picture: a file of a few kB may announce billions, and would fill the memory when decoded."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
_GREY_MODES = ("1", "L", "LA", "La", "I", "F")
_ORIENTATION = 0x0112
_CHUNK = 64
_BYTES_A_VALUE = 1 + 4  # a pixel and the feature that it becomes

Item = TypeVar("Item")
Result = TypeVar("Result")


class UnreadableError(Exception):
    """One picture cannot be decoded; the text says why."""


class Look(NamedTuple):
    """What a picture's head says."""

    size: tuple[int, int]
    colour: str


def look(file: BinaryIO) -> Look:
    """(height, width) and "rgb" or "grey", without decoding.

    Raises:
        UnreadableError: not a picture, or one that announces too many pixels.
    """
    with _opened(file) as image:
        width, height = image.size
        if image.format in ("JPEG", "MPO") and image.getexif().get(_ORIENTATION, 1) >= 5:
            width, height = height, width
        return Look((height, width), _colour(image))


def decoded(content: bytes, size: tuple[int, int], colour: str) -> Pixels:
    """[height, width, channels] of a file's bytes, resized to `size`; the first picture of an animation.

    Photographs are turned upright as their camera noted, what is transparent becomes white.

    Raises:
        UnreadableError: the file is damaged.
    """
    with _opened(BytesIO(content)) as image:
        # A large photograph is decoded to a fraction of its size, still twice what is wanted.
        image.draft(None, (2 * max(size), 2 * max(size)))
        image.load()
        if image.format in ("JPEG", "MPO"):
            ImageOps.exif_transpose(image, in_place=True)
        return _pixels(image, size, colour)


def converted(pixels: Pixels, size: tuple[int, int], colour: str) -> Pixels:
    """[height, width, channels] of other pixels [h, w, c], resized and recoloured."""
    return _pixels(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), size, colour)


def blank(source: str, count: int, size: tuple[int, int], colour: str) -> Pixels:
    """An array for so many pictures.

    Raises:
        DataError: the memory is too small for them.
    """
    shape = (count, *size, 1 if colour == "grey" else 3)
    check_memory(f"{source}: {count:,} images of {size[0]:,} × {size[1]:,} pixels", math.prod(shape))
    return np.empty(shape, np.uint8)


def check_memory(subject: str, values: int) -> None:
    """Refuse so many pixels, if they and the features that they become do not fit the free memory.

    Raises:
        DataError: with `subject` and what to do.
    """
    needed, free = values * _BYTES_A_VALUE, psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"{subject} need {needed / 1e9:,.1f} GB of memory; {free / 1e9:,.1f} are free; "
            "set data.image_size or data.n_images lower, or use fewer"
        )


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], advance: Advance) -> list[Result]:
    """`work` done on each item, results in order; `advance` is told how many are done."""

    def chunk(start: int) -> list[Result]:
        return [work(item) for item in items[start : start + _CHUNK]]

    results: list[Result] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as threads:
        warnings.simplefilter(
            "ignore"
        )  # of Pillow about files that are decoded all the same, or refused here
        for done in threads.map(chunk, range(0, len(items), _CHUNK)):
            results += done
            advance(len(results), len(items))
    return results


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Image.Image]:
    """A picture, its head read; whatever goes wrong with it inside of `with` is an `UnreadableError`."""
    try:
        with Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UnreadableError(f"announces {image.width:,} × {image.height:,} pixels")
            yield image
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadableError(f"announces more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from None
    except Exception as error:  # Pillow's decoders raise nearly anything when a file is damaged
        raise UnreadableError(str(error).partition("\n")[0] or type(error).__name__) from None


def _colour(image: Image.Image) -> str:
    return "grey" if image.mode.partition(";")[0] in _GREY_MODES else "rgb"


def _pixels(image: Image.Image, size: tuple[int, int], colour: str) -> Pixels:
    height, width = size
    if image.mode.startswith("I"):  # 16 bits, of which Pillow would keep the lower ones
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if colour == "grey" else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, -1)
