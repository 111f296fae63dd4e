"""Folders of class folders of pictures, and zip archives of them."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from hpsearch.data.files import PICTURE_SUFFIXES, files_below, is_hidden, is_picture
from hpsearch.data.pixels import Look, UnreadableError, blank, decoded, in_threads, look
from hpsearch.data.raw import PARTS, Advance, Form, Indices, Pixels, Raw, Refuse, class_task, listed
from hpsearch.errors import DataError, plural

MOST_BYTES = 1 << 28
"""Of one picture's file."""

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError)
"""What zipfile raises of an archive that is damaged, or of a kind that it does not know."""

_ENCRYPTED = 1
_MOST_SHOWN = 12
_FEW_SIZES = 3
_LAYOUT = "expected CLASS/PICTURE, or PART/CLASS/PICTURE with the parts train, valid and test"

Open = Callable[[str], BinaryIO]
"""Opens a file of a tree by its name."""


@dataclass(frozen=True)
class Tree:
    """A folder or a zip archive. names: of its files, relative, with "/", sorted, hidden ones left out."""

    path: Path
    names: tuple[str, ...]

    @contextmanager
    def opener(self) -> Iterator[Open]:
        """Opens files; may be called by several threads at once.

        What it opens raises UnreadableError, as itself does, if a file is damaged or too large.
        """
        if self.path.is_dir():
            yield self._open_file
        else:
            with zipfile.ZipFile(self.path) as archive:
                yield lambda name: _open_member(archive, name)

    def _open_file(self, name: str) -> BinaryIO:
        try:
            about = os.stat(self.path / name)
            if not stat.S_ISREG(about.st_mode):
                raise UnreadableError("not a file")
            _check_size(about.st_size)
            return open(self.path / name, "rb")
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from None


def _check_size(size: int) -> None:
    if size == 0:
        raise UnreadableError("empty")
    if size > MOST_BYTES:
        raise UnreadableError(f"{size / 1e6:,.0f} MB, more than a picture has")


def _open_member(archive: zipfile.ZipFile, name: str) -> BinaryIO:
    """A member, unpacked into the memory, so that its checksum is looked at."""
    about = archive.getinfo(name)
    _check_size(about.file_size)
    if about.flag_bits & _ENCRYPTED:
        raise UnreadableError("encrypted")
    try:
        return BytesIO(archive.read(about))
    except _BROKEN as error:
        raise UnreadableError(f"damaged in the archive: {error}") from None


def open_tree(path: Path) -> Tree:
    """The files of a folder or a zip archive, which stays packed.

    Raises:
        DataError: not an archive, or one whose names lead out of it.
    """
    if path.is_dir():
        return Tree(path, tuple(files_below(path)))
    try:
        with zipfile.ZipFile(path) as archive:
            names = {info.filename for info in archive.infolist() if not info.is_dir()}
    except _BROKEN as error:
        raise DataError(f"{path}: not a whole zip archive ({error}); copy or pack it again") from None
    if strange := sorted(name for name in names if name.startswith("/") or ".." in name.split("/")):
        raise DataError(
            f"{path}: expected names of files inside the archive; found {listed(strange)}, which lead out "
            "of it; nothing was unpacked: use an archive that you trust"
        )
    return Tree(path, tuple(sorted(name for name in names if not is_hidden(name))))


def read_tree(path: Path) -> Raw:
    """The pictures of a folder or a zip archive: its class folders are the target.

    They may lie in folders train, valid (or validation, val) and test, which are then the parts, and all
    of it in one more folder. The hash is of names and bytes of the pictures, so that packing a folder, or
    adding a text to it, does not make it another one.

    Raises:
        DataError: no pictures, one class alone, or folders that are not laid out so.
    """
    tree = open_tree(path)
    names = tuple(name for name in tree.names if is_picture(name))
    others = [name for name in tree.names if not is_picture(name)]
    if not names:
        found = (
            f"none among {plural(len(others), 'file')}, such as {listed(others[:1])}" if others else "no file"
        )
        raise DataError(
            f"{path}: expected pictures ({', '.join(PICTURE_SUFFIXES)}) in class folders; found {found}"
        )
    words = _unwrapped([name.split("/") for name in names])
    depth = _depth(path, words)
    classes = [place[depth - 2] for place in words]
    if len(found_classes := set(classes)) == 1:
        raise DataError(
            f"{path}: expected at least two class folders with pictures; found {listed(found_classes)} "
            "alone; add another class, or name the folder above"
        )
    numbers = all(word.isdecimal() and str(int(word)) == word for word in found_classes)
    target = np.array([int(word) if numbers else word for word in classes], np.int64 if numbers else object)
    left_out = plural(len(others), "file")
    return Raw(
        path.name,
        pd.DataFrame({"folder": target}),
        "folder",
        _hash(tree, names, words),
        task=class_task(len(found_classes)),
        notes=(f"{left_out} left out, not named as pictures: {listed(others)}",) if others else (),
        parts=None if depth == 2 else np.array([PARTS[place[0].lower()] for place in words], np.int64),
        pictures=TreePictures(tree, names),
    )


def _unwrapped(words: list[list[str]]) -> list[list[str]]:
    """Places of pictures without the folders around all of them, but for a class or a part."""
    while (
        all(len(place) > 2 and place[0] == words[0][0] for place in words)
        and words[0][0].lower() not in PARTS
    ):
        words = [place[1:] for place in words]
    return words


def _depth(path: Path, words: list[list[str]]) -> int:
    """Words of each picture's place: 2 in class folders, 3 in class folders of parts."""
    tops = sorted({place[0] for place in words if len(place) > 1})
    parts = [top for top in tops if top.lower() in PARTS]
    if parts and len(parts) < len(tops):
        raise DataError(f"{path}: {_LAYOUT}; found parts and classes side by side: {listed(tops)}")
    depth = 3 if parts else 2
    if astray := ["/".join(place) for place in words if len(place) != depth]:
        raise DataError(
            f"{path}: {_LAYOUT}; found {len(astray):,} of {len(words):,} pictures elsewhere: "
            f"{listed(astray)}; move them, or name the folder that holds the class folders"
        )
    return depth


def _hash(tree: Tree, names: tuple[str, ...], words: list[list[str]]) -> str:
    """sha256 over each picture's place, size and bytes; a damaged one is found when it is decoded."""
    digest = hashlib.sha256()
    with tree.opener() as open_:
        for name, place in zip(names, words, strict=True):
            try:
                with open_(name) as file:
                    content = file.read()
            except (UnreadableError, OSError):
                content = b""
            digest.update(f"{'/'.join(place)}\0{len(content)}\0".encode(errors="surrogateescape"))
            digest.update(content)
    return digest.hexdigest()


@dataclass(frozen=True)
class TreePictures:
    """Some of the pictures in a tree, by their names."""

    tree: Tree
    names: tuple[str, ...]

    def take(self, rows: Indices) -> TreePictures:
        """Those of some rows."""
        return replace(self, names=tuple(self.names[row] for row in rows))

    def pixels(self, form: Form, refuse: Refuse, advance: Advance) -> Pixels:
        """[n, height, width, channels]; all that cannot be read are named at once."""
        with self.tree.opener() as open_:
            size, colour = form.size, form.colour
            if size is None or colour is None:
                found = self._looks(open_)
                size = size or _shared_size(self.tree.path, found, refuse)
                colour = colour or _shared_colour(self.tree.path, found, refuse)
            pixels = blank(self.tree.path.name, len(self.names), size, colour)

            def decode(row: int) -> str | None:
                try:
                    with open_(self.names[row]) as file:
                        pixels[row] = decoded(file.read(), size, colour)
                except (UnreadableError, OSError) as error:
                    return f'"{self.names[row]}" ({error})'
                return None

            problems = [text for text in in_threads(decode, range(len(self.names)), advance) if text]
        if problems:
            raise _broken(self.tree.path, problems, len(self.names))
        return pixels

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of those whose heads can be read."""
        with self.tree.opener() as open_:
            return [seen.size for seen in self._looks(open_).values()]

    def _looks(self, open_: Open) -> dict[str, Look]:
        """What the heads of the pictures say, but for those that cannot be read."""

        def look_at(name: str) -> Look | None:
            try:
                with open_(name) as file:
                    return look(file)
            except (UnreadableError, OSError):
                return None

        looks = in_threads(look_at, self.names, lambda done, total: None)
        return {name: seen for name, seen in zip(self.names, looks, strict=True) if seen is not None}


def _broken(path: Path, problems: list[str], count: int) -> DataError:
    shown = ", ".join(problems[:_MOST_SHOWN])
    more = f" and {len(problems) - _MOST_SHOWN:,} more" if len(problems) > _MOST_SHOWN else ""
    return DataError(
        f"{path}: {len(problems):,} of {count:,} pictures cannot be read: {shown}{more}; mend or remove them"
    )


def _shared_size(path: Path, looks: dict[str, Look], refuse: Refuse) -> tuple[int, int]:
    counts = Counter(seen.size for seen in looks.values())
    if len(counts) < 2:
        return next(iter(counts), (1, 1))
    shown = ", ".join(
        f'{height} × {width} (such as "{_first(looks, (height, width), 0)}")'
        for (height, width), _ in counts.most_common(_FEW_SIZES)
    )
    more = f" and {len(counts) - _FEW_SIZES:,} more" if len(counts) > _FEW_SIZES else ""
    raise refuse(
        "image_size",
        f"is missing; the pictures of {path} have {len(counts):,} sizes: {shown}{more}; "
        "set height and width to resize them to, such as image_size = [32, 32]",
    )


def _shared_colour(path: Path, looks: dict[str, Look], refuse: Refuse) -> str:
    counts = Counter(seen.colour for seen in looks.values())
    if len(counts) < 2:
        return next(iter(counts), "rgb")
    shown = " and ".join(
        f'{counts[colour]:,} {words}, such as "{_first(looks, colour, 1)}"'
        for colour, words in (("rgb", "in colour"), ("grey", "in grey"))
    )
    raise refuse(
        "colour", f'is missing; {path} has pictures of both kinds, {shown}; set it to "rgb" or "grey"'
    )


def _first(looks: dict[str, Look], wanted: object, place: int) -> str:
    return next(name for name, seen in looks.items() if seen[place] == wanted)
