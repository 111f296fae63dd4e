"""Which trainer trains which lane, and what to do when a tile does not fit in memory."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.errors import TrialTooLargeError
from hpsearch.train.lanes import Lane, LaneResult
from hpsearch.train.memory import is_out_of_memory, known_limit, lane_bytes, lower_limit
from hpsearch.train.native import fits, load_kernel, source_hash, train_native
from hpsearch.train.planner import LaneCost, Tile, lane_cost, plan_tiles
from hpsearch.train.problem import Problem


def train_lanes(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Train a tile of `plan`: whole or, if it does not fit in memory, in halves.

    A lane's numbers do not depend on its neighbours, so they are the same either way. The limit is
    remembered: later tiles, in other threads too, are not tried that wide.

    Raises:
        TrialTooLargeError: not even a single lane fits.
    """
    needed = sum(lane_bytes(problem, lane) for lane in lanes)
    if len(lanes) == 1 or needed <= known_limit(problem.device):
        try:
            return _train(problem, lanes, last_epoch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(lanes) == 1:
                raise _too_large(problem, lanes[0], needed) from error
        # Out here the error is gone, and with its traceback all that the tile had allocated.
        lower_limit(problem.device, needed / 2)
    half = len(lanes) // 2
    return [
        *train_lanes(problem, lanes[:half], last_epoch),
        *train_lanes(problem, lanes[half:], last_epoch),
    ]


def _train(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Train through the native kernel if possible, otherwise stacked in torch."""
    if is_native(problem, lanes[0]):
        kernel = load_kernel()
        assert kernel is not None
        return train_native(kernel, problem, lanes, last_epoch)
    from hpsearch.train.cohort import train_cohort  # a second to import torch

    return train_cohort(problem, lanes, last_epoch)


def _too_large(problem: Problem, lane: Lane, needed: int) -> TrialTooLargeError:
    units = [problem.features, *lane.configuration.layers, problem.outputs]
    return TrialTooLargeError(
        f"trial {lane.trial} does not fit in memory ({problem.device}): a network of "
        f"{'-'.join(map(str, units))} units at batch size {lane.configuration.batch_size} needs about "
        f"{max(1, round(needed / 1e6)):,} MB; use smaller layers (width, depth or hidden), a smaller "
        "batch_size or fewer --workers"
    )


def is_native(problem: Problem, lane: Lane) -> bool:
    """Whether the native kernel trains a lane: a function of the lane alone, so neighbours change nothing."""
    return fits(problem, lane) and load_kernel() is not None


def plan(problem: Problem, lanes: Sequence[Lane], targets: Sequence[int], workers: int) -> list[Tile]:
    """Tiles for `train_lanes`, most expensive first."""
    return plan_tiles(problem, lanes, targets, workers, lambda lane: is_native(problem, lane))


def cost(problem: Problem, lane: Lane) -> LaneCost:
    """What an epoch of a lane costs."""
    return lane_cost(problem, lane, is_native(problem, lane))


def engine_name(device: str) -> str:
    """The trainer in use, for the record: it affects the last bits."""
    kernel = load_kernel()
    if kernel is None or device != "cpu":
        return "torch"
    return f"native {source_hash()[:8]}, {kernel.vector_width * 32}-bit vectors"
