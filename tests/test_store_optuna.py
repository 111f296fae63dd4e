"""What Optuna's own programs find in a database of hpsearch, held against what Optuna itself writes."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hpsearch.records import VALID_METRIC, Segment, State, Trial
from hpsearch.store import Database
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import study_from_document
from tests.store_study import curve_of, execute, fill, finished_trial, new_trial, record

STATES = {
    State.RUNNING: TrialState.RUNNING,
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def local(time: Any) -> Any:
    """A time as Optuna has it in memory: local, without a zone."""
    return None if time is None else time.astimezone().replace(tzinfo=None)


def frozen(trial: Trial, segment: Segment | None) -> FrozenTrial:
    """The trial as an Optuna user would write it."""
    told = {"epochs": trial.epochs, "best_epoch": trial.best_epoch, "reason": trial.reason}
    valued = trial.state in (State.COMPLETE, State.PRUNED)
    return FrozenTrial(
        number=trial.number,
        state=STATES[trial.state],
        value=trial.value if valued else None,
        datetime_start=local(trial.started),
        datetime_complete=local(trial.finished),
        params=dict(trial.params),
        distributions=optuna_distributions(study_from_document(record().document).space),
        user_attrs={k: v for k, v in told.items() if v is not None} if trial.state.finished else {},
        system_attrs={},
        intermediate_values={}
        if segment is None
        else dict(enumerate(segment.curve[:, VALID_METRIC].tolist(), start=1)),
        trial_id=0,
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The same study twice: written by hpsearch, and by Optuna."""
    with Database.open(f"sqlite:///{tmp_path}/ours.db", create=True) as database:
        trials, segments = fill(database.create_study(record()))
    theirs = optuna.create_study(
        storage=f"sqlite:///{tmp_path}/theirs.db", study_name="digits", direction="maximize"
    )
    with warnings.catch_warnings(action="ignore"):
        theirs.set_metric_names(["accuracy"])
    curves = {segment.trial: segment for segment in segments}
    for trial in trials:
        theirs.add_trial(frozen(trial, curves.get(trial.number)))
    return tmp_path / "ours.db", tmp_path / "theirs.db"


def test_every_row_is_what_optuna_would_have_written(files: tuple[Path, Path]) -> None:
    of_trials = ("params", "values", "intermediate_values", "user_attributes", "system_attributes")
    tables = ("studies", "study_directions", "study_user_attributes", "study_system_attributes", "trials")
    for table in (*tables, *(f"trial_{name}" for name in of_trials), "version_info", "alembic_version"):
        ours, theirs = (execute(path, f"SELECT * FROM {table}") for path in files)
        if table in ("trial_user_attributes", "trial_intermediate_values"):
            # Their first column only counts; nothing reads them in its order.
            ours, theirs = (sorted(row[1:] for row in rows) for rows in (ours, theirs))
        assert ours == theirs, table
        if table not in ("study_user_attributes", "trial_system_attributes"):
            assert ours, table


def test_tables_are_what_optuna_would_have_made(files: tuple[Path, Path]) -> None:
    listed = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%hpsearch%' ORDER BY name"
    ours, theirs = (
        [(name, re.sub(r"\s+", "", sql or "")) for name, sql in execute(path, listed)] for path in files
    )
    assert ours == theirs


def test_optuna_reads_the_same_trials(files: tuple[Path, Path]) -> None:
    ours, theirs = (optuna.load_study(study_name="digits", storage=f"sqlite:///{path}") for path in files)
    assert ours.direction is theirs.direction
    assert ours.metric_names == theirs.metric_names == ["accuracy"]
    for mine, expected in zip(ours.trials, theirs.trials, strict=True):
        assert repr(mine) == repr(expected)  # by text, because NaN is not equal to itself
        assert list(mine.params) == list(expected.params)
    assert ours.best_trial.number == theirs.best_trial.number
    columns = ("number", "state", "params_depth", "user_attrs_epochs")
    a, b = (study.trials_dataframe() for study in (ours, theirs))
    assert a[list(columns)].equals(b[list(columns)])
    assert ("accuracy" in a.columns) == ("accuracy" in b.columns)


def test_optuna_goes_on_with_a_database_of_ours(files: tuple[Path, Path]) -> None:
    other = optuna.create_study(storage=f"sqlite:///{files[0]}", study_name="other")
    other.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with Database.open(f"sqlite:///{files[0]}") as database:
        assert [study.name for study in database.studies()] == ["digits"]
        assert len(database.study("digits").trials()) == 6


def test_dashboard_shows_the_study(files: tuple[Path, Path]) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    app = dashboard.wsgi(optuna.storages.RDBStorage(f"sqlite:///{files[0]}"))

    def get(path: str) -> Any:
        environ: dict[str, Any] = {"PATH_INFO": path, "wsgi.input": BytesIO()}
        setup_testing_defaults(environ)
        statuses: list[str] = []
        body = b"".join(app(environ, lambda status, headers, *rest: statuses.append(status)))
        assert statuses[0].startswith("200"), body
        return json.loads(body)

    listed = get("/api/studies")["study_summaries"]
    assert [study["study_name"] for study in listed] == ["digits"]
    shown = get(f"/api/studies/{listed[0]['study_id']}")
    assert [trial["state"] for trial in shown["trials"]] == [
        "Complete",
        "Pruned",
        "Fail",
        "Running",
        "Complete",
        "Running",
    ]
    assert len(shown["trials"][0]["intermediate_values"]) == 9
    assert shown["trials"][1]["values"]


def test_a_long_curve_is_thinned_for_optuna_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with Database.open(url, create=True) as database:
        store = database.create_study(record(epochs=300))
        store.begin()
        store.commit(started=[new_trial(0)])
        curve = curve_of(0, 300)
        store.commit(
            segments=[Segment(0, 0, 1, curve[:100]), Segment(0, 0, 101, curve[100:])],
            updated=[finished_trial(new_trial(0), epochs=300)],
        )
        assert (store.curves()[0] == curve).all()
    (kept,) = (
        trial.intermediate_values for trial in optuna.load_study(study_name="digits", storage=url).trials
    )
    assert 10 <= len(kept) <= 20
    assert {1, 300} <= set(kept)
    assert all(value == curve[epoch - 1, VALID_METRIC] for epoch, value in kept.items())
