"""Where a process trains: its device, and how many workers share it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hpsearch.errors import HpsearchError
from hpsearch.train import choose_device


@dataclass(frozen=True)
class Machine:
    """device: cpu, or one of torch's. workers: how many tiles are trained at a time."""

    device: str
    workers: int

    @classmethod
    def of(cls, device: str = "auto", workers: int | None = None) -> Machine:
        """The machine asked for; by default a GPU if there is one, and one worker per core.

        Raises:
            HpsearchError: there is no such device, or fewer workers than one.
        """
        if workers is not None and workers < 1:
            raise HpsearchError(f"workers: expected at least 1; found {workers}")
        chosen = choose_device(device)
        return cls(chosen, workers or default_workers(chosen))


def default_workers(device: str) -> int:
    """One per core that this process may use; one on a GPU."""
    if device != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
