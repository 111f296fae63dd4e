"""A text table's columns, gathered from batches of rows so that its texts are never there at once.

A column of plain numbers becomes float64, one of few different texts becomes codes. Of any other column the
texts are read again when they are asked for, together with those of its neighbours, as many as fit.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hpsearch.data.columns import room
from hpsearch.data.containers import Content
from hpsearch.data.delimited import FirstReading, Unfit, Way, Written
from hpsearch.data.texts import LONG, MISSING_MARKS, MOST_EXACT, PADDED, THOUSANDS, Distinct, Numbers, matches

_FEW = 4096
"""Different texts up to which they are kept as codes."""
_TOGETHER = 32 << 20
"""Bytes of texts that are read again together, at least."""
_SHARE = 2
"""Bytes of texts that are read again together, for each value of the table."""
_MARKS = pa.array(sorted(MISSING_MARKS), pa.string())


class _Column:
    """One column, as far as it was read."""

    def __init__(self, numeric: bool) -> None:
        self.bytes = 0
        self._rows = self._expected = 0
        self._numeric, self._few = numeric, True
        self._store: NDArray[Any] = np.empty(0, np.float64 if numeric else np.int16)
        self._whole, self._padded, self._long, self._top = True, False, False, 0.0
        self._dotted = self._proves = self._marked = self._strange = self._any = False
        self._places: dict[str, int] = {}
        self._first: list[int] = []

    def add(self, texts: pa.Array, expected: int) -> None:
        """Further rows. expected: of the whole table, roughly."""
        self.bytes += texts.nbytes
        self._expected = max(self._expected, expected)
        if self._numeric and not self._add_numbers(texts):
            self._numeric, self._few = False, self._few and not self._any  # earlier texts are gone
            self._store = np.full(self._rows, -1, np.int16)
        if not self._numeric and self._few and not self._add_codes(texts):
            self._few = False
        if not (self._numeric or self._few):
            self._store, self._places = np.empty(0), {}
        self._rows += len(texts)
        self._any = self._any or texts.null_count < len(texts)

    def _append(self, values: NDArray[Any]) -> None:
        end = self._rows + len(values)
        if end > len(self._store):
            kept, kind = self._store[: self._rows], self._store.dtype
            self._store = room(max(end, self._expected, len(self._store) * 3 // 2), kind)
            self._store[: self._rows] = kept
        self._store[self._rows : end] = values

    # -- numbers -------------------------------------------------------------------------------------

    def _add_numbers(self, texts: pa.Array) -> bool:
        try:
            cast = pc.cast(texts, pa.float64())
        except pa.ArrowInvalid:
            texts = pc.if_else(pc.is_in(texts, value_set=_MARKS), None, texts)
            self._marked = True
            try:
                cast = pc.cast(texts, pa.float64())
            except pa.ArrowInvalid:
                return False
        values: NDArray[np.float64] = cast.to_numpy(zero_copy_only=False)
        self._append(values)
        if np.count_nonzero(np.isnan(values)) > texts.null_count:
            nans = texts.filter(pc.is_nan(cast).fill_null(False))
            self._strange = self._strange or not pc.all(pc.is_in(nans, value_set=_MARKS)).as_py()
        if self._whole:
            self._look_at(texts, values)
        if not self._proves:
            dotted = texts.filter(pc.match_substring(texts, "."))
            self._dotted = self._dotted or len(dotted) > 0
            self._proves = not matches(dotted, THOUSANDS).all()
        return True

    def _look_at(self, texts: pa.Array, values: NDArray[np.float64]) -> None:
        """Whether numbers are still whole, and would be spoilt as such."""
        known = values[np.isfinite(values)]
        self._whole = bool((known == np.floor(known)).all())
        if not self._whole or not len(known):
            return
        self._top = max(self._top, float(np.abs(known).max()))
        zeros = texts.filter(pc.or_(pc.starts_with(texts, "0"), pc.starts_with(texts, "-0")))
        self._padded = self._padded or bool(matches(zeros, PADDED).any())
        if pc.max(pc.binary_length(texts)).as_py() >= 16:
            self._long = self._long or bool(matches(texts, LONG).any())

    @property
    def numbers(self) -> Numbers | None:
        """The column, if it is one of numbers; their memory is then no longer held here."""
        if not self._numeric or (self._marked and self._strange):
            return None
        values, self._store = self._store[: self._rows], np.empty(0)
        if self._marked and not np.isfinite(values).any():
            return None
        named = self._whole and (self._padded or (self._long and self._top >= MOST_EXACT))
        return Numbers(values, named, self._dotted, self._proves)

    # -- few texts -----------------------------------------------------------------------------------

    def _add_codes(self, texts: pa.Array) -> bool:
        encoded = texts.dictionary_encode()
        if len(encoded.dictionary) + len(self._places) > 2 * _FEW:
            return False
        words = encoded.dictionary.to_pylist()
        local = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
        if any(word not in self._places for word in words):
            first = np.zeros(len(words) + 1, np.int64)
            first[local[::-1]] = np.arange(len(local) - 1, -1, -1)
            for word, row in zip(words, first.tolist(), strict=False):
                if word not in self._places:
                    self._places[word] = len(self._places)
                    self._first.append(self._rows + row)
        if len(self._places) > _FEW:
            return False
        codes = np.array([*(self._places[word] for word in words), -1], np.int16)
        self._append(codes[local])
        return True

    @property
    def distinct(self) -> Distinct | None:
        """The column's different texts, if they are few."""
        if self._numeric or not self._few:
            return None
        codes = self._store[: self._rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(self._places))
        first = np.array(self._first, np.int64)
        return Distinct(pa.array(list(self._places), pa.string()), counts, first, codes)


@dataclass(frozen=True)
class Gathered:
    """A text table. digest: sha256 of the content."""

    columns: Texts
    rows: int
    digest: str
    numbers: dict[str, Numbers]
    few: dict[str, Distinct]


class Texts(Mapping[str, pa.ChunkedArray]):
    """The texts of each column, without blanks around them; null where nothing is.

    Those that are not held as codes are read again, with their neighbours, and held until others are.
    """

    def __init__(
        self, written: Written, rows: int, few: Mapping[str, Distinct], sizes: Mapping[str, int]
    ) -> None:
        self._written, self._few, self._sizes = written, few, sizes
        self._names = dict.fromkeys(written.names)
        self._most = max(_TOGETHER, _SHARE * rows * len(written.names))
        self._held: dict[str, pa.ChunkedArray] = {}
        self._lock = Lock()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        if (few := self._few.get(name)) is not None:
            codes = pa.array(few.codes, pa.int16(), mask=few.codes < 0)
            return pa.chunked_array([few.values.take(codes)], pa.string())
        with self._lock:
            if name not in self._held:
                self._held = {}
                self._held = self._read(self.group(name))
            return self._held[name]

    def group(self, name: str) -> list[str]:
        """A column and those behind it that are read with it."""
        if name not in self._sizes:
            return [name]
        names = list(self._sizes)
        found, size = [name], self._sizes[name]
        for other in names[names.index(name) + 1 :]:
            if (size := size + self._sizes[other]) > self._most:
                break
            found.append(other)
        return found

    def _read(self, names: Collection[str]) -> dict[str, pa.ChunkedArray]:
        batches = list(self._written.batches(names))
        return {
            name: pa.chunked_array([batch.column(name) for batch in batches], pa.string()) for name in names
        }


def gather(content: Content, plain: Mapping[str, bool]) -> Gathered:
    """A text table's columns.

    plain: of some columns, whether they may be plain numbers.

    Raises:
        DataError: not UTF-8, rows of other lengths, broken quotes, names that are missing or twice there.
    """
    way: Way = "plain"
    while True:
        try:
            return _gathered(content, way, plain)
        except Unfit as error:
            way = error.way


def _gathered(content: Content, way: Way, plain: Mapping[str, bool]) -> Gathered:
    reading = FirstReading(content, way)
    columns: dict[str, _Column] = {}
    rows, expected, size = 0, 0, 0
    added: Iterator[None] = iter(())
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for batch in reading.batches():
            names = batch.schema.names
            columns = columns or {name: _Column(plain.get(name, True)) for name in names if name}
            size += batch.nbytes
            rows += batch.num_rows
            if content.size and not expected and rows:
                # Arrow needs 4 bytes a value where the text has a separator.
                text = max(size - 3 * rows * len(names), 1)
                expected = min(int(content.size * 1.1 / text * rows) + 1, content.size)
            values = [batch.column(place) for place, name in enumerate(names) if name]
            list(added)  # the last batch, while this one was cut
            added = threads.map(_Column.add, columns.values(), values, repeat(expected))
        list(added)
    numbers = {name: found for name, column in columns.items() if (found := column.numbers) is not None}
    few = {name: words for name, column in columns.items() if (words := column.distinct) is not None}
    sizes = {name: each.bytes for name, each in columns.items() if name not in numbers and name not in few}
    return Gathered(Texts(reading.written, rows, few, sizes), rows, reading.digest, numbers, few)
