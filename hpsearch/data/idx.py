"""Images and labels in IDX files, as MNIST and its like come."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.arrays import ArrayImages
from hpsearch.data.paths import MOST_TIMES, IdxPair, check_unpacked, idx_pairs, idx_starts
from hpsearch.data.pixels import check_memory
from hpsearch.data.raw import DAMAGED, TEST, TRAIN, Pixels, Raw, Refuse, class_task, listed
from hpsearch.errors import DataError

_UNSIGNED_BYTES = 0x08


def read_idx(path: Path, refuse: Refuse) -> Raw:
    """The images of an IDX file and its labels, which are classes.

    path: a file of images, or a folder that holds one; the file of labels, and the pair of the test set,
    are found beside it by their names. All of them may be compressed.

    Raises:
        DataError: a file is not what it should be. HpsearchError: which files are meant is not clear.
    """
    pairs = _pairs(path, refuse)
    digest = hashlib.sha256()
    images, labels = zip(*(_pair(pair, digest) for pair in pairs), strict=True)
    pixels = _joined(path, images)
    parts = np.repeat((TRAIN, TEST)[: len(pairs)], [len(part) for part in images]).astype(np.int64)
    target = np.concatenate(labels).astype(np.int64)
    return Raw(
        path.name,
        pd.DataFrame({"label": target}),
        "label",
        digest.hexdigest(),
        task=class_task(len(np.unique(target))),
        parts=None if len(pairs) == 1 else parts,
        pictures=ArrayImages(path.name, pixels),
    )


def read_rows_of_idx(path: Path, refuse: Refuse) -> tuple[Pixels, NDArray[np.uint8] | None]:
    """Pixels [n, height, width, 1], and the labels if they are beside them.

    path: as `read_idx` takes it; of a file, the pair of the test set beside it is left out.

    Raises:
        DataError: as `read_idx`.
    """
    pairs = _pairs(path, refuse)[: None if path.is_dir() else 1]
    digest = hashlib.sha256()
    if any(pair.labels is None for pair in pairs):
        return _joined(path, [_read(pair.images, 3, digest) for pair in pairs]), None
    images, labels = zip(*(_pair(pair, digest) for pair in pairs), strict=True)
    return _joined(path, images), np.concatenate(labels)


def _pairs(path: Path, refuse: Refuse) -> list[IdxPair]:
    if path.is_dir() and len(starts := idx_starts(path)) > 1:
        names = listed(f"{start}images…" for start in starts)
        raise refuse("source", f"{path}: expected one file of images; found {names}: give the path of one")
    return idx_pairs(path)


def _joined(path: Path, images: Sequence[NDArray[np.uint8]]) -> Pixels:
    if len({part.shape[1:] for part in images}) > 1:
        sizes = " and ".join(f"{part.shape[1]} × {part.shape[2]}" for part in images)
        raise DataError(f"{path}: expected training and test images of one size; found {sizes}")
    return np.concatenate(images)[..., None]


def _pair(pair: IdxPair, digest: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if pair.labels is None:
        expected = pair.images.name.replace("images", "labels").replace("idx3", "idx1")
        raise DataError(f'{pair.images}: expected its labels beside it, in a file such as "{expected}"')
    images, labels = _read(pair.images, 3, digest), _read(pair.labels, 1, digest)
    if len(images) != len(labels):
        raise DataError(
            f"{pair.labels}: expected a label for each of the {len(images):,} images in "
            f"{pair.images.name}; found {len(labels):,}; they do not belong together"
        )
    return images, labels


def _read(path: Path, dimensions: int, digest: Any) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file; no more is unpacked than its head announces."""
    again = "copy it again"
    magic = bytes([0, 0, _UNSIGNED_BYTES, dimensions])
    try:
        with _opened(path) as file:
            head = file.read(4)
            if head not in (magic, magic[::-1]):
                raise DataError(
                    f"{path}: expected an IDX file of unsigned bytes and order {dimensions}, "
                    f"which begins with the bytes {magic.hex(' ')}; "
                    f"found {head.hex(' ') or 'nothing'}; {again}"
                )
            sizes = file.read(4 * dimensions)
            if len(sizes) < 4 * dimensions:
                raise DataError(
                    f"{path}: expected {4 * dimensions} bytes of sizes after its head; "
                    f"found {len(sizes)}; {again}"
                )
            # Some programs write sizes in the machine's order; the other reading is absurdly large.
            shapes = [tuple(np.frombuffer(sizes, f"{order}u4").tolist()) for order in "><"]
            shape, other = sorted(shapes, key=math.prod)
            expected = math.prod(shape)
            check_memory(f"{path}: the {expected:,} pixels that its head announces", expected)
            check_unpacked(str(path), os.path.getsize(path), expected)
            content = _at_most(file, expected + 1)
            if len(content) > expected and math.prod(other) <= MOST_TIMES * os.path.getsize(path):
                content += _at_most(file, math.prod(other) - expected)
                if len(content) == math.prod(other):
                    shape, expected = other, len(content)
    except DAMAGED as error:
        raise DataError(f"{path}: cannot be read whole: {error}; {again}") from None
    if not expected or len(content) != expected:
        words = " × ".join(f"{size:,}" for size in shape)
        found = f"{len(content):,}" if len(content) <= expected else "more"
        raise DataError(
            f"{path}: expected {words} = {expected:,} bytes after its head; found {found}; {again}"
        )
    digest.update(head + sizes)
    digest.update(content)
    return np.frombuffer(content, np.uint8).reshape(shape)


def _opened(path: Path) -> BinaryIO:
    """The file, unpacked as its first bytes say: browsers leave or drop the ending."""
    with open(path, "rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.open(path))
    if start.startswith(b"\xfd7zXZ\0"):
        return cast(BinaryIO, lzma.open(path))
    return open(path, "rb")


def _at_most(file: BinaryIO, size: int) -> bytes:
    """The next bytes of a file; the memory grows with what is there, not with what is asked for."""
    pieces = []
    while size > 0 and (piece := file.read(min(size, 1 << 24))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
