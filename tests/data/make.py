"""Makes the fixture of the schema that this hpsearch writes: schema-N.db, and what it holds as schema-N.json.

    python tests/data/make.py tests/data

It is run by the hpsearch that is released with a schema; every later one must read the same numbers. The
study is trained for real and stopped on the way, so that it has complete, stopped, failed and running trials.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

from hpsearch.records import Progress
from hpsearch.running.machine import Machine
from hpsearch.running.pool import StopFlag
from hpsearch.running.prepare import prepare, train
from hpsearch.running.provenance import provenance
from hpsearch.running.resume import open_study
from hpsearch.store import Database, StudyStore
from hpsearch.study.file import study_from_document

STUDY = {
    "study": {"name": "stopped", "seed": 5},
    "data": {"source": "diabetes"},
    "space": {
        "learning_rate": {"low": 1e-3, "high": 300.0, "log": True},
        "batch_size": [16, 32],
        "depth": {"low": 1, "high": 3},
        "activation": ["relu", "tanh"],
        "width": 8,
    },
    "train": {"epochs": 9},
    "search": {"trials": 24, "cohort": 8},
}
TOLD = ("hpsearch", "python", "torch", "numpy", "optuna", "engine")
"""Of the provenance: nothing that tells of a machine."""

ENOUGH = 8
"""Finished trials after which it stops at the next rung."""


def fill(database: Database) -> StudyStore:
    """Train the study until enough of its trials are finished."""
    study, dataset = prepare(study_from_document(STUDY, ""))
    said = {key: value for key, value in provenance(Machine("cpu", 1)).items() if key in TOLD}
    store, study = open_study(database, study, dataset, said)
    store.enqueue([{"learning_rate": 0.01, "depth": 2}, {"activation": "tanh"}])
    stop = StopFlag()

    def watch(progress: Progress) -> None:
        if progress.finished >= ENOUGH:
            stop.ask()

    train(study, dataset, store, Machine("cpu", 1), stop=stop, watch=watch, provenance=said)
    store.enqueue([{"learning_rate": 0.5}])
    store.add_scoring("confirmation", {"trials": [0], "seeds": 3}, bytes(range(64)))
    return store


def numbers(store: StudyStore) -> dict[str, Any]:
    """What is stored, as JSON-able values; golden files of older schemas have less of it."""
    cohort = store.last_cohort()
    return {
        "name": store.record.name,
        "document": store.record.document,
        "data_hash": store.record.data_hash,
        "seconds": store.record.seconds,
        "last_cohort": None if cohort is None else [cohort.number, sorted(cohort.lanes.items())],
        "trials": [
            {
                "number": trial.number,
                "cohort": trial.cohort,
                "params": trial.params,
                "state": str(trial.state),
                "epochs": trial.epochs,
                "value": trial.value,
                "loss": trial.loss,
                "best_epoch": trial.best_epoch,
                "reason": trial.reason,
                "started": str(trial.started),
                "finished": str(trial.finished),
            }
            for trial in store.trials()
        ],
        "curves": {number: curve.tolist() for number, curve in store.curves().items()},
        "cohorts": [sorted(cohort.lanes.items()) for cohort in store.cohorts()],
        "runs": [[run.number, run.provenance, str(run.begun)] for run in store.runs()],
        "queue": [[point.position, point.params, point.trial] for point in store.queue()],
        "scorings": [[s.number, s.purpose, s.about, s.data.hex(), str(s.when)] for s in store.scorings()],
        "checkpoints": {n: [epoch, data.hex()] for n, (epoch, data) in store.checkpoints().items()},
        "pieces": [
            [piece.trial, piece.first_epoch, piece.cohort, piece.run, piece.lane, piece.width, piece.seconds]
            for piece in store.segments()
        ],
    }


def main(folder: Path) -> None:
    path = folder / "new.db"
    with Database.open(f"sqlite:///{path}", create=True) as database:
        golden = numbers(fill(database))
    connection = sqlite3.connect(path)
    (version,) = connection.execute("SELECT version FROM hpsearch_schema").fetchone()
    # Most of so small a file would be the empty ends of pages.
    connection.executescript("PRAGMA page_size = 1024; VACUUM")
    connection.close()
    path.rename(folder / f"schema-{version}.db")
    text = json.dumps(golden, separators=(",", ":"))
    (folder / f"schema-{version}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
