"""Cohorts of equal lanes against the same lanes one by one, without any search."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.measure import Row, gemm_peak, seconds
from hpsearch.engine.pool import Pool, StopFlag
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, Problem, initial_state, plan, train_lanes
from hpsearch.train.lanes import layer_shapes
from hpsearch.train.losses import LOSSES
from hpsearch.train.metrics import METRICS
from hpsearch.train.solo import train_solo

CORES = 2


def random_problem(rows: int, features: int, outputs: int, valid_rows: int = 100) -> Problem:
    """Random rows; how fast a network trains does not depend on what it learns."""
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.normal(size=(rows + valid_rows, features)).astype(np.float32))
    if outputs > 1:
        y = torch.from_numpy(random.integers(0, outputs, rows + valid_rows))
        loss = LOSSES["cross_entropy"]
    else:
        y = torch.from_numpy(random.integers(0, 2, rows + valid_rows).astype(np.float32))
        loss = LOSSES["bce"]
    metric = METRICS["accuracy"]
    return Problem(x[:rows], y[:rows], x[rows:], y[rows:], outputs, loss, metric, seed=0)


def lanes(problem: Problem, count: int, configuration: Configuration) -> list[Lane]:
    return [Lane(n, configuration, initial_state(problem, n, configuration)) for n in range(count)]


def cohort_seconds(problem: Problem, chosen: Sequence[Lane], epochs: int) -> float:
    """Seconds that `run` would take to train the lanes, on all cores."""
    pool = Pool(problem, train_lanes, CORES)
    tiles = plan(problem, chosen, [epochs] * len(chosen), CORES)
    try:
        return seconds(lambda: list(pool.train(tiles, StopFlag(), lambda: None)))
    finally:
        pool.close()


def solo_seconds(problem: Problem, lane: Lane, epochs: int, threads: int) -> float:
    """Seconds of the textbook loop for one lane, warmed up."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        train_solo(problem, [lane], 1)
        return seconds(lambda: train_solo(problem, [lane], epochs))
    finally:
        torch.set_num_threads(before)


def two_processes_seconds(problem: Problem, lane: Lane, epochs: int) -> float:
    """Seconds a lane takes when two processes of one thread each train solo loops side by side."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(CORES, initializer=torch.set_num_threads, initargs=(1,)) as processes:
        job = [
            (
                problem.x_train,
                problem.y_train,
                problem.x_valid,
                problem.y_valid,
                problem.outputs,
                lane,
                epochs,
            )
        ]
        processes.map(_solo_job, job * CORES, chunksize=1)  # imports and warms up
        times = processes.map(_solo_job, job * CORES, chunksize=1)
    return float(np.mean(times)) / CORES


def _solo_job(job: tuple) -> float:  # type: ignore[type-arg]
    x, y, x_valid, y_valid, outputs, lane, epochs = job
    loss = LOSSES["cross_entropy" if outputs > 1 else "bce"]
    problem = Problem(x, y, x_valid, y_valid, outputs, loss, METRICS["accuracy"], seed=0)
    train_solo(problem, [lane], 1)
    return seconds(lambda: train_solo(problem, [lane], epochs))


def lecture() -> list[Row]:
    """The lecture's network, 3072-100-50-50-1, batch 128: sixteen lanes against a solo loop, both cores."""
    problem = random_problem(4096, 3072, 1)
    configuration = Configuration(
        learning_rate=0.01, momentum=0.9, weight_decay=1e-4, batch_size=128, hidden="100-50-50"
    )
    chosen = lanes(problem, 16, configuration)
    epochs = 3
    cohort_seconds(problem, chosen, 1)
    ours = cohort_seconds(problem, chosen, epochs) / 16
    theirs = solo_seconds(problem, chosen[0], epochs, CORES)
    weights = sum(a * b for a, b in layer_shapes(3072, configuration, 1))
    first = 3072 * 100  # no gradient with respect to the input
    operations = epochs * 4096 * (6 * weights - 2 * first)
    peak = gemm_peak(CORES)
    return [
        Row(
            "3072-100-50-50-1, batch 128, 16 lanes: seconds a lane",
            f"{ours:.3f}",
            "a solo torch loop with both cores",
            f"{theirs:.3f}",
            f"{theirs / ours:.2f}×",
            "≥ 2.3×",
        ),
        Row(
            "… GFLOP/s",
            f"{operations / ours / 1e9:.0f}",
            "sgemm 1024³, both cores",
            f"{peak:.0f}",
            f"{operations / ours / 1e9 / peak:.2f}",
            "–",
        ),
    ]


def small() -> list[Row]:
    """64-64-64-10, 64 lanes: steps a second against two solo processes."""
    rows = []
    problem = random_problem(2048, 64, 10)
    for batch, wanted in ((32, "15×"), (128, "6×")):
        configuration = Configuration(learning_rate=0.05, batch_size=batch, depth=3, width=64)
        chosen = lanes(problem, 64, configuration)
        epochs = 6
        cohort_seconds(problem, chosen, 1)
        ours = cohort_seconds(problem, chosen, epochs) / 64
        theirs = two_processes_seconds(problem, chosen[0], epochs)
        steps = epochs * (2048 // batch)
        rows.append(
            Row(
                f"64-64-64-10, batch {batch}, 64 lanes: lane-steps/s",
                f"{steps / ours:,.0f}",
                "two solo processes",
                f"{steps / theirs:,.0f}",
                f"{theirs / ours:.1f}×",
                f"≥ {wanted}",
            )
        )
    return rows
