"""A commit is stored as a whole or not at all, and only by the one process that has the study."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from hpsearch.errors import HpsearchError, StorageError, StudyBusyError
from hpsearch.records import Cohort, Segment, State, Trial
from hpsearch.store import Database, StudyStore
from tests.store_study import EPOCHS, curve_of, execute, finished_trial, new_trial, record

KILLS = 20
FORK = multiprocessing.get_context("fork")


def contents(path: Path) -> dict[str, list[Any]]:
    """All rows of all tables, but for the time of the last commit."""
    tables = execute(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {t: execute(path, f"SELECT * FROM {t}") for (t,) in tables if t != "hpsearch_claims"}


def running(number: int, epochs: int) -> Trial:
    return finished_trial(new_trial(number), State.RUNNING, epochs)


BAD_COMMITS: dict[str, tuple[dict[str, Any], str]] = {
    "a number twice": (
        {"started": [new_trial(6), new_trial(6)]},
        "trial 6: expected 7 as the next new trial",
    ),
    "a number left out": ({"started": [new_trial(6), new_trial(8)]}, "trial 8: expected 7 as the next"),
    "a number that is taken": ({"started": [new_trial(5)]}, "trial 5: expected 6 as the next new trial"),
    "a new trial that is finished": (
        {"started": [finished_trial(new_trial(6))]},
        "trial 6: expected a new trial",
    ),
    "a value outside its range": (
        {"started": [new_trial(6), replace(new_trial(7), params={"depth": 1.5})]},
        "trial 7: depth: expected a value of .*found 1.5",
    ),
    "a choice that is none": (
        {"started": [replace(new_trial(6), params={"activation": "elu"})]},
        "found 'elu'",
    ),
    "an unknown parameter": ({"started": [replace(new_trial(6), params={"x": 1})]}, "found x"),
    "a finished trial": (
        {"updated": [finished_trial(new_trial(0))]},
        "trial 0: .*finished ones never change; found complete",
    ),
    "a segment of a finished trial": (
        {"segments": [Segment(1, 0, 4, curve_of(1, 2))]},
        "trial 1: .*finished ones never change; found pruned",
    ),
    "a trial that is not there": (
        {"updated": [running(77, 3)]},
        "trial 77: expected a trial that was started",
    ),
    "a trial twice": (
        {"segments": [Segment(5, 0, 1, curve_of(5, 3))], "updated": [running(5, 3), running(5, 3)]},
        "once; found a duplicate",
    ),
    "a gap in a curve": (
        {"segments": [Segment(3, 0, 5, curve_of(3, 2))], "updated": [running(3, 6)]},
        "trial 3: expected its curve to continue at epoch 4; found epoch 5",
    ),
    "a piece of a curve again": (
        {"segments": [Segment(3, 0, 1, curve_of(3, 3))], "updated": [running(3, 3)]},
        "trial 3: expected its curve to continue at epoch 4; found epoch 1",
    ),
    "epochs without a curve": (
        {"updated": [running(3, 9)]},
        "trial 3: expected 3 epochs as in its curve; found 9",
    ),
    "a curve without its trial": (
        {"segments": [Segment(3, 0, 4, curve_of(3, 2))]},
        "trial 3: expected 5 epochs as in its curve; found 3",
    ),
    "a curve of other columns": (
        {"segments": [Segment(3, 0, 4, np.zeros((2, 3)))]},
        "trial 3: expected a curve of",
    ),
    "a queued point that is not there": ({"taken": {0: 3}}, "expected queued point 0 to wait"),
    "a complete trial without a value": (
        {"updated": [replace(finished_trial(new_trial(3), epochs=3), value=float("nan"))]},
        "trial 3: expected a complete trial to have a value; found nan",
    ),
}


@pytest.mark.parametrize("fault", BAD_COMMITS)
def test_a_commit_with_a_fault_leaves_nothing(stored: tuple[Path, StudyStore], fault: str) -> None:
    path, store = stored
    before, seconds = contents(path), store.record.seconds
    commit, message = BAD_COMMITS[fault]
    good: dict[str, Any] = {"cohort": Cohort(1, {6: (0, 3)}), "seconds": 5.0}
    if "started" not in commit:
        good["started"] = [new_trial(6), new_trial(7)]
    with pytest.raises(StorageError, match=message):
        store.commit(**good, **commit)
    assert contents(path) == before
    assert store.record.seconds == seconds
    store.commit(cohort=Cohort(1, {6: (0, 3)}), started=[new_trial(6)])


def test_started_and_grown_in_one_commit(stored: tuple[Path, StudyStore]) -> None:
    _, store = stored
    curve = curve_of(6)
    segments = [Segment(6, 1, 1, curve[:4]), Segment(6, 1, 5, curve[4:])]
    store.commit(started=[new_trial(6)], segments=segments, updated=[finished_trial(new_trial(6))])
    assert store.trials()[6] == finished_trial(new_trial(6))
    assert (store.curves([6])[6] == curve).all()


# -- processes -------------------------------------------------------------------------------------


@contextmanager
def child(work: Callable[[str, Connection], None], url: str) -> Iterator[tuple[int, Connection]]:
    """A real process that does `work`; it is killed at the end."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=work, args=(url, theirs))
    process.start()
    theirs.close()
    assert process.pid is not None
    try:
        yield process.pid, ours
    finally:
        process.kill()
        process.join()
        ours.close()


def hold(url: str, parent: Connection) -> None:
    """Claim the study; then, when told, try to write."""
    with Database.open(url) as database:
        store = database.study("digits")
        store.begin()
        parent.send("claimed")
        parent.recv()
        try:
            store.commit(started=[new_trial(6)])
        except HpsearchError as error:
            parent.send(error)


def test_one_process_at_a_time(stored: tuple[Path, StudyStore]) -> None:
    path, store = stored
    store.end()
    store.end()
    with child(hold, f"sqlite:///{path}") as (pid, theirs):
        assert theirs.recv() == "claimed"
        for refused in (store.begin, lambda: store.update_record(store.record)):
            with pytest.raises(
                StudyBusyError, match=f'study "digits" is being trained by process {pid} since'
            ):
                refused()
        with Database.open(f"sqlite:///{path}") as database, pytest.raises(StudyBusyError, match=f"{pid}"):
            database.delete_study("digits")
        with pytest.raises(StudyBusyError, match="another process has taken over"):
            store.commit(started=[new_trial(6)])
        assert len(store.trials()) == 6  # reading is always possible
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        store.begin()  # dead, although its parent has not looked after it yet
        store.commit(started=[new_trial(6)])


def test_a_process_that_lost_its_claim_cannot_write(stored: tuple[Path, StudyStore]) -> None:
    path, store = stored
    store.end()
    with child(hold, f"sqlite:///{path}") as (_, theirs):
        theirs.recv()
        execute(path, "UPDATE hpsearch_claims SET host = 'elsewhere'")
        with pytest.raises(StudyBusyError, match=r"on elsewhere since .* if it is gone, repeat .* in 10 min"):
            store.begin()
        execute(path, "UPDATE hpsearch_claims SET renewed = '2026-01-01 00:00:00.000000'")
        store.begin()
        theirs.send("go on")
        error = theirs.recv()
    assert isinstance(error, StudyBusyError)
    assert "another process has taken over" in str(error)
    assert len(store.trials()) == 6


def test_a_process_number_given_again_is_another_process(stored: tuple[Path, StudyStore]) -> None:
    path, store = stored
    with Database.open(f"sqlite:///{path}") as database:
        other = database.study("digits")
        with pytest.raises(StudyBusyError, match=f"process {os.getpid()} "):
            other.begin()
        execute(path, "UPDATE hpsearch_claims SET process_started = process_started - 60")
        other.begin()
        with pytest.raises(StudyBusyError, match="another process has taken over"):
            store.commit()
        store.end()  # not its claim any more
        other.commit(seconds=1.0)


def train(url: str, parent: Connection) -> None:
    """Go on where the study stands, two commits a trial; tell each number when it is stored."""
    with Database.open(url) as database:
        store = database.study("digits")
        store.begin()
        known = store.trials()
        number = len(known)
        if known and not known[-1].state.finished:
            number -= 1
        while True:
            trial = new_trial(number, number)
            if number == len(known):
                store.commit(cohort=Cohort(number, {number: (0, EPOCHS)}), started=[trial])
            segments = [Segment(number, number, 1, curve_of(number), 0.5)]
            store.commit(segments=segments, updated=[finished_trial(trial)], seconds=0.5)
            parent.send(number)
            known = [*known[:number], finished_trial(trial)]
            number += 1


def test_killed_at_any_moment_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    moments = random.Random(0)
    told: list[int] = []
    with Database.open(f"sqlite:///{path}", create=True) as database:
        database.create_study(record())
    for _ in range(KILLS):
        with child(train, f"sqlite:///{path}") as (pid, theirs):
            told.append(theirs.recv())
            end = monotonic() + moments.uniform(0, 0.03)
            while theirs.poll(max(0.0, end - monotonic())):
                told.append(theirs.recv())
            os.kill(pid, signal.SIGKILL)
            with suppress(EOFError, ConnectionResetError):
                while True:
                    told.append(theirs.recv())
        with Database.open(f"sqlite:///{path}") as database:
            store = database.study("digits")
            trials, curves, cohort = store.trials(), store.curves(), store.last_cohort()
        assert told == list(range(len(told)))
        done = [trial for trial in trials if trial.state.finished]
        assert len(told) <= len(done) <= len(told) + 1
        assert done == [finished_trial(new_trial(n, n)) for n in range(len(done))]
        assert len(trials) - len(done) <= 1
        assert cohort == Cohort(len(trials) - 1, {len(trials) - 1: (0, EPOCHS)})
        assert list(curves) == list(range(len(done)))
        assert all((curve == curve_of(number)).all() for number, curve in curves.items())
        assert store.record.seconds == len(done) / 2
        told = list(range(len(done)))  # stored, although it was not told any more
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]
    ((metrics,),) = execute(path, "SELECT count(*) FROM trial_intermediate_values")
    assert metrics == len(done) * EPOCHS
