"""What `hpsearch doctor` looks at, and what it copies of a damaged storage."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.cli.common import make_console, show, storage_url, write_out
from hpsearch.errors import plural
from hpsearch.text import plain

if TYPE_CHECKING:
    from hpsearch.store.audit import Audit, Damage

Finding = tuple[str, str, bool]
"""(what, how it is, whether it is as it should be)"""

_SHOWN = 12
"""Damages of a study that are named; a page that is lost may bring hundreds."""


def checkup(storage: str | None, device: str) -> int:
    """Print a line for each thing that was looked at; returns how many are wrong."""
    looks = (_versions, _kernel, lambda: _device(device), lambda: _storage(storage_url(storage)))
    return _table(finding for look in looks for finding in _guarded(look))


def _table(findings: Iterable[Finding]) -> int:
    """Print a line for each finding; returns how many are wrong."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    failures = 0
    for what, found, good in findings:
        table.add_row("ok" if good else "wrong", plain(what), plain(found))
        failures += not good
    show(table, make_console(sys.stdout))
    return failures


def _guarded(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    from hpsearch.errors import HpsearchError

    try:
        yield from look()
    except HpsearchError as error:
        yield "", str(error), False


def _versions() -> Iterator[Finding]:
    from hpsearch.running.machine import Machine
    from hpsearch.running.provenance import provenance

    for key, value in provenance(Machine.of("cpu")).items():
        if key != "device":
            yield key, str(value), True


def _kernel() -> Iterator[Finding]:
    from hpsearch.train import missing_kernel

    if reason := missing_kernel():
        yield "kernel", f"small networks train through torch, several times slower: {reason}", False


def _device(asked: str) -> Iterator[Finding]:
    import torch

    from hpsearch.train import choose_device

    device = choose_device(asked)
    product = torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)
    yield "device", f"{device} (a product of two matrices came out right)", product.sum().item() == 64.0**3


def _storage(url: str) -> Iterator[Finding]:
    from hpsearch.store import shown_url
    from hpsearch.store.audit import audit
    from hpsearch.store.connection import Connector

    if Connector(url).missing:
        yield "storage", f"{shown_url(url)} (not there yet; `hpsearch run` makes it)", True
    else:
        yield from _findings(audit(url))


def _findings(found: Audit) -> Iterator[Finding]:
    """How a storage is, study by study."""
    count = len(found.studies)
    yield "storage", f"{found.shown} ({count:,} {'study' if count == 1 else 'studies'})", not found.damages
    yield from _named(found.damages)
    for study in found.studies:
        trials = plural(study.total, "trial")
        epochs = plural(sum(study.trials[number].epochs for number in study.whole), "epoch")
        of = f"{len(study.whole):,} of {trials}" if study.damages else trials
        yield f"study {study.name}", f"{of}, {epochs}: sound", not study.damages
        yield from _named(study.damages)


def _named(damages: Sequence[Damage]) -> Iterator[Finding]:
    """The first damages, each in a line."""
    for damage in damages[:_SHOWN]:
        yield "", str(damage), False
    if len(damages) > _SHOWN:
        yield "", f"… and {len(damages) - _SHOWN:,} more", False


def salvage_storage(storage: str | None, new: Path) -> int:
    """Copy what is sound of a storage and print what became of it; returns how many things are damaged."""
    from hpsearch.extras.salvage import salvage
    from hpsearch.store.audit import audit

    url = storage_url(storage)
    found = audit(url)
    copied = salvage(found, new)
    failures = _table(_findings(found))
    for study in copied:
        lines = [f"{study.name}: {plural(study.whole, 'trial')} copied as they were"]
        lines += [f"  {damage}" for damage in study.lost]
        write_out("\n".join(map(plain, lines)) + "\n")
    there = {study.name for study in copied}
    left = [study.name for study in found.studies if study.name not in there]
    for name in left:
        write_out(plain(f"{name}: not copied, its record is damaged") + "\n")
    for name in found.others:
        write_out(plain(f"{name}: not copied, it is a study of Optuna alone") + "\n")
    write_out(f"written to {new}; to resume:  hpsearch run STUDY --storage sqlite:///{new}\n")
    return failures
