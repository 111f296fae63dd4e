"""Table files: CSV and other text tables, Parquet, JSON lines and ARFF, plain or compressed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from hpsearch.data.arff import read_arff
from hpsearch.data.containers import NOTES, TEXT, content_of, is_table, members, suffix_of
from hpsearch.data.delimited import check_twice, line_of
from hpsearch.data.gathered import gather
from hpsearch.data.kinds import Asked, read_columns
from hpsearch.data.paths import is_hidden, is_image
from hpsearch.data.raw import Raw, Refuse, listed, unknown_column
from hpsearch.data.texts import Table, decoded
from hpsearch.errors import DataError
from hpsearch.study.schema import CLASSES, DataSection

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".arff")
"""What is said to be read; each also compressed."""

_NO_TABLES = {
    b"version https://git-lfs": ("a pointer of Git LFS", "fetch the file with git lfs pull"),
    b"<!doctype html": ("a web page", "download the file again"),
    b"<html": ("a web page", "download the file again"),
}
"""What is saved in place of a table by accident: how it starts."""


def is_table_source(path: Path) -> bool:
    """Whether a .zip or a folder holds tables, and no images."""
    if os.path.isdir(path):
        names = [name for name in os.listdir(path) if not is_hidden(name) and not name.startswith("_")]
        if any(os.path.isdir(path / name) for name in names):
            return False
    elif path.name.lower().endswith(".zip") and zipfile.is_zipfile(path):
        names = members(path)
    else:
        return False
    if any(map(is_image, names)):
        return False
    texts = [name for name in names if is_table(name) and name.lower().endswith(NOTES)]
    return len(texts) < sum(map(is_table, names)) or (
        not os.path.isdir(path) and 0 < len(texts) == len(names)
    )


def read_table(path: Path, data: DataSection, refuse: Refuse) -> Raw:
    """The rows of a table file, with its column `data.target`, if that is said.

    The hash is of the uncompressed content, so that compressing a file does not make it another one.

    Raises:
        DataError: the content cannot be read. HpsearchError: no such file, suffix or column.
    """
    asked = data.asked_columns()
    wishes = {name: Asked(**own) for name, own in asked.items()}
    table = read_texts(path, refuse, {name: own.is_plain for name, own in wishes.items()})
    names = [name for name in table.columns if name]
    target = data.target
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
    schema, frame = read_columns(table, wishes, target, data.task in CLASSES, {data.split.column})
    pa.default_memory_pool().release_unused()  # a quarter of a large table's size
    return Raw(path.name, frame, target or "", table.digest, notes=notes, schema=schema)


def read_texts(path: Path, refuse: Refuse, plain: Mapping[str, bool] = MappingProxyType({})) -> Table:
    """A table file's columns as they are written.

    plain: of columns that the user says something of, whether they may be plain numbers.

    Raises:
        DataError: the content cannot be read. HpsearchError: no such file or suffix.
    """

    def place(row: int) -> str:
        if row < 0:
            return f"{path}"
        return f"{path}:{line_of(content, row)}" if text else f"{path}, row {row + 1:,}"

    text = False
    if os.path.isdir(path):
        return _parquet_folder(path, place)
    suffix, packed = suffix_of(path.name)
    if suffix is None and packed != ".zip" and os.path.exists(path):
        others = "or a folder or .zip of images, .npz or IDX files"
        raise refuse("source", f"{path}: expected a name that ends in {', '.join(SUFFIXES)}; {others}")
    content = content_of(path, refuse)
    if not (head := next(content.blocks(), b"")):
        raise DataError(f"{path}: the file is empty; expected a header line and rows")
    for start, (what, remedy) in _NO_TABLES.items():
        if head[:99].lstrip().lower().startswith(start):
            raise DataError(f"{path}: expected a table; found {what}; {remedy}")
    if content.kind in (None, *TEXT):
        text = True
        found = gather(content, plain)
        return Table(
            found.columns,
            place,
            found.rows,
            bare=True,
            digest=found.digest,
            numbers=found.numbers,
            few=found.few,
        )
    whole = content.whole()
    read = {".parquet": _parquet, ".jsonl": _json, ".ndjson": _json, ".arff": read_arff}[content.kind]
    return _table(read(path, whole), place, hashlib.sha256(whole).hexdigest())


def _table(table: pa.Table, place: Callable[[int], str], digest: str) -> Table:
    pairs = list(zip(map(str, table.column_names), table.columns, strict=True))
    named = frozenset(name for name, column in pairs if pa.types.is_dictionary(column.type))
    columns = {name: decoded(column) for name, column in pairs}
    return Table(columns, place, table.num_rows, named, digest=digest)


# -- formats -----------------------------------------------------------------------------------


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
        check_twice(f"{path}", table.column_names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected one JSON object a line; {_first_line(error)}; mend or write it again"
        ) from None
    return table


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
