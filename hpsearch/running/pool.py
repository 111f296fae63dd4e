"""Where tiles are trained: pools of threads or processes; results come back as they are finished."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, Protocol

from hpsearch.errors import HpsearchError, nearest, plural
from hpsearch.running.workload import Result, Tile, Trainable
from hpsearch.telling import Inside, Look, listening

_TICK = 0.2
"""Seconds between two looks at the clock and at the stop flag."""

_MOST_DEATHS = 3
"""A tile is given up when so many workers have died while it may have been in training."""


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

    @property
    def left(self) -> float | None:
        """Seconds until the time limit, if there is one."""
        return None if self._deadline is None else max(0.0, self._deadline - monotonic())

    def __bool__(self) -> bool:
        return self.asked or self.timed_out


@dataclass(frozen=True)
class TileResult:
    """What came out of a tile, in the order of its lanes, and how long it took."""

    tile: Tile[Any]
    lanes: Sequence[Result[Any]]
    seconds: float


@dataclass(frozen=True)
class Going:
    """A tile in training. seconds: since it began. lanes: how far its trials are, by number."""

    tile: Tile[Any]
    seconds: float
    lanes: Mapping[int, Inside]


Trained = tuple[Sequence[Result[Any]], float]
"""What a worker returns: results, and the seconds that they took."""

Begun = Mapping[Future[Trained], Tile[Any]]
"""Tiles that were given to the workers."""

Warn = Callable[[str], None]


class Pool(Protocol):
    """Trains the tiles of a workload with `workers` workers."""

    workers: int

    def begin(self, tiles: Sequence[Tile[Any]]) -> Begun:
        """Let the workers train the tiles, in their order."""
        ...

    def results(self, begun: Begun, stop: StopFlag, tick: Callable[[], None]) -> Iterator[TileResult]:
        """Results as they come. Once `stop` is set, tiles that have not begun are left out.

        An error in a tile is raised after the results of all others that had begun.
        """
        ...

    def going(self) -> Sequence[Going]:
        """The tiles in training of which something is known; may be called by the tick of `results`."""
        ...

    def close(self) -> None: ...


class Futures(ABC):
    """What all pools of the standard library's futures have in common; one of them says how to `submit`."""

    def __init__(self, workload: Trainable, workers: int, warn: Warn = lambda text: None) -> None:
        self._workload, self.workers, self._warn = workload, workers, warn
        self._pending: Begun = {}

    @abstractmethod
    def submit(self, tile: Tile[Any]) -> Future[Trained]:
        """The future of a tile."""

    @abstractmethod
    def close(self) -> None:
        """Wait for what is in training, and leave out the rest."""

    def begin(self, tiles: Sequence[Tile[Any]]) -> Begun:
        return {self.submit(tile): tile for tile in tiles}

    def results(self, begun: Begun, stop: StopFlag, tick: Callable[[], None]) -> Iterator[TileResult]:
        self._pending = pending = dict(begun)
        failures: list[BaseException] = []
        deaths: Counter[int] = Counter()  # by the tile's id: tiles of different seeds look the same
        while pending:
            done, _ = wait(pending, timeout=_TICK, return_when=FIRST_COMPLETED)
            broken = False
            # In the order of trials, so that with one worker the same things are stored together each time.
            for future in sorted(done, key=lambda future: pending[future].lanes[0].trial):
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    broken = True
                    continue
                tile = pending.pop(future)
                if error is not None:
                    failures.append(error)
                else:
                    yield TileResult(tile, *future.result())
            if broken:
                pending = self._mended(pending, deaths, again=not (stop or failures))
            if stop or failures:
                pending = {future: tile for future, tile in pending.items() if not future.cancel()}
            self._pending = pending
            tick()
        if failures:
            raise failures[0]

    def going(self) -> Sequence[Going]:
        """Nothing is known of a pool that does not listen."""
        return []

    def _in_training(self) -> list[Tile[Any]]:
        """The tiles whose results are still to come."""
        return [tile for future, tile in self._pending.items() if not future.done()]

    def _restart(self) -> None:  # noqa: B027 (a hook: the workers of most pools do not die)
        """Start workers in place of dead ones."""

    def _mended(self, pending: Begun, deaths: Counter[int], again: bool) -> dict[Future[Trained], Tile[Any]]:
        """What is pending after a worker has died; again: its tiles are trained again."""
        self._restart()
        lost = [f for f in pending if f.done() and isinstance(f.exception(), BrokenExecutor)]
        mended = {future: tile for future, tile in pending.items() if future not in lost}
        if not again:
            return mended
        # Tiles are begun in their order: so many of the first may have been in training.
        for tile in (pending[future] for future in lost[: self.workers]):
            deaths[id(tile)] += 1
            if deaths[id(tile)] >= _MOST_DEATHS:
                trials = ", ".join(str(lane.trial) for lane in tile.lanes)
                raise HpsearchError(
                    f"{_MOST_DEATHS} worker processes died while training trials {trials}, perhaps killed by "
                    "the system for lack of memory. Use fewer --workers or smaller networks"
                )
        self._warn(f"a worker died; retraining its {plural(len(lost), 'tile')}")
        return mended | {self.submit(pending[future]): pending[future] for future in lost}


class Threads(Futures):
    """Each tile in one thread of this process."""

    def __init__(self, workload: Trainable, workers: int, warn: Warn = lambda text: None) -> None:
        super().__init__(workload, workers, warn)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="lane")
        self._heard: dict[int, _Heard] = {}

    def submit(self, tile: Tile[Any]) -> Future[Trained]:
        return self._threads.submit(self._train, tile)

    def going(self) -> Sequence[Going]:
        heard = self._heard.copy()
        known = [(tile, heard[id(tile)]) for tile in self._in_training() if id(tile) in heard]
        return [Going(tile, *each.now()) for tile, each in known]

    def _train(self, tile: Tile[Any]) -> Trained:
        try:
            with listening(lambda look: self._heard.update({id(tile): _Heard(look)})):
                return _train(self._workload, tile)
        finally:
            self._heard.pop(id(tile), None)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)


class Processes(Futures):
    """Each tile in one process of several, which get the workload once, and tiles as values.

    When a process dies, the standard library ends the others, too. What they had not finished is trained
    again in new ones, and comes out the same.
    """

    def __init__(self, workload: Trainable, workers: int, warn: Warn = lambda text: None) -> None:
        super().__init__(workload, workers, warn)
        # Through a file: the start of a process would wait for ever for one that dies before it has read all.
        self._folder = TemporaryDirectory(prefix="hpsearch-")
        self._path = Path(self._folder.name, "workload")
        with self._path.open("wb") as file:
            pickle.dump(workload, file, pickle.HIGHEST_PROTOCOL)
        self._executor = self._start()
        self._count = itertools.count()
        self._numbers: dict[int, int] = {}  # by the id of the tile

    def submit(self, tile: Tile[Any]) -> Future[Trained]:
        number = self._numbers[id(tile)] = next(self._count)
        with _uninterrupted():  # it may start a process
            try:
                return self._executor.submit(_train_here, tile, number)
            except BrokenExecutor:  # a process has died since the last results
                self._replace()
                return self._executor.submit(_train_here, tile, number)

    def begin(self, tiles: Sequence[Tile[Any]]) -> Begun:
        self._numbers.clear()
        return super().begin(tiles)

    def going(self) -> Sequence[Going]:
        known: dict[int, tuple[float, Mapping[int, Inside]]] = {}
        for path in Path(self._folder.name).glob(f"{_NOTE}*"):
            with suppress(OSError):
                number, *said = pickle.loads(path.read_bytes())
                known[number] = said
        tiles = [(tile, self._numbers[id(tile)]) for tile in self._in_training()]
        return [Going(tile, *known[number]) for tile, number in tiles if number in known]

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)
        self._folder.cleanup()

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, which is the same on all systems: threads of this process may hold locks that a fork keeps.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, context, _begin_worker, (self._path,))

    def _replace(self) -> None:
        self._executor.shutdown()  # returns when all its futures have ended
        self._executor = self._start()

    def _restart(self) -> None:
        try:
            with _uninterrupted():
                self._executor.submit(int)
        except BrokenExecutor:
            self._replace()


class _Heard:
    """What a worker told of its tile, and when."""

    def __init__(self, look: Look) -> None:
        self._look, self._began = look, monotonic()

    def now(self) -> tuple[float, Mapping[int, Inside]]:
        """Seconds since then, and how far each trial is."""
        return monotonic() - self._began, self._look()


def _train(workload: Trainable, tile: Tile[Any]) -> Trained:
    began = monotonic()
    return workload.train(tile), monotonic() - began


_worker: Trainable
"""The workload of a worker process."""

_heard: dict[int, _Heard] = {}
"""What a worker process trains, by the number that its parent gave it."""

_NOTE = "at-"
"""How the names of the files begin in which workers say how far they are."""


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that are started within do not hear Ctrl-C, which goes to all those of a terminal: the parent
    decides what it means. It hears of it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(path: Path) -> None:
    """What each worker process does first."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where `_uninterrupted` does nothing
    with path.open("rb") as file:
        _worker = pickle.load(file)
    # A parent that was killed ends nobody; and a worker holds the pipe open on which it waits for tiles.
    threading.Thread(target=_follow_parent, args=(path,), daemon=True).start()
    threading.Thread(target=_write_notes, args=(path.parent,), daemon=True).start()


def _follow_parent(path: Path) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(path.parent, ignore_errors=True)  # it could not do that itself
    os._exit(1)


def _write_notes(folder: Path) -> None:
    """Tell the parent how far this worker is: in a file, since one that dies may hold the lock of a pipe."""
    note, made = folder / f"{_NOTE}{os.getpid()}", folder / f"making-{os.getpid()}"
    while True:
        sleep(_TICK)
        for number, heard in _heard.copy().items():
            with suppress(OSError):  # the folder is gone, or somebody reads
                made.write_bytes(pickle.dumps((number, *heard.now())))
                made.replace(note)


def _train_here(tile: Tile[Any], number: int) -> Trained:
    try:
        with listening(lambda look: _heard.update({number: _Heard(look)})):
            return _train(_worker, tile)
    finally:
        _heard.clear()


POOLS: dict[str, Callable[[Trainable, int, Warn], Pool]] = {"threads": Threads, "processes": Processes}
"""Pools by name; another one is a line here."""


def make_pool(name: str | None, workload: Trainable, workers: int, warn: Warn = lambda text: None) -> Pool:
    """The pool of that name, by default the one that HPSEARCH_POOL names, or threads.

    warn: is told of workers that died.

    Raises:
        HpsearchError: there is none.
    """
    name = name or os.environ.get("HPSEARCH_POOL", "threads")
    if name not in POOLS:
        raise HpsearchError(f'pool: expected one of {", ".join(POOLS)}; found "{name}"{nearest(name, POOLS)}')
    return POOLS[name](workload, workers, warn)
