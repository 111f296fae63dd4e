"""A study that has something in every table, in a small file: most of whose bytes mean something."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from typer.testing import CliRunner, Result

from hpsearch.cli.app import app
from hpsearch.records import Cohort
from hpsearch.store import Database, StudyStore
from tests.store_study import EPOCHS, fill, new_trial, record

NAME = "digits"
SCORED = {"trials": [1, 2], "seeds": 5}
CHECKPOINTS = {3: (3, bytes(range(256)))}
POINTS = [{"learning_rate": 0.1, "depth": 2}, {"activation": "tanh"}]


def fill_whole(store: StudyStore) -> None:
    """Trials of every state, two runs, two cohorts, two queued points, a checkpoint and a scoring."""
    fill(store)
    for processor in ("this", "that"):
        store.begin({"processor": processor, "workers": 2})
        store.end()
    store.begin()
    store.enqueue(POINTS)
    trial = new_trial(6, cohort=1)
    store.commit(
        cohort=Cohort(1, {3: (3, EPOCHS), 6: (0, 3)}),
        started=[trial],
        taken={0: 6},
        checkpoints=CHECKPOINTS,
        seconds=0.5,
    )
    store.add_scoring("confirmation", SCORED, bytes(range(128)))
    store.end()


def call(*words: object, code: int = 0) -> Result:
    """The command line in this process; errors meant for the user are raised."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def write_whole(path: Path, *names: str) -> None:
    """A database of such studies, in small pages."""
    with Database.open(f"sqlite:///{path}", create=True) as database:
        for name in names or (NAME,):
            fill_whole(database.create_study(record(name, provenance={"torch": "2.13.0", "workers": 2})))
    connection = sqlite3.connect(path)
    connection.executescript("PRAGMA page_size = 1024; VACUUM")
    connection.close()
