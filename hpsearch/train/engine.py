"""Which trainer trains which lane."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.train.cohort import train_cohort
from hpsearch.train.lanes import Lane, LaneResult
from hpsearch.train.native import fits, load_kernel, train_native
from hpsearch.train.planner import Tile, plan_tiles
from hpsearch.train.problem import Problem


def train_lanes(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    """Small lanes on a processor through the native kernel, where it can be compiled; all others stacked.

    The choice is made for each lane by itself, so that its numbers do not depend on its neighbours.
    """
    kernel = load_kernel()
    native = {at for at, lane in enumerate(lanes) if is_native(problem, lane)}
    results: dict[int, LaneResult] = {}
    for part in (sorted(native), [at for at in range(len(lanes)) if at not in native]):
        if not part:
            continue
        chosen = [lanes[at] for at in part]
        trained = (
            train_native(kernel, problem, chosen, last_epoch)
            if kernel is not None and part[0] in native
            else train_cohort(problem, chosen, last_epoch)
        )
        results.update(zip(part, trained, strict=True))
    return [results[at] for at in range(len(lanes))]


def is_native(problem: Problem, lane: Lane) -> bool:
    """Whether a lane goes through the native kernel."""
    return load_kernel() is not None and fits(problem, lane)


def plan(problem: Problem, lanes: Sequence[Lane], targets: Sequence[int], workers: int) -> list[Tile]:
    """Tiles for `train_lanes`, dearest first."""
    return plan_tiles(problem, lanes, targets, workers, lambda lane: is_native(problem, lane))


def engine_name(device: str) -> str:
    """What trains small lanes here, for the record: it decides about last bits."""
    kernel = load_kernel()
    if kernel is None or device != "cpu":
        return "torch"
    return f"native, {kernel.vector_width * 32}-bit vectors"
