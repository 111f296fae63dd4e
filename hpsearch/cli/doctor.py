"""`hpsearch doctor`: what this machine has, and whether the storage can be used and is sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.common import StorageOption, show, storage_url, write_out
from hpsearch.errors import plural

if TYPE_CHECKING:
    from rich.table import Table

    from hpsearch.extras.salvage import Salvage
    from hpsearch.running.checkup import Finding


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

    Checks every stored row against its checksum, and Optuna's tables against hpsearch's own, and
    names what is damaged. Exits with 1 if anything is wrong.

    --salvage copies sound studies whole. Of a damaged one, trials that are not sound start over when you
    resume the study: they keep their numbers and come out the same. A trial that even lacks its
    hyper-parameters is marked as failed ("lost").
    """
    from hpsearch import stored

    url = storage_url(storage)
    if salvage is None:
        findings: Sequence[Finding] = stored.doctor(storage=url, device=device)
        show(lambda width: _table(findings))
    else:
        from hpsearch.extras import salvage as rescue

        found = rescue.salvage(salvage, storage=url)
        findings = found.findings
        show(lambda width: _table(findings))
        _say_salvaged(found, salvage)
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)


def _table(findings: Sequence[Finding]) -> Table:
    """A line for each finding."""
    from rich.table import Table

    from hpsearch.text import plain

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in findings:
        table.add_row("ok" if finding.good else "wrong", plain(finding.what), plain(finding.found))
    return table


def _say_salvaged(found: Salvage, new: Path) -> None:
    from hpsearch.text import plain

    lines = []
    for study in found.copied:
        lines.append(f"{study.name}: {plural(study.whole, 'trial')} copied unchanged")
        lines += [f"  {damage}" for damage in study.lost]
    lines += [f"{name}: not copied, its record is damaged" for name in found.damaged]
    lines += [f"{name}: not copied, it is Optuna's own study" for name in found.others]
    lines.append(f"written to {new}; to resume:  hpsearch run STUDY --storage sqlite:///{new}")
    write_out("".join(f"{plain(line)}\n" for line in lines))
