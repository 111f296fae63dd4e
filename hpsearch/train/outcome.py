"""What a trained network says of the rows that are scored, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpsearch.records import MOST_CLASSES, MOST_PAIRS, MOST_ROWS, FloatArray, IntArray, Task
from hpsearch.train.metrics import confusion, contributions
from hpsearch.train.problem import Floats, Problem
from hpsearch.train.representation import decide, represent


@dataclass(frozen=True)
class Outcome:
    """counts: [classes, classes] rows by true, then by predicted class. pairs: of a regression [rows, 2] the
    target and what is predicted, as they are trained on, of the first rows. shares: [rows] what each of the
    first rows adds to the metric. All are empty where there are none.
    """

    counts: IntArray
    pairs: FloatArray
    shares: FloatArray


def outcome_of(problem: Problem, outputs: Floats) -> Outcome:
    """Of raw outputs [M, O] for the validation rows of the problem."""
    y = problem.y_valid
    counts, pairs = np.zeros((0, 0), np.int64), np.zeros((0, 2))
    if problem.loss in ("cross_entropy", "bce"):
        classes = max(2, problem.outputs)
        y = y.astype(np.int64)
        if classes <= MOST_CLASSES:
            counts = confusion(y, decide(outputs), classes)
        said = outputs
    else:
        represented = represent(Task.REGRESSION, outputs, problem.representation)
        said = represented[:, None]
        pairs = np.column_stack([y, represented])[:MOST_PAIRS].astype(np.float64)
    shares = contributions(problem.metric, said[:MOST_ROWS], y[:MOST_ROWS])
    return Outcome(counts, pairs, np.empty(0) if shares is None else shares)
