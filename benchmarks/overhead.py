"""What a trial costs outside training, with a trainer that returns made-up curves at once; and start-up."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.digits import STUDY, digits
from benchmarks.measure import Part, Row, seconds
from benchmarks.rising import Rising
from hpsearch.records import Params
from hpsearch.running.loop import Runner
from hpsearch.running.pool import StopFlag, Threads
from hpsearch.running.prepare import prepare
from hpsearch.running.recorded import Recorded
from hpsearch.running.resume import open_study
from hpsearch.search import History, make_sampler, make_stopping
from hpsearch.store import Database
from hpsearch.study.file import Study

MEASURED = 512
"""Trials over which the time is taken, after others."""

HISTORIES = (100, 1_000, 10_000, 100_000)
"""Stored trials before."""

OVERHEAD_HOW = f"""\
The loop of `run` on the digits study with a trainer that returns made-up curves at once: all that is left
is telling, storing (SQLite) and rung decisions, and, apart, the sampler's suggestions. The mean of
{MEASURED} trials after {HISTORIES[0]} to {HISTORIES[-1]:,} others; what the made-up curves cost is in it."""

START_HOW = """\
The median of seven calls of `hpsearch --help`, and one of `hpsearch run studies/digits.toml` into a new
database, as `make demo` does, each from the start of the process to its end."""


class _Timed:
    """The default sampler, with the time that it takes."""

    def __init__(self, study: Study) -> None:
        self._sampler = make_sampler(study)
        self.most = self._sampler.most
        self.seconds = 0.0

    def __call__(
        self, seed: int, cohort: int, count: int, history: History, points: Sequence[Params] = ()
    ) -> list[Params]:
        began = perf_counter()
        try:
            return self._sampler(seed, cohort, count, history, points)
        finally:
            self.seconds += perf_counter() - began


def _milliseconds(histories: Sequence[int]) -> Iterator[tuple[float, float]]:
    """(telling, storing and rung decisions; the sampler) a trial, after so many stored trials each time."""
    study, dataset = prepare(digits(0))
    workload = Recorded(Rising(study.train.epochs))
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open(f"sqlite:///{Path(folder)}/o.db", create=True) as database,
    ):
        for history in histories:
            for total in (history, history + MEASURED):
                search = study.search.model_copy(update={"trials": total})
                store, study = open_study(database, replace(study, search=search), dataset, {})
                pool, sampler = Threads(workload, 1), _Timed(study)
                store.begin()
                runner = Runner(study, store, workload, sampler, make_stopping(study), pool)
                took = seconds(lambda runner=runner: runner.run(StopFlag()))  # type: ignore[misc]
                store.end()
                pool.close()
            yield 1000 * (took - sampler.seconds) / MEASURED, 1000 * sampler.seconds / MEASURED


def overhead() -> Part:
    """Milliseconds a trial outside training, from 100 to 100,000 stored trials."""
    rows = []
    for history, (storing, sampling) in zip(HISTORIES, _milliseconds(HISTORIES), strict=True):
        rows.append(
            Row(
                f"telling, storing and rung decisions at {history:,} stored trials, ms a trial",
                f"{storing:.2f}",
                "the default sampler's suggestions, ms a trial",
                f"{sampling:.2f}",
                wanted="≤ 0.5 and ≤ 2 ms",
            )
        )
    return Part("Bookkeeping", rows, OVERHEAD_HOW)


def start() -> Part:
    """Seconds of `hpsearch --help`, and of the demo once it is installed."""
    call = [sys.executable, "-m", "hpsearch"]

    def run(*words: str) -> float:
        return seconds(lambda: subprocess.run([*call, *words], check=True, capture_output=True))

    run("--help")
    help_seconds = median(run("--help") for _ in range(7))
    with tempfile.TemporaryDirectory() as folder:
        demo = run("run", str(STUDY), "--storage", f"sqlite:///{Path(folder)}/demo.db")
    rows = [
        Row("`hpsearch --help`, seconds", f"{help_seconds:.2f}", wanted="≤ 0.25"),
        Row("the demo after installation, seconds", f"{demo:.1f}", wanted="≤ 60"),
    ]
    return Part("Start-up", rows, START_HOW)
