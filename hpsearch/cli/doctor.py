"""`hpsearch doctor`: what this machine has, and whether the storage can be used."""

from __future__ import annotations

from typing import Annotated

import typer

from hpsearch.cli.common import StorageOption


def doctor(
    storage: StorageOption = None,
    device: Annotated[str, typer.Option(help="Device to check: auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Show versions, device, threads and storage, and try each of them."""
    from hpsearch.cli.checkup import checkup

    failures = checkup(storage, device)
    raise typer.Exit(1 if failures else 0)
