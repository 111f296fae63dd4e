"""`hpsearch doctor`: what this machine has, and whether the storage can be used and is sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.common import StorageOption


def doctor(
    storage: StorageOption = None,
    device: Annotated[str, typer.Option(help="Device to check: auto, cpu, cuda or mps.")] = "auto",
    salvage: Annotated[
        Path | None,
        typer.Option(
            metavar="NEW.db",
            help="Copy what is sound of the storage into this new SQLite file.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check versions, device, threads and storage.

    Every stored row is held against its checksum, and Optuna's tables against hpsearch's own; what is
    damaged is named. Exits with 1 if anything is wrong.

    With --salvage sound studies are copied whole. Of a damaged one, trials that are not sound begin anew and
    come out the same when you go on with the study: their numbers stay theirs. A trial that even lacks its
    hyper-parameters is marked as failed ("lost").
    """
    from hpsearch.cli.checkup import checkup, salvage_storage

    failures = checkup(storage, device) if salvage is None else salvage_storage(storage, salvage)
    raise typer.Exit(1 if failures else 0)
