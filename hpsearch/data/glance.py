"""What a file or folder is, at a glance: enough to say what to do with it, whatever its size."""

from __future__ import annotations

import io
import os
import re
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shlex import quote

import pyarrow as pa

from hpsearch.data.containers import Content, is_table
from hpsearch.data.delimited import names_of
from hpsearch.data.describe import TARGET, describe
from hpsearch.data.folders import class_of
from hpsearch.data.paths import is_idx, is_image, shown
from hpsearch.data.sources import IMAGES, SOURCES, Kind, kind_of
from hpsearch.data.table_files import read_texts
from hpsearch.data.trees import open_tree
from hpsearch.errors import DataError, HpsearchError, plural
from hpsearch.study.schema import DataSection
from hpsearch.text import bytes_text

WHOLE_BYTES = 16 << 20
"""Bytes of a text table that is read whole, within a second; of a larger one, the header alone."""
_HEAD_BYTES = 1 << 20
_PACKED = 16
"""Bytes of a table that one byte of a compressed file may stand for, roughly."""
_MOST_CLASSES = 6

_NOTES = (".txt", ".data")
"""Endings that study files may have, too."""
_PLAIN = (".csv", ".tsv", *_NOTES)
_TOML = re.compile(r"\[{1,2}\s*[\w.\"' -]+\]{1,2}\s*(#.*)?|[\w.\"'-]+\s*=.*")
"""A first line of TOML that is not a comment."""


@dataclass(frozen=True)
class Glance:
    """What a path is. what: in words. target: of a table, its likely target; None if nobody knows.

    command: that writes a study file for it; None if there is none.
    """

    what: str
    target: str | None = None
    command: str | None = None


def glance(source: str) -> Glance:
    """What a file or folder is. What cannot be read is what its name says."""
    path = Path(source)
    if is_image(path.name) and os.path.isfile(path):
        return Glance("an image; hpsearch learns from folders of images, one for each class")
    try:
        kind = kind_of(path)
    except (HpsearchError, OSError) as error:
        return Glance(f"nothing that can be read ({error})")
    if kind.asks_target:
        what, target = _table(path)
        return Glance(what, target, init_command(source, "COLUMN" if target is None else target))
    what, usable = _images(path) if kind is IMAGES else (_by_name(kind, path), True)
    return Glance(what, None, init_command(source) if usable else None)


def init_command(source: str, target: str | None = None) -> str:
    """The command that writes a study file for a source. target: of a table, the column to predict."""
    return f"hpsearch init {quote(source)}" + (f" --target {quote(target)}" if target else "")


def is_data_name(name: str) -> bool:
    """Whether a name ends as the files do that hpsearch reads as data."""
    name = os.path.basename(name)
    return is_table(name) or is_image(name) or is_idx(name) or name.lower().endswith((".zip", ".npz"))


def is_data_file(path: Path) -> bool:
    """Whether a file is data rather than a study file, by its name; where that may be both, by its start."""
    if not is_data_name(path.name):
        return False
    if path.suffix.lower() not in _NOTES:
        return True
    try:
        with path.open(encoding="utf-8") as file:
            lines = (line.strip() for line in file.read(_HEAD_BYTES).splitlines())
    except (OSError, UnicodeDecodeError):
        return True
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return not _TOML.fullmatch(first)


def _by_name(kind: Kind, path: Path) -> str:
    name = next(name for name, each in SOURCES.items() if each is kind)
    return "IDX files of images" if name == "IDX files" else f"an {name} file of arrays"


# -- tables --------------------------------------------------------------------------------------


def _table(path: Path) -> tuple[str, str | None]:
    """What a table is, in words, and its likely target: by its values if it is small, else by the names."""
    if _bytes(path) <= WHOLE_BYTES:
        with suppress(HpsearchError):  # what is read in two ways has rows and names all the same
            found = describe(DataSection.model_validate({"source": str(path)}))
            return (
                f"a table: {plural(found.rows, 'row')}, {plural(len(found.columns), 'column')}",
                found.likely,
            )
    try:
        rows, names = _size(path)
    except (HpsearchError, OSError, ValueError, pa.ArrowException):
        return "a table by its name", None
    names = [name for name in names if name]
    columns = plural(len(names), "column")
    what = f"{columns}, {bytes_text(_bytes(path))}" if rows is None else f"{plural(rows, 'row')}, {columns}"
    called = next((name for name in names if TARGET.fullmatch(name)), None)
    return f"a table: {what}", called or (names[-1] if names else None)


def _bytes(path: Path) -> int:
    """Bytes of a table, about as many as it has as text."""
    if os.path.isdir(path):
        return sum(map(_bytes, path.glob("*.parquet")))
    return os.path.getsize(path) * (1 if path.suffix.lower() in _PLAIN else _PACKED)


def _size(path: Path) -> tuple[int | None, list[str]]:
    """Rows of a table, None if counting them takes a while, and the names of its columns."""
    if os.path.isdir(path):
        parts = [_parquet(path / name) for name in open_tree(path).names if name.lower().endswith(".parquet")]
        return sum(rows for rows, _ in parts), parts[0][1]
    if path.suffix.lower() == ".parquet":
        return _parquet(path)
    if _bytes(path) <= WHOLE_BYTES:
        table = read_texts(path, lambda key, text: DataError(text))
        return table.rows, list(table.columns)
    if path.suffix.lower() not in _PLAIN:
        raise DataError("too large for a glance")
    with path.open("rb") as file:
        lines = file.read(_HEAD_BYTES).splitlines(keepends=True)
    header = next((line for line in lines if line.strip()), b"")
    return None, names_of(Content(path, None, len(header), lambda: io.BytesIO(header)))


def _parquet(path: Path) -> tuple[int, list[str]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
        return file.metadata.num_rows, names


# -- images --------------------------------------------------------------------------------------


def _images(path: Path) -> tuple[str, bool]:
    """What a folder or an archive is, in words, and whether it has images."""
    folder = "a folder" if os.path.isdir(path) else "a .zip"
    try:
        names = [name for name in open_tree(path).names if is_image(name)]
    except (HpsearchError, OSError, zipfile.BadZipFile) as error:
        return f"{folder} that cannot be read ({error})", False
    if not names:
        return f"{folder} without images or tables", False
    parents = {class_of(PurePosixPath(name).parent.name) for name in names} - {""}
    classes = sorted(shown(parent) for parent in parents)
    what = f"{folder} of images: {plural(len(names), 'image')}"
    if classes:
        more = ", …" if len(classes) > _MOST_CLASSES else ""
        what += f" in {plural(len(classes), 'class folder')} ({', '.join(classes[:_MOST_CLASSES])}{more})"
    return what, True
