"""Cohorts of equal lanes against the same networks one by one, without any search."""

from __future__ import annotations

from typing import Any

from benchmarks.measure import CORES, Part, Row, gemm_peak, versus
from benchmarks.timing import (
    cohort_seconds,
    lanes,
    random_problem,
    side_by_side_seconds,
    solo_seconds,
    tiles_seconds,
)
from hpsearch.study.hyperparameters import Configuration
from hpsearch.study.layout import layer_shapes
from hpsearch.train import plan_tiles
from hpsearch.train.cohort import train_cohort

SMALL_ROWS, SMALL_LANES, SMALL_EPOCHS = 2048, 64, 18
LECTURE_ROWS, LECTURE_FEATURES, LECTURE_LANES, LECTURE_EPOCHS = 4096, 3072, 16, 3
TWO_PROCESSES = "two solo processes × 1 thread"

SMALL_HOW = f"""\
Random rows ({SMALL_ROWS:,} for training, 100 for validation), {SMALL_EPOCHS} epochs, nothing searched or
stored. A lane-step is one mini-batch of one network. Ours: {SMALL_LANES} lanes through the planner and the
worker threads of `run`. The other side: `benchmarks/solo.py`, a plain torch loop (`torch.optim.SGD`, whole
mini-batches by an index of a permuted order, the loss added up as a tensor, one pass over the validation
part an epoch), in two processes that begin together. Both are warmed up, and every time is a median of
three. (`fused=True` of torch's optimiser, which few people set, makes the loop about 15 % faster.) The last
row trains the same lanes stacked in torch, which is what hpsearch does without a compiler
(`HPSEARCH_KERNEL=off`)."""

LECTURE_HOW = f"""\
{LECTURE_ROWS:,} random rows of {LECTURE_FEATURES:,} features, {LECTURE_EPOCHS} epochs, one output with a
logistic loss; the same plain loop, with both cores for its one network. Operations are those of the
products: 6 a weight and row, but 4 for the first layer, whose input needs no gradient; the validation pass
and all else are not counted. The peak is the best of twenty single-precision products of 1024³ before and
of twenty after, with two threads."""


def small() -> Part:
    """64-64-64-10, 64 lanes: steps a second against solo processes, and against lanes stacked in torch."""
    problem, rows = random_problem(SMALL_ROWS, 64, 10), []
    for batch, goal in ((32, 15), (128, 6)):
        configuration = Configuration(learning_rate=0.05, batch_size=batch, depth=3, width=64)
        chosen = lanes(SMALL_LANES, configuration)
        steps = SMALL_EPOCHS * (SMALL_ROWS // batch)
        work = f"64-64-64-10, batch {batch}, {SMALL_LANES} lanes: lane-steps/s"
        ours = cohort_seconds(problem, chosen, SMALL_EPOCHS) / SMALL_LANES
        theirs = side_by_side_seconds(problem, configuration, SMALL_EPOCHS)
        speeds = f"{steps / ours:,.0f}", f"{steps / theirs:,.0f}"
        rows.append(versus(work, speeds[0], TWO_PROCESSES, speeds[1], theirs / ours, goal))
        if batch == 32:
            tiles = plan_tiles(problem, chosen, [SMALL_EPOCHS] * SMALL_LANES, CORES)
            stacked = tiles_seconds(problem, tiles, train_cohort) / SMALL_LANES
            other = "the same lanes stacked in torch, 2 threads"
            rows.append(versus(work, speeds[0], other, f"{steps / stacked:,.0f}", stacked / ours))
    return Part("64-64-64-10", rows, SMALL_HOW)


KINDS: dict[str, dict[str, Any]] = {
    "Adam": {"optimizer": "adam", "learning_rate": 1e-3},
    "GELU": {"activation": "gelu"},
    "PReLU": {"activation": "prelu"},
    "maxout": {"activation": "maxout"},
    "batch normalisation": {"batch_norm": True},
    "dropout": {"dropout": 0.2},
}
KINDS_HOW = f"""\
As above, 64-64-64-10 at batch 32 with {SMALL_LANES} lanes, against the same lanes with ReLU and SGD. The
kernel takes Adam and GELU; PReLU, maxout, batch normalisation and dropout train stacked in torch."""


def kinds() -> Part:
    """What other networks and optimisers cost, against ReLU and SGD."""
    problem, rows = random_problem(SMALL_ROWS, 64, 10), []
    steps = SMALL_EPOCHS * (SMALL_ROWS // 32)

    def seconds(**settings: Any) -> float:
        configuration = Configuration(**{"learning_rate": 0.05, "batch_size": 32, "depth": 3, **settings})
        return cohort_seconds(problem, lanes(SMALL_LANES, configuration), SMALL_EPOCHS) / SMALL_LANES

    plain = seconds()
    for name, settings in KINDS.items():
        ours = seconds(**settings)
        work = f"64-64-64-10, batch 32, {SMALL_LANES} lanes, {name}: lane-steps/s"
        speeds = f"{steps / ours:,.0f}", f"{steps / plain:,.0f}"
        rows.append(versus(work, speeds[0], "ReLU and SGD", speeds[1], plain / ours, shown=".2f"))
    return Part("Other networks", rows, KINDS_HOW)


def lecture() -> Part:
    """The lecture's network, 3072-100-50-50-1, batch 128: sixteen lanes against a solo loop, both cores."""
    problem = random_problem(LECTURE_ROWS, LECTURE_FEATURES, 1)
    configuration = Configuration(
        learning_rate=0.01, momentum=0.9, weight_decay=1e-4, batch_size=128, hidden="100-50-50"
    )
    peak_before = gemm_peak(CORES)
    ours = cohort_seconds(problem, lanes(LECTURE_LANES, configuration), LECTURE_EPOCHS) / LECTURE_LANES
    theirs = solo_seconds(problem, configuration, LECTURE_EPOCHS, threads=CORES)
    peak = max(peak_before, gemm_peak(CORES))
    weights = sum(a * b for a, b in layer_shapes(LECTURE_FEATURES, configuration, 1))
    operations = LECTURE_EPOCHS * LECTURE_ROWS * (6 * weights - 2 * LECTURE_FEATURES * 100)
    work = f"3072-100-50-50-1, batch 128, {LECTURE_LANES} lanes"
    other = "a solo loop with both cores"
    reached = operations / ours / 1e9
    return Part(
        "3072-100-50-50-1",
        [
            versus(
                f"{work}: seconds a lane", f"{ours:.3f}", other, f"{theirs:.3f}", theirs / ours, 2.5, ".2f"
            ),
            Row(
                f"{work}: GFLOP/s",
                f"{reached:.0f}",
                "sgemm 1024³, both cores",
                f"{peak:.0f}",
                f"{reached / peak:.2f}",
                "≥ 0.9",
            ),
        ],
        LECTURE_HOW,
    )
