"""Reading rows as they are, sound or not: of a damaged SQLite file, all that can still be reached."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.store.connection import BUSY_SECONDS

_LARGEST_HOLE = 1 << 16
"""Rows that are tried one by one behind one that cannot be read; no page leads to many more."""

_COMPLAINTS = 10
"""Of SQLite about a file, that are asked for."""

_UNREADABLE = (sqlite3.Error, UnicodeError, OverflowError)

Values = tuple[Any, ...]
"""A row: values in the order of the table's columns. Times are naive, enumerations are their names."""


@dataclass(frozen=True)
class Hole:
    """Rows of a table that cannot be read. where: between which keys."""

    table: str
    where: str
    error: str


class Source(Protocol):
    """A database that rows are read from. holes: grows with what could not be read."""

    holes: list[Hole]

    def complaints(self) -> list[str]:
        """What the database itself finds wrong."""
        ...

    def rows(self, table: sa.Table) -> Iterator[Values]:
        """All rows of a table that can be read; none if it is not there."""
        ...


class SelectSource:
    """A database behind a connection: whatever cannot be read is an error of it."""

    def __init__(self, connection: Connection) -> None:
        self.holes: list[Hole] = []
        self._connection = connection

    def complaints(self) -> list[str]:
        return []

    def rows(self, table: sa.Table) -> Iterator[Values]:
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
    """An SQLite file, in one state of it. Text that is no UTF-8 comes as surrogates: it fits no checksum."""

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
            self._connection.execute("PRAGMA writable_schema = ON")  # passes over what cannot be understood
            names = self._connection.execute(listed).fetchall()
        self._tables = {name for (name,) in names}

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def complaints(self) -> list[str]:
        """What SQLite finds: damage of the structure and of indexes, not of values."""
        try:
            found = self._connection.execute(f"PRAGMA integrity_check({_COMPLAINTS})").fetchall()
        except _UNREADABLE as error:
            return [str(error)]
        lines = [line for row in found for line in str(row[0]).splitlines()]
        return [] if lines == ["ok"] else lines

    def rows(self, table: sa.Table) -> Iterator[Values]:
        """All rows that can be read, in the order of their key. Indexes, which may be damaged where rows are
        not, are not used.
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
        """Rows from a key on: behind each that cannot be read, the next that can."""
        while True:
            try:
                for row in self._connection.execute(select, start):
                    start = _next(row[: len(start)])
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
        """The next key from which on a row can be read, or None if there is none near."""
        for step in range(1, _LARGEST_HOLE):
            tried = (*key[:-1], key[-1] + step)
            try:
                self._connection.execute(f"{select} LIMIT 1", tried).fetchone()
                return tried
            except _UNREADABLE:
                continue
        return None


def _next(key: Values) -> tuple[int, ...]:
    return (*key[:-1], key[-1] + 1)


def _shown(key: tuple[int, ...] | None) -> str:
    if key is None:
        return "the end"
    return "the first" if min(key) < -(1 << 62) else "/".join(map(str, key))


def _time(stored: Any) -> Any:
    """The time of SQLite's text, or the text if it is none."""
    parse: Callable[[str], datetime] = datetime.fromisoformat
    try:
        return parse(stored)
    except (TypeError, ValueError):
        return stored
