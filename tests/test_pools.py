"""What every pool must do: results as they come, stops, errors, deaths of workers, and the same bits."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.rising import Rising
from hpsearch.errors import HpsearchError
from hpsearch.records import FloatArray, Trial
from hpsearch.running.networks import Networks
from hpsearch.running.pool import POOLS, Processes, StopFlag, TileResult, make_pool
from hpsearch.running.recorded import Recorded
from hpsearch.running.workload import AnyWorkload, Tile
from hpsearch.study.space import Choice, Space
from tests.problems import make_problem

EPOCHS = 3
_watches = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's pidfd")
each_pool = pytest.mark.parametrize("name", POOLS)


@dataclass(frozen=True)
class Script:
    """Recorded curves, and what happens to a worker that reads that of some trial.

    The places that workers wait at are FIFOs, which open when both of their ends are held: no clock is asked.
    """

    folder: Path
    acts: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("gate", "begun"):
            if not (self.folder / name).exists():
                os.mkfifo(self.folder / name)

    def __call__(self, trial: Trial) -> FloatArray:
        act, pid = self.acts.get(trial.number), os.getpid()
        if act == "tells and waits":
            _pass(self.folder / "begun", os.O_WRONLY)
        if act in ("waits", "tells and waits"):
            _pass(self.folder / "gate", os.O_RDONLY)
        if act == "fails":
            _pass(self.folder / "begun", os.O_RDONLY)
            raise ValueError(f"trial {trial.number} is on fire")
        if act == "says who":
            (self.folder / "begun").write_text(str(pid))
            _pass(self.folder / "gate", os.O_RDONLY)
        if act == "is interrupted":
            os.kill(pid, signal.SIGINT)
        if act == "dies" or (act == "dies once" and not (self.folder / "died").exists()):
            (self.folder / "died").touch()
            os.kill(pid, signal.SIGKILL)
        return Rising(EPOCHS)(trial)

    def open_gate(self) -> None:
        """Let all pass that wait there, now and later."""
        os.open(self.folder / "gate", os.O_RDWR)


@contextmanager
def _ended(pid: int) -> Iterator[None]:
    """Wait at the end until a process, which need not be a child, has ended."""
    watched = os.pidfd_open(pid)
    try:
        yield
        assert select.select([watched], [], [], 60)[0], "it lives on"
    finally:
        os.close(watched)


def _pass(fifo: Path, mode: int) -> None:
    os.close(os.open(fifo, mode))


def tiles_of(workload: AnyWorkload, count: int, width: int = 1) -> list[Tile[Any]]:
    """Tiles of `width` trials each, in the order of the trials."""
    lanes = [workload.lane(Trial(number, 0, {}), None) for number in range(count * width)]
    return [
        tile
        for at in range(count)
        for tile in workload.tiles(lanes[at * width : (at + 1) * width], [EPOCHS] * width, 1)
    ]


def trials_of(results: Sequence[TileResult]) -> list[int]:
    return [lane.trial for result in results for lane in result.lanes]


def curves_of(results: Sequence[TileResult]) -> dict[int, list[list[float]]]:
    return {lane.trial: lane.curve.tolist() for result in results for lane in result.lanes}


@each_pool
def test_results_come_as_they_are_finished(name: str, tmp_path: Path) -> None:
    script = Script(tmp_path, {0: "waits"})
    with closing(make_pool(name, Recorded(script), 2)) as pool:
        tiles = tiles_of(Recorded(script), 2)
        results = pool.results(pool.begin(tiles), StopFlag(), lambda: None)
        first = next(results)
        assert (first.tile, trials_of([first])) == (tiles[1], [1])
        script.open_gate()
        assert trials_of(list(results)) == [0]


@each_pool
def test_after_a_stop_what_has_not_begun_is_left_out(name: str, tmp_path: Path) -> None:
    script = Script(tmp_path, dict.fromkeys(range(20), "waits"))
    stop = StopFlag()
    stop.ask()
    with closing(make_pool(name, Recorded(script), 2)) as pool:
        begun = pool.begin(tiles_of(Recorded(script), 20))
        # A tick comes after the flag was looked at.
        results = list(pool.results(begun, stop, script.open_gate))
        # A process has its next tile at hand already.
        assert 1 <= len(results) <= (2 if name == "threads" else 5)
        assert len(set(trials_of(results))) == len(results)
        assert len(list(pool.results(pool.begin(tiles_of(Recorded(script), 3)), StopFlag(), int))) == 3


@each_pool
def test_an_error_is_raised_after_the_results_of_those_that_had_begun(name: str, tmp_path: Path) -> None:
    script = Script(tmp_path, {0: "fails", 1: "tells and waits", **dict.fromkeys(range(2, 20), "waits")})
    with closing(make_pool(name, Recorded(script), 2)) as pool:
        begun = pool.begin(tiles_of(Recorded(script), 20))
        failed = next(future for future, tile in begun.items() if tile.lanes[0].trial == 0)
        seen: list[int] = []
        looks: list[bool] = []

        def tick() -> None:
            looks.append(failed.done())
            if sum(looks) == 2:  # by then the pool has seen it, too, and left out what had not begun
                script.open_gate()

        def collect() -> None:
            for result in pool.results(begun, StopFlag(), tick):
                seen.extend(trials_of([result]))

        with pytest.raises(ValueError, match="trial 0 is on fire"):
            collect()
        assert 1 in seen
        assert 0 not in seen
        assert len(seen) <= (2 if name == "threads" else 5)


@each_pool
def test_networks_come_out_the_same_in_every_pool(name: str) -> None:
    networks = Networks(make_problem(epochs=4), Space({"learning_rate": Choice((0.1, 0.2))}))
    trials = [Trial(number, 0, {"learning_rate": 0.1 + 0.1 * (number % 2)}) for number in range(6)]
    lanes = [networks.lane(trial, None) for trial in trials]
    here = {r.trial: r for tile in networks.tiles(lanes, [2] * 6, 2) for r in networks.train(tile)}
    on = {trial.number: networks.lane(trial, here[trial.number].state) for trial in trials}
    alone = {
        r.trial: r for tile in networks.tiles(list(on.values()), [4] * 6, 1) for r in networks.train(tile)
    }
    with closing(make_pool(name, networks, 2)) as pool:
        for start, expected, last in ((lanes, here, 2), (list(on.values()), alone, 4)):
            begun = pool.begin(networks.tiles(start, [last] * 6, 2))
            found = {r.trial: r for tile in pool.results(begun, StopFlag(), int) for r in tile.lanes}
            assert found.keys() == expected.keys()
            for number, result in found.items():
                want = expected[number].state
                assert np.array_equal(result.curve, expected[number].curve)
                assert want is not None
                assert result.state.epoch == last
                assert np.array_equal(result.state.parameters, want.parameters)
                assert np.array_equal(result.state.momentum, want.momentum)


# -- workers that die --------------------------------------------------------------------------------


def test_what_a_killed_worker_had_is_trained_again(tmp_path: Path) -> None:
    """Killed in the middle of the second of four tiles of three lanes; the others come out once each."""
    script, said = Script(tmp_path, {4: "dies once"}), list[str]()
    with closing(Processes(Recorded(script), 1, said.append)) as pool:
        begun = pool.begin(tiles_of(Recorded(script), 4, width=3))
        results = list(pool.results(begun, StopFlag(), lambda: None))
    assert sorted(trials_of(results)) == list(range(12))
    assert curves_of(results) == {n: Rising(EPOCHS)(Trial(n, 0, {})).tolist() for n in range(12)}
    assert said == ["a worker died; retraining its 3 tiles"]


@dataclass(frozen=True)
class _Fatal:
    """Kills the first worker that unpickles it."""

    marker: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle_fatal, (self.marker,)


def _unpickle_fatal(marker: Path) -> _Fatal:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return _Fatal(marker)


@dataclass(frozen=True)
class Heavy(Rising):
    """More than a pipe holds, so that nobody can write it for a worker that died before."""

    fatal: _Fatal
    weight: bytes = bytes(1 << 20)


def test_a_worker_that_dies_before_it_has_the_workload_is_replaced(tmp_path: Path) -> None:
    workload, said = Recorded(Heavy(EPOCHS, _Fatal(tmp_path / "died"))), list[str]()
    with closing(Processes(workload, 1, said.append)) as pool:
        results = list(pool.results(pool.begin(tiles_of(workload, 2)), StopFlag(), lambda: None))
    assert sorted(trials_of(results)) == [0, 1]
    assert len(said) <= 1  # none where it died before the second tile was given


def test_a_tile_that_kills_all_its_workers_is_given_up(tmp_path: Path) -> None:
    script, said = Script(tmp_path, {3: "dies"}), list[str]()
    with closing(Processes(Recorded(script), 1, said.append)) as pool:
        begun = pool.begin(tiles_of(Recorded(script), 3, width=2))
        with pytest.raises(HpsearchError, match=r"3 worker processes died while training trials 2, 3,"):
            list(pool.results(begun, StopFlag(), lambda: None))
    assert len(said) == 2


@_watches
def test_a_worker_that_dies_between_two_cohorts_is_replaced(tmp_path: Path) -> None:
    script = Script(tmp_path, {0: "says who"})
    with closing(Processes(Recorded(script), 1)) as pool:
        results = pool.results(pool.begin(tiles_of(Recorded(script), 1)), StopFlag(), lambda: None)
        begun = pool.begin([])
        pid = int((tmp_path / "begun").read_text())
        script.open_gate()
        assert trials_of(list(results)) == [0]
        assert not begun
        with _ended(pid):
            os.kill(pid, signal.SIGKILL)
        again = pool.begin(tiles_of(Recorded(script), 3)[1:])
        assert sorted(trials_of(list(pool.results(again, StopFlag(), lambda: None)))) == [1, 2]


def test_a_worker_does_not_mind_an_interrupt(tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of a terminal; the run itself stops at the next rung."""
    script, said = Script(tmp_path, {0: "is interrupted"}), list[str]()
    with closing(Processes(Recorded(script), 1, said.append)) as pool:
        begun = pool.begin(tiles_of(Recorded(script), 1))
        assert trials_of(list(pool.results(begun, StopFlag(), lambda: None))) == [0]
    assert not said


@_watches
def test_workers_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    code = (
        "from tests.test_pools import *\n"
        "if __name__ == '__main__':\n"
        f"    script = Script(Path({str(tmp_path)!r}), {{0: 'says who'}})\n"
        "    pool = Processes(Recorded(script), 1)\n"
        "    list(pool.results(pool.begin(tiles_of(Recorded(script), 1)), StopFlag(), int))\n"
    )
    Script(tmp_path)
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, env=environment)
    with _ended(int((tmp_path / "begun").read_text())):
        parent.kill()
    parent.wait()
    assert not list((tmp_path / "tmp").iterdir())


def test_an_unknown_pool_is_refused() -> None:
    with pytest.raises(HpsearchError, match='expected one of threads, processes; found "thread"; did you'):
        make_pool("thread", Recorded(Rising(1)), 1)
