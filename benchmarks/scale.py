"""A study of 100,000 trials: what commits cost on the way, how long opening and showing it take, its room.

`python -m benchmarks.scale FILE` opens the study of a file as `hpsearch run` does, and trains nothing.
"""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from benchmarks.digits import ROOT, digits
from benchmarks.measure import NONE, Part, Row, seconds
from hpsearch.records import DEAD, Cohort, FloatArray, Params, Segment, State, Trial
from hpsearch.running.machine import Machine
from hpsearch.running.pool import StopFlag
from hpsearch.running.prepare import prepare, train
from hpsearch.running.resume import open_study
from hpsearch.store import Database, StudyStore
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study

SIZES = 100, 1_000, 10_000, 100_000
"""Trials of the study when a commit is measured."""

EPOCHS, COHORT, REPEATS = 27, 64, 7
_FILLING = 4_096
"""Trials in a commit between the measured ones."""

_OPTUNAS = 24
"""Trials that Optuna itself stores, for comparison."""

HOW = f"""\
The digits study with {SIZES[-1]:,} trials of {EPOCHS} made-up epochs, stored through the same calls as in
training. A commit starts {COHORT} trials, stores their curves and finishes them, in one transaction, which is
synced to the disk; the median of {REPEATS}. Opening is what `hpsearch run` does before it trains. Opening and
each command are timed from the start of a process to its end, with the memory that it had at most. Of Optuna,
{_OPTUNAS} trials of a random sampler with {EPOCHS} reports each, in an SQLite file of their own."""


def scale() -> Part:
    """Rows for commits, opening, showing and room."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scale.db")
        costs = fill(path)
        theirs = _optunas_milliseconds(Path(folder, "optuna.db"))
        rows = [
            Row(
                f"a commit at {size:,} trials, ms a trial",
                f"{cost:.2f}",
                f"Optuna's own ask, {EPOCHS} reports and tell" if size == SIZES[0] else NONE,
                f"{theirs:.0f}" if size == SIZES[0] else NONE,
                f"{theirs / cost:,.0f}×" if size == SIZES[0] else NONE,
                "≤ 0.3",
            )
            for size, cost in costs.items()
        ]
        return Part(f"A study of {SIZES[-1]:,} trials", [*rows, *_showing(path), *_room(path)], HOW)


# -- the study -------------------------------------------------------------------------------------


def _study() -> Study:
    return digits(0, f"search.trials={SIZES[-1]}")


def fill(path: Path) -> dict[int, float]:
    """Make the study; returns milliseconds a trial of a commit at each size."""
    study, dataset = prepare(_study())
    distributions, costs = optuna_distributions(study.space), {}
    with Database.open(f"sqlite:///{path}", create=True) as database:
        store, _ = open_study(database, study, dataset, {})
        store.begin({"made up": True})
        for size in SIZES:
            measured = min(REPEATS, size // COHORT)
            while (there := sum(store.counts().values())) < size - measured * COHORT:
                commit(store, distributions, min(_FILLING, size - measured * COHORT - there))
            times = [commit(store, distributions, COHORT) for _ in range(measured)]
            costs[size] = 1000 * median(times) / COHORT
        store.end()
    return costs


def commit(
    store: StudyStore, distributions: dict[str, BaseDistribution], count: int, epochs: int = EPOCHS
) -> float:
    """Store finished trials; returns the seconds of storing alone."""
    last = store.last_cohort()
    cohort = 0 if last is None else last.number + 1
    first = sum(store.counts().values())
    started = [
        Trial(number, cohort, made_up_params(distributions, number), started=datetime.now(UTC))
        for number in range(first, first + count)
    ]
    curves = [made_up_curve(trial.number, int(trial.params.get("depth", 1)) - 1, epochs) for trial in started]
    segments = [
        Segment(trial.number, cohort, 1, curve, 0.01, store.run, trial.number % 32, 32)
        for trial, curve in zip(started, curves, strict=True)
    ]
    updated = [_finished(trial, curve) for trial, curve in zip(started, curves, strict=True)]
    lanes = {trial.number: (0, epochs) for trial in started}
    return seconds(
        lambda: store.commit(
            cohort=Cohort(cohort, lanes), started=started, segments=segments, updated=updated, seconds=0.1
        )
    )


def made_up_params(distributions: dict[str, BaseDistribution], number: int) -> Params:
    """A point of the space: a function of the trial's number."""
    shares = np.random.default_rng(number).random(len(distributions)).tolist()
    return {
        name: _value(distribution, share)
        for (name, distribution), share in zip(distributions.items(), shares, strict=True)
    }


def _value(distribution: Any, share: float) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(share * len(distribution.choices))]
    if distribution.log:
        low, high = math.log(distribution.low), math.log(distribution.high)
        value = math.exp(low + share * (high - low))
    else:
        value = distribution.low + share * (distribution.high - distribution.low)
    return round(value) if isinstance(distribution, IntDistribution) else value


def made_up_curve(number: int, layers: int, last: int = EPOCHS) -> FloatArray:
    """[last, 4 + layers] a curve that rises to a trial's own level, with numbers as long as real ones."""
    random = np.random.default_rng(number)
    epochs = np.arange(1, last + 1)
    metric = random.random() * (1 - np.exp(-epochs / 5))
    curve = np.empty((last, DEAD + layers))
    curve[:, 0], curve[:, 2] = 1 - metric + 0.01 * random.random((2, last))
    curve[:, 1], curve[:, 3] = np.round(metric * 1078) / 1078, np.round(metric * 359) / 359
    curve[:, DEAD:] = np.round(8 * random.random(layers)) / 64
    return curve


def _finished(trial: Trial, curve: FloatArray) -> Trial:
    best = int(curve[:, 3].argmax())
    return replace(
        trial,
        state=State.COMPLETE,
        epochs=len(curve),
        value=float(curve[best, 3]),
        loss=float(curve[best, 2]),
        best_epoch=best + 1,
        finished=datetime.now(UTC),
    )


# -- what is measured of it ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """What a process took: seconds from its start to its end, and megabytes at most."""

    seconds: float
    megabytes: float


# A small process between, because Linux counts the memory of whoever starts a process as its own.
_LAUNCH = """
import os, sys, time
began = time.perf_counter()
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
pid = os.posix_spawn(sys.executable, [sys.executable, "-m", *sys.argv[1:]], os.environ, file_actions=silent)
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - began, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _call(*words: str) -> _Call:
    command = [sys.executable, "-c", _LAUNCH, *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    took, most = map(float, done.stdout.split())
    return _Call(took, most / (1e6 if sys.platform == "darwin" else 1e3))


def _showing(path: Path) -> list[Row]:
    """Rows of opening the study and of the commands that show it."""
    storage = "--storage", f"sqlite:///{path}"
    name = _study().name
    calls = [
        ("opening it to go on", ("benchmarks.scale", str(path)), "≤ 3 s, 1 GB"),
        ("`report`", ("hpsearch", "report", name, *storage), "≤ 3 s"),
        ("`report --format csv`", ("hpsearch", "report", name, "--format", "csv", *storage), NONE),
        ("`report --format json`", ("hpsearch", "report", name, "--format", "json", *storage), NONE),
        ("`list`", ("hpsearch", "list", *storage), "at once"),
        ("`show`", ("hpsearch", "show", name, *storage), "at once"),
        ("`show` of a trial", ("hpsearch", "show", name, "77", *storage), "at once"),
        ("`curves --trial`", ("hpsearch", "curves", name, "--trial", "77", *storage), "at once"),
    ]
    rows = []
    for what, words, wanted in calls:
        _call(*words)
        took = min((_call(*words) for _ in range(2)), key=lambda call: call.seconds)
        rows.append(
            Row(
                f"{what}, seconds",
                f"{took.seconds:.2f}",
                "memory, MB",
                f"{took.megabytes:,.0f}",
                NONE,
                wanted,
            )
        )
    return rows


def _room(path: Path) -> list[Row]:
    """Rows of what the study takes on the disk."""
    epochs = SIZES[-1] * EPOCHS
    connection = sqlite3.connect(path)
    try:
        sizes = dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
        (curves,) = connection.execute("SELECT sum(length(data)) FROM hpsearch_curves").fetchone()
    except sqlite3.OperationalError:
        sizes, curves = {}, 0  # SQLite was built without dbstat
    finally:
        connection.close()
    whole = Row(f"room on the disk, bytes a trial-epoch of {EPOCHS}", f"{path.stat().st_size / epochs:.0f}")
    if not sizes:
        return [whole]
    own = {name: size for name, size in sizes.items() if "hpsearch" in name}
    of_curves = sum(size for name, size in own.items() if "curves" in name)
    mirror = sum(sizes.values()) - sum(own.values())
    return [
        replace(whole, against="of it Optuna's tables", theirs=f"{mirror / epochs:.0f}"),
        Row(
            "of it curves, bytes a trial-epoch",
            f"{of_curves / epochs:.1f}",
            "their numbers alone",
            f"{curves / epochs:.1f}",
        ),
    ]


def _optunas_milliseconds(path: Path) -> float:
    """Milliseconds a trial of Optuna's ask, reports and tell on SQLite."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = optuna_distributions(_study().space)
    study = optuna.create_study(
        storage=f"sqlite:///{path}", sampler=optuna.samplers.RandomSampler(seed=0), direction="maximize"
    )

    def one() -> None:
        trial = study.ask(distributions)
        for epoch in range(1, EPOCHS + 1):
            trial.report(epoch / EPOCHS, epoch)
        study.tell(trial, 1.0)

    try:
        one()
        return 1000 * seconds(lambda: [one() for _ in range(_OPTUNAS)]) / _OPTUNAS
    finally:
        optuna.logging.set_verbosity(before)


def open_to_go_on(path: str) -> None:
    """All that `hpsearch run` does before it trains, with `--trials` a cohort above what there is."""
    study, dataset = prepare(digits(0, f"search.trials={SIZES[-1] + COHORT}"))
    stop = StopFlag()
    stop.ask()
    with Database.open(f"sqlite:///{path}") as database:
        store, study = open_study(database, study, dataset, {})
        train(study, dataset, store, Machine("cpu", 1), stop=stop)


def main(words: Sequence[str]) -> None:
    (path,) = words
    open_to_go_on(path)


if __name__ == "__main__":
    main(sys.argv[1:])
