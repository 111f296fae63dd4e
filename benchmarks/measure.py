"""What the benchmarks share: rows of the table, what a part gives back, clocks and the machine in words."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from statistics import median
from time import perf_counter

import torch

from hpsearch.running.machine import Machine, default_workers
from hpsearch.running.provenance import provenance

CORES = 2
"""Threads of ours and processes of the others: the wanted values are for two cores."""

NONE = "–"
Series = list[tuple[float, float]]
"""(seconds, best validation accuracy so far), at each improvement."""


@dataclass(frozen=True)
class Row:
    """One claim: what was done, by whom, both figures, and what was to be reached.

    faster, goal: how many times as fast as the other side, and as was wanted, for the chart.
    """

    work: str
    ours: str
    against: str = NONE
    theirs: str = NONE
    ratio: str = NONE
    wanted: str = NONE
    faster: float | None = None
    goal: float | None = None


@dataclass(frozen=True)
class Part:
    """What a part of the benchmarks gives to the page.

    how: Markdown, how its rows are measured. lines: of each searching tool, by study seed, for the chart.
    """

    title: str
    rows: list[Row]
    how: str
    lines: dict[str, list[Series]] = field(default_factory=dict)


def versus(
    work: str,
    ours: str,
    against: str,
    theirs: str,
    faster: float,
    goal: float | None = None,
    shown: str = ".1f",
) -> Row:
    """A row of two speeds; `faster` is their ratio, above 1 where ours is the better one."""
    wanted = NONE if goal is None else f"≥ {goal:g}×"
    return Row(work, ours, against, theirs, f"{faster:{shown}}×", wanted, faster, goal)


def markdown(row: Row) -> str:
    """The row as a line of a Markdown table."""
    return f"| {row.work} | {row.ours} | {row.against} | {row.theirs} | {row.ratio} | {row.wanted} |"


HEADER = "| work | hpsearch | against | it | ratio | wanted |\n|---|---|---|---|---|---|"


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = perf_counter()
    action()
    return perf_counter() - began


def median_seconds(action: Callable[[], object], times: int) -> float:
    """Median wall time of several calls."""
    return median(seconds(action) for _ in range(times))


def machine() -> str:
    """The machine and the versions in one sentence."""
    known = provenance(Machine("cpu", CORES))
    others = ", ".join(f"{name} {metadata.version(name)}" for name in ("ray", "smac") if installed(name))
    return (
        f"{default_workers('cpu')} cores of {known['processor']}, {platform.system()}, "
        f"Python {known['python']}, torch {known['torch']}, numpy {known['numpy']}, "
        f"optuna {known['optuna']}, {others or 'no other peers'}, "
        f"hpsearch {known['hpsearch']} ({known['engine']})"
    )


def installed(package: str) -> bool:
    """Whether a distribution is there, without importing it."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def gemm_peak(threads: int) -> float:
    """Best GFLOP/s of twenty 1024³ single-precision products."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    a, b, out = torch.randn(1024, 1024), torch.randn(1024, 1024), torch.empty(1024, 1024)
    times = [seconds(lambda: torch.mm(a, b, out=out)) for _ in range(20)]
    torch.set_num_threads(before)
    return 2 * 1024**3 / min(times) / 1e9
