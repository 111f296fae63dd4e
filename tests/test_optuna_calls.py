"""Optuna's tables of a revision that hpsearch does not know are written by Optuna's public calls."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest

import hpsearch
from hpsearch.errors import StorageError
from hpsearch.records import State
from hpsearch.store import Database, migrations, optuna_calls
from hpsearch.store.audit import audit
from hpsearch.study.file import study_from_document
from tests.store_study import execute, fill, finished_trial, new_trial, record
from tests.studies import stored, url

STUDY = {
    "study": {"name": "small", "seed": 5},
    "data": {"source": "diabetes"},
    "space": {
        "sgd.learning_rate": {"low": 1e-3, "high": 300.0, "log": True},
        "adam.learning_rate": 0.01,
        "optimizer": ["sgd", "adam"],
        "momentum": {"low": 0.0, "high": 0.9},
        "depth": {"low": 1, "high": 3},
        "width": 8,
    },
    "train": {"epochs": 9},
    "search": {"trials": 24, "cohort": 8},
}


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """This hpsearch knows another revision than the installed Optuna has."""
    monkeypatch.setattr(migrations, "OPTUNA_HEAD", "v3.1.0.x")
    optuna_calls._warn.cache_clear()


def trials_in(path: Path, name: str) -> list[Any]:
    """What Optuna reads of each trial, but the times: those of a run differ from one to the next."""
    study = optuna.load_study(study_name=name, storage=url(path))
    return [
        repr(
            (
                t.number,
                t.state,
                t.params,
                t.distributions,
                None if t.state.name == "FAIL" or not t.state.is_finished() else t.values,
                sorted(t.intermediate_values.items()),
                t.user_attrs,
                t.system_attrs,
            )
        )
        for t in study.get_trials()
    ]


@pytest.mark.filterwarnings("ignore:Optuna's tables are of revision")
def test_a_whole_study_is_as_one_that_is_written_in_bulk(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    study, paths = study_from_document(STUDY), [tmp_path / "bulk.db", tmp_path / "calls.db"]
    for path in paths:
        if path == paths[1]:
            request.getfixturevalue("unknown")
        assert hpsearch.run(study, storage=url(path), workers=1).complete
    bulk, calls = (trials_in(path, "small") for path in paths)
    assert bulk == calls
    assert {"COMPLETE", "PRUNED", "FAIL"} <= {
        t.state.name for t in optuna.load_study(study_name="small", storage=url(paths[1])).trials
    }
    own = [[trial[:6] for trial in stored(path, "small")[0]] for path in paths]  # type: ignore[index]
    assert repr(own[0]) == repr(own[1])
    assert optuna.load_study(study_name="small", storage=url(paths[1])).metric_names == ["rmse"]
    assert audit(url(paths[1])).sound


def test_one_warning_says_why(tmp_path: Path, unknown: None) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for name in ("a", "b"):
            with Database.open(url(tmp_path / "x.db"), create=True) as database:
                fill(database.create_study(record(name)))
    about = [str(each.message) for each in said if "revision" in str(each.message)]
    assert len(about) == 1
    assert "slower" in about[0]
    assert "v3.2.0.a" in about[0]


@pytest.mark.filterwarnings("ignore:Optuna's tables are of revision")
def test_what_a_killed_process_left_behind_is_made_up_for(
    tmp_path: Path, unknown: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"
    with Database.open(url(path), create=True) as database:
        store = database.create_study(record())
        store.begin()
        with monkeypatch.context() as patch:
            patch.setattr(optuna_calls.Calls, "tell", killed)
            with pytest.raises(KeyboardInterrupt):
                store.commit(started=[new_trial(0), new_trial(1)])
        store.end()
    assert trials_in(path, "digits") == []
    with Database.open(url(path)) as database:
        store = database.study("digits")
        assert [trial.state for trial in store.trials()] == [State.RUNNING] * 2
        store.begin()
        assert len(trials_in(path, "digits")) == 2
        store.end()


def killed(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore:Optuna's tables are of revision")
def test_a_study_goes_on_in_bulk_once_its_revision_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "OPTUNA_HEAD", "v3.1.0.x")
        with Database.open(url(path), create=True) as database:
            store = database.create_study(record())
            store.begin()
            store.commit(started=[new_trial(0), new_trial(1)])
            store.end()
    with Database.open(url(path)) as database:
        store = database.study("digits")
        store.begin()
        store.commit(updated=[finished_trial(new_trial(0), State.FAILED, 0)])
        store.end()
    states = [t.state.name for t in optuna.load_study(study_name="digits", storage=url(path)).trials]
    assert states == ["FAIL", "RUNNING"]
    assert audit(url(path)).sound


@pytest.mark.filterwarnings("ignore:Optuna's tables are of revision")
def test_deleting_and_creating_again(tmp_path: Path, unknown: None) -> None:
    with Database.open(url(tmp_path / "x.db"), create=True) as database:
        fill(database.create_study(record()))
        with pytest.raises(StorageError, match="already exists"):
            database.create_study(record())
        database.delete_study("digits")
        assert database.find("digits") is None
        fill(database.create_study(record()))
        assert [summary.name for summary in database.studies()] == ["digits"]
        optuna.delete_study(study_name="digits", storage=url(tmp_path / "x.db"))
        assert database.studies() == []
        optuna.create_study(study_name="plain", storage=url(tmp_path / "x.db")).add_trial(
            optuna.trial.create_trial(value=1.0)
        )
        with pytest.raises(StorageError, match='plain Optuna study "plain"'):
            database.create_study(record("plain"))


@pytest.mark.filterwarnings("ignore:Optuna's tables are of revision")
def test_tables_that_the_installed_optuna_refuses(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Database.open(url(path), create=True) as database:
        database.create_study(record())
    execute(path, "UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    with pytest.raises(StorageError, match=r"found schema v99\.0\.0\.a.*needs a newer Optuna"):
        Database.open(url(path))
