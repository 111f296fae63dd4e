"""Text tables: the separator, the names, and every value as the text that was written."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from hpsearch.data.raw import listed
from hpsearch.errors import DataError, plural

SEPARATORS = (",", ";", "\t", "|")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_QUOTED = re.compile('"[^"]*"')
_TITLE = "; the first line must be the header, with no title or comment above it"
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*")
_BLOCK = 8 << 20
"""Bytes that Arrow parses at a time; a row must fit into one block."""


def read_delimited(path: Path, content: bytes) -> tuple[pa.Table, bool]:
    """The table in a text file, each value the text that was written, and whether none has blanks around it.

    The separator is the one of comma, semicolon, tab and bar that the header has most often; every row must
    have as many values as the header. Blanks around values don't count.

    Raises:
        DataError: not UTF-8, rows of other lengths, broken quotes, names that are missing or twice there.
    """
    content = content.removeprefix(_BYTE_ORDER_MARK)
    _check_text(path, content)
    header = _first_line(content)
    if not header:
        raise DataError(f"{path}: the file is empty; expected a header line and rows")
    separator = _separator(path, header)
    if content.startswith(header.encode()) and _simple(content, header, separator):
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
        check_names(f"{path}:1", names)
        try:
            return _by_arrow(content, separator, names), not has_blanks(content)
        except pa.ArrowInvalid:
            pass  # the slow reader knows the line
    return _by_rows(path, content.decode(), separator), False


def line_of(content: bytes, row: int) -> int:
    """The line, from 1, of a row of data, from 0, in a text file that `read_delimited` has read."""
    text = content.removeprefix(_BYTE_ORDER_MARK).decode()
    separator = _separator(Path(), _first_line(content))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    found, line = -2, 1
    for values in rows:
        found += bool(values)
        if found == row:
            return line
        line = rows.line_num + 1
    return line


def _check_text(path: Path, content: bytes) -> None:
    try:
        if not content.isascii():  # ten times as fast as to decode
            content.decode("utf-8")
        wrong = content.find(b"\0")  # legal in UTF-8, but a sign of UTF-16 or of no text at all
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong < 0:
        return
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: expected UTF-8 text; found UTF-16; save the file with UTF-8 encoding")
    line = content.count(b"\n", 0, wrong) + 1
    column = wrong - content.rfind(b"\n", 0, wrong)
    raise DataError(
        f"{path}:{line}:{column}: expected UTF-8 text; found the byte {content[wrong]:#04x}; "
        "save the file with UTF-8 encoding"
    )


def _first_line(content: bytes) -> str:
    """The first line that is not blank."""
    start = content[: 1 << 20].removeprefix(_BYTE_ORDER_MARK).decode(errors="ignore")
    return next((line for line in re.split(r"\r\n|\n|\r", start) if line.strip()), "")


def _separator(path: Path, header: str) -> str:
    if ".tsv" in Path(path.name.lower()).suffixes[-2:]:
        return "\t"
    return max(SEPARATORS, key=_QUOTED.sub("", header).count)


def _simple(content: bytes, header: str, separator: str) -> bool:
    """Whether quotes stand only around whole values, so that Arrow reads them as the csv module does."""
    if b'"' not in content:
        return True
    if content.count(b'"') % 2 or header.count('"') % 2:
        return False
    mark = re.escape(separator.encode())
    # Something before an opening quote, or behind a closing one. Found in vain, it costs time alone.
    odd = re.compile(rb'[^\r\n%s"]"(?:[^"]|"")*"|"(?:[^"]|"")*"(?![\r\n%s]|\Z)' % (mark, mark))
    return odd.search(content) is None


def _by_arrow(content: bytes, separator: str, names: list[str]) -> pa.Table:
    table = pyarrow.csv.read_csv(
        pa.py_buffer(content),
        read_options=pyarrow.csv.ReadOptions(
            column_names=list(map(str, range(len(names)))), skip_rows=1, block_size=_BLOCK
        ),
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=b'"' in content),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={str(place): pa.string() for place in range(len(names))},
            null_values=[""],
            check_utf8=False,  # it is
            strings_can_be_null=True,
        ),
    )
    return table.rename_columns(names)


def _by_rows(path: Path, text: str, separator: str) -> pa.Table:
    """What Arrow would read wrongly, or not at all: blank lines, quotes within values, rows too short."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    names: list[str] = []
    rows: list[list[str]] = []
    line = 1
    try:
        for row in reader:
            if row and not names:
                names = [name.strip() for name in row]
                check_names(f"{path}:{line}", names)
            elif row and len(row) != len(names):
                raise DataError(
                    f"{path}:{line}: expected {plural(len(names), 'value')}, as the header has columns; "
                    f"found {len(row)}{_TITLE * (len(names) == 1)}"
                )
            elif row:
                rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{line}: not readable as a table: {error}; check the quotes") from None
    columns: Any = zip(*rows, strict=True) if rows else [[] for _ in names]
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], names=names)


def check_names(where: str, names: list[str]) -> None:
    if names and names[0].startswith("sep=") and not any(names[1:]):
        raise DataError(f'{where}: expected the names of the columns; found Excel\'s line "sep="; remove it')
    check_twice(where, names)
    if names and all(map(_NUMBER.fullmatch, names)):
        raise DataError(
            f"{where}: expected a header line with the names of the columns; found the "
            f"numbers {listed(names)}; add a line of names above"
        )


def check_twice(where: str, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DataError(f"{where}: every column needs a name of its own; found more than one {listed(twice)}")


def has_blanks(content: bytes) -> bool:
    """Whether a value may have blanks around it: most large files have none, and looking is quick."""
    return not content.isascii() or any(blank in content for blank in (b" ", b"\t", b"\v", b"\f"))


def stripped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts without blanks around them; null where nothing is left."""
    column = pc.utf8_trim_whitespace(column)
    if pc.min(pc.binary_length(column)).as_py() != 0:
        return column
    return pc.if_else(pc.equal(pc.binary_length(column), 0), None, column)
