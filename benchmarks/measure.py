"""What the benchmarks share: a row of the table, and the machine in words."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch

from hpsearch.engine.provenance import provenance


@dataclass(frozen=True)
class Row:
    """One claim: what was done, by whom, both figures, and what was to be reached."""

    work: str
    ours: str
    against: str
    theirs: str
    ratio: str
    wanted: str


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = perf_counter()
    action()
    return perf_counter() - began


def machine() -> str:
    """The machine in one line."""
    known = provenance("cpu", 1)
    return (
        f"{torch.get_num_threads()} cores of {known['processor']} ({known['capability']}), "
        f"{platform.system()}, Python {known['python']}, torch {known['torch']}, optuna {known['optuna']}, "
        f"hpsearch {known['hpsearch']} ({known['engine']})"
    )


def gemm_peak(threads: int) -> float:
    """Best GFLOP/s of 1024³ single-precision products."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    a, b, out = torch.randn(1024, 1024), torch.randn(1024, 1024), torch.empty(1024, 1024)
    times = [seconds(lambda: torch.mm(a, b, out=out)) for _ in range(20)]
    torch.set_num_threads(before)
    return 2 * 1024**3 / min(times) / 1e9
