"""Own tables, which hold everything that hpsearch reads; Optuna's (optuna_tables.py) mirror them.

Keys are Optuna's `study_id` and the trial's number. There are no foreign keys to Optuna's tables: on
PostgreSQL these would keep Optuna's own commands from deleting a study.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import sqlalchemy as sa

from hpsearch.records import State

VERSION = 4
"""Schema version of own tables."""

metadata = sa.MetaData()


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _checksum(name: str = "checksum") -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(8), nullable=False)


versions = sa.Table("hpsearch_schema", metadata, _key("id"), _integer("version"))
studies = sa.Table(
    "hpsearch_studies",
    metadata,
    _key("study_id"),
    sa.Column("name", sa.String(512), nullable=False),
    _text("record"),
    sa.Column("created", sa.DateTime, nullable=False),
    _checksum(),
)
# Changes with every commit. The counts say what must be there, so that no row vanishes unnoticed.
tallies = sa.Table(
    "hpsearch_tallies",
    metadata,
    _key("study_id"),
    sa.Column("seconds", sa.Float(53), nullable=False),
    *(_integer(name) for name in ("running", "complete", "pruned", "failed")),
    sa.Column("best", sa.String(32)),
    *(_integer(name) for name in ("cohorts", "runs", "queued", "scorings")),
    _checksum(),
)
# Value, loss and best are Python's repr of the float: SQLite would turn NaN into NULL. Times are whole
# microseconds since 1970.
trials = sa.Table(
    "hpsearch_trials",
    metadata,
    _key("study_id"),
    _key("number"),
    _integer("trial_id"),
    _integer("cohort"),
    _text("params"),
    sa.Column("started", sa.BigInteger, nullable=False),
    _checksum("asked_checksum"),
    sa.Column("state", sa.String(8), nullable=False),
    _integer("epochs"),
    sa.Column("value", sa.String(32)),
    sa.Column("loss", sa.String(32)),
    sa.Column("best_epoch", sa.Integer),
    sa.Column("reason", sa.Text),
    sa.Column("finished", sa.BigInteger),
    sa.Column("others", sa.Text),
    _checksum("outcome_checksum"),
)
curves = sa.Table(
    "hpsearch_curves",
    metadata,
    *(_key(name) for name in ("study_id", "number", "first_epoch")),
    *(_integer(name) for name in ("epochs", "columns", "cohort", "run", "lane", "width")),
    sa.Column("seconds", sa.Float(53), nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    _checksum(),
)
cohorts = sa.Table(
    "hpsearch_cohorts", metadata, _key("study_id"), _key("number"), _text("lanes"), _checksum()
)
runs = sa.Table(
    "hpsearch_runs",
    metadata,
    _key("study_id"),
    _key("number"),
    _text("provenance"),
    sa.Column("begun", sa.BigInteger, nullable=False),
    _checksum(),
)
queue = sa.Table(
    "hpsearch_queue",
    metadata,
    _key("study_id"),
    _key("position"),
    _text("params"),
    sa.Column("trial", sa.Integer),
    _checksum(),
)
scorings = sa.Table(
    "hpsearch_scorings",
    metadata,
    _key("study_id"),
    _key("number"),
    sa.Column("purpose", sa.String(32), nullable=False),
    _text("about"),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("done", sa.BigInteger, nullable=False),
    _checksum(),
)
checkpoints = sa.Table(
    "hpsearch_checkpoints",
    metadata,
    _key("study_id"),
    _key("number"),
    _integer("epoch"),
    sa.Column("data", sa.LargeBinary, nullable=False),
    _checksum(),
)
claims = sa.Table(
    "hpsearch_claims",
    metadata,
    _key("study_id"),
    sa.Column("host", sa.String(255), nullable=False),
    _integer("pid"),
    sa.Column("process_started", sa.Float(53), nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("begun", sa.DateTime, nullable=False),
    sa.Column("renewed", sa.DateTime, nullable=False),
)

OF_STUDY = (studies, tallies, trials, curves, cohorts, runs, queue, scorings, checkpoints, claims)


CHECKED = 8
"""Bytes of a checksum."""


def checksum(fields: tuple[object, ...], data: bytes = b"") -> bytes:
    """8 bytes over plain values, as they read back from the database, and bytes."""
    return hashlib.blake2b(repr(fields).encode() + data, digest_size=CHECKED).digest()


@dataclass(frozen=True)
class Tally:
    """A study's totals: seconds of training, trials by state, best value of the complete ones, and numbers of
    cohorts, runs, queued points and scorings. The fields are the columns of its table.
    """

    seconds: float = 0.0
    running: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    best: float | None = None
    cohorts: int = 0
    runs: int = 0
    queued: int = 0
    scorings: int = 0

    @property
    def trials(self) -> int:
        return sum(self.counts.values())

    @property
    def counts(self) -> dict[State, int]:
        return {state: getattr(self, state) for state in State}
