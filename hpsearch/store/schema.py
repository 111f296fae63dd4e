"""The tables: Optuna's own, which hpsearch fills but does not define, and those beside them.

Own tables name a study by Optuna's `study_id` and a trial by its number. They have no foreign keys
to Optuna's: on PostgreSQL these would keep Optuna's own commands from deleting a study.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.storages._rdb import models
from sqlalchemy.engine import Connection

from hpsearch.errors import StorageError

OPTUNA_HEAD = "v3.2.0.a"
"""Revision of Optuna's tables that hpsearch writes; Optuna 3.2 to 5.0 have it."""

optuna_studies: Any = models.StudyModel.__table__
optuna_directions: Any = models.StudyDirectionModel.__table__
optuna_study_attributes: Any = models.StudySystemAttributeModel.__table__
optuna_study_user_attributes: Any = models.StudyUserAttributeModel.__table__
optuna_trials: Any = models.TrialModel.__table__
optuna_params: Any = models.TrialParamModel.__table__
optuna_values: Any = models.TrialValueModel.__table__
optuna_intermediate: Any = models.TrialIntermediateValueModel.__table__
optuna_attributes: Any = models.TrialUserAttributeModel.__table__
optuna_system_attributes: Any = models.TrialSystemAttributeModel.__table__
optuna_heartbeats: Any = models.TrialHeartbeatModel.__table__

OF_OPTUNA_STUDY = (optuna_directions, optuna_study_attributes, optuna_study_user_attributes)
OF_OPTUNA_TRIAL = (
    optuna_params,
    optuna_values,
    optuna_intermediate,
    optuna_attributes,
    optuna_system_attributes,
    optuna_heartbeats,
)

_metadata = sa.MetaData()


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


versions = sa.Table(
    "hpsearch_schema", _metadata, _key("id"), sa.Column("version", sa.Integer, nullable=False)
)
studies = sa.Table(
    "hpsearch_studies",
    _metadata,
    _key("study_id"),
    sa.Column("name", sa.String(512), nullable=False),
    sa.Column("record", sa.Text, nullable=False),
    sa.Column("checksum", sa.String(16), nullable=False),
    sa.Column("seconds", sa.Float(53), nullable=False),
    sa.Column("created", sa.DateTime, nullable=False),
)
# Value and loss are Python's repr of the float: SQLite would turn NaN into NULL.
trials = sa.Table(
    "hpsearch_trials",
    _metadata,
    _key("study_id"),
    _key("number"),
    sa.Column("trial_id", sa.Integer, nullable=False),
    sa.Column("cohort", sa.Integer, nullable=False),
    sa.Column("epochs", sa.Integer, nullable=False),
    sa.Column("value", sa.String(32)),
    sa.Column("loss", sa.String(32)),
    sa.Column("best_epoch", sa.Integer),
    sa.Column("reason", sa.Text),
    sa.Column("asked_checksum", sa.String(16), nullable=False),
    sa.Column("outcome_checksum", sa.String(16), nullable=False),
)
curves = sa.Table(
    "hpsearch_curves",
    _metadata,
    _key("study_id"),
    _key("number"),
    _key("first_epoch"),
    sa.Column("cohort", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float(53), nullable=False),
    sa.Column("columns", sa.Integer, nullable=False, server_default="4"),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("checksum", sa.String(16), nullable=False),
)
cohorts = sa.Table(
    "hpsearch_cohorts",
    _metadata,
    _key("study_id"),
    _key("number"),
    sa.Column("lanes", sa.Text, nullable=False),
    sa.Column("checksum", sa.String(16), nullable=False),
)
claims = sa.Table(
    "hpsearch_claims",
    _metadata,
    _key("study_id"),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Float(53), nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("begun", sa.DateTime, nullable=False),
    sa.Column("renewed", sa.DateTime, nullable=False),
)

OF_STUDY = (studies, trials, curves, cohorts, claims)

Migration = Callable[[Connection], None]


def _add_columns_of_curves(connection: Connection) -> None:
    """Version 2: curves have shares of dead units behind their first four columns."""
    if "columns" not in {column["name"] for column in sa.inspect(connection).get_columns(curves.name)}:
        connection.execute(
            sa.text("ALTER TABLE hpsearch_curves ADD COLUMN columns INTEGER NOT NULL DEFAULT 4")
        )


MIGRATIONS: list[Migration] = [_metadata.create_all, _add_columns_of_curves]
"""What brings own tables from version n to n + 1, for n = 0, 1, …; version 0 is none at all."""


@dataclass(frozen=True)
class Layout:
    """What a database has: Optuna's tables, and the version of hpsearch's own (0: none)."""

    optuna: bool
    version: int


def checksum(fields: tuple[object, ...], data: bytes = b"") -> str:
    """16 hexadecimal digits of plain values and bytes, as they come back from the database."""
    digest = hashlib.blake2b(data, digest_size=8)
    digest.update(repr(fields).encode())
    return digest.hexdigest()


def read_layout(connection: Connection, shown: str) -> Layout:
    """Look which tables there are.

    Raises:
        StorageError: they are another program's, or another version's.
    """
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        return Layout(optuna=False, version=0)
    if not {"version_info", "studies", "trials"} <= tables:
        found = ", ".join(sorted(tables)[:3])
        raise StorageError(
            f"{shown}: expected an empty database or one of hpsearch or Optuna; "
            f"found another program's tables ({found}). Name another database."
        )
    head = None
    if "alembic_version" in tables:
        head = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if head != OPTUNA_HEAD:
        raise StorageError(
            f"{shown}: expected Optuna's tables of schema {OPTUNA_HEAD} (Optuna 3.2 to 5.0); "
            f"found schema {head or 'of before Optuna 0.9'}. An older one is brought up to date by "
            "`optuna storage upgrade --storage URL`; a newer one needs a newer hpsearch."
        )
    if versions.name not in tables:
        return Layout(optuna=True, version=0)
    version = connection.execute(sa.select(versions.c.version)).scalar()
    if not isinstance(version, int) or version < 1:
        raise StorageError(
            f"{shown}: the database is damaged: expected a schema version in {versions.name}; "
            f"found {version!r}. Restore it from a backup."
        )
    if version > len(MIGRATIONS):
        raise StorageError(
            f"{shown}: the database is from a newer hpsearch: expected schema version {len(MIGRATIONS)} "
            f"or older; found {version}. Update this one: pip install --upgrade hpsearch"
        )
    return Layout(optuna=True, version=version)


def bring_up(connection: Connection, shown: str) -> None:
    """Make the tables that are missing and bring own ones to this version, within a transaction.

    Raises:
        StorageError: the tables are another program's, or the installed Optuna has others.
    """
    layout = read_layout(connection, shown)
    if not layout.optuna:
        _create_optuna_tables(connection, shown)
    if layout.version == len(MIGRATIONS):
        return
    for migration in MIGRATIONS[layout.version :]:
        migration(connection)
    connection.execute(sa.delete(versions))
    connection.execute(sa.insert(versions).values(id=1, version=len(MIGRATIONS)))


def _create_optuna_tables(connection: Connection, shown: str) -> None:
    # As Optuna's RDBStorage does, but in the caller's transaction and without importing alembic.
    folder = Path(models.__file__).parent / "alembic" / "versions"
    newest = max(file.stem.rstrip("_") for file in folder.glob("v*.py"))
    if newest != OPTUNA_HEAD:
        raise StorageError(
            f"{shown}: the installed Optuna {optuna.__version__} has tables of schema {newest}; expected "
            f"{OPTUNA_HEAD}. To install one that fits: pip install 'optuna>=5.0,<5.1'"
        )
    models.BaseModel.metadata.create_all(connection)
    connection.execute(
        sa.insert(models.VersionInfoModel).values(
            version_info_id=1, schema_version=models.SCHEMA_VERSION, library_version=optuna.__version__
        )
    )
    connection.execute(
        sa.text(
            "CREATE TABLE alembic_version "
            "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": OPTUNA_HEAD})
