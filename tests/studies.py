"""Small studies and comparisons of stored ones, for tests that run the whole thing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hpsearch.data import Dataset
from hpsearch.records import FloatArray, StudyRecord, Trial
from hpsearch.results.confirmation import Confirmation
from hpsearch.results.frames import Report, check_finished, trials_frame
from hpsearch.running.machine import Machine
from hpsearch.running.pool import StopFlag
from hpsearch.running.prepare import prepare, train
from hpsearch.running.resume import open_study
from hpsearch.store import Database
from hpsearch.study.file import Study, load_study

SMALL = """
[study]
name = "{name}"
seed = 3
baselines = false
[data]
source = "{source}"
[space]
learning_rate = {{ low = 1e-3, high = 3.0, log = true }}
momentum = {{ low = 0.0, high = 0.95 }}
batch_size = [8, 16, 32]
depth = {{ low = 1, high = 3 }}
activation = ["relu", "tanh", "sigmoid"]
width = 16
[train]
epochs = 9
[search]
trials = {trials}
cohort = {cohort}
"""


def write_study(
    folder: Path,
    name: str = "small",
    source: str = "iris",
    trials: int = 40,
    cohort: int = 16,
    more: str = "",
) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(
        SMALL.format(name=name, source=source, trials=trials, cohort=cohort) + more, encoding="utf-8"
    )
    return path


def write_table_study(folder: Path) -> tuple[Path, Callable[[float], None]]:
    """A study of a table beside it, and what writes the table again with its first column shifted."""
    rows = np.random.default_rng(0).normal(size=(60, 3))
    table = folder / "t.csv"

    def write(shift: float) -> None:
        lines = [f"{a},{b},{'yes' if c > 0 else 'no'}" for a, b, c in rows + np.array([shift, 0, 0])]
        table.write_text("a,b,label\n" + "\n".join(lines), encoding="utf-8")

    write(0.0)
    path = write_study(folder, source="t.csv", trials=6)
    path.write_text(path.read_text().replace('"t.csv"', '"t.csv"\ntarget = "label"'))
    return path, write


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def train_alone(study: Study | Path, storage: str) -> tuple[Study, Dataset]:
    """Train a study to its end and no more, as a run that was killed just before it confirms and compares."""
    study, dataset = prepare(study if isinstance(study, Study) else load_study(study))
    with Database.open(storage, create=True) as database:
        store, study = open_study(database, study, dataset, {})
        train(study, dataset, store, Machine("cpu", 1), stop=StopFlag())
    return study, dataset


def stored(path: Path, name: str = "small") -> tuple[list[tuple[object, ...]], dict[int, np.ndarray]]:  # type: ignore[type-arg]
    """All that must be equal between two runs of a study: trials without their times, and curves."""
    with Database.open(url(path)) as database:
        store = database.study(name)
        trials = [
            (
                t.number,
                t.cohort,
                t.params,
                t.state,
                t.epochs,
                t.value,
                t.loss,
                t.best_epoch,
                t.reason,
                t.others,
            )
            for t in store.trials()
        ]
        return trials, store.curves()


def assert_same(a: Path, b: Path, name: str = "small") -> None:
    """Two databases hold the same trials and the same curves, bit for bit."""
    (trials, curves), (others, other_curves) = stored(a, name), stored(b, name)
    assert trials == others
    assert curves.keys() == other_curves.keys()
    for number, curve in curves.items():
        assert np.array_equal(curve, other_curves[number], equal_nan=True), number


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "hpsearch", *map(str, arguments)]


def hpsearch(
    *arguments: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "120", **environment},
        timeout=120,
        check=False,
    )


def segments(path: Path) -> int:
    """Pieces of curves that are stored, seen from another process while a run is under way."""
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return int(connection.execute("SELECT count(*) FROM hpsearch_curves").fetchone()[0])
    except sqlite3.OperationalError:  # the tables are not there yet
        return 0
    finally:
        connection.close()


def finished_report(
    record: StudyRecord,
    trials: Sequence[Trial],
    curves: Mapping[int, FloatArray],
    confirmation: Confirmation | None = None,
) -> Report:
    """The report of a study.

    Raises:
        NothingToShowError: no trial is finished.
    """
    check_finished(record, Counter(trial.state for trial in trials))
    return Report(record, trials_frame(record, trials), curves, confirmation=confirmation)
