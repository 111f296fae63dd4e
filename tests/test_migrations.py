"""Databases of every released schema open, hold the same numbers and go on; upgrades are whole or undone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.errors import StorageError
from hpsearch.store import Database, ddl, migrations
from hpsearch.store.audit import audit
from hpsearch.study.file import study_from_document
from tests.data.make import numbers
from tests.store_study import execute
from tests.studies import stored, train_alone, url

DATA = Path(__file__).parent / "data"
FIRST = 4
"""The oldest schema that was released."""
FIXTURES = sorted(DATA.glob("schema-*.db"))
VERSION = "SELECT version FROM hpsearch_schema"
NAME = "stopped"


@pytest.fixture(params=FIXTURES, ids=lambda path: path.stem)
def fixture(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    """A copy of a database of a released schema, and its version."""
    path = tmp_path / "x.db"
    path.write_bytes(request.param.read_bytes())
    return path, int(request.param.stem.rpartition("-")[2])


def assert_golden(path: Path, version: int) -> None:
    """The database holds what the hpsearch of that schema read."""
    golden = json.loads((DATA / f"schema-{version}.json").read_text(encoding="utf-8"))
    with Database.open(url(path)) as database:
        found = json.loads(json.dumps(numbers(database.study(NAME))))
    # By text, because NaN is not equal to itself.
    assert json.dumps({key: found[key] for key in golden}) == json.dumps(golden)
    assert {"trials", "curves", "last_cohort", "document", "seconds"} <= golden.keys()


def test_every_released_schema_has_its_fixture() -> None:
    assert [path.stem for path in FIXTURES] == [f"schema-{n}" for n in range(FIRST, ddl.VERSION + 1)]
    assert sorted(migrations.MIGRATIONS) == list(range(FIRST, ddl.VERSION))


def test_the_numbers_are_those_that_were_stored(fixture: tuple[Path, int]) -> None:
    path, version = fixture
    assert execute(path, VERSION) == [(version,)]
    assert_golden(path, version)
    assert execute(path, VERSION) == [(ddl.VERSION,)]
    found = audit(url(path))
    assert found.sound, [str(damage) for study in found.studies for damage in study.damages]
    states = {trial[3].value for trial in stored(path, NAME)[0]}  # type: ignore[attr-defined]
    assert states == {"complete", "pruned", "failed", "running"}


def test_the_study_goes_on(fixture: tuple[Path, int]) -> None:
    path, _ = fixture
    before, curves = stored(path, NAME)
    with Database.open(url(path)) as database:
        study = study_from_document(database.study(NAME).record.document, "")
    train_alone(study, url(path))
    after, again = stored(path, NAME)
    finished = [trial for trial in before if trial[3].finished]  # type: ignore[attr-defined]
    assert [after[trial[0]] for trial in finished] == finished  # type: ignore[call-overload]
    for number, curve in curves.items():
        assert again[number][: len(curve)].tobytes() == curve.tobytes()
    assert len(after) == study.search.trials
    assert audit(url(path)).sound


KILLED = """
import os, sys
from hpsearch.store import Database, migrations
def cut_short(connection):
    connection.exec_driver_sql("CREATE TABLE hpsearch_notes (note TEXT)")
    connection.exec_driver_sql("DELETE FROM hpsearch_curves")
    os._exit(9)
migrations.VERSION += 1
migrations.MIGRATIONS[migrations.VERSION - 1] = cut_short
Database.open(sys.argv[1])
"""


def test_a_process_that_is_killed_in_an_upgrade_leaves_the_old_version(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes((DATA / f"schema-{ddl.VERSION}.db").read_bytes())
    before = content(path)
    done = subprocess.run([sys.executable, "-c", KILLED, url(path)], check=False)
    assert done.returncode == 9
    assert content(path) == before
    assert_golden(path, ddl.VERSION)


def content(path: Path) -> list[object]:
    """All tables and all of their rows."""
    tables = execute(path, "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [(name, sql, execute(path, f'SELECT * FROM "{name}"')) for name, sql in tables]


@pytest.mark.parametrize("version", [1, FIRST - 1])
def test_a_schema_that_was_never_released_is_refused_and_left_alone(
    fixture: tuple[Path, int], version: int
) -> None:
    path, _ = fixture
    execute(path, "UPDATE hpsearch_schema SET version = ?", version)
    before = path.read_bytes()
    for look in (Database.open, audit):
        with pytest.raises(StorageError, match=rf"schema version {FIRST} .*; found {version},"):
            look(url(path))
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused_and_left_alone(fixture: tuple[Path, int]) -> None:
    path, _ = fixture
    execute(path, "UPDATE hpsearch_schema SET version = ?", ddl.VERSION + 1)
    before = path.read_bytes()
    for look in (Database.open, audit):
        with pytest.raises(StorageError, match="a newer hpsearch wrote the database"):
            look(url(path))
    assert path.read_bytes() == before
