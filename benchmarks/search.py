"""The digits search as a whole, start-up included, against the usual way."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.digits import STUDY
from benchmarks.measure import Part, Row, versus
from benchmarks.peers import launch
from benchmarks.peers.launch import OPTUNA, SECONDS
from hpsearch.records import State
from hpsearch.store import Database

TRIALS = 1024
RUNS = 3

HOW = f"""\
`hpsearch run studies/digits.toml --trials {TRIALS}` into an empty SQLite file, from the start of the
process to its end, report included; the median of {RUNS} runs. The other side: an objective as Optuna's
manual writes it with the plain loop of `benchmarks/solo.py`, its tensors in memory, the same data, split,
space and most epochs, on the same kind of database, {SECONDS:.0f} s from the start of its processes; what
it trained of unfinished trials counts. "With an empty cache" is one run whose `XDG_CACHE_HOME` is a new
folder, so that the kernel is compiled and the data are prepared anew. `HPSEARCH_KERNEL=off` trains stacked
in torch."""


@dataclass(frozen=True)
class Run:
    """What a run of hpsearch did, and the seconds it took from the start of its process to its end."""

    seconds: float
    trials: int
    epochs: int
    best: float


def hpsearch(**environment: str) -> Run:
    """Run the digits search in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/digits.db"
        command = [sys.executable, "-m", "hpsearch", "run", str(STUDY), "--trials", str(TRIALS)]
        began = perf_counter()
        subprocess.run(
            [*command, "--storage", storage],
            check=True,
            capture_output=True,
            env={**os.environ, **environment},
        )
        took = perf_counter() - began
        with Database.open(storage) as database:
            trials = database.study(STUDY.stem).trials()
    best = max(trial.value for trial in trials if trial.state is State.COMPLETE and trial.value is not None)
    return Run(took, len(trials), sum(trial.epochs for trial in trials), best)


def search() -> Part:
    """Trained epochs a second of 1,024 trials of studies/digits.toml against Optuna in two processes."""
    runs = [hpsearch() for _ in range(RUNS)]
    with tempfile.TemporaryDirectory() as folder:
        fresh = hpsearch(XDG_CACHE_HOME=str(Path(folder)))
    stacked = hpsearch(HPSEARCH_KERNEL="off")
    peer = launch.search(OPTUNA, seed=0)
    took = median(run.seconds for run in runs)
    epochs, trials = (
        median(getattr(run, name) / run.seconds for run in runs) for name in ("epochs", "trials")
    )
    work, other = f"digits search, {TRIALS:,} trials, start-up included", f"{OPTUNA.name}, {SECONDS:.0f} s"
    torch_speed = stacked.epochs / stacked.seconds
    rows = [
        versus(
            f"{work}: trained epochs/s",
            f"{epochs:,.0f}",
            other,
            f"{peer.epochs / SECONDS:,.0f}",
            epochs / (peer.epochs / SECONDS),
            goal=25,
        ),
        versus(
            f"{work}: trials/s",
            f"{trials:,.1f}",
            other,
            f"{peer.trials / SECONDS:,.1f}",
            trials / (peer.trials / SECONDS),
        ),
        versus(
            f"{work}: trained epochs/s",
            f"{epochs:,.0f}",
            "the same without the kernel (`HPSEARCH_KERNEL=off`)",
            f"{torch_speed:,.0f}",
            epochs / torch_speed,
        ),
        Row(f"{work}: best validation accuracy", f"{runs[0].best:.4f}", other, f"{peer.best:.4f}"),
        Row(f"{work}: seconds", f"{took:.1f}", "with an empty cache", f"{fresh.seconds:.1f}"),
    ]
    return Part("The digits search", rows, HOW)
