"""A look into an SQLite database with Python's own driver: for completion, where SQLAlchemy's import is long.

Nothing here writes, creates a file, waits for a lock or checks a checksum: what is found is only proposed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

_PREFIX = "sqlite:///"
_PATIENCE = 0.1
"""Seconds to wait for a lock."""


def study_names(url: str) -> list[str]:
    """Names of the studies in an SQLite database, oldest first.

    Raises:
        sqlite3.Error: it cannot be read. ValueError: it is no SQLite file.
    """
    return [name for (name,) in _rows(url, "SELECT name FROM hpsearch_studies ORDER BY study_id")]


def trial_states(url: str, study: str) -> list[tuple[int, str, int, str | None]]:
    """Number, state, epochs and value of a study's trials; errors as in `study_names`."""
    query = (
        "SELECT number, t.state, epochs, value FROM hpsearch_trials t "
        "JOIN hpsearch_studies s ON s.study_id = t.study_id WHERE s.name = ? ORDER BY number"
    )
    return list(_rows(url, query, study))


def _rows(url: str, query: str, *values: str) -> Iterator[tuple]:  # type: ignore[type-arg]
    if not url.startswith(_PREFIX):
        raise ValueError(f"expected {_PREFIX}…")
    path = Path(url.removeprefix(_PREFIX).partition("?")[0])
    if not path.is_file():
        raise ValueError("no such file")
    uri = f"file:{quote(str(path))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE)) as connection:
        yield from connection.execute(query, values)
