"""Optuna's own tables, which hpsearch fills in bulk: all that the store uses of Optuna's private modules.
tests/test_optuna_contract.py holds Optuna to it.

Optuna's public calls write a trial in several transactions of their own, never in that of hpsearch's rows,
and take longer than training the trial. Private names and tables may change with any minor version, hence the
bound in pyproject.toml.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.storages._rdb import models
from sqlalchemy.engine import Connection

OPTUNA_HEAD = "v3.2.0.a"
"""The revision of Optuna's tables that hpsearch writes: Optuna 3.2 to 5.0."""

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

stored_value: Any = models.TrialValueModel.value_to_stored_repr
"""The columns (number, kind) of a trial's value; infinities have a kind of their own."""
stored_intermediate: Any = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
"""The same for an intermediate value, which may also be NaN."""


def newest_revision() -> str:
    """The revision that the installed Optuna creates: from its file names, as importing alembic is slow."""
    folder = Path(models.__file__).parent / "alembic" / "versions"
    return max((file.stem.rstrip("_") for file in folder.glob("v*.py")), key=_order)


def _order(revision: str) -> tuple[tuple[int, str], ...]:
    """Of "v3.2.0.a": 10 comes after 9."""
    parts = revision.removeprefix("v").split(".")
    return tuple((int(part), "") if part.isdigit() else (0, part) for part in parts)


def create_tables(connection: Connection) -> None:
    """Create the tables as Optuna's RDBStorage does, but in the caller's transaction and without alembic."""
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
