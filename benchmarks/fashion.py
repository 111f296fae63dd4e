"""Fashion-MNIST: lanes of a middle-sized network on data that fit no cache."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.lanes import TWO_PROCESSES
from benchmarks.measure import Part, Row, versus
from benchmarks.timing import cohort_seconds, side_by_side_seconds
from hpsearch import seeds
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, Problem

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "fashion-mnist"
LANES, EPOCHS, VALID_ROWS, BATCH = 32, 3, 10_000, 128
WORK = f"Fashion-MNIST, 784-128-64-10, batch {BATCH}, {LANES} trials × {EPOCHS} epochs: seconds"
GOAL = 4

HOW = f"""\
The 60,000 training pictures of Fashion-MNIST (`../shared/data/fashion-mnist`, read before the clock
starts), the last {VALID_ROWS:,} for validation, pixels in 0…1. Ours: {LANES} lanes whose step sizes are
drawn between 0.01 and 0.3. The other side: one of them in each of two processes that begin together, times
{LANES}."""


def read_idx(file: Path) -> NDArray[np.uint8]:
    """An xz-compressed IDX file of bytes, in its own shape."""
    content = lzma.decompress(file.read_bytes())
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def fashion_problem() -> Problem:
    """The training file, divided into training and validation rows."""
    pictures = read_idx(FOLDER / "train-images-idx3-ubyte.xz")
    x = pictures.reshape(len(pictures), -1).astype(np.float32) / 255
    y = read_idx(FOLDER / "train-labels-idx1-ubyte.xz").astype(np.int64)
    rows = len(x) - VALID_ROWS
    return Problem(x[:rows], y[:rows], x[rows:], y[rows:], 10, "cross_entropy", "accuracy", seed=0)


def fashion() -> Part:
    """Seconds of 32 trials against two solo processes."""
    if not FOLDER.is_dir():
        return Part(
            "Fashion-MNIST", [Row(WORK, "not measured: the data are not here", wanted=f"≥ {GOAL}×")], HOW
        )
    problem, random = fashion_problem(), seeds.generator(0, "fashion")
    configurations = [
        Configuration(learning_rate=float(10**exponent), momentum=0.9, batch_size=BATCH, hidden="128-64")
        for exponent in random.uniform(-2, np.log10(0.3), LANES)
    ]
    chosen = [Lane(number, configuration) for number, configuration in enumerate(configurations)]
    ours = cohort_seconds(problem, chosen, EPOCHS, repeats=1)
    theirs = LANES * side_by_side_seconds(problem, configurations[0], EPOCHS, repeats=1)
    row = versus(WORK, f"{ours:.1f}", TWO_PROCESSES, f"{theirs:.1f}", theirs / ours, GOAL)
    return Part("Fashion-MNIST", [row], HOW)
