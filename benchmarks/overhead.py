"""What a trial costs outside training, with a trainer that returns recorded curves at once."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from benchmarks.measure import Row, seconds
from benchmarks.optuna_search import STUDY
from hpsearch.engine.api import prepare
from hpsearch.engine.pool import Pool, StopFlag
from hpsearch.engine.resume import open_study
from hpsearch.engine.runner import Runner
from hpsearch.records import Params, Trial
from hpsearch.search import make_sampler, make_stopping
from hpsearch.store import Database
from hpsearch.study.file import load_study
from hpsearch.train import Lane, LaneResult, LaneState, Problem

MEASURED = 256
"""Trials over which the time is taken, after `history` others."""


class _Clock:
    """Seconds spent in calls that are no bookkeeping: training and sampling."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            began = perf_counter()
            try:
                return function(*arguments)
            finally:
                self.seconds += perf_counter() - began

        return call


def _recorded(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Curves that rise to a trial's own level; no training."""
    results = []
    for lane in lanes:
        epochs = np.arange(lane.epoch + 1, last_epoch + 1)
        level = (lane.trial * 0.618034) % 1
        metric = level * (1 - np.exp(-epochs / 5))
        curve = np.column_stack([1 - metric, metric, 1 - metric, metric])
        state = LaneState(last_epoch, torch.empty(0), torch.empty(0))
        results.append(LaneResult(lane.trial, curve, state, None))
    return results


def _milliseconds(history: int) -> tuple[float, float]:
    """(telling, storing and rung decisions; the sampler) a trial, after `history` stored trials."""
    study, dataset = prepare(load_study(STUDY))
    problem = Problem.from_dataset(dataset, "cross_entropy", "accuracy", 0)
    sampler = make_sampler("tpe", study.space, True)
    rule = make_stopping("halving", study.train.epochs, 3, None)
    times = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open(f"sqlite:///{folder}/o.db", create=True) as db,
    ):
        for total in (history, history + MEASURED):
            search = study.search.model_copy(update={"trials": total})
            study = type(study)(**{**study.__dict__, "search": search})
            store, study = open_study(db, study, dataset, {})
            asking, training = _Clock(), _Clock()
            # One worker, so that what is timed there is not under way beside the bookkeeping.
            pool = Pool(problem, training.timed(_recorded), 1)  # type: ignore[arg-type]
            store.begin()
            runner = Runner(study, store, problem, asking.timed(_ask(sampler)), rule, pool)  # type: ignore[arg-type]
            took = seconds(lambda runner=runner: runner.run(StopFlag()))
            store.end()
            pool.close()
            times.append((took - asking.seconds - training.seconds, asking.seconds))
    return 1000 * times[-1][0] / MEASURED, 1000 * times[-1][1] / MEASURED


def _ask(sampler: Callable[..., list[Params]]) -> Callable[..., list[Params]]:
    def ask(seed: int, cohort: int, count: int, history: Sequence[Trial]) -> list[Params]:
        return sampler(seed, cohort, count, history)

    return ask


def overhead() -> list[Row]:
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
                "–",
                "≤ 1 ms",
            )
        )
    return rows


def start() -> list[Row]:
    """Seconds of `hpsearch --help`, and of the demo once it is installed."""
    call = [sys.executable, "-m", "hpsearch"]

    def run(*words: str) -> None:
        subprocess.run([*call, *words], check=True, capture_output=True)

    run("--help")
    help_seconds = sorted(seconds(lambda: run("--help")) for _ in range(7))[3]
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder)}/demo.db"
        demo = seconds(lambda: run("run", str(STUDY), "--storage", database))
    return [
        Row("`hpsearch --help`, seconds", f"{help_seconds:.2f}", "–", "–", "–", "≤ 0.25"),
        Row("the demo after installation, seconds", f"{demo:.1f}", "–", "–", "–", "≤ 60"),
    ]
