"""What a user is told about a database that cannot be used, and that it is left as it was."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from hpsearch.errors import StorageError
from hpsearch.records import Cohort
from hpsearch.store import Database, connection, ddl, migrations, shown_url
from tests.store_study import all_states, execute, filled_file, new_trial, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one study."""
    path = tmp_path / "x.db"
    path.write_bytes(filled_file())
    return path


def refused(url: str, *, create: bool = False) -> str:
    """The one-line message with which the URL is refused."""
    with pytest.raises(StorageError) as caught:
        Database.open(url, create=create)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.__cause__ is None
    return message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("postgresql://anna:secret@host/db", "postgresql://anna:***@host/db"),
        ("postgresql+psycopg://anna:s%40cret@host:5432/db", "postgresql+psycopg://anna:***@host:5432/db"),
        ("postgresql://host/db?user=anna&password=secret", "postgresql://host/db?user=anna"),
        ("postgresql://anna:secret@host:port/db", "postgresql://***@host:port/db"),
        ("postgresql:/anna:secret@host/db", "***@host/db"),
        ("host=h password=secret user=anna", "host=h password=*** user=anna"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    if not url.startswith("sqlite") and find_spec("psycopg") is None:
        message = refused(url, create=True)
        assert message.startswith(shown)
        assert "cret" not in message


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("x.db", "expected a database URL such as .*for a file, write sqlite:///x.db"),
        ("sqlite://x.db", "expected a database URL such as sqlite:///hpsearch.db"),
        ("postgres://host/db", "unknown scheme postgres"),
        ("redis://host/0", "unknown scheme redis"),
        ("mysql+nothing://host/0", "unknown scheme mysql.nothing"),
        ("", "expected a database URL"),
    ],
)
def test_not_a_database_url(url: str, message: str) -> None:
    assert re.search(message, refused(url, create=True))


@pytest.mark.skipif(find_spec("psycopg") is not None, reason="psycopg is installed")
def test_missing_driver_of_postgresql() -> None:
    assert refused("postgresql://host/db").endswith("to install it: pip install 'hpsearch[postgresql]'")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "no such database file" in refused(f"sqlite:///{tmp_path}/x.db")
    assert "does not exist; create it" in refused(f"sqlite:///{tmp_path}/a/b/x.db", create=True)
    (tmp_path / "file").touch()
    assert "is not a folder" in refused(f"sqlite:///{tmp_path}/file/x.db", create=True)
    for create in (False, True):
        assert "found a folder" in refused(f"sqlite:///{tmp_path}", create=create)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_opening_makes_no_file_before_there_is_a_study(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path}/x.db", create=True) as database:
        assert database.studies() == []
        assert database.find("digits") is None
        assert not list(tmp_path.iterdir())
        with limited_to(4), pytest.raises(StorageError, match="no space left"):
            database.create_study(record())
        assert not list(tmp_path.iterdir())
        database.create_study(record())
        assert [study.name for study in database.studies()] == ["digits"]


def test_an_empty_file_is_an_empty_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    with Database.open(f"sqlite:///{tmp_path}/x.db") as database:
        assert database.studies() == []
        database.create_study(record())


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\x00" * 5000, b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    for create in (False, True):
        message = refused(f"sqlite:///{path}", create=create)
        assert "file of another kind" in message or "damaged" in message
    assert path.read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


def test_another_programs_database_is_untouched(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    execute(path, "CREATE TABLE trials (id INTEGER)")
    before = path.read_bytes()
    for create in (False, True):
        assert "another program's tables (trials)" in refused(f"sqlite:///{path}", create=create)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement", ["UPDATE alembic_version SET version_num = 'v3.0.0.d'", "DROP TABLE alembic_version"]
)
def test_an_older_optunas_tables(path: Path, statement: str) -> None:
    execute(path, statement)
    assert "optuna storage upgrade" in refused(f"sqlite:///{path}")


def test_a_newer_hpsearchs_database(path: Path) -> None:
    execute(path, "UPDATE hpsearch_schema SET version = 99")
    before = path.read_bytes()
    message = refused(f"sqlite:///{path}", create=True)
    assert "a newer hpsearch wrote the database" in message
    assert "found 99" in message
    assert path.read_bytes() == before


def test_an_older_hpsearchs_database_is_brought_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_notes(connection: Connection) -> None:
        connection.execute(sa.text("CREATE TABLE hpsearch_notes (note TEXT)"))

    def fail(connection: Connection) -> None:
        add_notes(connection)
        connection.execute(sa.text("INSERT INTO nowhere VALUES (1)"))

    notes = "SELECT count(*) FROM sqlite_master WHERE name = 'hpsearch_notes'"
    newer = ddl.VERSION + 1
    monkeypatch.setattr(migrations, "VERSION", newer)
    monkeypatch.setitem(migrations.MIGRATIONS, newer - 1, fail)
    assert "no such table: nowhere" in refused(f"sqlite:///{path}")
    assert execute(path, notes) == [(0,)]
    monkeypatch.setitem(migrations.MIGRATIONS, newer - 1, add_notes)
    for _ in range(2):
        with Database.open(f"sqlite:///{path}") as database:
            assert repr(database.study("digits").trials()) == repr(all_states()[0])
    assert execute(path, "SELECT version FROM hpsearch_schema") == [(newer,)]
    assert execute(path, notes) == [(1,)]


def test_a_read_only_database_is_read(path: Path) -> None:
    before = path.read_bytes()
    with Database.open(f"sqlite:///file:{path}?mode=ro&uri=true") as database:
        store = database.study("digits")
        assert repr(store.trials()) == repr(all_states()[0])
        assert len(store.curves()) == 5
        assert database.studies()[0].name == "digits"
        for write in (
            store.begin,
            lambda: database.create_study(record("b")),
            lambda: database.delete_study("digits"),
        ):
            with pytest.raises(StorageError, match=r"is read-only .*Make the file and its folder writable"):
                write()
    assert path.read_bytes() == before


def test_reading_plain_optuna_makes_no_tables(tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(storage=f"sqlite:///{tmp_path}/x.db", study_name="plain")
    before = (tmp_path / "x.db").read_bytes()
    for create in (False, True):
        with Database.open(f"sqlite:///{tmp_path}/x.db", create=create) as database:
            assert database.studies() == []
            assert database.find("plain") is None
    assert (tmp_path / "x.db").read_bytes() == before


def test_a_locked_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.01)
    with Database.open(f"sqlite:///{path}") as database:
        store = database.study("digits")
        store.begin()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert len(store.trials()) == 6
        with pytest.raises(StorageError, match="another process has locked the database"):
            store.commit(started=[new_trial(6)])
        other.execute("ROLLBACK")
        other.close()
        store.commit(started=[new_trial(6)])


@contextmanager
def limited_to(pages: int) -> Iterator[None]:
    """New connections find a disk that is full after so many pages."""

    def limit(connection: Any, record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(Engine, "connect", limit)
    try:
        yield
    finally:
        sa.event.remove(Engine, "connect", limit)


def test_a_full_disk_keeps_what_was_stored(path: Path) -> None:
    with limited_to(1), Database.open(f"sqlite:///{path}") as database:
        store = database.study("digits")
        store.begin()
        with pytest.raises(StorageError, match=r"no space left .*free some space, then repeat the command"):
            store.commit(cohort=Cohort(1, {}), started=[new_trial(number) for number in range(6, 600)])
    with Database.open(f"sqlite:///{path}") as database:
        store = database.study("digits")
        assert repr(store.trials()) == repr(all_states()[0])
        assert store.last_cohort() == Cohort(0, dict.fromkeys(range(6), (0, 9)))


def test_a_study_deleted_meanwhile(path: Path) -> None:
    with Database.open(f"sqlite:///{path}") as database:
        store = database.study("digits")
        database.delete_study("digits")
        with pytest.raises(StorageError, match='"digits" no longer exists'):
            store.begin()


def test_a_file_deleted_meanwhile_is_not_made_again(path: Path) -> None:
    with Database.open(f"sqlite:///{path}") as database:
        store = database.study("digits")
        path.unlink()
        with pytest.raises(StorageError, match="no such database file"):
            store.trials()
        assert not path.exists()
