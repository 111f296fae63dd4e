"""Connections: URLs without their secrets, transactions, and whatever goes wrong in plain words."""

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

from hpsearch.errors import StorageError
from hpsearch.store.optuna_calls import Calls

BUSY_SECONDS = 30.0
"""How long SQLite waits for a lock that another process holds."""

_CUT_OFF = "PRAGMA auto_vacuum = INCREMENTAL"
"""Of a file that is new, or is written anew: what is free can be cut off its end."""

_EXAMPLES = "sqlite:///hpsearch.db or postgresql://user@host/database"
_SQLITE_TROUBLE = {
    "NOTADB": "expected an SQLite database; found a file of another kind. "
    "Name another file, or move this one away.",
    "CORRUPT": "the database is damaged ({error}). Restore it from a backup, or copy what is sound: "
    "hpsearch doctor --storage URL --salvage NEW.db",
    "BUSY": "another process holds the database locked. "
    "Wait for that process or end it, then repeat the command; what was stored is safe.",
    "FULL": "no space is left ({error}). What was stored before is safe: "
    "make room, then repeat the command to go on.",
    "READONLY": "the database cannot be written ({error}). "
    "Make the file and its folder writable, or copy the database to a place that is.",
    "CANTOPEN": "the database cannot be opened ({error}). "
    "Check that the file and its folder are there and that you may read and write both.",
    "IOERR": "the database cannot be read or written ({error}). "
    "What was stored before is safe if the disk is: check it, then repeat the command to go on.",
}


def shown_url(url: str) -> str:
    """The URL without its password: safe to print, log and store."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        masked = re.sub(r"^([A-Za-z][\w+.-]*://)?.*@", r"\1***@", url, flags=re.DOTALL)
        return re.sub(r"(?i)(pass\w*\s*=\s*)[^&\s]*", r"\1***", masked)
    secret = [key for key in parsed.query if "pass" in key.lower()]
    return parsed.difference_update_query(secret).render_as_string(hide_password=True)


class Connector:
    """Transactions on one database; whatever goes wrong in one is raised as a StorageError.

    shown: the URL without its password. secret_url: with it. path: the file, where the database is one.
    calls: by which Optuna's tables are written, where they cannot be in bulk.
    """

    def __init__(self, url: str) -> None:
        self.shown = shown_url(url)
        try:
            self._url = _normal(sa.make_url(url))
            self._engine = _make_engine(self._url)
        except sa.exc.NoSuchModuleError:
            scheme = url.partition(":")[0]
            raise StorageError(
                f"{self.shown}: expected a database URL such as {_EXAMPLES}; "
                f"found the unknown scheme {scheme}"
            ) from None
        except ModuleNotFoundError as error:
            package = "hpsearch[postgresql]" if error.name == "psycopg" else error.name
            raise StorageError(
                f"{self.shown}: needs the Python package {error.name}, which is not installed; "
                f"to install it: pip install {package}"
            ) from None
        except (sa.exc.SQLAlchemyError, ValueError, TypeError):
            hint = "" if "://" in url else f"; for a file, write sqlite:///{self.shown}"
            raise StorageError(
                f"{self.shown}: expected a database URL such as {_EXAMPLES}; "
                f"found something that is not one{hint}"
            ) from None
        self.path = _file(self._url)
        self.secret_url = self._url.render_as_string(hide_password=False)
        self.calls: Calls | None = None

    @property
    def missing(self) -> bool:
        """The database is a file that is not there yet."""
        return self.path is not None and not self.path.exists()

    @property
    def _empty(self) -> bool:
        return self.path is not None and self.path.exists() and self.path.stat().st_size == 0

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing.

        Raises:
            StorageError: the database cannot be read.
        """
        if self.missing:
            # SQLite would make an empty file.
            raise not_there(self.shown)
        with self._explained(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self, patience: float | None = None) -> Iterator[Connection]:
        """A transaction that is stored as a whole at its end, or not at all if anything is raised in it.

        patience: seconds to wait for a lock on an SQLite database; BUSY_SECONDS by default.

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
        """Shorten an SQLite file by its free pages, where it keeps a list of them; nothing depends on it."""
        if self.path is None or self.missing:
            return
        with suppress(StorageError), self._explained(), self._engine.connect() as connection:
            # As a script: otherwise the driver stops after the first page.
            _driver(connection).executescript("PRAGMA incremental_vacuum")

    def compact(self) -> None:
        """Write an SQLite file anew, without what is free in it.

        Raises:
            StorageError: it cannot be done; nothing has changed.
        """
        with self._explained(), self._engine.connect() as connection:
            _driver(connection).execute(_CUT_OFF)
            _driver(connection).execute("VACUUM")  # which is a transaction by itself

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _remove_empty_file(self) -> None:
        """Remove a file that was made for a transaction of which nothing was stored."""
        bare = False
        with suppress(sa.exc.SQLAlchemyError, sqlite3.Error):
            if self.path is not None and self.path.exists():
                with self._engine.connect() as connection:
                    bare = not sa.inspect(connection).get_table_names()
        self._engine.dispose()
        if self.path is not None and bare:
            with suppress(
                OSError
            ):  # on a broken disk it stays, and the trouble that led here is what is told
                self.path.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise StorageError(f"{self.shown}: {self._trouble(error.orig)}") from None
        except sa.exc.SQLAlchemyError as error:
            raise StorageError(f"{self.shown}: {self._first_line(error)}") from None
        except sqlite3.Error as error:
            raise StorageError(f"{self.shown}: {self._trouble(error)}") from None
        except UnicodeDecodeError as error:
            # From the driver: a damaged name that SQLite repeats in its own message.
            raise StorageError(f"{self.shown}: {_SQLITE_TROUBLE['CORRUPT'].format(error=error)}") from None

    def _trouble(self, error: BaseException | None) -> str:
        text = self._first_line(error)
        name = getattr(error, "sqlite_errorname", None) if isinstance(error, sqlite3.Error) else None
        if text.startswith("Could not decode to UTF-8"):
            name = "SQLITE_CORRUPT"
        known = _SQLITE_TROUBLE.get(name.split("_")[1]) if name else None
        if known:
            return known.format(error=text)
        return (
            f"the database refused: {text}. Nothing of this step was stored; what was stored before is safe."
        )

    def _first_line(self, error: BaseException | None) -> str:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        secrets = [
            self._url.password,
            *(self._url.query[key] for key in self._url.query if "pass" in key.lower()),
        ]
        for secret in secrets:
            if secret:
                line = line.replace(str(secret), "***")
        return line


def _normal(url: URL) -> URL:
    # Without a driver's name the choice is the SQLAlchemy version's; hpsearch[postgresql] brings psycopg.
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    is_uri = (url.database or "").startswith("file:")
    return None if is_uri else Path(url.database or "")


def _make_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    if url.host:
        raise ValueError("two slashes instead of three: the file would be taken for a host")
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
    # A lock that is taken when the first row is written could come too late for what was read before.
    writes = connection.get_execution_options().get("hpsearch_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def not_there(shown: str) -> StorageError:
    """The error for a database file that does not exist."""
    return StorageError(f"{shown}: no such database file; `hpsearch run` makes it")


def check_place(path: Path, shown: str, create: bool) -> None:
    """Check that a database file is there, or can be made where `create` says so.

    Raises:
        StorageError: with what is in the way.
    """
    if path.is_dir():
        raise StorageError(f"{shown}: expected a database file; found a folder. Add the file's name.")
    if path.exists():
        return
    if not create:
        raise not_there(shown)
    folder = path.absolute().parent
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "does not exist"
        raise StorageError(f"{shown}: the folder {folder} {found}; make it, or name another file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"{shown}: the folder {folder} cannot be written; name a file in another one")
