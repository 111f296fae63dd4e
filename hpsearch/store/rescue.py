"""Reading rows as they are, sound or not: from a damaged SQLite file, all that can still be reached."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.store.connection import BUSY_SECONDS

_LARGEST_HOLE = 1 << 16
"""Rows to try one by one after an unreadable one; no page holds many more."""

_MOST_HOLES = 1000
"""In a table; a file that has more is searched no further."""

_COMPLAINTS = 10
"""The most complaints of SQLite about a file."""

_UNREADABLE = (sqlite3.Error, UnicodeError, OverflowError)

Values = tuple[Any, ...]
"""A row, in the order of the table's columns. Times are naive, enumerations are names."""


@dataclass(frozen=True)
class Hole:
    """Unreadable rows of a table. where: range of keys."""

    table: str
    where: str
    error: str


class SelectSource:
    """A database behind a connection; it raises what it cannot read, so there are no holes."""

    def __init__(self, connection: Connection) -> None:
        self.holes: list[Hole] = []
        self._connection = connection

    def complaints(self) -> list[str]:
        """None: a server checks itself."""
        return []

    def rows(self, table: sa.Table) -> Iterator[Values]:
        """All rows of a table; none without the table."""
        if not sa.inspect(self._connection).has_table(table.name):
            return
        plain = [
            sa.type_coerce(column, sa.String).label(column.name)
            if isinstance(column.type, sa.Enum)
            else column
            for column in table.columns
        ]
        for row in self._connection.execute(sa.select(*plain)):
            yield tuple(row)


class FileSource:
    """One state of an SQLite file. Invalid UTF-8 becomes surrogates, which match no checksum.

    holes: grows with what could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.holes: list[Hole] = []
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        self._connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        self._tables: set[str] = set()
        try:
            self._begin()
        except _UNREADABLE as error:
            self.holes.append(Hole("", "the list of its tables", str(error)))

    def _begin(self) -> None:
        listed = "SELECT name FROM sqlite_master WHERE type = 'table'"
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute("BEGIN")
        try:
            names = self._connection.execute(listed).fetchall()
        except _UNREADABLE:
            self._connection.execute("PRAGMA writable_schema = ON")  # skips what it cannot parse
            names = self._connection.execute(listed).fetchall()
        self._tables = {name for (name,) in names}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def complaints(self) -> list[str]:
        """What SQLite finds: damaged structure and indexes, not damaged values."""
        try:
            found = self._connection.execute(f"PRAGMA integrity_check({_COMPLAINTS})").fetchall()
        except _UNREADABLE as error:
            return [str(error)]
        lines = [line for row in found for line in str(row[0]).splitlines()]
        return [] if lines == ["ok"] else lines

    def rows(self, table: sa.Table) -> Iterator[Values]:
        """All readable rows of a table by key; none without the table. Avoids indexes: one may be damaged
        where the rows are not.
        """
        if table.name not in self._tables:
            return
        clustered = table.dialect_options["sqlite"]["with_rowid"] is False
        key = [column.name for column in table.primary_key] if clustered else ["rowid"]
        listed, marks = ", ".join(key), ", ".join("?" * len(key))
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        select = (
            f'SELECT {listed}, {columns} FROM "{table.name}" NOT INDEXED '
            f"WHERE ({listed}) >= ({marks}) ORDER BY {listed}"
        )
        times = [at for at, column in enumerate(table.columns) if isinstance(column.type, sa.DateTime)]
        start = (-(1 << 63),) * len(key)
        for found in self._scan(table.name, select, start):
            values = list(found[len(key) :])
            for at in times:
                values[at] = _time(values[at])
            yield tuple(values)

    def _scan(self, table: str, select: str, start: tuple[int, ...]) -> Iterator[Values]:
        """Readable rows from a key on."""
        for _ in range(_MOST_HOLES):
            try:
                for row in self._connection.execute(select, start):
                    start = _next(row[: len(start)], start)
                    yield row
                return
            except _UNREADABLE as error:
                after = self._readable(select, start)
                shown = " to ".join(_shown(key) for key in (start, after))
                self.holes.append(Hole(table, f"rows {shown}", str(error)))
                if after is None:
                    return
                start = after

    def _readable(self, select: str, key: tuple[int, ...]) -> tuple[int, ...] | None:
        """The next key from which a row can be read, or None if there is none near."""
        for step in range(1, _LARGEST_HOLE):
            tried = (*key[:-1], key[-1] + step)
            try:
                self._connection.execute(f"{select} LIMIT 1", tried).fetchone()
                return tried
            except _UNREADABLE:
                continue
        return None


def _next(key: Values, before: tuple[int, ...]) -> tuple[int, ...]:
    """The key after this one. In damaged pages keys may be no numbers, or go back: that would never end."""
    if not all(isinstance(part, int) for part in key):
        return before
    return max(before, (*key[:-1], key[-1] + 1))


def _shown(key: tuple[int, ...] | None) -> str:
    if key is None:
        return "the end"
    return "the first" if min(key) < -(1 << 62) else "/".join(map(str, key))


def _time(stored: Any) -> Any:
    """The time in SQLite's text, or the text if it is none."""
    try:
        return datetime.fromisoformat(stored)
    except (TypeError, ValueError):
        return stored


Source = SelectSource | FileSource
