"""Image files to pixels with Pillow, several at once."""

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
from numpy.typing import DTypeLike
from PIL import Image, UnidentifiedImageError

from hpsearch.data.raw import Advance, Pixels
from hpsearch.errors import DataError

MOST_PIXELS = 100_000_000
"""Of one image: a file of a few kB may announce billions, and would fill the memory when decoded."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_GREY_MODES = ("1", "L", "LA", "La", "I", "F")
_ORIENTATION = 0x0112
_TIFF_SIZE = (0x0100, 0x0101)
_EXIF_MARKS = (b"Exif", b"eXIf", b"EXIF", b"exif", b"Orientation")
"""What stands in files that have EXIF tags, or the same in XMP."""
_LYING = 5
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R 601, as Pillow has it."""
_CHUNK = 64
_BYTES_A_VALUE = 1 + 4  # a pixel and the feature that it becomes

Item = TypeVar("Item")
Result = TypeVar("Result")


class UnreadableError(Exception):
    """One image cannot be decoded; the text says why."""


class Look(NamedTuple):
    """What an image's head says. bits: 8 or 16."""

    size: tuple[int, int]
    colour: str
    bits: int


def look(file: BinaryIO) -> Look:
    """(height, width) and "rgb" or "grey", without decoding.

    Raises:
        UnreadableError: not an image, or one that announces too many pixels.
    """
    with _opened(file) as image:
        width, height = image.size
        if image.format == "TIFF":  # of which Pillow gives the upright size, or not, by its version
            width, height = (image.getexif()[tag] for tag in _TIFF_SIZE)
        if image.format == "PNG":  # which has its marks anywhere, and decodes all to find them
            file.seek(0)
            turned = _orientation(image, file.read())
        else:
            turned = _orientation(image)
        if turned >= _LYING:
            width, height = height, width
        return Look((height, width), _colour(image), 16 if _is_deep(image) else 8)


def decoded(content: bytes, size: tuple[int, int], colour: str) -> Pixels:
    """[height, width, channels] of a file's bytes, resized to `size`; the first image of an animation.

    uint16 of grey images of 16 bits, otherwise uint8. Photographs are turned upright as their camera noted,
    what is transparent becomes white.

    Raises:
        UnreadableError: the file is damaged.
    """
    with _opened(BytesIO(content)) as image:
        # A large photograph is decoded to a fraction of its size, still twice what is wanted.
        image.draft(None, (2 * max(size), 2 * max(size)))
        image.load()
        turn = _TURNS.get(_orientation(image, content))
        upright = image if turn is None else image.transpose(turn)
        if _is_deep(upright):
            deep = np.asarray(upright)
            if upright.mode == "F" or deep.min() < 0 or deep.max() > 0xFFFF:
                raise UnreadableError("numbers that are no pixels of 16 bits; save the images as .npz")
            return converted(deep.astype(np.uint16)[..., None], size, colour)
        return _pixels(upright, size, colour)


def is_reduced(content: bytes) -> bool:
    """Whether a file has colours of 16 bits, of which Pillow decodes 8."""
    return content.startswith(b"\x89PNG") and content[24:25] == b"\x10" and content[25:26] in b"\2\4\6"


def has_more(content: bytes) -> bool:
    """Whether a file has further images, as an animation or a stack has."""
    if not content.startswith((b"GIF8", b"II*\0", b"MM\0*", b"RIFF")):
        return False
    with _opened(BytesIO(content)) as image:
        return bool(getattr(image, "is_animated", False))


def with_bits(pixels: Pixels, bits: int) -> Pixels:
    """uint8 or uint16 pixels, black and white as they were."""
    if pixels.dtype == np.uint8:
        return pixels if bits == 8 else pixels.astype(np.uint16) * 257
    return pixels if bits == 16 else (pixels >> 8).astype(np.uint8)


def converted(pixels: Pixels, size: tuple[int, int], colour: str) -> Pixels:
    """[height, width, channels] of other pixels [h, w, c], resized and recoloured; the type stays."""
    if pixels.dtype == np.uint8:
        return _pixels(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), size, colour)
    values = pixels.astype(np.float32)
    if colour == "grey" and pixels.shape[2] == 3:
        values = (values @ _LUMINANCE)[..., None]
    if pixels.shape[:2] != size:
        planes = [Image.fromarray(np.ascontiguousarray(values[..., at])) for at in range(values.shape[2])]
        planes = [plane.resize((size[1], size[0]), Image.Resampling.BILINEAR) for plane in planes]
        values = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    if colour == "rgb" and pixels.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    return values if pixels.dtype == np.float32 else np.rint(values).astype(pixels.dtype)


def blank(source: str, count: int, size: tuple[int, int], colour: str, dtype: DTypeLike) -> Pixels:
    """An array for so many images.

    Raises:
        DataError: the memory is too small for them.
    """
    shape = (count, *size, 1 if colour == "grey" else 3)
    check_memory(f"{source}: {count:,} images of {size[0]:,} × {size[1]:,} pixels", math.prod(shape))
    return np.empty(shape, dtype)


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
    """An image, its head read; whatever goes wrong with it inside of `with` is an `UnreadableError`."""
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


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _orientation(image: Image.Image, content: bytes | None = None) -> int:
    """The EXIF tag of how the camera was held, 1 for upright. content: of the file, if it is at hand."""
    if content is not None and not any(mark in content for mark in _EXIF_MARKS):
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged marks, which do not keep the pixels from being read
        return 1


def _pixels(image: Image.Image, size: tuple[int, int], colour: str) -> Pixels:
    height, width = size
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if colour == "grey" else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, -1)
