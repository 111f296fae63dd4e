"""Text tables: the separator, the names, and every value as the text that was written, in batches of rows."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from hpsearch.data.containers import Content
from hpsearch.data.raw import listed
from hpsearch.errors import DataError, plural

SEPARATORS = (",", ";", "\t", "|")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_QUOTED = re.compile('"[^"]*"')
_TITLE = "; the first line must be the header, with no title or comment above it"
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*")
_BLANKS = (b" ", b"\t", b"\v", b"\f")
Way = Literal["plain", "quoted", "rows"]
"""How a text is read: by Arrow, if it has no quotes or usual ones; else row by row, far slower."""

_BLOCK = 4 << 20
"""Bytes that Arrow parses at a time; a row must fit into one block."""
_NARROW = 256
"""Columns from which blocks are larger, because each column of a block costs a little."""
_MOST_BLOCK = 64 << 20
_ROWS = 1 << 14
"""Rows of a batch that are read one by one."""


class Unfit(Exception):  # noqa: N818
    """Arrow would read a text otherwise than the csv module, or not at all. way: what to try next."""

    def __init__(self, way: Way) -> None:
        super().__init__(way)
        self.way = way


@dataclass(frozen=True)
class Written:
    """The values of a text table as they are written.

    way: how the text can be read; it has been tried. bare: no value has blanks around it.
    """

    content: Content
    names: tuple[str, ...]
    separator: str
    way: Way
    bare: bool = False

    def batches(self, names: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Of all columns, or of some, without blanks around the values; null where nothing is."""
        if self.way == "rows":
            yield from _by_rows(self.content, self.separator, names)
            return
        pieces = _Pieces(self.content, _block_size(len(self.names)), self.way == "quoted")
        places = [place for place, name in enumerate(self.names) if names is None or name in names]
        for batch in _by_arrow(pieces, self.names, self.separator, places):
            yield batch if self.bare else _stripped(batch)


class FirstReading:
    """The first time that a text table is read, when all is found out about it.

    Behind the last batch, `written` is the table, and `digest` the sha256 of the content.
    """

    written: Written
    digest: str

    def __init__(self, content: Content, way: Way) -> None:
        self._content, self._way = content, way

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Of all columns, without blanks around the values; null where nothing is.

        Raises:
            Unfit: the text is not to be read in this way; what was read so far may be wrong.
            DataError: not UTF-8, rows of other lengths, broken quotes, names that are missing or twice there.
        """
        header, head = _header(self._content)
        if self._way == "rows":
            self.digest = _check_text(self._content)
        if not header:
            raise DataError(f"{self._content.path}: the file is empty; expected a header line and rows")
        separator = _separator(self._content.path, header)
        if self._way == "rows":
            batches = _by_rows(self._content, separator, None)
            first = next(batches)
            self.written = Written(self._content, tuple(first.schema.names), separator, "rows")
            yield first
            yield from batches
            return
        if not head.startswith(header.encode()) or header.count('"') % 2:
            raise Unfit("rows")
        names = tuple(name.strip() for name in next(csv.reader([header], delimiter=separator)))
        try:
            check_names("", list(names))
        except DataError:
            raise Unfit("rows") from None
        if self._way == "plain" and b'"' in head:
            raise Unfit("quoted")
        yield from self._by_arrow(names, separator)

    def _by_arrow(self, names: tuple[str, ...], separator: str) -> Iterator[pa.RecordBatch]:
        pieces = _Checked(self._content, _block_size(len(names)), self._way == "quoted", separator)
        try:
            for batch in _by_arrow(pieces, names, separator, list(range(len(names)))):
                yield _stripped(batch) if pieces.blanks else batch
        except pa.ArrowException:
            raise Unfit("rows") from None  # the slow reader knows the line
        self.digest = pieces.digest.hexdigest()
        self.written = Written(self._content, names, separator, self._way, not pieces.blanks)


def names_of(content: Content) -> list[str]:
    """The names of a table's columns, without a look at its rows."""
    header, _ = _header(content)
    if not header:
        raise DataError(f"{content.path}: the file is empty; expected a header line and rows")
    rows = csv.reader([header], delimiter=_separator(content.path, header), skipinitialspace=True)
    names = [name.strip() for name in next(rows)]
    check_names(f"{content.path}:1", names)
    return names


def line_of(content: Content, row: int) -> int:
    """The line, from 1, of a row of data, from 0, in a text file that was read."""
    header, _ = _header(content)
    with content.open() as stream, _text(stream) as text:
        rows = csv.reader(text, delimiter=_separator(content.path, header), skipinitialspace=True)
        found, line = -2, 1
        for values in rows:
            found += bool(values)
            if found == row:
                return line
            line = rows.line_num + 1
    return line


# -- by blocks -----------------------------------------------------------------------------------


class _Pieces:
    """A text without its byte order mark in pieces of whole rows.

    Arrow's own stream reads 32 blocks ahead. quoted: there are quotes, between which rows don't end.
    """

    def __init__(self, content: Content, block: int, quoted: bool) -> None:
        self._content, self._block, self._quoted = content, block, quoted

    def __iter__(self) -> Iterator[bytes]:
        left, first = b"", True
        for block in self._content.blocks(self._block):
            self._see(block)
            text = left + (block.removeprefix(_BYTE_ORDER_MARK) if first else block)
            first = False
            end = text.rfind(b"\n") + 1
            while self._quoted and end and text.count(b'"', 0, end) % 2:
                end = text.rfind(b"\n", 0, end - 1) + 1
            left = text[end:]
            if len(left) > _MOST_BLOCK:
                raise Unfit("rows")
            if end:
                yield self._checked(text[:end])
        if left:
            yield self._checked(left)

    def _see(self, block: bytes) -> None:
        """A look at each block as it comes."""

    def _checked(self, piece: bytes) -> bytes:
        return piece


class _Checked(_Pieces):
    """A text that is hashed and looked at while it is read. blanks: values may have blanks around them."""

    def __init__(self, content: Content, block: int, quoted: bool, separator: str) -> None:
        super().__init__(content, block, quoted)
        self.digest = hashlib.sha256()
        self.blanks = False
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        mark = re.escape(separator.encode())
        # Something before an opening quote, or behind a closing one. Found in vain, it costs time alone.
        self._odd = re.compile(rb'[^\r\n%s"]"(?:[^"]|"")*"|"(?:[^"]|"")*"(?![\r\n%s]|\Z)' % (mark, mark))

    def __iter__(self) -> Iterator[bytes]:
        yield from super().__iter__()
        if self._decoder.getstate()[0]:
            raise Unfit("rows")

    def _see(self, block: bytes) -> None:
        self.digest.update(block)
        if not block.isascii() or self._decoder.getstate()[0]:  # ten times as fast as to decode
            self.blanks = True
            try:
                self._decoder.decode(block)
            except UnicodeDecodeError:
                raise Unfit("rows") from None
        if b"\0" in block:
            raise Unfit("rows")
        if b'"' in block and not self._quoted:
            raise Unfit("quoted")
        self.blanks = self.blanks or any(blank in block for blank in _BLANKS)

    def _checked(self, piece: bytes) -> bytes:
        """Where quotes stand only around whole values, Arrow reads them as the csv module does."""
        if self._quoted and (piece.count(b'"') % 2 or self._odd.search(piece)):
            raise Unfit("rows")
        return piece


def _block_size(columns: int) -> int:
    return min(_BLOCK * max(1, columns // _NARROW), _MOST_BLOCK)


def _by_arrow(
    pieces: _Pieces, names: tuple[str, ...], separator: str, places: list[int]
) -> Iterator[pa.RecordBatch]:
    """Of the columns at some places; one piece is cut while the last is taken."""
    keys, taken = list(map(str, range(len(names)))), [names[place] for place in places]
    parsing = pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    converting = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(keys, pa.string()),
        include_columns=[keys[place] for place in places],
        null_values=[""],
        check_utf8=False,  # it is
        strings_can_be_null=True,
    )

    def cut(piece: bytes, skipped: int) -> pa.RecordBatch:
        reading = pyarrow.csv.ReadOptions(
            column_names=keys, skip_rows=skipped, block_size=len(piece) + 1, use_threads=False
        )
        table = pyarrow.csv.read_csv(pa.py_buffer(piece), reading, parsing, converting)
        columns = [
            column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns
        ]
        return pa.RecordBatch.from_arrays(columns, names=taken)

    with ThreadPoolExecutor(1) as ahead:
        skipped, waiting = 1, None
        for piece in pieces:
            if not piece.strip():
                continue
            cutting = ahead.submit(cut, piece, skipped)
            if waiting is not None:
                yield waiting.result()
            waiting, skipped = cutting, 0
        if waiting is not None:
            yield waiting.result()


def _stripped(batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(map(stripped, batch.columns)), names=batch.schema.names)


def stripped(column: Any) -> Any:
    """Texts without blanks around them; null where nothing is left."""
    column = pc.utf8_trim_whitespace(column)
    if pc.min(pc.binary_length(column)).as_py() != 0:
        return column
    return pc.if_else(pc.equal(pc.binary_length(column), 0), None, column)


# -- row by row ----------------------------------------------------------------------------------


def _by_rows(content: Content, separator: str, taken: Collection[str] | None) -> Iterator[pa.RecordBatch]:
    """What Arrow would read wrongly, or not at all: blank lines, quotes within values, rows too short.

    The first batch has no rows.
    """
    path = content.path
    names: list[str] = []
    places: list[int] = []
    rows: list[list[str]] = []
    line = 1
    with content.open() as stream, _text(stream) as text:
        reader = csv.reader(text, delimiter=separator, skipinitialspace=True, strict=True)
        try:
            for row in reader:
                if row and not names:
                    names = [name.strip() for name in row]
                    check_names(f"{path}:{line}", names)
                    places = [place for place, name in enumerate(names) if taken is None or name in taken]
                    yield _batch([[] for _ in places], [names[place] for place in places])
                elif row and len(row) != len(names):
                    raise DataError(
                        f"{path}:{line}: expected {plural(len(names), 'value')}, as the header has columns; "
                        f"found {len(row)}{_TITLE * (len(names) == 1)}"
                    )
                elif row:
                    rows.append([row[place] for place in places])
                if len(rows) == _ROWS:
                    yield _of_rows(rows, [names[place] for place in places])
                    rows = []
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}:{line}: not readable as a table: {error}; check the quotes") from None
    if rows:
        yield _of_rows(rows, [names[place] for place in places])


def _of_rows(rows: list[list[str]], names: list[str]) -> pa.RecordBatch:
    return _stripped(_batch(list(zip(*rows, strict=True)), names))


def _batch(columns: list[Any], names: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], names=names)


class _Bytes(io.RawIOBase):
    """A stream of blocks for Python's readers of text."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def _text(stream: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(_Bytes(stream), 1 << 20), encoding="utf-8-sig", newline="")


# -- the text ------------------------------------------------------------------------------------


def _check_text(content: Content) -> str:
    """The sha256 of a content that is UTF-8 without a null byte."""
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    fine = True
    for block in content.blocks():
        digest.update(block)
        try:
            decoder.decode(block)
        except UnicodeDecodeError:
            fine = False
        fine = fine and b"\0" not in block  # legal in UTF-8, but a sign of UTF-16 or of no text at all
    if not fine or decoder.getstate()[0]:
        raise _no_text(content.path, content.whole())
    return digest.hexdigest()


def _no_text(path: Path, content: bytes) -> DataError:
    content = content.removeprefix(_BYTE_ORDER_MARK)
    try:
        content.decode("utf-8")
        wrong = content.find(b"\0")
    except UnicodeDecodeError as error:
        wrong = error.start
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return DataError(f"{path}: expected UTF-8 text; found UTF-16; save the file with UTF-8 encoding")
    line = content.count(b"\n", 0, wrong) + 1
    column = wrong - content.rfind(b"\n", 0, wrong)
    return DataError(
        f"{path}:{line}:{column}: expected UTF-8 text; found the byte {content[wrong]:#04x}; "
        "save the file with UTF-8 encoding"
    )


def _header(content: Content) -> tuple[str, bytes]:
    """The first line that is not blank, and how the content begins."""
    with content.open() as stream:
        head = io.BufferedReader(_Bytes(stream), 1 << 16).read(1 << 20).removeprefix(_BYTE_ORDER_MARK)
    start = head.decode(errors="ignore")
    return next((line for line in re.split(r"\r\n|\n|\r", start) if line.strip()), ""), head


def _separator(path: Path, header: str) -> str:
    if ".tsv" in Path(path.name.lower()).suffixes[-2:]:
        return "\t"
    return max(SEPARATORS, key=_QUOTED.sub("", header).count)


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
