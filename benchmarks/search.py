"""The digits search as a whole, start-up included, against the usual way."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

import optuna

from benchmarks.measure import Row
from benchmarks.optuna_search import STUDY
from hpsearch.records import State
from hpsearch.store import Database

TRIALS = 1024
PEER_SECONDS = 60.0
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def search() -> list[Row]:
    """Trained epochs a second of 1,024 trials of studies/digits.toml against Optuna in two processes."""
    with tempfile.TemporaryDirectory() as folder:
        ours = _ours(f"sqlite:///{folder}/ours.db")
        theirs = _theirs(f"sqlite:///{folder}/theirs.db")
    return [
        Row(
            f"digits search, {TRIALS:,} trials, trained epochs/s, start-up included",
            f"{ours[0]:,.0f}",
            f"Optuna TPE + Hyperband, SQLite, 2 processes × 1 thread, {PEER_SECONDS:.0f} s",
            f"{theirs[0]:,.0f}",
            f"{ours[0] / theirs[0]:.1f}×",
            "≥ 10×",
        ),
        Row(
            "… trials/s",
            f"{ours[1]:,.1f}",
            "the same",
            f"{theirs[1]:,.1f}",
            f"{ours[1] / theirs[1]:.1f}×",
            "–",
        ),
        Row("… best validation accuracy", f"{ours[2]:.4f}", "the same", f"{theirs[2]:.4f}", "–", "–"),
        Row("… wall seconds", f"{ours[3]:.1f}", "the same", f"{theirs[3]:.1f}", "–", "–"),
    ]


def _ours(storage: str) -> tuple[float, float, float, float]:
    began = monotonic()
    command = [
        sys.executable,
        "-m",
        "hpsearch",
        "run",
        str(STUDY),
        "--trials",
        str(TRIALS),
        "--storage",
        storage,
    ]
    subprocess.run(command, check=True, capture_output=True)
    took = monotonic() - began
    with Database.open(storage) as database:
        trials = database.study("digits").trials()
    assert len(trials) == TRIALS
    best = max(t.value for t in trials if t.state is State.COMPLETE and t.value is not None)
    return sum(t.epochs for t in trials) / took, len(trials) / took, best, took


def _theirs(storage: str) -> tuple[float, float, float, float]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    root = Path(__file__).parents[1]
    optuna.storages.RDBStorage(storage)  # two processes that make the tables at once trip over each other
    began = monotonic()
    command = [sys.executable, "-m", "benchmarks.optuna_search", storage, str(PEER_SECONDS)]
    workers = [subprocess.Popen(command, env={**os.environ, **_ONE_THREAD}, cwd=root) for _ in range(2)]
    for worker in workers:
        if worker.wait():
            raise RuntimeError("the peer failed")
    took = monotonic() - began
    trials = optuna.load_study(study_name="digits", storage=storage).trials
    epochs = sum(len(trial.intermediate_values) for trial in trials)
    best = max(v for trial in trials for v in trial.intermediate_values.values())
    return epochs / took, len(trials) / took, best, took
