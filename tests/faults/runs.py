"""Whole runs of a small study, with each sampler and stopping rule."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import cycle, islice
from pathlib import Path

from hpsearch.records import Progress, State
from hpsearch.store import Database
from hpsearch.study import methods
from tests.faults.contract import Told
from tests.faults.warm import Child
from tests.studies import segments, url

NAME = "small"
SAMPLERS: tuple[str, ...] = tuple(methods.SAMPLERS)
STOPPING: tuple[str, ...] = tuple(methods.STOPPING)
TRIALS = 48

_STUDY = """
[study]
name = "small"
seed = 3
baselines = false
[data]
source = "digits"
[space]
learning_rate = {rates}
momentum = [0.0, 0.5, 0.9]
batch_size = [16, 32]
depth = {{ low = 1, high = 3 }}
activation = ["relu", "tanh"]
width = {width}
[train]
epochs = {epochs}
[search]
sampler = "{sampler}"
stopping = "{stopping}"
trials = {trials}
cohort = 16
{more}
"""


def pairs() -> list[tuple[str, str]]:
    """Each sampler and each stopping rule at least once, together."""
    count = max(len(SAMPLERS), len(STOPPING))
    return [
        pair if possible(*pair) else (pair[0], "none")
        for pair in islice(zip(cycle(SAMPLERS), cycle(STOPPING)), count)
    ]


def all_pairs() -> Iterator[tuple[str, str]]:
    """Every sampler with every stopping rule that it may have."""
    return ((sampler, rule) for sampler in SAMPLERS for rule in STOPPING if possible(sampler, rule))


def possible(sampler: str, stopping: str) -> bool:
    """Several objectives, which nsga3 needs, leave no trial to be stopped."""
    return sampler != "nsga3" or stopping == "none"


def trials_of(sampler: str) -> int:
    """How many trials its study has: fewer where sampling takes longer than training."""
    return 24 if sampler == "gp" else TRIALS


def write_study(
    folder: Path,
    sampler: str = "tpe",
    stopping: str = "halving",
    trials: int = TRIALS,
    epochs: int = 9,
    width: int = 16,
) -> Path:
    """A study of digits that trains for a second or less; some of its trials diverge."""
    more = 'objectives = ["parameters"]' if sampler == "nsga3" else ""
    path = folder / f"{NAME}.toml"
    fields = {"sampler": sampler, "stopping": stopping, "trials": trials, "epochs": epochs, "width": width}
    rates = "[0.01, 0.1, 1.0, 30.0]" if sampler == "grid" else "{ low = 1e-3, high = 30.0, log = true }"
    path.write_text(_STUDY.format(**fields, rates=rates, more=more), encoding="utf-8")
    return path


def started(child: Child, database: Path, pieces: int = 1) -> None:
    """Wait until the run has stored at least so many pieces of curves."""
    while segments(database) < pieces:
        assert child.running_after(0.002), child.err


@contextmanager
def paused(child: Child, database: Path) -> Iterator[None]:
    """The run stands still, outside of a transaction."""
    status = Path(f"/proc/{child.pid}/status")
    while True:
        child.send(signal.SIGSTOP)
        while "State:\tT" not in status.read_text(encoding="utf-8"):
            assert child.running_after(0.001), child.err
        if _unlocked(database):
            break
        child.send(signal.SIGCONT)
        assert child.running_after(0.001), child.err
    try:
        yield
    finally:
        child.send(signal.SIGCONT)


def _unlocked(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


def finished(path: Path) -> dict[int, Told]:
    """All finished trials of a database: they must not change any more."""
    with Database.open(url(path), create=True) as database:
        store = database.find(NAME)
        if store is None:
            return {}
        curves = store.curves()
        return {
            trial.number: Told.of(trial, curves.get(trial.number))
            for trial in store.trials()
            if trial.state.finished
        }


def from_python(path: str, storage: str, journal: str) -> None:
    """`hpsearch.run`, with each progress that it tells written down."""
    import hpsearch

    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def watch(progress: Progress) -> None:
        fields = ("finished", "failed", "best_trial", "best_value")
        line = {field: getattr(progress, field) for field in fields}
        os.write(file, json.dumps(line).encode() + b"\n")

    hpsearch.run(path, storage=storage, watch=watch, confirm=False)


def broken_words(path: Path, journal: Path) -> list[str]:
    """What was told by `from_python` and is not stored."""
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    if not lines:
        return []
    told = json.loads(lines[-1])
    with Database.open(url(path), create=True) as database:
        store = database.find(NAME)
        trials = store.trials() if store else []
    states = [trial.state for trial in trials]
    found = []
    if (
        sum(state.finished for state in states) < told["finished"]
        or states.count(State.FAILED) < told["failed"]
    ):
        found.append(f"{told} was told, {states} are there")
    if told["best_trial"] is not None:
        best = trials[told["best_trial"]]
        if (best.state, best.value) != (State.COMPLETE, told["best_value"]):
            found.append(f"{told} was told, {best} is there")
    return found
