"""Which tables a database has, and how older ones are upgraded to this hpsearch's schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hpsearch.errors import StorageError
from hpsearch.store.ddl import VERSION, metadata, versions
from hpsearch.store.optuna_tables import OPTUNA_HEAD, create_tables, newest_revision

MIGRATIONS: dict[int, Callable[[Connection], None]] = {}
"""By version: upgrades own tables to the next one, within a transaction. No release wrote versions 1 to 3, so
nothing upgrades them; a migration from 4 is a function and a line here."""


@dataclass(frozen=True)
class Layout:
    """What a database has. optuna: Optuna's tables. version: of own tables; 0: none. unknown: the revision of
    Optuna's tables, in the database or the installed Optuna, if hpsearch does not know it.
    """

    optuna: bool
    version: int
    unknown: str | None = None

    @property
    def old(self) -> bool:
        return 0 < self.version < VERSION


def read_layout(connection: Connection, shown: str) -> Layout:
    """Inspect the tables of a database.

    Raises:
        StorageError: they belong to another program or an unsupported version.
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
            "found one from before Optuna 0.9. Upgrade it with `optuna storage upgrade --storage URL`."
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
            f"{shown}: expected hpsearch's schema version {oldest} or newer; found {version}, "
            "which no release wrote. Name another database and run the study again."
        )
    if version > VERSION:
        raise StorageError(
            f"{shown}: a newer hpsearch wrote the database: expected schema version {VERSION} or older; "
            f"found {version}. Upgrade: pip install --upgrade hpsearch"
        )
    return Layout(True, version, unknown)


def unknown_revision() -> str | None:
    """The revision of the installed Optuna's tables, or None if hpsearch knows it."""
    newest = newest_revision()
    return None if newest == OPTUNA_HEAD else newest


def bring_up(connection: Connection, shown: str) -> None:
    """Create missing tables and upgrade own ones to this version, within a transaction.

    Raises:
        StorageError: the tables belong to another program.
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
