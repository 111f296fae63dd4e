"""Worker threads that train tiles; results come back in the order in which they finish."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import monotonic

from hpsearch.train import LaneResult, Problem, Tile, Trainer, choose_device

_TICK = 0.2
"""Seconds between two looks at the clock and at the stop flag."""


class StopFlag:
    """Asks a run to stop at the next rung; set by Ctrl-C or by the time limit."""

    def __init__(self, time_limit: float | None = None) -> None:
        self._asked = threading.Event()
        self._limit = time_limit
        self._deadline: float | None = None

    def start(self) -> None:
        """Begin to count the time limit."""
        if self._limit is not None:
            self._deadline = monotonic() + self._limit

    def without_limit(self) -> StopFlag:
        """The same flag, deaf to the clock."""
        other = StopFlag()
        other._asked = self._asked
        return other

    def ask(self) -> None:
        self._asked.set()

    @property
    def asked(self) -> bool:
        """Somebody asked to stop."""
        return self._asked.is_set()

    @property
    def timed_out(self) -> bool:
        return self._deadline is not None and monotonic() >= self._deadline

    def __bool__(self) -> bool:
        return self.asked or self.timed_out


@dataclass(frozen=True)
class TileResult:
    """What came out of a tile, and how long it took."""

    tile: Tile
    lanes: list[LaneResult]
    seconds: float


Begun = set[Future[TileResult]]
"""Tiles that were given to the workers."""


def default_workers(device: str) -> int:
    """One a core that this process may use; one on a GPU."""
    if device != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resources(device: str, workers: int | None) -> tuple[str, int]:
    """The device that "auto" stands for, and how many threads train on it where that is not said.

    Raises:
        HpsearchError: there is no such device.
    """
    chosen = choose_device(device)
    return chosen, workers or default_workers(chosen)


class Pool:
    """Trains tiles, each in one thread."""

    def __init__(self, problem: Problem, trainer: Trainer, workers: int) -> None:
        self._problem, self._trainer, self.workers = problem, trainer, workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="lane")

    def begin(self, tiles: Sequence[Tile]) -> Begun:
        """Let the workers train the tiles, in their order."""
        return {self._threads.submit(self._one, tile) for tile in tiles}

    def results(self, pending: Begun, stop: StopFlag, tick: Callable[[], None]) -> Iterator[TileResult]:
        """Results as they come. Once `stop` is set, tiles that have not begun are left out.

        An error in a tile is raised after the results of all others that had begun.
        """
        failures: list[BaseException] = []
        while pending:
            done, pending = wait(pending, timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=_order):
                if error := future.exception():
                    failures.append(error)
                else:
                    yield future.result()
            if stop or failures:
                pending = {future for future in pending if not future.cancel()}
            tick()
        if failures:
            raise failures[0]

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def _one(self, tile: Tile) -> TileResult:
        began = monotonic()
        lanes = self._trainer(self._problem, tile.lanes, tile.last_epoch)
        return TileResult(tile, lanes, monotonic() - began)


def _order(future: Future[TileResult]) -> int:
    return 0 if future.exception() else future.result().tile.lanes[0].trial
