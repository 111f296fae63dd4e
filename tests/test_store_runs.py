"""What is stored beside trials and curves: runs, queued points, weights, objectives; and their room."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from hpsearch.cli.app import app
from hpsearch.errors import StorageError, StudyBusyError
from hpsearch.records import CURVE_COLUMNS, Cohort, Curves, Queued, Segment, State, Trial
from hpsearch.store import Database, StudyStore
from tests.store_study import EPOCHS, curve_of, execute, fill, finished_trial, new_trial, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


@pytest.fixture
def store(path: Path) -> Iterator[StudyStore]:
    """A new study, claimed by this process."""
    with Database.open(f"sqlite:///{path}", create=True) as database:
        store = database.create_study(record())
        store.begin()
        yield store


def train(store: StudyStore, numbers: range) -> None:
    """Start and finish trials in one commit."""
    store.commit(
        cohort=Cohort(len(store.cohorts()), dict.fromkeys(numbers, (0, EPOCHS))),
        started=[new_trial(number) for number in numbers],
        segments=[Segment(number, 0, 1, curve_of(number)) for number in numbers],
        updated=[finished_trial(new_trial(number)) for number in numbers],
    )


# -- runs and pieces of curves ---------------------------------------------------------------------


def test_each_beginning_with_a_provenance_is_a_run(store: StudyStore) -> None:
    assert (store.run, store.runs()) == (0, [])
    before = datetime.now(UTC)
    store.begin({"threads": 2, "numbers": [0.1, None, "ü"]})
    assert store.run == 1
    store.end()
    assert store.run == 0
    store.begin({"threads": 3})
    assert store.run == 2
    store.begin()
    assert store.run == 0
    first, second = store.runs()
    assert (first.number, first.provenance) == (1, {"threads": 2, "numbers": [0.1, None, "ü"]})
    assert (second.number, second.provenance) == (2, {"threads": 3})
    assert before - timedelta(seconds=1) <= first.begun <= second.begun <= datetime.now(UTC)


def test_pieces_of_curves_know_where_they_were_trained(store: StudyStore) -> None:
    curve = np.random.default_rng(0).random((9, 6))
    pieces = [
        Segment(0, 0, 1, curve[:3], 0.5, run=1, lane=5, width=32),
        Segment(0, 1, 4, curve[3:], 0.25, run=2, lane=0, width=1),
    ]
    store.commit(started=[new_trial(0)], segments=pieces, updated=[finished_trial(new_trial(0))])
    for stored, given in zip(store.segments([0]), pieces, strict=True):
        assert np.array_equal(stored.curve, given.curve)
        assert replace(stored, curve=given.curve) == given
    assert np.array_equal(store.curves()[0], curve)


def test_shares_of_dead_units_take_half_of_the_room_where_nothing_is_lost_by_it(
    store: StudyStore, path: Path
) -> None:
    shares = np.array([[0.1, 3 / 64, 0.0]] * EPOCHS)
    single = np.hstack([curve_of(0), shares.astype(np.float32).astype(np.float64)])
    double = np.hstack([curve_of(1), shares])
    double[0, 5] = math.nan
    single[0, 5] = math.inf
    store.commit(
        started=[new_trial(0), new_trial(1)],
        segments=[Segment(0, 0, 1, single), Segment(1, 0, 1, double)],
        updated=[finished_trial(new_trial(n)) for n in (0, 1)],
    )
    curves = store.curves()
    assert curves[0].tobytes() == single.tobytes()
    assert curves[1].tobytes() == double.tobytes()
    sizes = execute(path, "SELECT length(data) FROM hpsearch_curves ORDER BY number")
    assert sizes == [(EPOCHS * (4 * 8 + 3 * 4),), (EPOCHS * 7 * 8,)]


def test_curves_of_all_trials_are_cut_from_whole_arrays() -> None:
    random = np.random.default_rng(0)
    shapes = {3: (4, 6), 0: (1, 4), 9: (2, 5), 7: (0, 4)}
    given = {number: random.random(shape) for number, shape in shapes.items()}
    curves = Curves.join(given)
    assert list(curves) == [0, 3, 7, 9]
    assert len(curves) == 4
    for number, curve in given.items():
        assert np.array_equal(curves[number], curve)
    assert 1 not in curves
    assert 99 not in curves
    numbers, values = curves.at(2)
    assert numbers.tolist() == [3, 9]
    assert np.array_equal(values, [given[3][1, :4], given[9][1, :4]])
    assert curves.last_dead().tolist() == [0.0, given[3][-1, 4:].max(), 0.0, given[9][-1, 4]]


def test_trials_and_curves_of_some_numbers(store: StudyStore) -> None:
    train(store, range(5))
    trials, curves = store.read([3, 1, 99])
    assert [trial.number for trial in trials] == list(curves) == [1, 3]
    assert not store.read(curves=False)[1]
    everything, all_curves = store.read()
    assert list(everything) == store.trials() == [everything[at] for at in range(-5, 0)] == everything[:]
    assert list(all_curves) == list(range(5))
    assert store.counts() == {State.RUNNING: 0, State.COMPLETE: 5, State.PRUNED: 0, State.FAILED: 0}


# -- the queue -------------------------------------------------------------------------------------


def test_queued_points_wait_until_a_trial_takes_them(store: StudyStore) -> None:
    points = [{"depth": 3, "activation": "tanh"}, {}, {"learning_rate": 0.1, "nesterov": True}]
    store.enqueue(points[:2])
    store.enqueue(points[2:])
    assert store.queue() == [Queued(position, params) for position, params in enumerate(points)]
    store.commit(started=[new_trial(0), new_trial(1)], taken={0: 0, 2: 1})
    assert [point.trial for point in store.queue()] == [0, None, 1]
    for taken, found in (({2: 0}, "already trial 1"), ({1: 2}, "2 trials"), ({3: 0}, "no such point")):
        with pytest.raises(StorageError, match=f"expected queued point {min(taken)} to wait.*{found}"):
            store.commit(taken=taken)
    assert [point.params for point in store.queue()] == points


def test_a_queued_point_must_be_of_the_space(store: StudyStore) -> None:
    with pytest.raises(StorageError, match=r"queued point 1: depth: expected a value of .*found 2\.5"):
        store.enqueue([{"depth": 3}, {"depth": 2.5}])
    assert store.queue() == []


def test_points_are_queued_while_another_one_has_the_study(store: StudyStore, path: Path) -> None:
    with Database.open(f"sqlite:///{path}") as database:
        database.study("digits").enqueue([{"depth": 2}])
    assert store.queue() == [Queued(0, {"depth": 2})]
    store.commit(started=[new_trial(0)], taken={0: 0})


# -- weights of running trials ---------------------------------------------------------------------


def running(number: int, epochs: int) -> Trial:
    return finished_trial(new_trial(number), State.RUNNING, epochs)


def test_weights_are_kept_until_their_trial_ends(store: StudyStore, path: Path) -> None:
    weights = {number: os.urandom(3000) for number in range(3)}
    store.commit(
        started=[new_trial(n) for n in range(3)],
        segments=[Segment(n, 0, 1, curve_of(n, 3)) for n in range(3)],
        updated=[running(n, 3) for n in range(3)],
        checkpoints={n: (3, data) for n, data in weights.items()},
    )
    assert store.checkpoints() == {n: (3, data) for n, data in weights.items()}
    store.commit(
        segments=[Segment(0, 1, 4, curve_of(0)[3:]), Segment(1, 1, 4, curve_of(1)[3:6])],
        updated=[finished_trial(new_trial(0)), running(1, 6)],
        checkpoints={0: (9, b"of no use any more"), 1: (6, b"newer")},
    )
    assert store.checkpoints() == {1: (6, b"newer"), 2: (3, weights[2])}
    execute(path, "UPDATE hpsearch_checkpoints SET epoch = 5 WHERE number = 1")
    assert store.checkpoints() == {2: (3, weights[2])}


def test_a_file_is_cut_to_what_is_in_it_when_a_study_ends(store: StudyStore, path: Path) -> None:
    train(store, range(8))
    store.end()
    without = path.stat().st_size
    store.begin()
    store.commit(started=[new_trial(8)], checkpoints={8: (0, os.urandom(1 << 20))})
    assert path.stat().st_size > 1 << 20
    curve = Segment(8, 0, 1, curve_of(8))
    store.commit(segments=[curve], updated=[finished_trial(new_trial(8))])
    store.end()
    assert path.stat().st_size < without + (1 << 16)
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]


# -- further objectives ----------------------------------------------------------------------------


def test_further_objectives_are_stored_and_shown_to_optuna(path: Path) -> None:
    url = f"sqlite:///{path}"
    ended = [
        replace(finished_trial(new_trial(0)), others=(1234.0, 0.1)),
        replace(finished_trial(new_trial(1), State.PRUNED, 3), others=(5e300, -0.0)),
        finished_trial(new_trial(2), State.FAILED, 2),
    ]
    with Database.open(url, create=True) as database:
        store = database.create_study(record(objectives=("parameters", "loss")))
        store.begin()
        store.commit(
            started=[new_trial(n) for n in range(3)],
            segments=[Segment(t.number, 0, 1, curve_of(t.number, t.epochs)) for t in ended],
            updated=ended,
        )
        again = database.study("digits")
        assert again.record.objectives == ("parameters", "loss")
        assert repr(again.trials()) == repr(ended)
        store.commit(started=[new_trial(3)])
        alone = finished_trial(new_trial(3))
        with pytest.raises(
            StorageError, match=r"trial 3: expected a complete trial to have a value in each objective"
        ):
            store.commit(segments=[Segment(3, 0, 1, curve_of(3))], updated=[alone])
    study = optuna.load_study(study_name="digits", storage=url)
    assert [way.name for way in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "parameters", "loss"]
    assert study.trials[0].values == [ended[0].value, 1234.0, 0.1]
    assert study.trials[2].values is None


# -- how much a commit does ------------------------------------------------------------------------


@contextmanager
def counted_steps() -> Iterator[list[int]]:
    """How many hundred instructions SQLite's machine has done, of connections made from now on."""
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    def listen(connection: Any, record: Any) -> None:
        connection.set_progress_handler(count, 100)

    sa.event.listen(Engine, "connect", listen)
    try:
        yield steps
    finally:
        sa.event.remove(Engine, "connect", listen)


def test_a_commit_does_the_same_however_long_the_study_is(path: Path) -> None:
    def cost(first: int) -> int:
        before = steps[0]
        train(store, range(first, first + 8))
        return steps[0] - before

    with counted_steps() as steps, Database.open(f"sqlite:///{path}", create=True) as database:
        store = database.create_study(record())
        store.begin()
        cost(0)
        short = cost(8)
        train(store, range(16, 3000))
        long = cost(3000)
        before = steps[0]
        assert database.studies()[0].counts[State.COMPLETE] == 3008
        listing = steps[0] - before
    assert short > 20
    assert long < 1.2 * short
    assert listing < 10


# -- room ------------------------------------------------------------------------------------------


def test_compact_closes_what_a_deleted_study_leaves(path: Path) -> None:
    url = f"sqlite:///{path}"
    with Database.open(url, create=True) as database:
        fill(database.create_study(record("keep")))
        store = database.create_study(record("drop"))
        store.begin()
        train(store, range(400))
        store.end()
    execute(path, "DELETE FROM hpsearch_curves WHERE study_id = 2")
    before = path.stat().st_size
    done = CliRunner().invoke(app, ["compact", "--storage", url])
    assert done.exit_code == 0
    assert f"{before / 1000:.3g} kB before" in done.stderr
    assert path.stat().st_size < before - 50_000
    with Database.open(url) as database:
        assert len(database.study("keep").trials()) == 6
        database.delete_study("drop")
        assert len(database.study("keep").curves()) == 5
    assert path.stat().st_size < 300_000


def test_compact_waits_for_nobody(store: StudyStore, path: Path) -> None:
    train(store, range(2))
    before = path.read_bytes()
    with Database.open(f"sqlite:///{path}") as database:
        with pytest.raises(StudyBusyError, match=r'study "digits" is being trained by process'):
            database.compact()
        assert path.read_bytes() == before
        store.end()
        database.compact()
    assert len(store.curves()) == 2


def test_only_a_file_is_compacted() -> None:
    with Database.open("sqlite://", create=True) as database:
        database.create_study(record())
        with pytest.raises(StorageError, match="expected an SQLite file"):
            database.compact()


def test_curve_columns_of_a_study_without_hidden_layers(store: StudyStore) -> None:
    train(store, range(2))
    assert store.curves()[1].shape == (EPOCHS, len(CURVE_COLUMNS))
