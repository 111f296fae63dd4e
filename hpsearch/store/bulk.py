"""Many rows at once: in chunks, and by an INSERT of plain tuples, faster than SQLAlchemy's of dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy.engine import Connection, Dialect

_CHUNK = 500
"""Numbers per statement; some databases allow only 999 variables."""

_MARKS = {"qmark": "?", "format": "%s", "pyformat": "%s"}
"""Placeholders by the driver's paramstyle."""

_Process = Callable[[Any], Any]


def chunks(numbers: Iterable[int]) -> list[list[int]]:
    """Distinct numbers in rising order, in chunks that fit one statement."""
    ordered = sorted({int(number) for number in numbers})
    return [ordered[at : at + _CHUNK] for at in range(0, len(ordered), _CHUNK)]


def insert(connection: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, if any; all have the columns of the first, in its order."""
    if not rows:
        return
    statement, processes = _statement(table, tuple(rows[0]), connection.dialect)
    values: Sequence[Sequence[Any]] = [tuple(row.values()) for row in rows]
    if processes:
        columns = list(zip(*values, strict=True))
        for place, process in processes:
            columns[place] = tuple([process(value) for value in columns[place]])
        values = list(zip(*columns, strict=True))
    connection.exec_driver_sql(statement, values)


@lru_cache(maxsize=64)
def _statement(
    table: Any, names: tuple[str, ...], dialect: Dialect
) -> tuple[str, list[tuple[int, _Process]]]:
    """The statement, and by column place what converts values for the driver."""
    quote = dialect.identifier_preparer.quote
    marks = ", ".join([_MARKS[dialect.paramstyle]] * len(names))
    columns = ", ".join(quote(name) for name in names)
    found = [
        (place, table.c[name].type.dialect_impl(dialect).bind_processor(dialect))
        for place, name in enumerate(names)
    ]
    statement = f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({marks})"
    return statement, [(place, process) for place, process in found if process is not None]
