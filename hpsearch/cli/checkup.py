"""What `hpsearch doctor` looks at."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from hpsearch.cli.common import make_console, show, storage_url

Finding = tuple[str, str, bool]
"""(what, how it is, whether it is as it should be)"""


def checkup(storage: str | None, device: str) -> int:
    """Print a line for each thing that was looked at; returns how many are wrong."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    failures = 0
    for look in (_versions, _kernel, lambda: _device(device), lambda: _storage(storage_url(storage))):
        for what, found, good in _guarded(look):
            table.add_row("ok" if good else "wrong", what, found)
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
    from hpsearch.engine.pool import default_workers
    from hpsearch.engine.provenance import provenance

    for key, value in provenance("cpu", default_workers("cpu")).items():
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
    from hpsearch.errors import StorageError
    from hpsearch.store import Database, shown_url

    try:
        database = Database.open(url)
    except StorageError as error:
        if "sqlite" in url and "no such" in str(error).lower():
            yield "storage", f"{shown_url(url)} (not there yet; `hpsearch run` makes it)", True
            return
        raise
    with database:
        studies = database.studies()
        trials = sum(len(database.study(study.name).trials()) for study in studies)
        yield "storage", f"{database.url} ({len(studies):,} studies, {trials:,} trials, all sound)", True
