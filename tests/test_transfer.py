"""A study that is dumped and loaded is the same study: row by row, bit for bit, and to its end."""

from __future__ import annotations

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

import hpsearch
from hpsearch.errors import HpsearchError, StorageError
from hpsearch.records import Segment, StudyRecord, Trial
from hpsearch.store import Contents, Database
from hpsearch.store.audit import audit
from hpsearch.store.transfer import FORMAT, MANIFEST, dump_json, dump_tables, read_dump
from tests.store_study import execute, fill, record
from tests.studies import assert_same, url, write_study
from tests.test_store_roundtrip import outcomes
from tests.whole_study import NAME, call, write_whole

OWN = ("studies", "tallies", "trials", "curves", "cohorts", "runs", "queue", "checkpoints")
NUMBERED = {"study_id", "trial_id", "checksum", "asked_checksum", "outcome_checksum"}
"""Columns that follow from Optuna's numbers, which another database gives anew."""


def write_dump(folder: Path, kind: str, record: StudyRecord, contents: Contents) -> Path:
    """The study as a file or folder."""
    if kind == "json":
        (folder / "x.json").write_bytes(dump_json(record, contents))
        return folder / "x.json"
    (folder / "x").mkdir()
    for name, data in dump_tables(record, contents).items():
        (folder / "x" / name).write_bytes(data)
    return folder / "x"


def own_rows(path: Path, name: str) -> dict[str, list[dict[str, object]]]:
    """All own rows of a study, without what follows from Optuna's numbers."""
    ((study_id,),) = execute(path, "SELECT study_id FROM hpsearch_studies WHERE name = ?", name)
    rows = {}
    for table in OWN:
        columns = [row[1] for row in execute(path, f"PRAGMA table_info(hpsearch_{table})")]
        found = execute(path, f"SELECT * FROM hpsearch_{table} WHERE study_id = ? ORDER BY 1, 2, 3", study_id)
        rows[table] = [
            {column: value for column, value in zip(columns, row, strict=True) if column not in NUMBERED}
            for row in found
        ]
    return rows


def optunas_view(path: Path, name: str) -> tuple[object, ...]:
    """What Optuna itself reads, without its numbers."""
    study = optuna.load_study(study_name=name, storage=url(path))
    trials = [
        {key: value for key, value in vars(trial).items() if key != "_trial_id"} for trial in study.trials
    ]
    return study.directions, study.metric_names, repr(trials)


@pytest.mark.parametrize("out", ["x.json", "x"])
def test_the_loaded_study_is_the_dumped_one_row_by_row(tmp_path: Path, out: str) -> None:
    write_whole(tmp_path / "a.db")
    with Database.open(url(tmp_path / "b.db"), create=True) as database:
        fill(database.create_study(record("another")))  # so that all numbers of Optuna's differ
    told = call("dump", NAME, tmp_path / out, "--storage", url(tmp_path / "a.db"))
    assert "7 trials, 26 epochs written to" in told.stderr
    call("load", tmp_path / out, "--storage", url(tmp_path / "b.db"))
    before, after = own_rows(tmp_path / "a.db", NAME), own_rows(tmp_path / "b.db", NAME)
    assert all(before.values())  # every table has rows of this study
    assert after == before
    assert optunas_view(tmp_path / "a.db", NAME) == optunas_view(tmp_path / "b.db", NAME)
    assert audit(url(tmp_path / "b.db")).sound
    with pytest.raises(StorageError, match=f'a study "{NAME}" already exists'):
        call("load", tmp_path / out, "--storage", url(tmp_path / "b.db"))


@settings(max_examples=15, deadline=None)
@given(outcomes())
def test_every_number_reads_back_bit_by_bit(stored: tuple[StudyRecord, list[Trial], list[Segment]]) -> None:
    base, trials, segments = stored
    with TemporaryDirectory() as folder:
        for kind in ("json", "tables"):
            found, contents = read_dump(
                write_dump(Path(folder), kind, base, Contents(trials=trials, segments=segments))
            )
            assert found == base
            # By text, because NaN is not equal to itself; the repr of a float names it exactly.
            assert repr(contents.trials) == repr(trials)
            for mine, given_ in zip(contents.segments, segments, strict=True):
                assert mine.curve.tobytes() == given_.curve.tobytes()
                assert repr(vars(mine) | {"curve": 0}) == repr(vars(given_) | {"curve": 0})


def test_a_loaded_study_goes_on_to_the_same_end(tmp_path: Path) -> None:
    path = write_study(tmp_path, trials=12, cohort=8)
    study = hpsearch.load_study(path)
    hpsearch.run(study, storage=url(tmp_path / "a.db"), workers=1, confirm=False)
    with Database.open(url(tmp_path / "a.db")) as a, Database.open(url(tmp_path / "b.db"), create=True) as b:
        store = a.study(study.name)
        b.create_study(*read_dump(write_dump(tmp_path, "json", store.record, store.contents())))
    more = hpsearch.load_study(path, ["search.trials=30"])
    for database in ("a.db", "b.db"):
        hpsearch.run(more, storage=url(tmp_path / database), workers=1, confirm=False)
    assert_same(tmp_path / "a.db", tmp_path / "b.db", study.name)


def test_tables_are_for_others_to_read(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.db")
    with Database.open(url(tmp_path / "a.db")) as database:
        store = database.study(NAME)
        folder = write_dump(tmp_path, "tables", store.record, store.contents())
        curves, trials = store.curves(), store.trials()
    table = pq.read_table(folder / "curves.parquet").to_pandas()
    for number, curve in curves.items():
        rows = table[table["trial"] == number]
        assert rows["epoch"].tolist() == list(range(1, len(curve) + 1))
        assert rows["valid_metric"].to_numpy().tobytes() == curve[:, 3].tobytes()
    assert pq.read_table(folder / "trials.parquet")["state"].to_pylist() == [str(t.state) for t in trials]


@pytest.fixture
def dumped(tmp_path: Path) -> Path:
    """A database, its study as JSON and as tables."""
    write_whole(tmp_path / "a.db")
    with Database.open(url(tmp_path / "a.db")) as database:
        store = database.study(NAME)
        for kind in ("json", "tables"):
            write_dump(tmp_path, kind, store.record, store.contents())
    return tmp_path


def test_a_damaged_file_is_refused_or_says_the_same(dumped: Path) -> None:
    file, other = dumped / "x.json", dumped / "y.json"
    data, whole = file.read_bytes(), _told(file)
    refused = 0
    for case in range(300):
        bit = random.Random(case).randrange(8 * len(data))
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        other.write_bytes(damaged)
        try:
            found = _told(other)
        except StorageError:
            refused += 1
        else:
            assert found == whole, bit
    assert refused > 250  # a blank that becomes another one says the same
    for length in (0, 1, len(data) // 2, len(data) - 3):
        other.write_bytes(data[:length])
        with pytest.raises(StorageError, match="found no JSON"):
            read_dump(other)


def _told(file: Path) -> str:
    record, contents = read_dump(file)
    return repr(
        (record, [vars(s) | {"curve": s.curve.tobytes()} for s in contents.segments], contents.trials)
    )


@pytest.mark.parametrize("name", ["trials.parquet", "curves.parquet"])
def test_a_damaged_or_missing_table_is_refused(dumped: Path, name: str) -> None:
    table = dumped / "x" / name
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    with pytest.raises(StorageError, match=rf"{name}: damaged or edited"):
        read_dump(dumped / "x")
    table.unlink()
    with pytest.raises(StorageError, match=rf"{name}: cannot be read: No such file.*Copy the whole folder"):
        read_dump(dumped / "x")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"format": "hpsearch.study/2"}, "a newer hpsearch wrote it: expected format hpsearch.study/1"),
        ({"format": "hpsearch.report/1"}, "found format hpsearch.report/1"),
        ([1, 2], "found other JSON"),
        ({"format": FORMAT}, "does not match its checksum"),
    ],
)
def test_other_documents_are_refused(tmp_path: Path, document: object, message: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(StorageError, match=message):
        read_dump(tmp_path / "x.json")


def test_nothing_is_overwritten_and_nothing_half_loaded(dumped: Path) -> None:
    before = (dumped / "x.json").read_bytes()
    for out in ("x.json", "x"):
        with pytest.raises(HpsearchError, match="exists already"):
            call("dump", NAME, dumped / out, "--storage", url(dumped / "a.db"))
    assert (dumped / "x.json").read_bytes() == before
    (dumped / "x" / MANIFEST).unlink()
    with pytest.raises(StorageError, match=r"study\.json: cannot be read: No such file or directory"):
        call("load", dumped / "x", "--storage", url(dumped / "new.db"))
    assert not (dumped / "new.db").exists()
