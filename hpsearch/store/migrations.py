"""Tables of older versions: what there is, and how it is brought to this hpsearch's schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import StorageError
from hpsearch.store.optuna_tables import OPTUNA_HEAD, create_tables, newest_revision
from hpsearch.store.schema import VERSION, metadata, versions

MIGRATIONS: dict[int, Callable[[Connection], None]] = {}
"""By version: what brings own tables of it to the next, within a transaction. Those from 1 to 3 were in no
release, so nothing brings them up; a migration from 4 is a function and a line here."""


@dataclass(frozen=True)
class Layout:
    """What a database has: Optuna's tables, the version of hpsearch's own (0: none), and the revision of
    Optuna's if hpsearch does not know it: of the database, or of the installed Optuna.
    """

    optuna: bool
    version: int
    unknown: str | None = None

    @property
    def old(self) -> bool:
        return 0 < self.version < VERSION


def read_layout(connection: Connection, shown: str) -> Layout:
    """Look which tables there are.

    Raises:
        StorageError: they are another program's, or another version's.
    """
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        return Layout(optuna=False, version=0, unknown=unknown_revision())
    if not {"version_info", "studies", "trials"} <= tables:
        found = ", ".join(sorted(tables)[:3])
        raise StorageError(
            f"{shown}: expected an empty database or one of hpsearch or Optuna; "
            f"found another program's tables ({found}). Name another database."
        )
    head = None
    if "alembic_version" in tables:
        head = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    unknown = unknown_revision() if head == OPTUNA_HEAD else head
    if head is None:
        raise StorageError(
            f"{shown}: expected Optuna's tables of schema {OPTUNA_HEAD} (Optuna 3.2 to 5.0); "
            f"found one of before Optuna 0.9. It is brought up to date by "
            "`optuna storage upgrade --storage URL`."
        )
    if versions.name not in tables:
        return Layout(True, 0, unknown)
    version = connection.execute(sa.select(versions.c.version)).scalar()
    if not isinstance(version, int) or version < 1:
        raise StorageError(
            f"{shown}: the database is damaged: expected a schema version in {versions.name}; "
            f"found {version!r}. Restore it from a backup."
        )
    oldest = min(MIGRATIONS, default=VERSION)
    if version < oldest:
        raise StorageError(
            f"{shown}: expected hpsearch's own tables of schema version {oldest} or newer; found {version}, "
            "which no release of hpsearch wrote. Name another database and run the study again."
        )
    if version > VERSION:
        raise StorageError(
            f"{shown}: the database is from a newer hpsearch: expected schema version {VERSION} "
            f"or older; found {version}. Update this one: pip install --upgrade hpsearch"
        )
    return Layout(True, version, unknown)


def unknown_revision() -> str | None:
    """The revision of the installed Optuna's tables, if hpsearch does not know it."""
    newest = newest_revision()
    return None if newest == OPTUNA_HEAD else newest


def bring_up(connection: Connection, shown: str) -> None:
    """Make the tables that are missing and bring own ones to this version, within a transaction.

    Raises:
        StorageError: the tables are another program's.
    """
    layout = read_layout(connection, shown)
    if not layout.optuna:
        create_tables(connection)
    if layout.version == VERSION:
        return
    if layout.version == 0:
        metadata.create_all(connection)
    else:
        for version in range(layout.version, VERSION):
            MIGRATIONS[version](connection)
    connection.execute(sa.delete(versions))
    connection.execute(sa.insert(versions).values(id=1, version=VERSION))
