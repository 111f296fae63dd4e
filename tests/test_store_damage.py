"""What was damaged or edited in the database is found, or does no harm."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hpsearch.errors import HpsearchError, StorageError
from hpsearch.records import CURVE_COLUMNS
from hpsearch.store import Database, StudyStore
from tests.store_study import execute

EDITS = {
    "a parameter": (
        "UPDATE hpsearch_trials SET params = replace(params, 'tanh', 'relu') WHERE number = 1",
        "trial 1",
    ),
    "parameters that are none": ("UPDATE hpsearch_trials SET params = '{' WHERE number = 0", "trial 0"),
    "a start": ("UPDATE hpsearch_trials SET started = started + 1 WHERE number = 0", "trial 0"),
    "a state": ("UPDATE hpsearch_trials SET state = 'failed' WHERE number = 0", "states"),
    "an unknown state": ("UPDATE hpsearch_trials SET state = 'complet' WHERE number = 0", "states"),
    "two states": (
        "UPDATE hpsearch_trials SET state = CASE number WHEN 0 THEN 'pruned' ELSE 'complete' END "
        "WHERE number IN (0, 1)",
        "trial 0",
    ),
    "an end": ("UPDATE hpsearch_trials SET finished = started WHERE number = 0", "trial 0"),
    "a time that is none": ("UPDATE hpsearch_trials SET finished = 'noon' WHERE number = 0", "trial 0"),
    "a value": ("UPDATE hpsearch_trials SET value = '1.0' WHERE number = 3", "trial 3"),
    "a value that is gone": ("UPDATE hpsearch_trials SET value = NULL WHERE number = 0", "trial 0"),
    "a loss": ("UPDATE hpsearch_trials SET loss = '0.0' WHERE number = 0", "trial 0"),
    "another objective": ("UPDATE hpsearch_trials SET others = '[1.0]' WHERE number = 0", "trial 0"),
    "epochs": ("UPDATE hpsearch_trials SET epochs = 2 WHERE number = 1", "trial 1"),
    "a best epoch": ("UPDATE hpsearch_trials SET best_epoch = 1 WHERE number = 0", "trial 0"),
    "a reason": ("UPDATE hpsearch_trials SET reason = NULL WHERE number = 2", "trial 2"),
    "a cohort of a trial": ("UPDATE hpsearch_trials SET cohort = 3 WHERE number = 5", "trial 5"),
    "a trial that is gone": ("DELETE FROM hpsearch_trials WHERE number = 3", "trial 3"),
    "a last trial that is gone": ("DELETE FROM hpsearch_trials WHERE number = 5", "6 trials; found missing"),
    "a number": (
        "UPDATE hpsearch_trials SET number = 6 WHERE number = 5",
        "6 trials; found missing or extra",
    ),
    "a trial of another study": (
        "UPDATE hpsearch_trials SET study_id = 2 WHERE number = 5",
        "6 trials; found missing",
    ),
    "a curve": ("UPDATE hpsearch_curves SET data = zeroblob(288) WHERE number = 0", "trial 0"),
    "a curve's place": ("UPDATE hpsearch_curves SET number = 5 WHERE number = 0", "trial 5"),
    "a curve's run": ("UPDATE hpsearch_curves SET run = 1 WHERE number = 0", "trial 0"),
    "a curve's columns": ("UPDATE hpsearch_curves SET columns = 5 WHERE number = 0", "trial 0"),
    "a curve that is gone": ("DELETE FROM hpsearch_curves WHERE number = 3", "trial 3.*3 epochs; found 0"),
    "a cohort": ("UPDATE hpsearch_cohorts SET lanes = '[[0,0,3]]'", "cohort 0"),
    "a cohort too many": (
        "INSERT INTO hpsearch_cohorts VALUES (1, 1, '[]', '')",
        "expected 1 cohort; found missing or extra",
    ),
    "a cohort that is gone": ("DELETE FROM hpsearch_cohorts", "expected 1 cohort; found missing or extra"),
    "a run": ("UPDATE hpsearch_runs SET provenance = '{}'", "run 1"),
    "a run that is gone": ("DELETE FROM hpsearch_runs", "expected 1 run; found missing"),
    "a queued point": ("UPDATE hpsearch_queue SET params = '{}' WHERE position = 0", "queued point 0"),
    "a queued point that is gone": (
        "DELETE FROM hpsearch_queue WHERE position = 1",
        "expected 2 queued points; found missing",
    ),
    "the record": ("UPDATE hpsearch_studies SET record = replace(record, '64', '65')", "record"),
    "the creation": ("UPDATE hpsearch_studies SET created = 'noon'", "cannot be read"),
    "the seconds": ("UPDATE hpsearch_tallies SET seconds = 2", "tally"),
    "the best value": ("UPDATE hpsearch_tallies SET best = '0.5'", "tally"),
    "a count": ("UPDATE hpsearch_tallies SET complete = complete + 1", "tally"),
    "a tally that is gone": ("DELETE FROM hpsearch_tallies", "tally"),
}


def read_all(path: Path) -> str:
    with Database.open(f"sqlite:///{path}") as database:
        store = database.study("digits")
        curves = {number: curve.tobytes() for number, curve in store.curves().items()}
        others = store.cohorts(), store.last_cohort(), store.runs(), store.queue(), database.studies()
        return repr((store.record, store.trials(), curves, others))


@pytest.mark.parametrize("edited", EDITS)
def test_an_edited_row_is_found(stored: tuple[Path, StudyStore], edited: str) -> None:
    path, store = stored
    store.begin({"threads": 2})
    store.enqueue([{"depth": 3}, {}])
    read_all(path)
    statement, message = EDITS[edited]
    execute(path, statement)
    with pytest.raises(
        StorageError, match=f'study "digits".*{message}|{message}.*digits|the studies.*{message}'
    ) as caught:
        read_all(path)
    assert "restore it from a backup" in str(caught.value)


def test_damage_is_not_in_the_way_of_the_other_trials(stored: tuple[Path, StudyStore]) -> None:
    path, store = stored
    execute(path, "UPDATE hpsearch_trials SET loss = '0.0' WHERE number = 0")
    assert [trial.number for trial in store.trials([1, 3, 77])] == [1, 3]
    with pytest.raises(StorageError, match="trial 0: its row does not match its checksum"):
        store.trials([0, 1])


def test_a_damaged_study_can_be_deleted(stored: tuple[Path, StudyStore]) -> None:
    path, store = stored
    store.end()
    for statement in ("DELETE FROM hpsearch_tallies", "UPDATE hpsearch_studies SET created = 'noon'"):
        execute(path, statement)
    with Database.open(f"sqlite:///{path}") as database:
        with pytest.raises(StorageError, match="restore it from a backup"):
            database.study("digits")
        database.delete_study("digits")
        assert database.studies() == []


def test_optunas_tables_are_a_mirror(stored: tuple[Path, StudyStore]) -> None:
    """Whatever Optuna's tools do to their tables, hpsearch reads its own."""
    path, _ = stored
    expected = read_all(path)
    for statement in (
        "UPDATE trial_params SET param_value = param_value * 2",
        "DELETE FROM trial_values",
        "UPDATE trials SET state = 'FAIL'",
        "INSERT INTO trials (number, study_id, state) VALUES (6, 1, 'WAITING')",
    ):
        execute(path, statement)
    assert read_all(path) == expected


def test_a_flipped_bit_is_found_or_harmless(stored: tuple[Path, StudyStore]) -> None:
    path, store = stored
    store.end()
    sound, expected = path.read_bytes(), read_all(path)
    choice = random.Random(1)
    places = [at for at, byte in enumerate(sound) if byte]
    found = 0
    for _ in range(250):
        broken = bytearray(sound)
        broken[choice.choice(places)] ^= 1 << choice.randrange(8)
        path.write_bytes(broken)
        try:
            assert read_all(path) == expected
        except HpsearchError:
            found += 1
    assert found > 25


def test_a_short_curve_is_no_curve(stored: tuple[Path, StudyStore]) -> None:
    path, store = stored
    execute(path, "UPDATE hpsearch_curves SET data = substr(data, 1, 100) WHERE number = 0")
    with pytest.raises(StorageError, match=r"trial 0.*epoch 1 does not match its checksum"):
        store.curves([0])
    assert store.curves([1])[1].shape == (3, len(CURVE_COLUMNS))
