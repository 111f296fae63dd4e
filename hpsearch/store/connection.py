"""Connections: URLs without secrets, transactions, and database errors in plain words."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine

from hpsearch.errors import StorageError, without_secrets
from hpsearch.store.optuna_calls import Calls

BUSY_SECONDS = 30.0
"""How long SQLite waits for a lock that another process holds."""

_CUT_OFF = "PRAGMA auto_vacuum = INCREMENTAL"
"""For a new or rewritten file: lets `give_back` cut free pages off its end."""

_EXAMPLES = "sqlite:///hpsearch.db or postgresql://user@host/database"
_SQLITE_TROUBLE = {
    "NOTADB": "expected an SQLite database; found a file of another kind. "
    "Name another file, or move this one away.",
    "CORRUPT": "the database is damaged ({error}). Restore it from a backup, or salvage the sound rows: "
    "hpsearch doctor --storage URL --salvage NEW.db",
    "BUSY": "another process has locked the database. "
    "Wait for it or end it, then repeat the command; stored results are safe.",
    "FULL": "no space left ({error}). Stored results are safe: "
    "free some space, then repeat the command to resume.",
    "READONLY": "the database is read-only ({error}). "
    "Make the file and its folder writable, or copy the database to a writable folder.",
    "CANTOPEN": "the database cannot be opened ({error}). "
    "Check that the file and its folder exist and that you may read and write both.",
    "IOERR": "the database cannot be read or written ({error}). "
    "Stored results are safe if the disk is: check it, then repeat the command to resume.",
}


def shown_url(url: str) -> str:
    """The URL without its password: safe to print, log and store."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        masked = re.sub(r"^([A-Za-z][\w+.-]*://)?.*@", r"\1***@", url, flags=re.DOTALL)
        return without_secrets(masked)
    shown = parsed.difference_update_query(_secret_keys(parsed)).render_as_string(hide_password=True)
    return without_secrets(shown)


def _secret_keys(url: URL) -> list[str]:
    """Keys of the URL's query whose values are secrets."""
    return [key for key in url.query if without_secrets(f"{key}=x") != f"{key}=x"]


class Connector:
    """Transactions on one database; raises whatever goes wrong as a StorageError.

    shown: the URL without its password. secret_url: with it. path: the file, if the database is one.
    calls: writes Optuna's tables, if they cannot be written in bulk.
    """

    def __init__(self, url: str) -> None:
        self.shown = shown_url(url)
        try:
            self._url = sa.make_url(url)
            if self._url.drivername == "postgresql":
                # Without a driver's name SQLAlchemy picks one by version; hpsearch[postgresql] has psycopg.
                self._url = self._url.set(drivername="postgresql+psycopg")
            self._engine = _make_engine(self._url)
        except sa.exc.NoSuchModuleError:
            scheme = url.partition(":")[0]
            raise StorageError(
                f"{self.shown}: expected a database URL such as {_EXAMPLES}; found unknown scheme {scheme}"
            ) from None
        except ModuleNotFoundError as error:
            package = "hpsearch[postgresql]" if error.name == "psycopg" else error.name
            raise StorageError(
                f"{self.shown}: needs the Python package {error.name}, which is not installed; "
                f"to install it: pip install '{package}'"
            ) from None
        except (sa.exc.SQLAlchemyError, ValueError, TypeError):
            hint = "" if "://" in url else f"; for a file, write sqlite:///{self.shown}"
            raise StorageError(
                f"{self.shown}: expected a database URL such as {_EXAMPLES}; found no URL{hint}"
            ) from None
        self.path = _file(self._url)
        self.secret_url = self._url.render_as_string(hide_password=False)
        self.calls: Calls | None = None

    @property
    def missing(self) -> bool:
        """The database is a file that does not exist yet."""
        return self.path is not None and not os.path.exists(self.path)

    @property
    def _empty(self) -> bool:
        return self.path is not None and os.path.exists(self.path) and self.path.stat().st_size == 0

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only transaction that sees one state of the database.

        Raises:
            StorageError: the database cannot be read.
        """
        if self.missing:
            # SQLite would create an empty file.
            raise not_there(self.shown)
        with self._explained(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self, patience: float | None = None) -> Iterator[Connection]:
        """A transaction that commits at its end, or rolls back if anything is raised in it.

        patience: seconds to wait for a lock on an SQLite database; None: BUSY_SECONDS.

        Raises:
            StorageError: the database cannot be written.
        """
        new = self.missing
        try:
            with self._explained(), self._engine.connect() as connection:
                if new or self._empty:
                    _driver(connection).execute(_CUT_OFF)
                connection.execution_options(hpsearch_writes=True)
                if patience is not None and connection.dialect.name == "sqlite":
                    _driver(connection).execute(f"PRAGMA busy_timeout = {round(1000 * patience)}")
                with connection.begin():
                    yield connection
        except BaseException:
            if new:
                self._remove_empty_file()
            raise

    def give_back(self) -> None:
        """Cut the free pages off an SQLite file, where it lists them; nothing depends on success."""
        if self.path is None or self.missing:
            return
        with suppress(StorageError), self._explained(), self._engine.connect() as connection:
            # As a script: otherwise the driver stops after the first page.
            _driver(connection).executescript("PRAGMA incremental_vacuum")

    def compact(self) -> None:
        """Rewrite an SQLite file without its free pages.

        Raises:
            StorageError: it failed; nothing has changed.
        """
        with self._explained(), self._engine.connect() as connection:
            _driver(connection).execute(_CUT_OFF)
            _driver(connection).execute("VACUUM")  # which is a transaction by itself

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _remove_empty_file(self) -> None:
        """Remove a file that was created for a transaction that stored nothing."""
        bare = False
        with suppress(sa.exc.SQLAlchemyError, sqlite3.Error):
            if self.path is not None and os.path.exists(self.path):
                with self._engine.connect() as connection:
                    bare = not sa.inspect(connection).get_table_names()
        self._engine.dispose()
        if self.path is not None and bare:
            with suppress(OSError):  # on a broken disk it stays; the first error is the one to report
                self.path.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            raise StorageError(f"{self.shown}: {self._trouble(cause)}") from None
        except sa.exc.SQLAlchemyError as error:
            raise StorageError(f"{self.shown}: {self._first_line(error)}") from None
        except UnicodeDecodeError as error:
            # The driver fails to decode a damaged name in SQLite's own message.
            raise StorageError(f"{self.shown}: {_SQLITE_TROUBLE['CORRUPT'].format(error=error)}") from None

    def _trouble(self, error: BaseException | None) -> str:
        text = self._first_line(error)
        name = getattr(error, "sqlite_errorname", None) if isinstance(error, sqlite3.Error) else None
        if text.startswith("Could not decode to UTF-8"):
            name = "SQLITE_CORRUPT"
        known = _SQLITE_TROUBLE.get(name.split("_")[1]) if name else None
        if known:
            return known.format(error=text)
        return f"the database refused: {text}. This step stored nothing; earlier results are safe."

    def _first_line(self, error: BaseException | None) -> str:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        secrets = [
            self._url.password,
            *(self._url.query[key] for key in _secret_keys(self._url)),
        ]
        for secret in secrets:
            if secret:
                line = line.replace(str(secret), "***")
        return line


def _file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    is_uri = (url.database or "").startswith("file:")
    return None if is_uri else Path(url.database or "")


def _make_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    if url.host:
        raise ValueError("two slashes instead of three: SQLite would take the file for a host")
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    sa.event.listen(engine, "connect", _leave_transactions_to_begin)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _driver(connection: Connection) -> Any:
    """The driver's own connection, outside of SQLAlchemy's transactions."""
    return connection.connection.driver_connection


def _leave_transactions_to_begin(connection: Any, record: Any) -> None:
    # The driver itself begins no transaction before reading or creating tables.
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    # Locking only at the first write could be too late for what was read before it.
    writes = connection.get_execution_options().get("hpsearch_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def not_there(shown: str) -> StorageError:
    """The error for a database file that does not exist."""
    return StorageError(f"{shown}: no such database file; `hpsearch run` creates it")


def check_place(path: Path, shown: str, create: bool) -> None:
    """Check that a database file exists or, with `create`, can be created.

    Raises:
        StorageError: it cannot; says why.
    """
    if os.path.isdir(path):
        raise StorageError(f"{shown}: expected a database file; found a folder. Add the file's name.")
    if os.path.exists(path):
        if not os.path.isfile(path):  # opening a pipe would wait for whoever writes into it
            raise StorageError(f"{shown}: expected a database file; found a pipe or a device. Name a file.")
        return
    if not create:
        raise not_there(shown)
    folder = path.absolute().parent
    if not os.path.isdir(folder):
        found = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise StorageError(f"{shown}: the folder {folder} {found}; create it, or name another file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"{shown}: the folder {folder} is not writable; name a file in another one")
