"""The workload of recorded curves: all around training as it is, and no training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpsearch.records import CURVE_COLUMNS, FloatArray, Trial, divergence
from hpsearch.running.workload import Cost, Tile

CurveOf = Callable[[Trial], FloatArray]
"""The whole curve of a trial, [epochs, 4 or more]: losses and metrics as `records.CURVE_COLUMNS` has them.
To train in other processes it must be one that can be pickled."""

_LANES = 32
"""Lanes of a tile at most: as many as make looking at the results cheap."""


@dataclass(frozen=True)
class Place:
    """A lane's state: how far its curve has been read."""

    epoch: int


@dataclass(frozen=True)
class Reading:
    """A lane: a trial whose curve has been read up to `epoch`."""

    of: Trial
    epoch: int

    @property
    def trial(self) -> int:
        return self.of.number


@dataclass(frozen=True)
class Readings:
    """A tile."""

    lanes: Sequence[Reading]
    last_epoch: int


@dataclass(frozen=True)
class Read:
    """The piece of a curve that was asked for."""

    trial: int
    curve: FloatArray
    state: Place | None
    failure: str | None
    evaluating: float = 0.0


@dataclass(frozen=True)
class Recorded:
    """Trials have the curves that `curve_of` says, up to the first loss that is NaN or infinite."""

    curve_of: CurveOf

    columns = CURVE_COLUMNS

    def lane(self, trial: Trial, state: Place | None) -> Reading:
        return Reading(trial, state.epoch if state else 0)

    def tiles(
        self, lanes: Sequence[Reading], targets: Sequence[int], workers: int
    ) -> Sequence[Tile[Reading]]:
        groups: dict[tuple[int, int], list[Reading]] = {}
        for lane, target in zip(lanes, targets, strict=True):
            groups.setdefault((lane.epoch, target), []).append(lane)
        size = min(_LANES, -(-len(lanes) // workers))
        return [
            Readings(group[at : at + size], target)
            for (_, target), group in groups.items()
            for at in range(0, len(group), size)
        ]

    def train(self, tile: Tile[Reading]) -> Sequence[Read]:
        return [self._read(lane, tile.last_epoch) for lane in tile.lanes]

    def parameters(self, trial: Trial) -> int:
        return 0

    def cost(self, lane: Reading) -> Cost:
        return Cost("curve", _LANES, 1e-5, 1e-5)

    def operations(self, lane: Reading, epochs: int) -> float:
        return 0.0

    def pack(self, state: Place) -> bytes:
        return b""

    def unpack(self, epoch: int, data: bytes) -> Place:
        if data:
            raise ValueError("no checkpoint of a recorded curve: it holds weights")
        return Place(epoch)

    def _read(self, lane: Reading, last_epoch: int) -> Read:
        piece = self.curve_of(lane.of)[lane.epoch : last_epoch]
        if (found := divergence(piece, lane.epoch + 1)) is not None:
            rows, failure = found
            return Read(lane.trial, piece[:rows], None, failure)
        return Read(lane.trial, piece, Place(last_epoch), None)
