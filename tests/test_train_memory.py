"""Tiles that do not fit the memory are halved, with equal numbers; a trial that does not fit says so."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpsearch.errors import TrialTooLargeError
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, LaneResult, Problem, engine, memory, plan, train_lanes
from hpsearch.train.memory import lane_bytes
from hpsearch.train.native import load_kernel
from hpsearch.train.planner import GPU_LANES
from hpsearch.train.tensors import tensors_of
from tests.problems import make_lanes, make_problem

LARGE = Configuration(hidden="1000", batch_size=32)


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test has shown about the memory is nobody else's business; GPUs are of 80 GB."""
    monkeypatch.setattr(memory, "_limits", {})
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 << 30, 80 << 30))
    memory.device_bytes.cache_clear()
    yield
    memory.device_bytes.cache_clear()


# -- real limits, in processes of their own -----------------------------------------------------------


def limit_memory(megabytes: int) -> None:
    """From here on this process gets so much more address space and no more; 0 lifts the limit."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (megabytes << 20) if megabytes else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def train_within(megabytes: int, count: int, hidden: str) -> None:
    """Train `count` lanes in one tile; prints the widths that were tried, and what came of it, as JSON."""
    problem = make_problem(rows=64, features=1000)
    lanes = make_lanes(problem, [dataclasses.replace(LARGE, hidden=hidden)] * count)
    train_lanes(problem, make_lanes(problem, [Configuration(batch_size=32)]), 1)  # libraries take their share
    train, tried = engine._train, []

    def recorded(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
        tried.append(len(lanes))
        return train(problem, lanes, last_epoch)

    engine._train = recorded
    told: dict[str, Any] = {"tried": tried}
    limit_memory(megabytes)
    try:
        results = train_lanes(problem, lanes, 1)
    except TrialTooLargeError as error:
        told["error"] = str(error)
    else:
        limit_memory(0)
        told["identical"] = all(
            np.array_equal(a.curve, b.curve)
            and np.array_equal(a.state.parameters, b.state.parameters)
            and np.array_equal(a.state.momentum, b.state.momentum)
            for a, b in zip(results, train(problem, lanes, 1), strict=True)
            if a.state and b.state
        )
        told["planned"] = sorted(len(tile.lanes) for tile in plan(problem, lanes, [2] * count, 1))
    print(json.dumps(told))


def told_by_child(kernel: str, megabytes: int, count: int, hidden: str) -> dict[str, Any]:
    if sys.platform != "linux":
        pytest.skip("RLIMIT_AS is obeyed on Linux only")
    if kernel == "on" and load_kernel() is None:
        pytest.skip("no C compiler here: lanes are trained stacked, by torch")
    code = f"from tests.test_train_memory import train_within as t; t({megabytes}, {count}, {hidden!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HPSEARCH_KERNEL": kernel, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize(("kernel", "megabytes"), [("on", 112), ("off", 136)])
def test_halves_of_a_tile_that_does_not_fit_give_the_same_numbers(kernel: str, megabytes: int) -> None:
    """A lane's weights are 4 MB; a tile of eight takes 128 MB in the kernel and 160 MB stacked."""
    told = told_by_child(kernel, megabytes, 8, "1000")
    assert told == {"tried": [8, 4, 4], "identical": True, "planned": [4, 4]}


@pytest.mark.parametrize(("kernel", "megabytes"), [("on", 12), ("on", 40), ("off", 24)])
def test_a_trial_that_does_not_fit_by_itself_says_what_to_do(kernel: str, megabytes: int) -> None:
    """Weights of 16 MB, of which the kernel's trainer has two copies and the kernel two of its own."""
    told = told_by_child(kernel, megabytes, 2, "1000-3000")
    assert told["tried"] == [2, 1]
    assert told["error"] == (
        "trial 0 does not fit in memory (cpu): a network of 1000-1000-3000-3 units at batch size 32 needs "
        "about 98 MB; use smaller layers (width, depth or hidden), a smaller batch_size or fewer --workers"
    )


# -- what is remembered ---------------------------------------------------------------------------------


class Narrow:
    """A trainer that has room for so many lanes."""

    def __init__(self, room: int, error: BaseException) -> None:
        self.room, self.error, self.tried = room, error, list[int]()

    def __call__(self, problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
        self.tried.append(len(lanes))
        if len(lanes) > self.room:
            raise self.error
        return [LaneResult(lane.trial, np.zeros((1, 4)), None, None) for lane in lanes]


@pytest.mark.parametrize(
    ("device", "error"),
    [
        ("cpu", MemoryError()),
        ("cpu", RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …")),
        ("cpu", RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 64 bytes.")),
        ("cuda", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")),
    ],
    ids=["numpy", "torch", "torch on Windows", "CUDA"],
)
def test_later_tiles_are_not_tried_as_wide(
    monkeypatch: pytest.MonkeyPatch, device: str, error: BaseException
) -> None:
    problem = dataclasses.replace(make_problem(), device=device)
    lanes = [Lane(n, Configuration()) for n in range(16)]
    trainer = Narrow(5, error)
    monkeypatch.setattr(engine, "_train", trainer)
    assert [result.trial for result in train_lanes(problem, lanes, 1)] == list(range(16))
    assert trainer.tried == [16, 8, 4, 4, 4, 4]
    trainer.tried.clear()
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda part: train_lanes(problem, part, 1), (lanes[:9], lanes[9:])))
    assert [result.trial for part in both for result in part] == list(range(16))
    assert max(trainer.tried) <= 5
    assert max(len(tile.lanes) for tile in plan(problem, lanes, [1] * 16, 1)) <= 5


def test_other_errors_are_not_taken_for_a_full_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Narrow(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    monkeypatch.setattr(engine, "_train", trainer)
    with pytest.raises(RuntimeError, match="mat1"):
        train_lanes(make_problem(), [Lane(n, Configuration()) for n in range(4)], 1)
    assert trainer.tried == [4]


# -- how wide a tile is planned -------------------------------------------------------------------------


@pytest.mark.parametrize(("free", "widest"), [(80 << 30, GPU_LANES), (1 << 30, None)])
def test_a_gpu_gets_as_wide_a_tile_as_its_free_memory_allows(
    monkeypatch: pytest.MonkeyPatch, free: int, widest: int | None
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 << 30))
    problem = dataclasses.replace(make_problem(), device="cuda")
    lanes = [Lane(n, Configuration(depth=1 + n % 4)) for n in range(2 * GPU_LANES)]
    tiles = plan(problem, lanes, [1] * len(lanes), 1)
    assert sum(len(tile.lanes) for tile in tiles) == len(lanes)
    most = max(sum(lane_bytes(problem, lane) for lane in tile.lanes) for tile in tiles)
    assert most <= memory.GPU_SHARE * free
    if widest is not None:
        assert [len(tile.lanes) for tile in tiles] == [widest] * 2
    else:
        assert most > memory.GPU_SHARE * free / 2


def test_lanes_of_the_kernel_are_planned_and_trained_without_torch() -> None:
    if load_kernel() is None:
        pytest.skip("no C compiler here: lanes are trained stacked, by torch")
    code = (
        "import sys; from tests.problems import *; from hpsearch.train import plan, train_lanes\n"
        "problem = make_problem(); lanes = make_lanes(problem, mixed_configurations(32))\n"
        "lanes = kernel_lanes(problem, lanes)\n"
        "for tile in plan(problem, lanes, [1] * len(lanes), 2): train_lanes(problem, tile.lanes, 1)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True)


def test_a_problem_is_brought_to_its_device_once_and_goes_with_its_tensors() -> None:
    problem = make_problem()
    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(tensors_of, [problem] * 16)
    assert all(other is first for other in others)
    assert tensors_of(dataclasses.replace(problem, keep_last=True)) is not first
    gone = weakref.ref(problem), weakref.ref(first)
    del problem, first, others
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
