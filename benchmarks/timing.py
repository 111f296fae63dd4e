"""Seconds of the same training, by cohorts of hpsearch and by solo loops."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from statistics import mean

import numpy as np
import torch

from benchmarks import solo
from benchmarks.measure import CORES, median_seconds
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, Problem, Tile, Trainer, plan, train_lanes

REPEATS = 3
"""A time is the median of so many, where no other number is given."""

_LONGEST_START = 120.0
"""Seconds in which a solo process must have begun."""


def random_problem(rows: int, features: int, outputs: int, valid_rows: int = 100) -> Problem:
    """Random rows; how fast a network trains does not depend on what it learns."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows + valid_rows, features)).astype(np.float32)
    y = random.integers(0, max(2, outputs), rows + valid_rows)
    y = y if outputs > 1 else y.astype(np.float32)
    loss = "cross_entropy" if outputs > 1 else "bce"
    return Problem(x[:rows], y[:rows], x[rows:], y[rows:], outputs, loss, "accuracy", seed=0)


def lanes(count: int, configuration: Configuration) -> list[Lane]:
    """Fresh lanes of one configuration; their weights differ."""
    return [Lane(number, configuration) for number in range(count)]


def cohort_seconds(problem: Problem, chosen: Sequence[Lane], epochs: int, repeats: int = REPEATS) -> float:
    """Seconds in which `run` would train the lanes on all cores."""
    tiles = plan(problem, chosen, [epochs] * len(chosen), CORES)
    return tiles_seconds(problem, tiles, train_lanes, repeats)


def tiles_seconds(problem: Problem, tiles: Sequence[Tile], trainer: Trainer, repeats: int = REPEATS) -> float:
    """Seconds in which one thread a core trains the tiles, warmed up."""
    with ThreadPoolExecutor(CORES) as threads:

        def train(tile: Tile) -> None:
            trainer(problem, tile.lanes, tile.last_epoch)

        list(threads.map(train, [replace(tile, last_epoch=1) for tile in tiles[:CORES]]))
        return median_seconds(lambda: list(threads.map(train, tiles)), repeats)


def solo_seconds(
    problem: Problem, configuration: Configuration, epochs: int, threads: int, repeats: int = REPEATS
) -> float:
    """Seconds of the plain loop for one network with `threads` torch threads, warmed up."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    arrays = problem.x_train, problem.y_train, problem.x_valid, problem.y_valid
    data = solo.Data(*(torch.from_numpy(array) for array in arrays))
    model = solo.network(problem.features, configuration.layers, problem.outputs, configuration.activation)
    optimizer = solo.descent(model, asdict(configuration))

    def train(epochs: int) -> None:
        list(solo.train(model, optimizer, data, epochs, configuration.batch_size))

    try:
        train(1)
        return median_seconds(lambda: train(epochs), repeats)
    finally:
        torch.set_num_threads(before)


def side_by_side_seconds(
    problem: Problem, configuration: Configuration, epochs: int, repeats: int = REPEATS
) -> float:
    """Seconds a network takes when each core trains one at the same time, in a process with one thread."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(CORES), context.SimpleQueue()
    fresh = replace(problem)  # without the tensors that it may have made, which cannot be sent
    arguments = fresh, configuration, epochs, repeats, barrier, queue
    processes = [context.Process(target=_beside, args=arguments) for _ in range(CORES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a solo process failed")
    times = [queue.get() for _ in processes]
    return float(mean(times)) / CORES


def _beside(
    problem: Problem,
    configuration: Configuration,
    epochs: int,
    repeats: int,
    barrier: Barrier,
    queue: SimpleQueue[float],
) -> None:
    solo_seconds(problem, configuration, 1, threads=1, repeats=1)  # imports and brings memory into use
    barrier.wait(timeout=_LONGEST_START)
    queue.put(solo_seconds(problem, configuration, epochs, threads=1, repeats=repeats))
