"""Folders of class folders of images, and zip archives of them."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.folders import layout_of
from hpsearch.data.paths import IMAGE_SUFFIXES, check_unpacked, files_below, is_hidden, is_image, shown
from hpsearch.data.pixels import (
    Look,
    UnreadableError,
    blank,
    decoded,
    has_more,
    in_threads,
    is_reduced,
    look,
    with_bits,
)
from hpsearch.data.raw import (
    BROKEN_ZIP,
    Advance,
    Decoded,
    Form,
    Indices,
    Pixels,
    Raw,
    Refuse,
    class_task,
    listed,
)
from hpsearch.errors import DataError, plural

MOST_BYTES = 1 << 28
"""Of one image's file."""

_ENCRYPTED = 1
_MOST_SHOWN = 12
_FEW_SIZES = 3
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")

Open = Callable[[str], BinaryIO]
"""Opens a file of a tree by its name."""


@dataclass(frozen=True)
class Tree:
    """A folder or a zip archive.

    names: of its files, relative, with "/", sorted, hidden ones left out. members: of an archive, what it
    calls them; some programs write "\\".
    """

    path: Path
    names: tuple[str, ...]
    members: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def opener(self) -> Iterator[Open]:
        """Opens files; may be called by several threads at once.

        What it opens raises UnreadableError, as itself does, if a file is damaged or too large.
        """
        if not self.members:
            yield self._open_file
        else:
            with zipfile.ZipFile(self.path) as archive:
                yield lambda name: _open_member(archive, self.members[name])

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
        raise UnreadableError(f"{size / 1e6:,.0f} MB, more than an image has")


def _open_member(archive: zipfile.ZipFile, name: str) -> BinaryIO:
    """A member, unpacked into the memory, so that its checksum is looked at."""
    about = archive.getinfo(name)
    _check_size(about.file_size)
    if about.flag_bits & _ENCRYPTED:
        raise UnreadableError("encrypted")
    try:
        return BytesIO(archive.read(about))
    except BROKEN_ZIP as error:
        raise UnreadableError(f"damaged in the archive: {error}") from None


def open_tree(path: Path) -> Tree:
    """The files of a folder or a zip archive, which stays packed.

    Raises:
        DataError: not an archive, or one whose names lead out of it or that unpacks to far more than it has.
    """
    if path.is_dir():
        return Tree(path, tuple(files_below(path)))
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except BROKEN_ZIP as error:
        raise DataError(f"{path}: not a whole zip archive ({error}); copy or pack it again") from None
    names = {info.filename.replace("\\", "/"): info.filename for info in infos}
    if strange := sorted(name for name in names if name.startswith("/") or ".." in name.split("/")):
        raise DataError(
            f"{path}: expected names of files inside the archive; found {listed(map(shown, strange))}, which "
            "lead out of it; nothing was unpacked: use an archive that you trust"
        )
    sizes = [info.file_size for info in infos if is_image(info.filename) and info.file_size <= MOST_BYTES]
    check_unpacked(str(path), os.path.getsize(path), sum(sizes))
    members = {
        "/".join(word for word in name.split("/") if word not in ("", ".")): own
        for name, own in names.items()
        if not name.endswith("/") and not is_hidden(name)
    }
    return Tree(path, tuple(sorted(members)), members)


def read_tree(path: Path) -> Raw:
    """The images of a folder or a zip archive: its class folders are the target.

    See `layout_of` for how they may lie. The hash is of names and bytes of the images, so that packing a
    folder, or adding a text to it, does not make it another one.

    Raises:
        DataError: no images, one class alone, or folders that are not laid out so.
    """
    tree = open_tree(path)
    names = image_names(tree)
    others = [name for name in tree.names if not is_image(name)]
    layout = layout_of(path, names)
    if len(found := set(layout.classes)) == 1:
        raise DataError(
            f"{path}: expected at least two class folders with images; found {listed(found)} "
            "alone; add another class, or name the folder above"
        )
    numbers = all(word.isdecimal() and str(int(word)) == word for word in found)
    target = np.array(
        [int(word) if numbers else word for word in layout.classes], np.int64 if numbers else object
    )
    notes = (*layout.notes, *_empty_folders(path, names))
    left_out = f"{plural(len(others), 'file')} left out, not named as images: {listed(map(shown, others))}"
    return Raw(
        path.name,
        pd.DataFrame({"folder": target}),
        "folder",
        _hash(tree, names, layout.places),
        task=class_task(len(found)),
        notes=(*notes, left_out) if others else notes,
        parts=None if layout.splits is None else np.array(layout.splits, np.int64),
        pictures=TreeImages(tree, names),
        left_out=len(others),
    )


def _empty_folders(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """What to say of folders beside the classes that have no image."""
    tops = {name.partition("/")[0] for name in names}
    below = sorted(os.listdir(path)) if os.path.isdir(path) else []
    empty = [
        name for name in below if name not in tops and not is_hidden(name) and os.path.isdir(path / name)
    ]
    return (f"no image in the folder {listed(map(shown, empty))}",) if empty else ()


def image_names(tree: Tree) -> tuple[str, ...]:
    """Those of the images in a tree.

    Raises:
        DataError: there are none.
    """
    if names := tuple(name for name in tree.names if is_image(name)):
        return names
    found = "no file"
    if tree.names:
        found = f"none among {plural(len(tree.names), 'file')}, such as {listed(map(shown, tree.names[:1]))}"
    if inner := [name for name in tree.names if name.lower().endswith(_ARCHIVES)]:
        found = (
            f"the archive {listed(map(shown, inner[:1]))} inside, which is not opened; unpack it, and name it"
        )
    raise DataError(
        f"{tree.path}: expected images ({', '.join(IMAGE_SUFFIXES)}) in class folders; found {found}"
    )


def _hash(tree: Tree, names: tuple[str, ...], places: list[str]) -> str:
    """sha256 over each image's place, size and bytes; a damaged one is found when it is decoded."""
    digest = hashlib.sha256()
    with tree.opener() as open_:
        for name, place in zip(names, places, strict=True):
            try:
                with open_(name) as file:
                    content = file.read()
            except (UnreadableError, OSError):
                content = b""
            digest.update(f"{place}\0{len(content)}\0".encode(errors="surrogateescape"))
            digest.update(content)
    return digest.hexdigest()


@dataclass(frozen=True)
class TreeImages:
    """Some of the images in a tree, by their names."""

    tree: Tree
    names: tuple[str, ...]

    def take(self, rows: Indices) -> TreeImages:
        """Those of some rows."""
        return replace(self, names=tuple(self.names[row] for row in rows))

    def pixels(self, form: Form, refuse: Refuse, advance: Advance) -> Decoded:
        """All of them decoded; all that cannot be read are named at once."""
        with self.tree.opener() as open_:
            size, colour, bits = form.size, form.colour, form.bits
            if size is None or colour is None:
                found = self._looks(open_)
                size = size or _shared_size(self.tree.path, found, refuse)
                colour = colour or _shared_colour(self.tree.path, found, refuse)
                bits = bits or max((seen.bits for seen in found.values()), default=8)
            read = self._decode(open_, size, colour, bits or 8, advance)
            if bits is None and read.deep.any():
                bits = 16
                read = self._decode(open_, size, colour, bits, advance)
        if read.problems:
            raise _broken(self.tree.path, read.problems, len(self.names))
        return Decoded(read.pixels, _depth_notes(read, bits or 8))

    def _decode(self, open_: Open, size: tuple[int, int], colour: str, bits: int, advance: Advance) -> _Read:
        count = len(self.names)
        pixels = blank(self.tree.path.name, count, size, colour, np.uint8 if bits == 8 else np.uint16)
        deep, reduced, more = np.zeros((3, count), bool)

        def decode(row: int) -> str | None:
            try:
                with open_(self.names[row]) as file:
                    content = file.read()
                own = decoded(content, size, colour)
            except (UnreadableError, OSError) as error:
                return f'"{shown(self.names[row])}" ({error})'
            pixels[row] = with_bits(own, bits)
            deep[row], reduced[row], more[row] = (
                own.dtype == np.uint16,
                is_reduced(content),
                has_more(content),
            )
            return None

        problems = [text for text in in_threads(decode, range(count), advance) if text]
        return _Read(pixels, deep, reduced, more, problems)

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of those whose heads can be read."""
        with self.tree.opener() as open_:
            return [seen.size for seen in self._looks(open_).values()]

    def _looks(self, open_: Open) -> dict[str, Look]:
        """What the heads of the images say, but for those that cannot be read."""

        def look_at(name: str) -> Look | None:
            try:
                with open_(name) as file:
                    return look(file)
            except (UnreadableError, OSError):
                return None

        looks = in_threads(look_at, self.names, lambda done, total: None)
        return {name: seen for name, seen in zip(self.names, looks, strict=True) if seen is not None}


class _Read(NamedTuple):
    """deep: [n] which have 16 bits. reduced: [n] which have more bits than were read. more: more images."""

    pixels: Pixels
    deep: NDArray[np.bool_]
    reduced: NDArray[np.bool_]
    more: NDArray[np.bool_]
    problems: list[str]


def _depth_notes(read: _Read, bits: int) -> tuple[str, ...]:
    count, deep, reduced = len(read.deep), int(read.deep.sum()), int(read.reduced.sum())
    notes = []
    if bits == 16 and deep < count:
        notes.append(f"{count - deep:,} of {plural(count, 'image')} have 8 bits, scaled to 16")
    if bits == 8 and deep:
        notes.append(f"{deep:,} of {plural(count, 'image')} have 16 bits, reduced to 8")
    if more := int(read.more.sum()):
        notes.append(f"{more:,} of {plural(count, 'file')} have several images, of which the first is read")
    if reduced:
        notes.append(f"{reduced:,} of {plural(count, 'image')} have 16 bits a colour, reduced to 8")
    return tuple(notes)


def _broken(path: Path, problems: list[str], count: int) -> DataError:
    first = ", ".join(problems[:_MOST_SHOWN])
    more = f" and {len(problems) - _MOST_SHOWN:,} more" if len(problems) > _MOST_SHOWN else ""
    return DataError(
        f"{path}: {len(problems):,} of {count:,} images cannot be read: {first}{more}; mend or remove them"
    )


def _shared_size(path: Path, looks: dict[str, Look], refuse: Refuse) -> tuple[int, int]:
    counts = Counter(seen.size for seen in looks.values())
    if len(counts) < 2:
        return next(iter(counts), (1, 1))
    sizes = ", ".join(
        f'{height} × {width} (such as "{_first(looks, (height, width), 0)}")'
        for (height, width), _ in counts.most_common(_FEW_SIZES)
    )
    more = f" and {len(counts) - _FEW_SIZES:,} more" if len(counts) > _FEW_SIZES else ""
    raise refuse(
        "image_size",
        f"is missing; the images of {path} have {len(counts):,} sizes: {sizes}{more}; "
        "set height and width to resize them to, such as image_size = [32, 32]",
    )


def _shared_colour(path: Path, looks: dict[str, Look], refuse: Refuse) -> str:
    counts = Counter(seen.colour for seen in looks.values())
    if len(counts) < 2:
        return next(iter(counts), "rgb")
    kinds = " and ".join(
        f'{counts[colour]:,} {words}, such as "{_first(looks, colour, 1)}"'
        for colour, words in (("rgb", "in colour"), ("grey", "in grey"))
    )
    raise refuse("colour", f'is missing; {path} has images of both kinds, {kinds}; set it to "rgb" or "grey"')


def _first(looks: dict[str, Look], wanted: object, place: int) -> str:
    return shown(next(name for name, seen in looks.items() if seen[place] == wanted))
