"""Which trainer trains which lane."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.train.lanes import Lane, LaneResult
from hpsearch.train.native import fits, load_kernel, train_native
from hpsearch.train.planner import Tile, plan_tiles
from hpsearch.train.problem import Problem


def train_lanes(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Train a tile of `plan`: through the native kernel where that can be, otherwise stacked in torch."""
    if is_native(problem, lanes[0]):
        kernel = load_kernel()
        assert kernel is not None
        return train_native(kernel, problem, lanes, last_epoch)
    from hpsearch.train.cohort import train_cohort  # a second to import torch

    return train_cohort(problem, lanes, last_epoch)


def is_native(problem: Problem, lane: Lane) -> bool:
    """Whether a lane goes through the native kernel: its own matter, so that neighbours change nothing."""
    return fits(problem, lane) and load_kernel() is not None


def plan(problem: Problem, lanes: Sequence[Lane], targets: Sequence[int], workers: int) -> list[Tile]:
    """Tiles for `train_lanes`, dearest first."""
    return plan_tiles(problem, lanes, targets, workers, lambda lane: is_native(problem, lane))


def engine_name(device: str) -> str:
    """What trains lanes here, for the record: it decides about last bits."""
    kernel = load_kernel()
    if kernel is None or device != "cpu":
        return "torch"
    return f"native 2, {kernel.vector_width * 32}-bit vectors"
