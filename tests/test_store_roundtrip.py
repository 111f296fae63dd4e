"""Whatever is stored comes back as it was."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from hpsearch.errors import StorageError, UnknownStudyError
from hpsearch.records import CURVE_COLUMNS, Cohort, Segment, State, StudyRecord, Trial
from hpsearch.store import Database
from tests.store_study import all_states, execute, fill, finished_trial, new_trial, record

any_float = st.floats(allow_nan=True, allow_infinity=True, width=64)
times = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda time: time.replace(fold=0)
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[StudyRecord, list[Trial], list[Segment]]:
    """A record and a few trials with their curves, of every state and with every kind of number."""
    learning_rates = draw(st.lists(st.floats(1e-300, 1e300), min_size=2, max_size=4, unique=True))
    widths = draw(st.lists(st.integers(1, 2**63 - 1), min_size=2, max_size=4, unique=True))
    base = record(
        provenance=draw(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=3))
    )
    space = {"learning_rate": learning_rates, "width": widths, "depth": {"low": 1, "high": 64, "log": True}}
    base = replace(base, document=base.document | {"space": space})
    trials, segments = [], []
    for number in range(draw(st.integers(1, 4))):
        params = {
            "depth": draw(st.integers(1, 64)),
            "width": draw(st.sampled_from(widths)),
            "learning_rate": draw(st.sampled_from(learning_rates)),
        }
        state = draw(st.sampled_from(State))
        curve = draw(
            stn.arrays(
                np.float64,
                (draw(st.integers(1, 9)), len(CURVE_COLUMNS) + draw(st.integers(0, 3))),
                elements=any_float,
            )
        )
        segments.append(Segment(number, 0, 1, curve, draw(st.floats(0, 1e9))))
        good = st.floats(allow_nan=False) if state is State.COMPLETE else st.none() | any_float
        trials.append(
            Trial(
                number,
                cohort=draw(st.integers(0, 2**31 - 1)),
                params=params,
                state=state,
                epochs=len(curve),
                value=draw(good),
                loss=draw(st.none() | any_float),
                best_epoch=draw(st.none() | st.integers(1, 10**6)),
                reason=draw(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
                started=draw(times),
                finished=draw(times) if state.finished else None,
            )
        )
    return base, trials, segments


@settings(max_examples=30, deadline=None)
@given(outcomes())
def test_everything_comes_back_exactly(stored: tuple[StudyRecord, list[Trial], list[Segment]]) -> None:
    base, trials, segments = stored
    with Database.open("sqlite://", create=True) as database:
        store = database.create_study(base)
        store.begin()
        store.commit(started=[Trial(t.number, t.cohort, t.params, started=t.started) for t in trials])
        store.commit(segments=segments, updated=trials)
        again = database.study(base.name)
        assert again.record == base
        # By text, because NaN is not equal to itself; the repr of a float names it exactly.
        assert repr(again.trials()) == repr(trials)
        curves = again.curves()
        assert list(curves) == [trial.number for trial in trials]
        for segment in segments:
            assert curves[segment.trial].tobytes() == segment.curve.astype("<f8").tobytes()


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path}/x.db", create=True) as database:
        store = database.create_study(record())
        store.begin()
        store.commit(started=[new_trial(0)])
        curve = np.ones((2, len(CURVE_COLUMNS)), np.float32)
        update = replace(
            new_trial(0), epochs=2, value=np.float64(0.5), loss=np.float32(0.5), best_epoch=np.int64(2)
        )  # type: ignore[arg-type]
        store.commit(segments=[Segment(0, 0, 1, curve)], updated=[update])  # type: ignore[arg-type]
        (trial,) = store.trials()
        assert (trial.value, trial.loss, trial.best_epoch) == (0.5, 0.5, 2)
        assert store.curves()[0].dtype == np.float64
        assert store.curves()[0].flags.writeable


def test_a_negative_zero_is_no_damage(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path}/x.db", create=True) as database:
        store = database.create_study(record())
        store.begin()
        store.commit(started=[new_trial(0)])
        ended = replace(finished_trial(new_trial(0), epochs=1), value=-0.0, loss=-0.0)
        curve = np.full((1, len(CURVE_COLUMNS)), -0.0)
        store.commit(segments=[Segment(0, 0, 1, curve, -0.0)], updated=[ended], seconds=-0.0)
        assert repr(store.trials()) == repr([ended])
        assert store.curves()[0].tobytes() == curve.tobytes()


def test_wanted_curves_alone(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path}/x.db", create=True) as database:
        store = database.create_study(record())
        store.begin()
        count = 1200  # more than fit in one statement of some databases
        started = [new_trial(number) for number in range(count)]
        store.commit(started=started)
        curve = np.zeros((1, len(CURVE_COLUMNS)))
        store.commit(
            segments=[Segment(n, 0, 1, curve + n) for n in range(count)],
            updated=[replace(trial, epochs=1) for trial in started],
        )
        wanted = [*range(0, count, 2), 5000]
        curves = store.curves(wanted)
        assert list(curves) == wanted[:-1]
        assert all((curve == number).all() for number, curve in curves.items())
        assert store.curves([]) == {}


def test_cohorts_and_seconds_add_up(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path}/x.db", create=True) as database:
        store = database.create_study(record(seconds=1.0))
        assert store.last_cohort() is None
        store.begin()
        store.commit(cohort=Cohort(0, {0: (0, 3), 1: (3, 9)}), seconds=0.5)
        store.commit(cohort=Cohort(1, {7: (9, 27)}), seconds=0.25)
        assert store.last_cohort() == Cohort(1, {7: (9, 27)})
        with pytest.raises(StorageError, match="expected cohort 2; found cohort 4"):
            store.commit(cohort=Cohort(4, {}))
        assert store.record.seconds == database.study("digits").record.seconds == 1.75


def test_list_of_studies(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path}/x.db", create=True) as database:
        assert database.studies() == []
        fill(database.create_study(record("b")))
        database.create_study(record("a", metric="rmse", task="regression", direction="minimize"))
        first, second = database.studies()
        assert (first.name, first.best_value, first.seconds) == ("b", math.inf, 1.5)
        assert first.counts == {State.RUNNING: 2, State.COMPLETE: 2, State.PRUNED: 1, State.FAILED: 1}
        assert (second.name, second.task, second.metric, second.best_value) == (
            "a",
            "regression",
            "rmse",
            None,
        )
        assert set(second.counts.values()) == {0}
        assert second.created.utcoffset() is not None


def test_best_value_is_the_least_where_less_is_better(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path}/x.db", create=True) as database:
        trials, _ = fill(database.create_study(record(direction="minimize")))
        assert database.studies()[0].best_value == trials[0].value


def test_a_grown_record_is_kept(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path}/x.db", create=True) as database:
        store = database.create_study(record())
        store.begin()
        store.commit(seconds=2.0)
        store.end()
        document = store.record.document | {"search": {"trials": 64}}
        store.update_record(replace(record(), document=document, provenance={"threads": 2}))
        found = database.study("digits").record
        assert found == store.record
        assert (found.document, found.provenance, found.seconds) == (document, {"threads": 2}, 2.0)
        with pytest.raises(StorageError, match='found "other"'):
            store.update_record(record("other"))


def test_a_deleted_study_leaves_no_row(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Database.open(f"sqlite:///{path}", create=True) as database:
        fill(database.create_study(record("keep")))
        before = {table: len(execute(path, f"SELECT * FROM {table}")) for (table,) in execute(path, TABLES)}
        fill(database.create_study(record("drop")))
        database.delete_study("drop")
        after = {table: len(execute(path, f"SELECT * FROM {table}")) for table in before}
        assert after == before
        assert repr(database.study("keep").trials()) == repr(all_states()[0])
        fill(database.create_study(record("drop")))


TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


def test_a_study_that_optuna_deleted_can_be_made_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with Database.open(url, create=True) as database:
        fill(database.create_study(record()))
        optuna.delete_study(study_name="digits", storage=url)
        assert database.studies() == []
        assert database.find("digits") is None
        store = database.create_study(record())
        assert (store.trials(), store.curves(), store.last_cohort()) == ([], {}, None)
        fill(store)
        assert len(store.trials()) == 6


def test_unknown_study_names_the_nearest(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path}/x.db", create=True) as database:
        for name in ("digits", "wine"):
            database.create_study(record(name))
        with pytest.raises(UnknownStudyError, match=r'no study "digts".*did you mean "digits"\?.*wine'):
            database.study("digts")
        with pytest.raises(UnknownStudyError, match='no study "x"'):
            database.delete_study("x")


def test_a_name_is_given_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(storage=url, study_name="plain")
    with Database.open(url) as database:
        assert database.studies() == []
        database.create_study(record())
        with pytest.raises(StorageError, match='study "digits" already exists'):
            database.create_study(record())
        with pytest.raises(StorageError, match='plain Optuna study "plain" already exists'):
            database.create_study(record("plain"))
        assert [study.name for study in database.studies()] == ["digits"]


def test_a_missing_time_is_the_commits(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path}/x.db", create=True) as database:
        store = database.create_study(record())
        store.begin()
        trial = replace(new_trial(0), started=None)
        store.commit(started=[trial])
        (stored,) = store.trials()
        assert stored.started is not None
        assert stored.finished is None
