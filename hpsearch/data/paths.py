"""Which files a source's path stands for. Nothing heavy: data that are cached need no more than this."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from hpsearch.errors import DataError
from hpsearch.text import plain

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MOST_FOLDERS = 7
"""Folders from a source to its images: a few around all, of a split, around a split, of a class."""

MOST_TIMES, FREE_BYTES = 200, 1 << 26
"""Compressed content may become so many times larger; below so many bytes it is not looked at."""

_IDX = re.compile(r"(.*)images([-.])idx3-ubyte(\.gz|\.xz)?")
_COMPRESSED = ("", ".gz", ".xz")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPECIAL = (
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)
_TEST_WORDS = ("t10k", "test")


class IdxPair(NamedTuple):
    """A file of images and the one of their labels, None if it is not there."""

    images: Path
    labels: Path | None


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def readable(name: str) -> str:
    """A file's name as it can be stored: bytes that are no UTF-8 are replaced."""
    return _SURROGATES.sub("\ufffd", name)


def shown(name: str) -> str:
    """A file's name for messages."""
    return plain(readable(name))


def check_regular(path: Path) -> None:
    """Refuse a pipe, socket or device: it may never end, and cannot be read twice.

    Raises:
        DataError: it is one. OSError: there is nothing, or it cannot be looked at.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = next((word for test, word in _SPECIAL if test(mode)), "special file")
        raise DataError(f"{path}: expected a file or a folder; found a {kind}; save its content as a file")


def check_unpacked(subject: str, packed: int, unpacked: int) -> None:
    """Refuse compressed content that becomes far larger than real data do: it would fill the memory.

    Raises:
        DataError: with `subject`, the limit and what to do.
    """
    if unpacked > max(FREE_BYTES, MOST_TIMES * packed):
        raise DataError(
            f"{subject}: {unpacked / 1e6:,.0f} MB packed into {packed / 1e6:,.3g} MB; "
            f"at most {MOST_TIMES} times the packed size is read; unpack it yourself if you trust it"
        )


def is_hidden(name: str) -> bool:
    """Whether a file is hidden, lies in a hidden folder, or is what macOS adds to archives."""
    return any(
        (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in name.split("/")
    )


def is_idx(name: str) -> bool:
    """Whether a file's name is that of images in IDX format."""
    return _IDX.fullmatch(name) is not None


def files_below(folder: Path) -> list[str]:
    """Names of the files in a folder and those below it, relative, with "/", sorted; hidden ones left out."""

    def refuse(error: OSError) -> None:
        raise error

    found = []
    for where, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        inside = Path(where).relative_to(folder)
        if len(inside.parts) >= MOST_FOLDERS:
            folders.clear()  # links to a folder above would never end
        found += [(inside / name).as_posix() for name in files]
    return sorted(name for name in found if not is_hidden(name))


def idx_starts(folder: Path) -> list[str]:
    """What stands before "images" in the names of a folder's IDX files, those of the test left out.

    A file that is not for the test is preferred, so that a folder with the test's alone has one, too.
    """
    matches = [_IDX.fullmatch(name) for name in sorted(os.listdir(folder)) if not is_hidden(name)]
    starts = list(dict.fromkeys(match.group(1) for match in matches if match))
    return [start for start in starts if not any(word in start for word in _TEST_WORDS)] or starts


def idx_pairs(path: Path) -> list[IdxPair]:
    """The pair of files of an IDX source, and that of its test set if there is one beside it.

    path: a file of images, or a folder for which `idx_starts` finds one beginning.
    """
    folder = path if path.is_dir() else path.parent
    match = None if path.is_dir() else _IDX.fullmatch(path.name)
    start = match.group(1) if match else idx_starts(folder)[0]
    images = path if match else _beside(folder, start, "images", "idx3")
    assert images is not None
    pairs = [IdxPair(images, _beside(folder, start, "labels", "idx1"))]
    if "train" in start:
        for word in _TEST_WORDS:
            other = start.replace("train", word)
            if (test := _beside(folder, other, "images", "idx3")) is not None:
                return [*pairs, IdxPair(test, _beside(folder, other, "labels", "idx1"))]
    return pairs


def _beside(folder: Path, start: str, what: str, kind: str) -> Path | None:
    names = (f"{start}{what}{dash}{kind}-ubyte{end}" for end in _COMPRESSED for dash in "-.")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def key_parts(path: Path) -> Iterator[bytes]:
    """All that a prepared data set depends on in the file or folder `path`; nothing if it is not there.

    Raises:
        OSError: something cannot be read.
    """
    if path.is_dir():
        for name in files_below(path):
            yield f"{name}\0".encode(errors="surrogateescape")
            read = is_image(name) or "idx" in name or name.lower().endswith(".parquet")
            if read and (path / name).is_file():  # a pipe would never end
                yield file_hash(path / name)
    elif is_idx(path.name) and path.is_file():
        for pair in idx_pairs(path):
            yield from (file_hash(file) for file in pair if file is not None)
    elif path.is_file():
        yield file_hash(path)


def file_hash(path: Path) -> bytes:
    """sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
