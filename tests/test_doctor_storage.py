"""`hpsearch doctor --storage` names whatever is damaged; what `--salvage` copies is sound, and goes on."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import optuna
import pytest

import hpsearch
from hpsearch.errors import StorageError
from hpsearch.extras.salvage import copy_sound
from hpsearch.records import Cohort, Segment, State
from hpsearch.store import Database
from hpsearch.store.audit import audit
from tests.flips import flipped
from tests.store_study import curve_of, execute, finished_trial, new_trial, record
from tests.studies import stored, url, write_study
from tests.whole_study import NAME, call, write_whole

COUNT = 300
PAGE = 4096


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound database with something in every table."""
    path = tmp_path_factory.mktemp("whole") / "x.db"
    write_whole(path)
    return path.read_bytes()


@pytest.fixture
def path(whole: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "x.db"
    path.write_bytes(whole)
    return path


def damages(path: Path) -> list[str]:
    """What is damaged, a line each."""
    found = audit(url(path))
    return [str(damage) for part in (found, *found.studies) for damage in part.damages]


def snapshot(path: Path, name: str = NAME) -> dict[int, tuple[object, ...]]:
    """Trials with their curves, by number."""
    trials, curves = stored(path, name)
    return {
        trial[0]: (repr(trial), curves[trial[0]].tobytes() if trial[0] in curves else b"")  # type: ignore[index]
        for trial in trials
    }


def test_a_sound_database_is_said_to_be(path: Path) -> None:
    assert audit(url(path)).sound
    said = call("doctor", "--storage", url(path)).stdout
    assert "study digits  7 trials, 26 epochs: sound" in said
    assert "wrong" not in said
    missing = call("doctor", "--storage", url(path.with_name("none.db"))).stdout
    assert "does not exist yet" in missing
    assert not path.with_name("none.db").exists()


DAMAGES = {
    "UPDATE hpsearch_trials SET value = '0.5' WHERE number = 1": ["trial 1: its row does not match"],
    "UPDATE hpsearch_trials SET params = '{}' WHERE number = 1": ["trial 1: its row does not match"],
    "DELETE FROM hpsearch_trials WHERE number = 1": ["trial 1: its row is missing"],
    "UPDATE hpsearch_curves SET data = zeroblob(288) WHERE number = 0": ["trial 0: its curve from epoch 1"],
    "UPDATE hpsearch_curves SET seconds = 'x' WHERE number = 0": ["trial 0: its curve from epoch 1"],
    "DELETE FROM hpsearch_curves WHERE number = 2": ["trial 2: expected a curve of 2 epochs; found 0"],
    "UPDATE hpsearch_cohorts SET lanes = '[]' WHERE number = 0": ["cohort 0: its row does not match"],
    "DELETE FROM hpsearch_cohorts WHERE number = 1": ["cohort 1: its row is missing"],
    "UPDATE hpsearch_runs SET provenance = '{}' WHERE number = 2": ["run 2: its row does not match"],
    "UPDATE hpsearch_queue SET trial = 3 WHERE position = 0": ["queued point 0: its row does not match"],
    "UPDATE hpsearch_checkpoints SET data = x'00'": ["trial 3: its checkpoint does not match"],
    "UPDATE hpsearch_tallies SET complete = 7": ["its tally is missing or does not match"],
    "UPDATE hpsearch_studies SET record = replace(record, 'accuracy', 'error')": [
        "its record does not match"
    ],
}
"""By statement, what is found damaged then: this and nothing else."""


@pytest.mark.parametrize("statement", DAMAGES)
def test_damaged_rows_are_named_and_the_rest_is_copied(path: Path, tmp_path: Path, statement: str) -> None:
    before = snapshot(path)
    execute(path, statement)
    for found, expected in zip(damages(path), DAMAGES[statement], strict=True):
        assert expected in found
    damaged = path.read_bytes()
    if "its record" in DAMAGES[statement][0]:
        with pytest.raises(StorageError, match="expected a study with a sound record; found none"):
            copy_sound(audit(url(path)), tmp_path / "new.db")
        assert not (tmp_path / "new.db").exists()
        return
    (copied,) = copy_sound(audit(url(path)), tmp_path / "new.db")
    assert path.read_bytes() == damaged
    assert audit(url(tmp_path / "new.db")).sound
    after = snapshot(tmp_path / "new.db")
    assert list(after) == list(before)
    same = [number for number in before if after[number] == before[number]]
    assert copied.whole == len(same) >= 6
    assert len(same) == 7 - ("trial" in DAMAGES[statement][0] and "checkpoint" not in statement)
    assert copied.lost or "checkpoint" in statement


MIRROR = {
    "UPDATE trial_values SET value = 0.5 WHERE trial_id = 1": "trial 0: Optuna's tables have other values",
    "UPDATE trial_params SET param_value = 2 WHERE trial_id = 1 AND param_name = 'depth'": "hyper-parameters",
    "DELETE FROM trial_intermediate_values WHERE trial_id = 1 AND step = 3": "other intermediate values",
    "UPDATE trials SET state = 'FAIL' WHERE trial_id = 1": "other state or times",
    "UPDATE trials SET datetime_start = '2026-01-01 00:00:00' WHERE trial_id = 1": "other state or times",
    "UPDATE trial_user_attributes SET value_json = '8' WHERE trial_id = 1": "other attributes",
    "UPDATE study_directions SET direction = 'MINIMIZE'": "Optuna's tables have other directions",
    "DELETE FROM trials WHERE number = 2": "trial 2: Optuna's tables have 0 of it",
    "INSERT INTO trials (number, study_id, state) VALUES (9, 1, 'RUNNING')": "trial 9: only Optuna's tables",
    "INSERT INTO trials (number, study_id, state) VALUES (0, 1, 'RUNNING')": "Optuna's tables have 2 of it",
}
"""By statement on Optuna's tables, what is found."""


@pytest.mark.parametrize("statement", MIRROR)
def test_optunas_tables_are_held_against_own_ones(path: Path, tmp_path: Path, statement: str) -> None:
    before = snapshot(path)
    execute(path, statement)
    (found,) = damages(path)
    assert MIRROR[statement] in found
    (copied,) = copy_sound(audit(url(path)), tmp_path / "new.db")  # where the mirror is made anew
    assert (copied.whole, copied.lost) == (7, [])
    assert snapshot(tmp_path / "new.db") == before
    assert audit(url(tmp_path / "new.db")).sound


def test_what_optunas_users_add_is_no_damage(path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=NAME, storage=url(path))
    study.set_user_attr("note", "mine")
    study._storage.set_trial_user_attr(7, "note", "mine")  # the one that runs
    optuna.create_study(storage=url(path), study_name="plain")
    found = audit(url(path))
    assert found.sound
    assert found.others == ["plain"]
    optuna.delete_study(study_name=NAME, storage=url(path))
    assert [audit(url(path)).studies, damages(path)] == [[], []]


def test_the_command_names_damage_copies_the_rest_and_overwrites_nothing(path: Path, tmp_path: Path) -> None:
    execute(path, "UPDATE hpsearch_curves SET data = zeroblob(288) WHERE number = 0")
    execute(path, "UPDATE hpsearch_trials SET params = '{}' WHERE number = 1")
    said = call("doctor", "--storage", url(path), code=1).stdout
    assert "5 of 7 trials, 14 epochs: sound" in said
    assert "trial 0: its curve from epoch 1 does not match its checksum" in " ".join(said.split())
    new = tmp_path / "new.db"
    said = call("doctor", "--storage", url(path), "--salvage", new, code=1).stdout
    assert "digits: 5 trials copied unchanged" in said
    assert "trial 0: restarts" in said
    assert "trial 1: lost" in said
    before = new.read_bytes()
    with pytest.raises(StorageError, match="expected a new file; found an existing one"):
        call("doctor", "--storage", url(path), "--salvage", new)
    assert new.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new.db", "x.db"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of trials on many pages."""
    path = tmp_path_factory.mktemp("large") / "x.db"
    with Database.open(url(path), create=True) as database:
        store = database.create_study(record())
        store.begin()
        trials = [new_trial(number) for number in range(COUNT)]
        store.commit(cohort=Cohort(0, dict.fromkeys(range(COUNT), (0, 9))), started=trials)
        store.commit(
            segments=[Segment(number, 0, 1, curve_of(number)) for number in range(COUNT)],
            updated=[finished_trial(trial) for trial in trials],
        )
        store.end()
    return path


@pytest.mark.parametrize("filler", [b"\0", b"\xa5"])
@pytest.mark.parametrize("table", ["curves", "trials"])
def test_a_lost_page_costs_no_other_pages_rows(
    large: Path, tmp_path: Path, table: str, filler: bytes
) -> None:
    data, before = bytearray(large.read_bytes()), snapshot(large)
    in_a_row = {
        "curves": curve_of(150).tobytes(),
        "trials": str(new_trial(150).params["learning_rate"]).encode(),
    }
    at = data.index(in_a_row[table]) // PAGE * PAGE
    data[at : at + PAGE] = filler * PAGE
    path = tmp_path / "x.db"
    path.write_bytes(data)
    found = audit(url(path))
    assert any(damage.what == f"table hpsearch_{table}" for damage in found.damages)
    (copied,) = copy_sound(found, tmp_path / "new.db")
    assert COUNT - PAGE // 100 <= copied.whole < COUNT
    after = snapshot(tmp_path / "new.db")
    assert sum(after[number] == before[number] for number in before) == copied.whole
    with Database.open(url(tmp_path / "new.db")) as database:
        trial = database.study(NAME).trials([150])[0]
    if table == "curves":  # its hyper-parameters are there: it is trained again
        assert (trial.state, trial.params, trial.epochs) == (State.RUNNING, new_trial(150).params, 0)
    else:
        assert (trial.state, trial.params) == (State.FAILED, {})
        assert (trial.reason or "").startswith("lost: ")
    assert audit(url(tmp_path / "new.db")).sound


def test_a_salvaged_study_goes_on_and_its_curves_come_out_the_same(tmp_path: Path) -> None:
    study = hpsearch.load_study(write_study(tmp_path, trials=24, cohort=8))
    hpsearch.run(study, storage=url(tmp_path / "a.db"), workers=1, confirm=False)
    before, curves = stored(tmp_path / "a.db", study.name)
    best = max((trial for trial in before if trial[3] is State.COMPLETE), key=lambda trial: trial[5])  # type: ignore[arg-type,return-value]
    execute(tmp_path / "a.db", "UPDATE hpsearch_curves SET seconds = 7 WHERE number = ?", best[0])
    execute(tmp_path / "a.db", "UPDATE hpsearch_trials SET params = '{}' WHERE number = 5")
    copy_sound(audit(url(tmp_path / "a.db")), tmp_path / "b.db")
    more = hpsearch.load_study(tmp_path / "small.toml", ["search.trials=32"])
    result = hpsearch.run(more, storage=url(tmp_path / "b.db"), workers=1, confirm=False)
    assert result.complete
    after, again = stored(tmp_path / "b.db", study.name)
    assert [trial[0] for trial in after] == list(range(32))
    assert {trial[0] for trial in after[:24] if trial not in before} <= {best[0], 5}
    for number, curve in curves.items():
        if number != 5:
            assert np.array_equal(again[number], curve[: len(again[number])], equal_nan=True)
    assert after[5][2:4] == ({}, State.FAILED)
    assert audit(url(tmp_path / "b.db")).sound


def test_whatever_bit_is_flipped_the_doctor_keeps_his_head(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(whole)
    before, found = snapshot(path), 0
    for case in range(40):
        path.write_bytes(flipped(whole, random.Random(case).randrange(8 * len(whole))))
        new = tmp_path / "new.db"
        try:
            seen = audit(url(path))
            found += not seen.sound
            copied = copy_sound(seen, new)
        except StorageError:
            continue
        assert audit(url(new)).sound
        after = snapshot(new)
        assert sum(after[number] == before[number] for number in after if number in before) >= copied[0].whole
        new.unlink()
    assert found > 5
