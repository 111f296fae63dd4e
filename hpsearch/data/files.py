"""Which files a source's path stands for. Nothing heavy: data that are cached need no more than this."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

PICTURE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
MOST_FOLDERS = 4
"""Folders from a source to its pictures: around all, of a part, of a class; one more is complained about."""

_IDX = re.compile(r"(.*)images([-.])idx3-ubyte(\.gz|\.xz)?")
_COMPRESSED = ("", ".gz", ".xz")
_TEST_WORDS = ("t10k", "test")


class IdxPair(NamedTuple):
    """A file of pictures and the one of their labels, None if it is not there."""

    images: Path
    labels: Path | None


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture."""
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file is hidden, lies in a hidden folder, or is what macOS adds to archives."""
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in name.split("/"))


def is_idx(name: str) -> bool:
    """Whether a file's name is that of pictures in IDX format."""
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

    path: a file of pictures, or a folder for which `idx_starts` finds one beginning.
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
            if (is_picture(name) or "idx" in name) and (path / name).is_file():  # a pipe would never end
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
