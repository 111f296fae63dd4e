"""What a file holds without its compression, in blocks, as often as it is asked for, never all at once."""

from __future__ import annotations

import io
import lzma
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from hpsearch.data.paths import FREE_BYTES, MOST_TIMES, is_hidden
from hpsearch.data.raw import BROKEN_ZIP, DAMAGED, Refuse, listed
from hpsearch.errors import DataError, nearest

TEXT = (".csv", ".tsv", ".txt", ".data")
_FORMATS = (*TEXT, ".parquet", ".jsonl", ".ndjson", ".arff")
NOTES = ".txt"
"""The ending of tables that more often explains others."""
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".zip")
_WORDS = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2", ".zst": "zstd"}
_ARROW = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ": ".xz", b"BZh": ".bz2", b"\x28\xb5\x2f\xfd": ".zst"}
_HEAD = max(map(len, _MAGIC))

BLOCK = 1 << 22
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class Content:
    """kind: its format, by its name; None if the name says none. size: bytes, if known beforehand."""

    path: Path
    kind: str | None
    size: int | None
    open: Callable[[], Any]

    def blocks(self, size: int = BLOCK) -> Iterator[bytes]:
        """Raises DataError where it is damaged, or grows beyond `MOST_TIMES`."""
        with self.open() as stream:
            while block := stream.read(size):
                yield block

    def whole(self) -> bytes:
        return b"".join(self.blocks())


def content_of(path: Path, refuse: Refuse) -> Content:
    """A file's content; its first bytes tell the compression, whatever the name says.

    Raises:
        DataError: it is damaged, or no archive of one table. HpsearchError: there is none.
    """
    kind, named = suffix_of(path.name)
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(_HEAD)
            zipped = kind != ".parquet" and zipfile.is_zipfile(file)
    except (FileNotFoundError, NotADirectoryError):
        raise refuse("source", no_such_file(path)) from None
    except (OSError, ValueError) as error:
        raise refuse("source", f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
    if zipped:
        return _of_zip(path, size, named)
    packed = _packed(path, head, named)
    if packed is None:
        return Content(path, kind, size, lambda: open(path, "rb"))
    return Content(path, kind, None, lambda: _Unpacked(path, packed, open(path, "rb"), size))


def _of_zip(path: Path, size: int, named: str) -> Content:
    """The one table in an archive; where it is compressed itself, what it holds."""
    name, length = _only_member(path)
    kind = suffix_of(name)[0]

    def member() -> Any:
        return _Bounded(path, _member(path, name), size, BROKEN_ZIP, _unreadable(path, name))

    with member() as stream:
        head = stream.read(_HEAD)
    packed = _packed(path, head, named)
    if packed is None:
        known = length <= max(FREE_BYTES, MOST_TIMES * size)  # a damaged archive says anything
        return Content(path, kind, length if known else None, member)
    with member() as stream:
        inner = b"".join(iter(lambda: stream.read(BLOCK), b""))
    return Content(path, kind, None, lambda: _Unpacked(path, packed, io.BytesIO(inner), len(inner)))


def _packed(path: Path, head: bytes, named: str) -> str | None:
    """The compression of content that begins so."""
    kind = next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), None)
    if kind is None and named in _WORDS:
        raise DataError(f"{path}: not a {_WORDS[named]} file, as its name says; compress or copy it again")
    return kind


class _Bounded:
    """A stream that may grow to `MOST_TIMES` of the bytes that it is made of.

    wrong: what is raised where these are damaged; said: the complaint about it.
    """

    def __init__(
        self,
        path: Path,
        stream: Callable[[], Any],
        packed: int,
        wrong: tuple[type[Exception], ...],
        said: Callable[[Exception], DataError],
    ) -> None:
        self._path, self._wrong, self._said = path, wrong, said
        self._left = max(FREE_BYTES, MOST_TIMES * packed)
        try:
            self._stream = stream()
        except wrong as error:
            raise said(error) from None

    def __enter__(self) -> _Bounded:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        try:
            block: bytes = self._stream.read(size)
        except self._wrong as error:
            raise self._said(error) from None
        self._left -= len(block)
        if self._left < 0:
            raise DataError(
                f"{self._path}: grows to more than {MOST_TIMES} times its size, the most that is read; "
                "decompress it first if that is right"
            )
        return block


class _Unpacked(_Bounded):
    """A compressed file's content."""

    def __init__(self, path: Path, packed: str, file: BinaryIO, size: int) -> None:
        def stream() -> Any:
            if packed == ".xz":
                return lzma.LZMAFile(file)
            return pa.CompressedInputStream(pa.PythonFile(file), _ARROW[packed])

        def said(error: Exception) -> DataError:
            return DataError(
                f"{path}: not a whole {_WORDS[packed]} file ({error}); compress or copy it again"
            )

        self._file = file
        super().__init__(path, stream, size, (*DAMAGED, pa.ArrowException), said)

    def close(self) -> None:
        super().close()
        self._file.close()


def _member(path: Path, name: str) -> Callable[[], Any]:
    def stream() -> Any:
        with zipfile.ZipFile(path) as archive:
            return archive.open(name)  # which stays open by itself

    return stream


def _unreadable(path: Path, name: str) -> Callable[[Exception], DataError]:
    return lambda error: DataError(f"{path}: {name} cannot be read ({error}); unpack it, or zip it again")


def _only_member(path: Path) -> tuple[str, int]:
    """The name and the size of the one table in a .zip."""
    names = members(path)
    tables = [name for name in names if is_table(name)]
    tables = [name for name in tables if not name.lower().endswith(NOTES)] or tables
    if len(tables) != 1:
        found = f"{len(tables)} tables: {listed(tables)}" if tables else f"none among {listed(names)}"
        raise DataError(f"{path}: expected one table in the archive; found {found}; unpack the one you mean")
    with zipfile.ZipFile(path) as archive:
        return tables[0], archive.getinfo(tables[0]).file_size


def members(path: Path) -> list[str]:
    """Names of the files in an archive; none if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/") and not is_hidden(name)]
    except (OSError, zipfile.BadZipFile, ValueError):
        return []


def is_table(name: str) -> bool:
    """Whether a file's name is that of a table."""
    return suffix_of(name)[0] is not None


def suffix_of(name: str) -> tuple[str | None, str]:
    """The format that a file's name ends in, None if there is none, and the compression behind it."""
    lower = name.lower()
    packed = next((each for each in _COMPRESSED if lower.endswith(each)), "")
    inner = lower.removesuffix(packed)
    return next((each for each in _FORMATS if inner.endswith(each)), None), packed


def no_such_file(path: Path) -> str:
    """What to say of a path where nothing is."""
    beside = os.listdir(path.parent) if os.path.isdir(path.parent) and os.access(path.parent, os.R_OK) else []
    return f"{path}: no such file{nearest(path.name, beside)}"
