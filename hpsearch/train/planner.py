"""Which lanes train together: groups that match, split into tiles by a cost model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpsearch.study.hyperparameters import ADAPTIVE
from hpsearch.study.space import Space
from hpsearch.train.lanes import Lane
from hpsearch.train.memory import lane_bytes, tile_bytes, weights
from hpsearch.train.problem import Problem

TILE_LANES = 64
"""Widest tile on a CPU; wider ones gain nothing once arithmetic hides the calls (docs/log.md)."""

GPU_LANES = 4096
"""Widest tile on a GPU, if its memory allows it."""

NATIVE_LANES = 4
"""Lanes of a native tile; beyond, sharing mini-batches gains nothing (docs/log.md)."""

_TILES_A_WORKER = 8
"""Native tiles are so small that every worker gets at least this many and all end together."""

_MOST_EXACT_WIDTHS = 4
"""A study with more widths than this pads them to buckets."""


@dataclass(frozen=True)
class Tile:
    """Lanes that train together up to `last_epoch`, and the estimated cost."""

    lanes: tuple[Lane, ...]
    last_epoch: int
    cost: float


def padded_widths(problem: Problem, lanes: Sequence[Lane]) -> tuple[int, ...]:
    """Hidden widths of the deepest lane, each rounded up to its bucket."""
    deepest = max((lane.configuration.layers for lane in lanes), key=len)
    return tuple(bucket(width) if problem.pad_widths else width for width in deepest)


def pads_widths(space: Space) -> bool:
    """Whether the study searches so many widths that lanes must be padded to stack."""
    widths: set[int] = set()
    layers = [name for name in space.entries if name.startswith("layer")]
    for values in (space.values(name) for name in ("width", "hidden", *layers)):
        if values is None:
            return True
        for value in values:
            widths.update(int(width) for width in str(value or "").split("-") if width.isdigit())
            if len(widths) > _MOST_EXACT_WIDTHS:
                return True
    return False


def bucket(width: int) -> int:
    """The width to which a hidden layer is padded.

    A function of the width alone, so that a lane is computed in the same shape whoever its
    neighbours are. Multiples of 16 up to 128 and of an eighth of the next power of two above, so that
    at most an eighth is wasted on wide layers.
    """
    step = 16 if width <= 128 else 1 << ((width - 1).bit_length() - 3)
    return -(-width // step) * step


def stack_key(lane: Lane) -> tuple[int, ...]:
    """Key that lanes of one stacked network share: linear outputs per unit, and kind of optimiser."""
    return lane.configuration.fan, int(lane.configuration.optimizer in ADAPTIVE)


def group_key(problem: Problem, lane: Lane) -> tuple[int, ...]:
    """Key that lanes of a stacked tile share besides epochs: mini-batches, `stack_key`, padded widths.

    Lanes whose hidden layers all have one padded width stack whatever their depth; others only with
    lanes of the same padded layers. A linear model has no hidden layer and stacks with anything; it
    goes with those of the study's default width.
    """
    c = lane.configuration
    shared = problem.batch(c.batch_size), *stack_key(lane)
    widths = padded_widths(problem, [lane])
    if len(set(widths)) > 1:
        return *shared, *widths
    usual = bucket(c.width) if problem.pad_widths else c.width
    return *shared, widths[0] if widths else usual


def plan_tiles(
    problem: Problem,
    lanes: Sequence[Lane],
    targets: Sequence[int],
    workers: int = 1,
    native: Callable[[Lane], bool] = lambda lane: False,
) -> list[Tile]:
    """Tiles of lanes that train up to the epochs `targets`, most expensive first.

    Lanes of a tile have the same mini-batches, first and last epoch; stacked ones also the same padded
    widths.
    """
    groups: dict[tuple[int, ...], list[Lane]] = {}
    for lane, target in zip(lanes, targets, strict=True):
        key = lane.epoch, target, *_kind(problem, lane, native(lane))
        groups.setdefault(key, []).append(lane)
    tiles = []
    costs = {key: _group_cost(problem, key, members) for key, members in groups.items()}
    fair = sum(costs.values()) / workers
    for key, members in groups.items():
        first, last, is_native, *_ = key
        members.sort(key=lambda lane: -len(lane.configuration.layers))
        make = _native_pieces if is_native else _stacked_pieces
        for piece in make(problem, members, costs[key] / fair, workers if len(groups) == 1 else 1):
            cost = _native_epoch(problem, piece) if is_native else _stacked_epoch(problem, piece)
            tiles.append(Tile(tuple(piece), last, (last - first) * cost))
    return sorted(tiles, key=lambda tile: -tile.cost)


def _group_cost(problem: Problem, key: tuple[int, ...], lanes: Sequence[Lane]) -> float:
    first, last, is_native, *_ = key
    return (last - first) * (_native_epoch if is_native else _stacked_epoch)(problem, lanes)


def _stacked_pieces(problem: Problem, lanes: list[Lane], share: float, least: int) -> list[list[Lane]]:
    """As wide as the memory allows, neighbours in depth together: those waste least."""
    count = max(-(-len(lanes) // _widest(problem, lanes)), min(least, len(lanes) // 2))
    return [lanes[i * len(lanes) // count : (i + 1) * len(lanes) // count] for i in range(count)]


def _native_pieces(problem: Problem, lanes: list[Lane], share: float, least: int) -> list[list[Lane]]:
    """Small enough that no worker waits long for the last tile; wide enough to share the mini-batches.

    share: of what one worker gets to do. Lanes are dealt out, so that pieces cost the same.
    """
    enough = len(lanes) // NATIVE_LANES
    count = max(
        -(-len(lanes) // _widest(problem, lanes)),
        min(least, len(lanes)),
        min(enough, math.ceil(share * _TILES_A_WORKER)),
    )
    return [lanes[piece::count] for piece in range(count)]


def _widest(problem: Problem, lanes: Sequence[Lane]) -> int:
    """Lanes of a tile: at least two, since a lone one takes a stacked tile as long as two."""
    most = TILE_LANES if problem.device == "cpu" else GPU_LANES
    size = max(lane_bytes(problem, lane) for lane in lanes)
    return max(2, int(min(most, tile_bytes(problem.device) / size)))


def _stacked_epoch(problem: Problem, lanes: Sequence[Lane]) -> float:
    """Seconds an epoch of a stacked tile, roughly."""
    parts = [_stacked_parts(problem, lane) for lane in lanes]
    return max(tile for tile, _ in parts) + sum(own for _, own in parts)


def _stacked_parts(problem: Problem, lane: Lane) -> tuple[float, float]:
    """Seconds an epoch: the calls of every step, which lanes share; arithmetic and optimiser traffic of one.

    The constants here and below were fitted to digits on two cores (docs/log.md).
    """
    steps = problem.rows / problem.batch(lane.configuration.batch_size)
    own = weights(problem, lane)
    calls = steps * 60e-6 * (len(lane.configuration.layers) + 1)
    return calls, steps * own * 0.6e-9 + problem.rows * own * 0.15e-9


def _native_epoch(problem: Problem, lanes: Sequence[Lane]) -> float:
    """Seconds an epoch of a native tile, roughly."""
    parts = [_native_parts(problem, lane) for lane in lanes]
    return parts[0][0] + sum(own for _, own in parts)


def _native_parts(problem: Problem, lane: Lane) -> tuple[float, float]:
    """Seconds an epoch: mini-batches brought into order, which lanes share; traffic and arithmetic of one."""
    batch = problem.batch(lane.configuration.batch_size)
    rows, steps = -(-batch // 16) * 16 * (problem.rows / batch), problem.rows / batch
    own = weights(problem, lane)
    return rows * problem.features * 1e-9, rows * own * 0.04e-9 + steps * (0.3e-6 + own * 0.15e-9)


@dataclass(frozen=True)
class LaneCost:
    """What an epoch of a lane costs. kind: lanes of a kind may share a tile, up to `together` of them.

    tile: seconds of each tile that has such lanes. lane: seconds of each lane.
    """

    kind: tuple[int, ...]
    together: int
    tile: float
    lane: float


def lane_cost(problem: Problem, lane: Lane, native: bool) -> LaneCost:
    """By the same model as `plan_tiles`; native: whether the kernel trains the lane."""
    kind = _kind(problem, lane, native)
    if native:
        return LaneCost(kind, NATIVE_LANES, *_native_parts(problem, lane))
    return LaneCost(kind, _widest(problem, [lane]), *_stacked_parts(problem, lane))


def _kind(problem: Problem, lane: Lane, native: bool) -> tuple[int, ...]:
    if native:
        return 1, problem.batch(lane.configuration.batch_size)
    return 0, *group_key(problem, lane)
