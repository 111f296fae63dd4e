"""Table files: CSV, TSV and Parquet, plain or compressed."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import lzma
import os
import re
import zlib
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from hpsearch.data.raw import Raw, Refuse, listed, unknown_column
from hpsearch.errors import DataError, nearest

SUFFIXES = (".csv", ".csv.gz", ".csv.xz", ".tsv", ".tsv.gz", ".tsv.xz", ".parquet")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DECIMAL_COMMA = re.compile(r"(?:^|;) *-?\d+,\d+ *(?:;|$)", re.MULTILINE)
_QUOTED = re.compile('"[^"]*"')
_MISSING = ["?"]  # beside those of pandas, such as NA, NaN, null and nothing at all


def read_table(path: Path, target: str | None, refuse: Refuse) -> Raw:
    """The rows of a table file, with its column `target`; otherwise as `read_frame`.

    The hash is of the uncompressed content, so that compressing a file does not make it another one.

    Raises:
        DataError: the content cannot be read. HpsearchError: no such file, suffix or target.
    """
    frame, content, notes = read_frame(path, refuse)
    if target is None:
        raise refuse("target", f"is missing; expected the column to predict, one of {listed(frame.columns)}")
    if target not in frame.columns:
        raise refuse("target", f"{path}: {unknown_column(target, frame.columns)}")
    if frame.empty:
        raise DataError(f"{path}: expected rows; found only the names of columns")
    return Raw(path.name, frame, target, hashlib.sha256(content).hexdigest(), notes=notes)


def read_frame(
    path: Path, refuse: Refuse, textual: Collection[str] = ()
) -> tuple[pd.DataFrame, bytes, tuple[str, ...]]:
    """The columns of a table file that have a name, its uncompressed content, and notes.

    In a .csv file the header line says whether commas or semicolons separate; with semicolons, numbers
    may have a decimal comma. Nothing, NA, NaN, null, None and ? are missing values.

    textual: columns whose values are text, even if all of them look like numbers.

    Raises:
        DataError: the content cannot be read. HpsearchError: no such file or suffix.
    """
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    if suffix is None and os.path.exists(path):
        others = "a folder or .zip of pictures, .npz or IDX files"
        raise refuse("source", f"{path}: expected a name that ends in {', '.join(SUFFIXES)}; or {others}")
    content = _content(path, refuse)
    frame = _parquet(path, content) if suffix == ".parquet" else _delimited(path, content, textual)
    nameless = [name for name in frame.columns if not name]
    return frame.drop(columns=nameless), content, ("a column without a name is left out",) * bool(nameless)


def _content(path: Path, refuse: Refuse) -> bytes:
    """The file's bytes, uncompressed."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise refuse("source", no_such_file(path)) from None
    except (OSError, ValueError) as error:
        raise refuse("source", f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
    name = path.name.lower()
    try:
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        elif name.endswith(".xz"):
            content = lzma.decompress(content)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        kind = "gzip" if name.endswith(".gz") else "xz"
        raise DataError(f"{path}: not a whole {kind} file ({error}); compress or copy it again") from None
    if not content:
        raise DataError(f"{path}: the file is empty; expected a header line and rows")
    return content


def no_such_file(path: Path) -> str:
    """What to say of a path where nothing is."""
    beside = os.listdir(path.parent) if os.path.isdir(path.parent) and os.access(path.parent, os.R_OK) else []
    return f"{path}: no such file{nearest(path.name, beside)}"


def _parquet(path: Path, content: bytes) -> pd.DataFrame:
    import pyarrow as pa  # a quarter of a second that only Parquet files need
    import pyarrow.parquet as pq

    try:
        _checked_names(f"{path}", pq.read_schema(io.BytesIO(content)).names)
        frame = pd.read_parquet(io.BytesIO(content)).reset_index(drop=True)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: not a readable Parquet file ({reason}); write or copy it again") from None
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _delimited(path: Path, content: bytes, textual: Collection[str]) -> pd.DataFrame:
    text = _text(path, content.removeprefix(_BYTE_ORDER_MARK))
    delimiter = "\t" if ".tsv" in Path(path.name.lower()).suffixes[-2:] else _delimiter(text)
    names, header_line = _checked_shape(path, text, delimiter)
    names = _checked_names(f"{path}:{header_line}", names)
    decimal = "," if delimiter == ";" and _DECIMAL_COMMA.search(text) else "."

    def read(**settings: Any) -> pd.DataFrame:
        frame: pd.DataFrame = pd.read_csv(
            io.StringIO(text, newline=""),
            sep=delimiter,
            decimal=decimal,
            skipinitialspace=True,
            na_values=_MISSING,
            low_memory=False,
            **settings,
        )
        frame.columns = pd.Index(names)
        return frame

    frame = read()
    if words := [name for name in textual if name in names and pd.api.types.is_numeric_dtype(frame[name])]:
        frame[words] = read(dtype=str)[words]
    return frame


def _text(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8")
        wrong = content.find(b"\0")  # legal in UTF-8, but a sign of UTF-16 or of no text at all
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong < 0:
        return text
    line = content.count(b"\n", 0, wrong) + 1
    column = wrong - content.rfind(b"\n", 0, wrong)
    raise DataError(
        f"{path}:{line}:{column}: expected UTF-8 text; found the byte {content[wrong]:#04x}; "
        "save the file with UTF-8 encoding"
    )


def _delimiter(text: str) -> str:
    """The one of comma and semicolon that is more often in the first line, outside quotes."""
    header = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    return max((",", ";"), key=_QUOTED.sub("", header).count)


def _checked_shape(path: Path, text: str, delimiter: str) -> tuple[list[str], int]:
    """Names of the columns and their line; every row must have as many values.

    pandas fills short rows silently, so it is not asked.
    """
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    names: list[str] = []
    header_line = line = 1
    try:
        for row in reader:
            if row and not names:
                names, header_line = [name.strip() for name in row], line
            elif row and len(row) != len(names):
                raise DataError(
                    f"{path}:{line}: expected {len(names)} values, as the header has columns; "
                    f"found {len(row)}"
                )
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{line}: not readable as a table: {error}; check the quotes") from None
    if not names:
        raise DataError(f"{path}: the file is empty; expected a header line and rows")
    return names, header_line


def _checked_names(where: str, names: list[str]) -> list[str]:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DataError(f"{where}: every column needs a name of its own; found more than one {listed(twice)}")
    return names
