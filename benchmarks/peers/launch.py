"""Starts a peer's processes and reads what they have recorded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.digits import ROOT, digits
from benchmarks.measure import Series, installed
from hpsearch.records import Params
from hpsearch.running.prepare import prepare
from hpsearch.study.file import Study
from hpsearch.study.space import Choice, Range

SECONDS = 60.0
"""Every peer has this long, counted from the start of its processes."""

_GRACE = 30.0
"""Seconds that a peer may take to end after its time."""

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Peer:
    """Another tool: its module here, the package that it needs and the processes to start."""

    name: str
    module: str
    package: str
    processes: int = 1


OPTUNA = Peer("Optuna TPE + Hyperband, SQLite, 2 processes", "optuna_tpe", "optuna", processes=2)
RAY = Peer("Ray Tune ASHA, 2 CPUs", "ray_asha", "ray")
SMAC = Peer("SMAC Hyperband, 2 workers", "smac_hyperband", "smac")
PEERS = (OPTUNA, RAY, SMAC)


class PeerError(RuntimeError):
    """A peer is not installed, failed, or recorded nothing."""


@dataclass(frozen=True)
class Found:
    """What a search has found in its time.

    series: at each improvement of the best validation accuracy of any epoch. params: of the trial with the
    best one. trials: configurations that were begun. epochs: trained.
    """

    series: Series
    params: Params
    trials: int
    epochs: int

    @property
    def best(self) -> float:
        return self.series[-1][1]

    @property
    def after(self) -> float:
        """Seconds after which the best accuracy was reached."""
        return self.series[-1][0]


@lru_cache
def search(peer: Peer, seed: int, seconds: float = SECONDS) -> Found:
    """Let a peer search the digits study for some seconds.

    Raises:
        PeerError: it is not installed, failed, or recorded nothing.
    """
    if not installed(peer.package):
        raise PeerError("not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_task(folder, digits(seed))
        if peer is OPTUNA:
            # Two processes that make the tables at once trip over each other.
            optuna.storages.RDBStorage(f"sqlite:///{folder}/optuna.db")
        began = time.time()
        _run(peer, folder, seed, began, seconds)
        return read_records(folder.glob("*.jsonl"), began, seconds)


def write_task(folder: Path, study: Study) -> None:
    """The study and its data as the peers get them: nothing of hpsearch is needed to read them."""
    study, dataset = prepare(study)
    np.savez(
        folder / "data.npz",
        x_train=dataset.train.x,
        y_train=dataset.train.y,
        x_valid=dataset.valid.x,
        y_valid=dataset.valid.y,
    )
    task = {
        "space": {name: _plain(entry) for name, entry in study.space.searched.items()},
        "fixed": study.space.fixed,
        "epochs": study.train.epochs,
        "outputs": dataset.outputs,
    }
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")


def _plain(entry: Choice | Range) -> Any:
    if isinstance(entry, Choice):
        return list(entry.values)
    kind = int if entry.integer else float
    return {**asdict(entry), "low": kind(entry.low), "high": kind(entry.high)}


def _run(peer: Peer, folder: Path, seed: int, began: float, seconds: float) -> None:
    """The peer's processes from their start to their end.

    Raises:
        PeerError: one of them failed.
    """
    command = [sys.executable, "-m", f"benchmarks.peers.{peer.module}", str(folder)]
    command += [str(seed), str(began), str(seconds)]
    environment = {**os.environ, **_ONE_THREAD}
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        processes = [
            subprocess.Popen(
                [*command, str(n)], env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
            for n in range(peer.processes)
        ]
        try:
            for process in processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=max(0.0, began + seconds + _GRACE - time.time()))
        finally:
            _end(processes)
    # A negative code is our signal: a peer that does not end in time has still recorded what it did.
    if any(process.returncode > 0 for process in processes):
        said = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise PeerError(f"failed: {said[-1] if said else 'no message'}")


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Nothing of a peer may run on beside what is measured next: its session ends with it."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read_records(files: Iterable[Path], began: float, seconds: float) -> Found:
    """What the peer's processes have recorded in their time.

    Raises:
        PeerError: nothing.
    """
    records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    records = sorted((r for r in records if r["at"] - began <= seconds), key=lambda record: record["at"])
    if not records:
        raise PeerError("no epoch was trained in its time")
    series: Series = []
    params: Params = {}
    for record in records:
        if not series or record["accuracy"] > series[-1][1]:
            series.append((record["at"] - began, record["accuracy"]))
            params = record["params"]
    begun = {json.dumps(record["params"], sort_keys=True) for record in records}
    return Found(series, params, len(begun), len(records))
