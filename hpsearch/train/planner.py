"""Which lanes train together: groups by what must be equal, tiles by a cost model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpsearch.study.space import Space
from hpsearch.train.lanes import Lane
from hpsearch.train.problem import Problem

TILE_LANES = 64
"""Widest tile. Wider ones gain nothing once the arithmetic hides the calls (docs/log.md)."""

NATIVE_LANES = 16
"""Lanes of a tile of the native trainer, which gains nothing from width: so many are stored together."""

TILE_BYTES = 256 << 20
"""Most memory of a tile's parameters and buffers."""


_MOST_EXACT_WIDTHS = 4
"""A study with more widths than this pads them to buckets."""


@dataclass(frozen=True)
class Tile:
    """Lanes that train together up to `last_epoch`, and what that is thought to cost."""

    lanes: tuple[Lane, ...]
    last_epoch: int
    cost: float


def padded_widths(problem: Problem, lanes: Sequence[Lane]) -> tuple[int, ...]:
    """Hidden widths of the deepest lane, each rounded up to its bucket."""
    deepest = max((lane.configuration.layers for lane in lanes), key=len)
    return tuple(bucket(width) if problem.pad_widths else width for width in deepest)


def pads_widths(space: Space) -> bool:
    """Whether the study searches so many widths that lanes are padded to stack with each other."""
    widths: set[int] = set()
    for values in (space.values("width"), space.values("hidden")):
        if values is None:
            return True
        for value in values:
            widths.update(int(width) for width in str(value or "").split("-") if width.isdigit())
    return len(widths) > _MOST_EXACT_WIDTHS


def bucket(width: int) -> int:
    """The width to which a hidden layer is padded.

    A function of the width alone, so that a lane is computed in the same shape whoever its
    neighbours are. Multiples of 16 up to 128 and of an eighth of the next power of two above, so that
    at most an eighth is wasted on wide layers.
    """
    step = 16 if width <= 128 else 1 << ((width - 1).bit_length() - 3)
    return -(-width // step) * step


def group_key(problem: Problem, lane: Lane) -> tuple[int, ...]:
    """What must be equal in a tile, besides the epochs: mini-batches, and padded widths.

    Lanes whose hidden layers all have one padded width stack whatever their depth; others only with
    lanes of the same padded layers. A linear model has no hidden layer and stacks with anything; it
    goes with those of the study's default width.
    """
    batch = problem.batch(lane.configuration.batch_size)
    widths = padded_widths(problem, [lane])
    if len(set(widths)) > 1:
        return batch, *widths
    usual = bucket(lane.configuration.width) if problem.pad_widths else lane.configuration.width
    return batch, widths[0] if widths else usual


def plan_tiles(
    problem: Problem,
    lanes: Sequence[Lane],
    targets: Sequence[int],
    workers: int = 1,
    native: Callable[[Lane], bool] = lambda lane: False,
) -> list[Tile]:
    """Tiles of lanes that go to the epochs `targets`, dearest first.

    Stacked lanes share a tile when mini-batches, padded widths, first and last epoch are equal; native
    ones need only the epochs. A single group is spread over the workers.
    """
    groups: dict[tuple[int, ...], list[Lane]] = {}
    for lane, target in zip(lanes, targets, strict=True):
        key = () if native(lane) else group_key(problem, lane)
        groups.setdefault((lane.epoch, target, *key), []).append(lane)
    tiles = []
    for (first, last, *shape), members in groups.items():
        widest = _widest(problem, members) if shape else NATIVE_LANES
        count = -(-len(members) // widest)
        if len(groups) == 1:
            count = max(count, min(workers, len(members) // 2))
        members.sort(key=lambda lane: (-len(lane.configuration.layers), lane.configuration.batch_size))
        for piece in range(count):
            # Stacked lanes of like depth waste least; native ones are dealt out, so that tiles cost the same.
            chosen = (
                members[piece * len(members) // count : (piece + 1) * len(members) // count]
                if shape
                else members[piece::count]
            )
            seconds = _stacked_epoch(problem, chosen) if shape else _native_epoch(problem, chosen)
            tiles.append(Tile(tuple(chosen), last, (last - first) * seconds))
    return sorted(tiles, key=lambda tile: -tile.cost)


def _widest(problem: Problem, lanes: Sequence[Lane]) -> int:
    """Lanes that fit the memory of a tile."""
    batch = problem.batch(lanes[0].configuration.batch_size)
    most = max(_weights(problem, lane) * 3 + _units(problem, lane) * 2 * batch for lane in lanes)
    return max(2, min(TILE_LANES, TILE_BYTES // (most * problem.x_train.element_size())))


def _weights(problem: Problem, lane: Lane) -> int:
    widths = [problem.features, *lane.configuration.layers, problem.outputs]
    return sum(a * b for a, b in itertools.pairwise(widths))


def _units(problem: Problem, lane: Lane) -> int:
    return sum(lane.configuration.layers) + problem.outputs


def _stacked_epoch(problem: Problem, lanes: Sequence[Lane]) -> float:
    """Seconds an epoch of a stacked tile, roughly: calls, arithmetic and optimiser traffic of every step.

    The constants here and below were fitted to digits on two cores (docs/log.md).
    """
    steps = problem.rows / problem.batch(lanes[0].configuration.batch_size)
    depth = max(len(lane.configuration.layers) for lane in lanes) + 1
    weights = sum(_weights(problem, lane) for lane in lanes)
    return steps * (60e-6 * depth + weights * 0.6e-9) + problem.rows * weights * 0.15e-9


def _native_epoch(problem: Problem, lanes: Sequence[Lane]) -> float:
    """Seconds an epoch of native lanes, one after the other."""
    return sum(
        problem.rows
        / problem.batch(lane.configuration.batch_size)
        * (1e-6 + _weights(problem, lane) * 0.2e-9)
        + problem.rows * _weights(problem, lane) * 0.09e-9
        for lane in lanes
    )
