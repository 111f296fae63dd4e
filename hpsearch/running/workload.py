"""What is trained, as the loop knows it: trials become lanes, lanes tiles, and tiles what came out of them.

Networks are one workload (running.networks), recorded curves another (running.recorded). The protocols ask
for no common class, so that a workload below this floor owes it nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from hpsearch.records import FloatArray, Trial


class State(Protocol):
    """With it, and nothing else, a lane is trained on: a value that can be pickled."""

    @property
    def epoch(self) -> int:
        """Epochs that it has been trained for."""
        ...


class Lane(Protocol):
    """A trial's slot in a cohort, with all that is needed to train it on: a value that can be pickled."""

    @property
    def trial(self) -> int: ...

    @property
    def epoch(self) -> int:
        """Epochs trained before."""
        ...


L = TypeVar("L", bound=Lane)
S = TypeVar("S", bound=State)
L_co = TypeVar("L_co", bound=Lane, covariant=True)
S_co = TypeVar("S_co", bound=State, covariant=True)


@dataclass(frozen=True)
class Cost:
    """What an epoch of a lane should cost. The speed of a kind is measured, so only ratios within it matter.

    kind: lanes of one may share a tile, up to `together` of them. tile: seconds of each tile, besides its
    lanes. lane: seconds of each lane. steps: optimiser steps.
    """

    kind: Hashable
    together: int
    tile: float
    lane: float
    steps: int = 1


class Tile(Protocol[L_co]):
    """Lanes that train together, from their common epoch up to `last_epoch`."""

    @property
    def lanes(self) -> Sequence[L_co]: ...

    @property
    def last_epoch(self) -> int: ...


class Result(Protocol[S_co]):
    """A lane after training.

    curve: [epochs, columns] float64, up to and including the epoch of a failure. failure: why the lane
    diverged, or None; it has no state then. evaluating: seconds that went into the validation set.
    """

    @property
    def trial(self) -> int: ...

    @property
    def curve(self) -> FloatArray: ...

    @property
    def state(self) -> S_co | None: ...

    @property
    def failure(self) -> str | None: ...

    @property
    def evaluating(self) -> float: ...


class Trainable(Protocol):
    """All that a pool asks of what is trained.

    It can be pickled, and what `train` returns is a function of the workload and the tile alone: so a tile
    may be trained in any process, and again after a kill. A lane's numbers do not depend on its neighbours.
    """

    def train(self, tile: Any) -> Sequence[Result[Any]]:
        """What comes out, in the order of the tile's lanes."""
        ...


class Workload(Protocol[L, S]):
    """All that the loop, the store and resuming ask of what is trained; it is a `Trainable`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the first columns of all its curves; single ones may have more after them."""
        ...

    def lane(self, trial: Trial, state: S | None) -> L:
        """The trial, to be trained on from `state`, or from the beginning where that is None."""
        ...

    def tiles(self, lanes: Sequence[L], targets: Sequence[int], workers: int) -> Sequence[Tile[L]]:
        """Tiles of lanes that go to the epochs `targets`, in the order in which to train them."""
        ...

    def train(self, tile: Tile[L]) -> Sequence[Result[S]]:
        """What comes out, in the order of the tile's lanes."""
        ...

    def parameters(self, trial: Trial) -> int:
        """How many numbers the trial learns."""
        ...

    def cost(self, lane: L) -> Cost:
        """What an epoch of the lane should cost: time left follows from it."""
        ...

    def operations(self, lane: L, epochs: int) -> float:
        """Floating-point operations of the products in so many of a lane's epochs."""
        ...

    def pack(self, state: S) -> bytes:
        """A state to be stored; its epoch is stored beside it."""
        ...

    def unpack(self, epoch: int, data: bytes) -> S:
        """The state of `pack`.

        Raises:
            ValueError: the bytes are not those of a state.
        """
        ...


AnyWorkload = Workload[Any, Any]
"""A workload of whatever lanes and states: the loop looks into neither."""
