"""What a trial costs outside training, with a trainer that returns made-up curves at once; and start-up."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.digits import STUDY, digits
from benchmarks.measure import Part, Row, seconds
from hpsearch.engine.api import prepare
from hpsearch.engine.pool import Pool, StopFlag
from hpsearch.engine.resume import open_study
from hpsearch.engine.runner import Runner
from hpsearch.records import Params, Trial
from hpsearch.search import make_sampler, make_stopping
from hpsearch.store import Database
from hpsearch.train import Lane, LaneResult, LaneState, Problem

MEASURED = 256
"""Trials over which the time is taken, after `history` others."""

OVERHEAD_HOW = f"""\
The loop of `run` on the digits study with a trainer that returns made-up curves at once: all that is left
is telling, storing (SQLite) and rung decisions, and, apart, the sampler's suggestions. The mean of
{MEASURED} trials after 256 and after 5,000 others; what the made-up curves cost is in it."""

START_HOW = """\
The median of seven calls of `hpsearch --help`, and one of `hpsearch run studies/digits.toml` into a new
database, as `make demo` does, each from the start of the process to its end."""


def _made_up(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Curves that rise to a trial's own level; no training."""
    results, nothing = [], np.empty(0, np.float32)
    for lane in lanes:
        epochs = np.arange(lane.epoch + 1, last_epoch + 1)
        level = (lane.trial * 0.618034) % 1
        metric = level * (1 - np.exp(-epochs / 5))
        curve = np.column_stack([1 - metric, metric, 1 - metric, metric])
        results.append(
            LaneResult(lane.trial, curve, LaneState(last_epoch, nothing, nothing, nothing, nothing), None)
        )
    return results


def _milliseconds(history: int) -> tuple[float, float]:
    """(telling, storing and rung decisions; the sampler) a trial, after `history` stored trials."""
    study, dataset = prepare(digits(0))
    problem = Problem.from_dataset(dataset, "cross_entropy", "accuracy", 0)
    sampler = make_sampler("tpe", study.space, True)
    rule = make_stopping("halving", study.train.epochs, 3, None)
    asking = took = 0.0

    def ask(seed: int, cohort: int, count: int, history: Sequence[Trial]) -> list[Params]:
        nonlocal asking
        began = perf_counter()
        try:
            return sampler(seed, cohort, count, history)
        finally:
            asking += perf_counter() - began

    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open(f"sqlite:///{Path(folder)}/o.db", create=True) as database,
    ):
        for total in (history, history + MEASURED):
            search = study.search.model_copy(update={"trials": total})
            store, study = open_study(database, replace(study, search=search), dataset, {})
            pool = Pool(problem, _made_up, 1)
            store.begin()
            runner = Runner(study, store, problem, ask, rule, pool)
            asking = 0.0
            took = seconds(lambda runner=runner: runner.run(StopFlag()))  # type: ignore[misc]
            store.end()
            pool.close()
    return 1000 * (took - asking) / MEASURED, 1000 * asking / MEASURED


def overhead() -> Part:
    """Milliseconds a trial outside training, at 256 and at 5,000 stored trials."""
    rows = []
    for history in (256, 5000):
        storing, sampling = _milliseconds(history)
        rows.append(
            Row(
                f"telling, storing and rung decisions at {history:,} stored trials, ms a trial",
                f"{storing:.2f}",
                "the default sampler's suggestions, ms a trial",
                f"{sampling:.2f}",
                wanted="≤ 1 ms",
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
