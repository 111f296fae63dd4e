"""Table files: CSV and other text tables, Parquet, JSON lines and ARFF, plain or compressed."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hpsearch.data.arff import read_arff
from hpsearch.data.delimited import check_twice, line_of, read_delimited
from hpsearch.data.kinds import Asked, read_columns
from hpsearch.data.paths import FREE_BYTES, MOST_TIMES, is_hidden, is_image
from hpsearch.data.raw import Raw, Refuse, listed, unknown_column
from hpsearch.data.texts import Table, decoded
from hpsearch.errors import DataError, nearest
from hpsearch.study.schema import CLASSES, DataSection

_TEXT = (".csv", ".tsv", ".txt", ".data")
_FORMATS = (*_TEXT, ".parquet", ".jsonl", ".ndjson", ".arff")
_NOTES = ".txt"
"""The ending of tables that more often explains others."""
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".zip")
SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".arff")
"""What is said to be read; each also compressed."""
_WORDS = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2", ".zst": "zstd"}
_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ": ".xz", b"BZh": ".bz2", b"\x28\xb5\x2f\xfd": ".zst"}

_NO_TABLES = {
    b"version https://git-lfs": ("a pointer of Git LFS", "fetch the file with git lfs pull"),
    b"<!doctype html": ("a web page", "download the file again"),
    b"<html": ("a web page", "download the file again"),
}
"""What is saved in place of a table by accident: how it starts."""


def is_table(name: str) -> bool:
    """Whether a file's name is that of a table."""
    return _suffix(name)[0] is not None


def is_table_source(path: Path) -> bool:
    """Whether a .zip or a folder holds tables, and no images."""
    if os.path.isdir(path):
        names = [name for name in os.listdir(path) if not is_hidden(name) and not name.startswith("_")]
        if any(os.path.isdir(path / name) for name in names):
            return False
    elif path.name.lower().endswith(".zip") and zipfile.is_zipfile(path):
        names = _members(path)
    else:
        return False
    if any(map(is_image, names)):
        return False
    texts = [name for name in names if is_table(name) and name.lower().endswith(_NOTES)]
    return len(texts) < sum(map(is_table, names)) or (
        not os.path.isdir(path) and 0 < len(texts) == len(names)
    )


def read_table(path: Path, data: DataSection, refuse: Refuse) -> Raw:
    """The rows of a table file, with its column `data.target`, if that is said.

    The hash is of the uncompressed content, so that compressing a file does not make it another one.

    Raises:
        DataError: the content cannot be read. HpsearchError: no such file, suffix or column.
    """
    table = read_texts(path, refuse)
    names = [name for name in table.columns if name]
    target, asked = data.target, data.asked_columns()
    if target is not None and target not in names:
        raise refuse("target", f"{path}: {unknown_column(target, names)}")
    for name, own in asked.items():
        if name not in names:
            raise refuse("columns", f"{path}: {unknown_column(name, names)}")
        if name == target and own.get("kind") == "ignore":
            raise refuse("columns", f'"{name}" is the target; it cannot be ignored')
    if not table.rows:
        raise DataError(f"{path}: expected rows; found only the names of columns")
    notes = ("a column without a name is left out",) * ("" in table.columns)
    named = replace(table, columns={name: table.columns[name] for name in names})
    wishes = {name: Asked(**own) for name, own in asked.items()}
    schema, frame = read_columns(named, wishes, target, data.task in CLASSES)
    return Raw(path.name, frame, target or "", table.digest, notes=notes, schema=schema)


def read_texts(path: Path, refuse: Refuse) -> Table:
    """A table file's columns as they are written.

    Raises:
        DataError: the content cannot be read. HpsearchError: no such file or suffix.
    """

    def place(row: int) -> str:
        if row < 0:
            return f"{path}"
        text = kind in (None, *_TEXT)  # which is read again, rather than kept for what is rarely asked
        return f"{path}:{line_of(_content(path, refuse)[1], row)}" if text else f"{path}, row {row + 1:,}"

    if os.path.isdir(path):
        kind: str | None = ".parquet"
        return _parquet_folder(path, place)
    suffix, packed = _suffix(path.name)
    if suffix is None and packed != ".zip" and os.path.exists(path):
        others = "or a folder or .zip of images, .npz or IDX files"
        raise refuse("source", f"{path}: expected a name that ends in {', '.join(SUFFIXES)}; {others}")
    kind, content = _content(path, refuse)
    if not content:
        raise DataError(f"{path}: the file is empty; expected a header line and rows")
    for start, (what, remedy) in _NO_TABLES.items():
        if content[:99].lstrip().lower().startswith(start):
            raise DataError(f"{path}: expected a table; found {what}; {remedy}")
    bare = False
    if kind in (None, *_TEXT):
        table, bare = read_delimited(path, content)
    else:
        table = {".parquet": _parquet, ".jsonl": _json, ".ndjson": _json, ".arff": read_arff}[kind](
            path, content
        )
    return _table(table, place, hashlib.sha256(content).hexdigest(), bare)


def _content(path: Path, refuse: Refuse) -> tuple[str | None, bytes]:
    """The format of a file, and its content without compression."""
    content, suffix = file_content(path, refuse), _suffix(path.name)[0]
    if suffix != ".parquet" and zipfile.is_zipfile(io.BytesIO(content)):
        name, content = _only_member(path, content)
        suffix = _suffix(name)[0]
    return suffix, _unpacked(path, content)


def _table(table: pa.Table, place: Callable[[int], str], digest: str, bare: bool = False) -> Table:
    pairs = list(zip(map(str, table.column_names), table.columns, strict=True))
    named = frozenset(name for name, column in pairs if pa.types.is_dictionary(column.type))
    columns = {name: decoded(column) for name, column in pairs}
    return Table(columns, place, table.num_rows, named, bare, digest)


def _suffix(name: str) -> tuple[str | None, str]:
    """The format that a file's name ends in, None if there is none, and the compression behind it."""
    lower = name.lower()
    packed = next((each for each in _COMPRESSED if lower.endswith(each)), "")
    inner = lower.removesuffix(packed)
    return next((each for each in _FORMATS if inner.endswith(each)), None), packed


def file_content(path: Path, refuse: Refuse) -> bytes:
    """A file's bytes; `kind_of` has refused pipes and devices.

    Raises:
        HpsearchError: there is none, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise refuse("source", no_such_file(path)) from None
    except (OSError, ValueError) as error:
        raise refuse("source", f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None


def no_such_file(path: Path) -> str:
    """What to say of a path where nothing is."""
    beside = os.listdir(path.parent) if os.path.isdir(path.parent) and os.access(path.parent, os.R_OK) else []
    return f"{path}: no such file{nearest(path.name, beside)}"


# -- containers ----------------------------------------------------------------------------------


def _unpacked(path: Path, content: bytes) -> bytes:
    """The content without its compression, which its first bytes tell, whatever the name says.

    Raises:
        DataError: it is cut off or damaged, or grows beyond `MOST_TIMES`.
    """
    kind = next((suffix for magic, suffix in _MAGIC.items() if content.startswith(magic)), None)
    named = _suffix(path.name)[1]
    if kind is None and named in _WORDS:
        raise DataError(f"{path}: not a {_WORDS[named]} file, as its name says; compress or copy it again")
    if kind is None:
        return content
    try:
        if kind == ".xz":
            return _bounded(path, content, lzma.LZMAFile(io.BytesIO(content)))
        names = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
        return _bounded(path, content, pa.CompressedInputStream(pa.BufferReader(content), names[kind]))
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: not a whole {_WORDS[kind]} file ({error}); compress or copy it again"
        ) from None


def _bounded(path: Path, content: bytes, stream: Any) -> bytes:
    most = max(FREE_BYTES, MOST_TIMES * len(content))
    chunks, size = [], 0
    while chunk := stream.read(1 << 22):
        chunks.append(chunk)
        if (size := size + len(chunk)) > most:
            raise DataError(
                f"{path}: grows to more than {MOST_TIMES} times its size, the most that is read; "
                "decompress it first if that is right"
            )
    return b"".join(chunks)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/") and not is_hidden(name)]
    except (OSError, zipfile.BadZipFile, ValueError):
        return []


def _only_member(path: Path, content: bytes) -> tuple[str, bytes]:
    """The name and the content of the one table in a .zip."""
    names = _members(path)
    tables = [name for name in names if is_table(name)]
    tables = [name for name in tables if not name.lower().endswith(_NOTES)] or tables
    if len(tables) != 1:
        found = f"{len(tables)} tables: {listed(tables)}" if tables else f"none among {listed(names)}"
        raise DataError(f"{path}: expected one table in the archive; found {found}; unpack the one you mean")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(tables[0]) as member:
            return tables[0], _bounded(path, content, member)
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        RuntimeError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise DataError(f"{path}: {tables[0]} cannot be read ({error}); unpack it, or zip it again") from None


def _parquet_folder(path: Path, place: Callable[[int], str]) -> Table:
    names = sorted(
        name for name in os.listdir(path) if name.lower().endswith(".parquet") and not is_hidden(name)
    )
    others = sorted(name for name in os.listdir(path) if is_table(name) and name not in names)
    if others:
        found = listed([*names, *others])
        raise DataError(
            f"{path}: expected one table, or Parquet files alone; found {found}; name one of them"
        )
    digest, parts = hashlib.sha256(), []
    for name in names:
        content = (path / name).read_bytes()
        digest.update(content)
        parts.append(_parquet(path / name, content))
    try:
        whole = pa.concat_tables(parts, promote_options="default")
    except pa.ArrowException as error:
        raise DataError(f"{path}: its files have other columns or types ({_first_line(error)})") from None
    return _table(whole, place, digest.hexdigest())


def _check_years(name: str, column: pa.ChunkedArray) -> None:
    """Refuse dates that Python has not, on which pandas fails later."""
    try:
        if pa.types.is_date(column.type):
            pc.min_max(column).as_py()
    except (ValueError, OverflowError):
        raise ValueError(f'column "{name}": a date outside the years 1 to 9999') from None


def _parquet(path: Path, content: bytes) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content))
        check_twice(f"{path}", file.schema_arrow.names)
        table = file.read()
        table.validate(full=True)  # that texts are UTF-8, too
        for name in table.column_names:
            _check_years(name, table[name])
    except (pa.ArrowException, OSError, ValueError, TypeError, NotImplementedError, OverflowError) as error:
        raise DataError(
            f"{path}: not a readable Parquet file ({_first_line(error)}); write or copy it again"
        ) from None
    for name in _categorical(table.schema) & {*table.column_names}:
        column = table[name].dictionary_encode()
        table = table.set_column(table.column_names.index(name), name, column)
    # pandas stores an index as a column; only one that has a name of its own is data.
    nameless = [name for name in table.column_names if name.startswith("__index_level_")]
    return table.drop_columns(nameless) if nameless else table


def _categorical(schema: pa.Schema) -> set[str]:
    """Columns that were pandas' categories, of which Parquet keeps the values alone."""
    try:
        columns = json.loads((schema.metadata or {})[b"pandas"])["columns"]
        return {each["name"] for each in columns if each["pandas_type"] == "categorical"}
    except (KeyError, TypeError, ValueError, RecursionError):
        return set()


def _json(path: Path, content: bytes) -> pa.Table:
    import pyarrow.json

    try:
        table = pyarrow.json.read_json(
            io.BytesIO(content),
            read_options=pyarrow.json.ReadOptions(block_size=max(1 << 20, min(len(content), 1 << 28))),
        )
        table.validate(full=True)  # that texts are UTF-8, too
        for name in table.column_names:
            _check_years(name, table[name])
        check_twice(f"{path}", table.column_names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected one JSON object a line; {_first_line(error)}; mend or write it again"
        ) from None
    return table


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
