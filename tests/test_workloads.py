"""The loop, rungs, store, resuming and reports, on each workload; and what it takes to add one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.rising import Rising
from hpsearch.data import Dataset
from hpsearch.errors import HpsearchError
from hpsearch.records import CURVE_COLUMNS, FloatArray, Progress, State, Trial
from hpsearch.running.machine import Machine
from hpsearch.running.pool import POOLS, Futures, StopFlag, Trained
from hpsearch.running.prepare import WORKLOADS, Outcome, make_workload, prepare, train
from hpsearch.running.recorded import Recorded
from hpsearch.running.resume import open_study
from hpsearch.running.workload import AnyWorkload, Tile
from hpsearch.search import make_stopping
from hpsearch.store import Database
from hpsearch.study.file import Study, load_study
from tests.studies import assert_same, stored, url, write_study
from tests.studies import hpsearch as command_line

WORKLOADS["recorded"] = lambda study, dataset, machine: Recorded(Rising(study.train.epochs))
WORKLOADS_HERE = ("networks", "recorded")


def run(path: Path, database: Path, workload: str, stop: StopFlag | None = None, **options: Any) -> Outcome:
    """Run a study of a file, or go on with it."""
    study, dataset = prepare(load_study(path))
    with Database.open(url(database), create=True) as opened:
        store, study = open_study(opened, study, dataset, {})
        options["stop"] = StopFlag() if stop is None else stop
        return train(study, dataset, store, Machine("cpu", 1), workload=workload, **options)


@dataclass(frozen=True)
class Whole:
    """An undisturbed study of 40 trials in cohorts of 16."""

    workload: str
    path: Path
    database: Path


@pytest.fixture(scope="module", params=WORKLOADS_HERE)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp(request.param)
    made = Whole(request.param, write_study(folder), folder / "whole.db")
    assert run(made.path, made.database, made.workload).complete
    return made


def test_a_study_ends_at_its_rungs_with_all_its_trials(whole: Whole) -> None:
    trials, curves = stored(whole.database)
    assert len(trials) == 40
    rungs = make_stopping(load_study(whole.path)).rungs
    assert {trial[3] for trial in trials} >= {State.COMPLETE, State.PRUNED}
    for number, _, _, state, epochs, value, loss, best_epoch, *_ in trials:
        curve = curves[number]  # type: ignore[index]
        assert len(curve) == epochs
        if state is not State.FAILED:
            assert epochs in rungs
            assert (value, best_epoch) == (curve[-1, 3], epochs)
            assert loss == curve[best_epoch - 1, 2]


def test_who_goes_on_at_a_rung_is_best_there(whole: Whole) -> None:
    """Of the first cohort, which nothing came before: the best third by the stored curves."""
    trials, curves = stored(whole.database)
    first = [trial for trial in trials if trial[1] == 0 and trial[3] is not State.FAILED]
    at_rung = {trial[0]: curves[trial[0]][0, 3] for trial in first}  # type: ignore[index]
    on = [at_rung[trial[0]] for trial in first if trial[4] > 1]  # type: ignore[operator]
    out = [at_rung[trial[0]] for trial in first if trial[4] == 1]
    assert on
    assert out
    assert min(on) >= max(out)


@pytest.mark.parametrize("checkpoints", [True, False])
def test_stopped_at_every_rung_it_ends_the_same(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoints: bool
) -> None:
    monkeypatch.setattr("hpsearch.running.loop._COMMIT_EVERY", 0.0)  # a stop after every tile
    stops = 0
    while True:
        stop, said = StopFlag(), list[str]()

        def ask(progress: Progress, stop: StopFlag = stop) -> None:
            if progress.epochs:  # as soon as this run has stored anything
                stop.ask()

        outcome = run(
            whole.path,
            tmp_path / "s.db",
            whole.workload,
            stop,
            watch=ask,
            checkpoints=checkpoints,
            warn=said.append,
        )
        assert not said
        if outcome.complete:
            break
        stops += 1
        assert stops < 100
    assert stops >= 3
    assert_same(whole.database, tmp_path / "s.db")


@pytest.mark.parametrize("kills", [1, 3])
def test_killed_it_ends_the_same(whole: Whole, tmp_path: Path, kills: int) -> None:
    """By SIGKILL, in the middle of what came after so many commits, and twice."""
    code = f"""
import os, signal
from pathlib import Path
from tests import test_workloads
seen = set()
def die(progress):
    seen.add(progress.epochs)
    if len(seen) > {kills}:
        os.kill(os.getpid(), signal.SIGKILL)
import hpsearch.running.loop as loop
loop._COMMIT_EVERY = 0.0
test_workloads.run(Path({str(whole.path)!r}), Path({str(tmp_path / "k.db")!r}), {whole.workload!r}, watch=die)
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert run(whole.path, tmp_path / "k.db", whole.workload).complete
    assert_same(whole.database, tmp_path / "k.db")


def test_its_report_ranks_what_is_stored(whole: Whole) -> None:
    done = command_line("report", "small", "--format", "csv", "--storage", url(whole.database))
    assert done.returncode == 0, done.stderr
    head, first, *_ = (line.split(",") for line in done.stdout.splitlines())
    trials, _ = stored(whole.database)
    best = max((trial for trial in trials if trial[3] is State.COMPLETE), key=lambda t: (t[5], -t[6]))  # type: ignore[operator]
    row = dict(zip(head, first, strict=True))
    assert (int(row["trial"]), float(row["value"])) == (best[0], best[5])
    shown = command_line("curves", "small", "--trial", best[0], "--storage", url(whole.database))
    assert shown.returncode == 0, shown.stderr


def test_processes_come_to_the_same_end_as_threads(whole: Whole, tmp_path: Path) -> None:
    assert run(whole.path, tmp_path / "p.db", whole.workload, pool="processes").complete
    assert_same(whole.database, tmp_path / "p.db")


# -- adding one --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coins(Recorded):
    """A workload of the user: a coin a trial, and one more column."""

    columns = (*CURVE_COLUMNS, "tossed")  # type: ignore[assignment]

    def parameters(self, trial: Trial) -> int:
        return 1 + trial.number


def toss(trial: Trial) -> FloatArray:
    heads = np.random.default_rng(trial.number).random((9, 1))
    return np.hstack([1 - heads, heads, 1 - heads, heads, np.ones((9, 1))])


class InPlace(Futures):
    """A pool of the user: each tile is trained where and when it is given."""

    def submit(self, tile: Tile[Any]) -> Future[Trained]:
        future: Future[Trained] = Future()
        future.set_result((self._workload.train(tile), 0.0))
        return future

    def close(self) -> None:
        pass


def test_a_workload_and_a_pool_are_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def coins(study: Study, dataset: Dataset, machine: Machine) -> AnyWorkload:
        return Coins(toss)

    monkeypatch.setitem(WORKLOADS, "coins", coins)
    monkeypatch.setitem(POOLS, "in place", InPlace)
    path = write_study(tmp_path, more='objectives = ["parameters"]\n')
    assert run(path, tmp_path / "c.db", "coins", pool="in place").complete
    trials, curves = stored(tmp_path / "c.db")
    assert len(trials) == 40
    for number, *_, others in trials:
        assert np.array_equal(curves[number], toss(Trial(number, 0, {}))[: len(curves[number])])  # type: ignore[index, arg-type]
        assert others == (1 + number,)  # type: ignore[operator]


def test_curves_that_reports_would_misread_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Backwards(Recorded):
        columns = CURVE_COLUMNS[::-1]

    monkeypatch.setitem(WORKLOADS, "backwards", lambda *_: Backwards(Rising(9)))
    with pytest.raises(ValueError, match="columns: expected"):
        run(write_study(tmp_path), tmp_path / "b.db", "backwards")


def test_an_unknown_workload_is_refused(tmp_path: Path) -> None:
    study, dataset = prepare(load_study(write_study(tmp_path)))
    with pytest.raises(HpsearchError, match='one of networks, recorded; found "network"; did you mean'):
        make_workload("network", study, dataset, Machine("cpu", 1))


def test_a_recorded_trial_fails_where_its_curve_is_not_finite() -> None:
    def broken(trial: Trial) -> FloatArray:
        curve = Rising(5)(trial)
        curve[3, 2] = np.inf
        return curve

    workload = Recorded(broken)
    (tile,) = workload.tiles([workload.lane(Trial(7, 0, {}), workload.unpack(2, b""))], [5], 1)
    (result,) = workload.train(tile)
    assert (result.trial, len(result.curve), result.state) == (7, 2, None)
    assert result.failure == "diverged: validation loss infinite in epoch 4"
    with pytest.raises(ValueError, match="holds weights"):
        workload.unpack(2, b"weights")


@pytest.mark.parametrize(("workers", "count"), [(None, len(os.sched_getaffinity(0))), (3, 3)])
def test_a_machine_is_made_once(workers: int | None, count: int) -> None:
    assert Machine.of("cpu", workers) == Machine("cpu", count)
    with pytest.raises(HpsearchError, match="workers: expected at least 1; found 0"):
        Machine.of("cpu", 0)
    with pytest.raises(HpsearchError, match="expected one of auto"):
        Machine.of("gpu")
