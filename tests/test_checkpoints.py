"""Weights of unfinished trials at rungs: restored where they are, trained again where they are not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpsearch
from hpsearch.records import Progress
from hpsearch.running.machine import Machine
from hpsearch.running.pool import StopFlag
from hpsearch.running.prepare import prepare, train
from hpsearch.running.resume import open_study
from hpsearch.store import Database
from hpsearch.study.file import load_study
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, LaneResult, LaneState, Problem, pack, train_lanes, unpack
from tests.problems import make_lanes, make_problem
from tests.studies import assert_same, url

STUDY = """
[study]
name = "small"
seed = 3
[data]
source = "iris"
[space]
learning_rate = { low = 1e-3, high = 0.3, log = true }
optimizer = ["sgd", "adam"]
batch_norm = [true, false]
depth = { low = 1, high = 3 }
batch_size = [16, 32]
layer1.width = { low = 3, high = 20 }
width = 8
[train]
epochs = 9
[search]
trials = 24
cohort = 8
"""

VARIANTS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "momentum": 0.9},
    "sgd without momentum": {"optimizer": "sgd", "momentum": 0.0},
    "adam": {"optimizer": "adam"},
    "adamw, batch norm": {"optimizer": "adamw", "batch_norm": True, "weight_decay": 0.01},
    "batch norm": {"batch_norm": True},
    "linear": {"depth": 1},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An undisturbed study, and its database."""
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "small.toml"
    path.write_text(STUDY, encoding="utf-8")
    hpsearch.run(path, storage=url(folder / "whole.db"), confirm=False)
    return path, folder / "whole.db"


class Counting:
    """The engine's trainer, which notes from where to where each trial is trained."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, int, int]] = []

    def __call__(self, problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
        self.pieces += [(lane.trial, lane.epoch, last_epoch) for lane in lanes]
        return train_lanes(problem, lanes, last_epoch)


def run_in_pieces(
    path: Path,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    checkpoints: bool,
    before: Callable[[], None] = lambda: None,
) -> list[tuple[int, int, int]]:
    """Run it, stopped as soon as anything is stored and begun again, to its end; what was trained.

    before: is called before each time but the first.
    """
    counting = Counting()
    monkeypatch.setattr("hpsearch.train.train_lanes", counting)
    monkeypatch.setattr("hpsearch.running.loop._COMMIT_EVERY", 0.0)  # a stop after every tile
    study, dataset = prepare(load_study(path))
    for times in range(100):
        if times:
            before()
        with Database.open(url(database), create=True) as opened:
            store, study = open_study(opened, study, dataset, {})
            stop = StopFlag()

            def ask(progress: Progress, stop: StopFlag = stop) -> None:
                if progress.epochs:
                    stop.ask()

            outcome = train(
                study, dataset, store, Machine("cpu", 1), stop=stop, watch=ask, checkpoints=checkpoints
            )
            if outcome.complete:
                assert store.checkpoints() == {}  # of finished trials there is none
                assert times >= 4
                return counting.pieces
    raise AssertionError("not complete after 100 runs")


def stored_epochs(database: Path) -> dict[int, int]:
    with Database.open(url(database)) as opened:
        return {trial.number: trial.epochs for trial in opened.study("small").trials()}


def trained(pieces: Sequence[tuple[int, int, int]]) -> dict[int, list[int]]:
    """How often each epoch of each trial was trained."""
    counts: dict[int, list[int]] = {}
    for number, first, last in pieces:
        of = counts.setdefault(number, [0] * 9)
        for epoch in range(first, last):
            of[epoch] += 1
    return counts


def test_with_checkpoints_no_epoch_is_trained_twice(
    whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at rungs, again and again; and it ends as the undisturbed one."""
    pieces = run_in_pieces(whole[0], tmp_path / "p.db", monkeypatch, checkpoints=True)
    assert_same(whole[1], tmp_path / "p.db")
    for number, epochs in stored_epochs(tmp_path / "p.db").items():
        assert trained(pieces)[number] == [1] * epochs + [0] * (9 - epochs)


def test_a_killed_study_repeats_at_most_one_rung(
    whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone on with from copies of the database as it was whenever something was stored: as after a kill."""
    copies: list[Path] = []

    def copy(progress: Progress) -> None:
        if not copies or progress.epochs != told[-1]:
            copies.append(tmp_path / f"{len(copies)}.db")
            told.append(progress.epochs)
            source, target = (sqlite3.connect(path) for path in (tmp_path / "k.db", copies[-1]))
            with closing(source), closing(target):
                source.backup(target)
                with target:
                    target.execute("DELETE FROM hpsearch_claims")

    told = [-1]
    monkeypatch.setattr("hpsearch.running.loop._COMMIT_EVERY", 0.0)
    hpsearch.run(whole[0], storage=url(tmp_path / "k.db"), workers=1, watch=copy, confirm=False)
    assert len(copies) > 6
    rung_before = {0: 0, 1: 0, 3: 1, 9: 3}
    repeated = 0
    for database in copies[1:-1:2]:
        before = stored_epochs(database)
        counting = Counting()
        monkeypatch.setattr("hpsearch.train.train_lanes", counting)
        hpsearch.run(whole[0], storage=url(database), workers=1, confirm=False)
        assert_same(whole[1], database)
        for number, first, _ in counting.pieces:
            assert first >= rung_before[before.get(number, 0)]
            repeated += first < before.get(number, 0)
    assert repeated  # what had come in after the weights were stored


def test_without_checkpoints_unfinished_trials_begin_again(
    whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From epoch 1 on, up to where they were; and it comes out the same."""
    database = tmp_path / "n.db"
    seen: list[int] = []

    def count() -> None:
        with Database.open(url(database)) as opened:
            seen.append(len(opened.study("small").checkpoints()))

    pieces = run_in_pieces(whole[0], database, monkeypatch, checkpoints=False, before=count)
    assert_same(whole[1], database)
    assert set(seen) == {0}
    again = [piece for piece in pieces if piece[1] == 0 and trained(pieces)[piece[0]][0] > 1]
    assert len(again) > 10
    with_them = run_in_pieces(whole[0], tmp_path / "w.db", monkeypatch, checkpoints=True)
    assert epochs_of(with_them) < 0.8 * epochs_of(pieces)


def epochs_of(pieces: Sequence[tuple[int, int, int]]) -> int:
    return sum(last - first for _, first, last in pieces)


@pytest.mark.parametrize(
    "damage",
    ["UPDATE hpsearch_checkpoints SET data = x'00'", "UPDATE hpsearch_checkpoints SET epoch = epoch + 1",
     "UPDATE hpsearch_checkpoints SET checksum = 'nonsense'", "DELETE FROM hpsearch_checkpoints"],
    ids=["bytes", "epoch", "checksum", "gone"],
)  # fmt: skip
def test_a_damaged_checkpoint_is_as_if_it_were_not_there(
    whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    database, damaged = tmp_path / "d.db", []

    def spoil() -> None:
        with sqlite3.connect(database) as connection:
            damaged.append(connection.execute(damage).rowcount)

    run_in_pieces(whole[0], database, monkeypatch, checkpoints=True, before=spoil)
    assert sum(damaged) > 0
    assert_same(whole[1], database)


# -- the bytes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_goes_on_from_packed_weights_as_if_nothing_had_been(
    variant: str, dtype: type[np.floating[Any]]
) -> None:
    problem = make_problem(dtype=dtype, epochs=5)
    settings = {"learning_rate": 0.02, "batch_size": 32, "depth": 3, "width": 9, **VARIANTS[variant]}
    lanes = make_lanes(problem, [Configuration(**settings)] * 3)
    without = train_lanes(problem, lanes, 5)
    halfway = train_lanes(problem, lanes, 2)
    packed = []
    for lane, result in zip(lanes, halfway, strict=True):
        assert result.state is not None
        data = pack(result.state)
        state = unpack(result.state.epoch, data)
        assert_equal(state, result.state)
        assert pack(state) == data
        packed.append(replace(lane, state=state))
    for ours, theirs, first in zip(train_lanes(problem, packed, 5), without, halfway, strict=True):
        assert np.array_equal(np.concatenate([first.curve, ours.curve]), theirs.curve)
        assert ours.state is not None
        assert theirs.state is not None
        assert_equal(ours.state, theirs.state)


def assert_equal(a: LaneState, b: LaneState) -> None:
    for field in fields(LaneState):
        ours, theirs = getattr(a, field.name), getattr(b, field.name)
        if field.name == "epoch":
            assert ours == theirs
            continue
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs, equal_nan=True)


def test_all_values_of_floats_survive() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38], np.float32)
    state = LaneState(7, odd, odd[:0], odd[::-1].copy(), odd[:2])
    again = unpack(7, pack(state))
    assert_equal(again, state)
    assert again.parameters.tobytes() == odd.tobytes()


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 64, b"not at all", pack(LaneState(1, *[np.ones(3)] * 4))[:-5]]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no checkpoint of a lane"):
        unpack(1, data)
