"""Baselines beside a run: another process trains them while this one trains the study."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import numpy as np

from hpsearch import seeds
from hpsearch.data import Dataset, Part
from hpsearch.records import GUESSES, Baseline
from hpsearch.results.baselines import BASELINES, pack_baselines, stored_baselines
from hpsearch.store import StudyStore
from hpsearch.study.file import Study
from hpsearch.train.simple_models import Job, models, most_rows

PATIENCE = 45.0
"""Seconds that the end of a run waits for baselines, which by then have the machine for themselves."""

_MOST_NUMBERS = 500_000_000
"""Numbers (2 GB) that are given to the process at most."""

_RUN = "from hpsearch.train.simple_models import main; main()"


class Beside:
    """The baselines of a study, in training in another process; `with` ends it, whatever ends the run.

    Nothing is trained where the study file says so, or where they are stored already.
    """

    def __init__(self, study: Study, dataset: Dataset, store: StudyStore) -> None:
        self._study, self._dataset, self._store = study, dataset, store
        self._found: list[Baseline] = []
        self._names: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Beside:
        if not self._study.baselines or stored_baselines(self._store.scorings()) is not None:
            return self
        job = make_job(self._study, self._dataset)
        self._names = [name for name, _ in models(job.classes, 0)]
        numbers = sum(x.size for x in (job.x, job.x_valid, job.x_test))
        if numbers > _MOST_NUMBERS:
            note = f"left out: {numbers:,} numbers are too many to copy"
            self._found = [Baseline(name, None, None, 0.0, note) for name in self._names]
            return self
        with suppress(OSError):  # no memory for another process: the next run tries again
            self._process = _start()
            self._reader = threading.Thread(target=self._follow, args=(job,), daemon=True)
            self._reader.start()
        return self

    @property
    def process(self) -> int | None:
        """The number of the process, if there is one."""
        return None if self._process is None else self._process.pid

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._reader is not None
            self._reader.join()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                with suppress(OSError):
                    pipe.close()

    def _follow(self, job: Job) -> None:
        """Give the process its job, and take what it finds, in a thread; both are over when it is killed."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError, EOFError, pickle.UnpicklingError):
            pickle.dump(job, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
            while True:
                self._found.append(pickle.load(self._process.stdout))

    def store(self, say: Callable[[str], None] = lambda text: None, patience: float = PATIENCE) -> None:
        """Store what was found; after so many seconds, without the models that are still in training.

        say: is told what it waits for. With no patience, nothing is stored unless all are there.

        Raises:
            StorageError: the database cannot be written.
        """
        if not self._names:
            return
        if self._reader is not None and patience:
            self._reader.join(0.2)  # what is nearly there is not worth a line
            if self._reader.is_alive():
                say(f"waiting for the baselines, {patience:.0f} s at most")
                end = monotonic() + patience
                self._reader.join(max(0.0, end - monotonic()))
        found, late = list(self._found), self._reader is not None and self._reader.is_alive()
        missing = self._names[len(found) :]
        if missing and not patience:
            return  # the next run tries again
        if not found:
            say("no baselines: their process ended without any; the next run tries again")
            return
        why = (
            f"left out after {patience:.0f} s"
            if late
            else "left out: its process died, perhaps of too little memory"
        )
        found += [Baseline(name, None, None, 0.0, why) for name in missing]
        about, data = pack_baselines(found)
        self._store.add_scoring(BASELINES, about, data)
        self._names = []


def make_job(study: Study, dataset: Dataset) -> Job:
    """What the process is given; the study and the dataset are those of `prepare`."""
    assert study.train.metric is not None
    rows, classes, scored = len(dataset.train), len(dataset.classes), len(dataset.valid) + len(dataset.test)
    features = dataset.train.x.shape[1]
    order = seeds.generator(study.seed, "baselines").permutation(rows)
    needed = [
        most_rows(name, features, classes, scored) for name, _ in models(classes, 0) if name not in GUESSES
    ]

    def targets(part: Part) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return part.y.astype(np.int64) if classes else part.y  # type: ignore[return-value]

    return Job(
        dataset.train.x[order[: max(needed)]],
        targets(dataset.train)[order],
        dataset.valid.x,
        targets(dataset.valid),
        dataset.test.x,
        targets(dataset.test),
        classes,
        study.train.metric,
        dataset.target_std,
        seeds.integer(study.seed, "baselines", 0),
        study.chooses_threshold,
    )


def _start() -> subprocess.Popen[bytes]:
    """A Python of its own: one spawned by multiprocessing would run the user's script again.

    One thread; Ctrl-C in the terminal does not reach it.
    """
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return subprocess.Popen(
        # -P: no module of the current folder comes before the library's.
        [sys.executable, "-P", "-c", _RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **single, "PYTHONPATH": path},
        # Not a session of its own: Linux shares the processor among sessions first, whatever their niceness.
        process_group=0,
    )
