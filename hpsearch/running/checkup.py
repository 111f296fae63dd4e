"""What `hpsearch doctor` looks at: versions, kernel, device and storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hpsearch.errors import HpsearchError, plural
from hpsearch.running.machine import Machine
from hpsearch.running.provenance import provenance
from hpsearch.store import shown_url
from hpsearch.store.audit import Audit, Damage, audit
from hpsearch.store.connection import Connector
from hpsearch.train import missing_kernel
from hpsearch.train.device import multiplies

_SHOWN = 12
"""Damages of a study that are named; a lost page may bring hundreds."""


@dataclass(frozen=True)
class Finding:
    """One line of a checkup: what was looked at ("" for more about the line above), and how it is."""

    what: str
    found: str
    good: bool


def checkup(url: str, device: str) -> list[Finding]:
    """Look at everything; what cannot even be looked at is a finding, too."""
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _versions,
        _kernel,
        lambda: _device(device),
        lambda: _storage(url),
    )
    found: list[Finding] = []
    for look in looks:
        try:
            found += look()
        except HpsearchError as error:
            found.append(Finding("", str(error), False))
    return found


def _versions() -> Iterator[Finding]:
    for key, value in provenance(Machine.of("cpu")).items():
        if key != "device":
            yield Finding(key, str(value), True)


def _kernel() -> Iterator[Finding]:
    if reason := missing_kernel():
        yield Finding("kernel", slow_text(reason), False)


def slow_text(reason: str) -> str:
    """What a machine without the kernel means for the user."""
    return f"small networks train through torch, several times slower: {reason}"


def _device(asked: str) -> Iterator[Finding]:
    device, right = multiplies(asked)
    yield Finding("device", f"{device} (multiplied two matrices correctly)" if right else device, right)


def _storage(url: str) -> Iterator[Finding]:
    if Connector(url).missing:
        yield Finding("storage", f"{shown_url(url)} (does not exist yet; `hpsearch run` creates it)", True)
    else:
        yield from storage_findings(audit(url))


def storage_findings(found: Audit) -> Iterator[Finding]:
    """How a storage is, study by study."""
    count = len(found.studies)
    studies = f"{count:,} {'study' if count == 1 else 'studies'}"
    yield Finding("storage", f"{found.shown} ({studies})", not found.damages)
    yield from _named(found.damages)
    for study in found.studies:
        trials = plural(study.total, "trial")
        epochs = plural(sum(study.trials[number].epochs for number in study.whole), "epoch")
        of = f"{len(study.whole):,} of {trials}" if study.damages else trials
        yield Finding(f"study {study.name}", f"{of}, {epochs}: sound", not study.damages)
        yield from _named(study.damages)


def _named(damages: Sequence[Damage]) -> Iterator[Finding]:
    """The first damages, each in a line."""
    for damage in damages[:_SHOWN]:
        yield Finding("", str(damage), False)
    if len(damages) > _SHOWN:
        yield Finding("", f"… and {len(damages) - _SHOWN:,} more", False)
