"""One threshold for all seeds of a configuration, chosen on validation, and the scores with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hpsearch.records import FloatArray
from hpsearch.train import Problem
from hpsearch.train.metrics import score
from hpsearch.train.outcome import Outcome, outcome_of
from hpsearch.train.problem import Floats
from hpsearch.train.thresholds import choose_threshold, shifted

Kept = Mapping[int, tuple[Floats, Floats]]
"""By seed index raw outputs [M, 1] for the validation and for the scored rows, after the scored epoch."""


@dataclass(frozen=True)
class Decided:
    """threshold: a probability of the second class. scores, valid: [seeds] the metric with it on the scored
    and the validation rows, NaN for a seed without outputs. outcomes: of the scored rows, by seed index.
    """

    threshold: float
    scores: FloatArray
    valid: FloatArray
    outcomes: dict[int, Outcome]


def decide_on_validation(problems: list[tuple[Problem, Problem]], kept: Kept) -> Decided:
    """With a threshold that all seeds share: what is exported is none of their networks.

    problems: by seed index, the second one with the scored split as validation. kept: of one seed at least.
    """
    parts = [(valid, problems[at][0].y_valid) for at, (valid, _) in kept.items()]
    threshold = choose_threshold(problems[0][0].metric, parts)
    scores, valid = np.full((2, len(problems)), np.nan)
    outcomes = {}
    for at, outputs in kept.items():
        for found, problem, raw in zip((valid, scores), problems[at], outputs, strict=True):
            value = score(problem.metric, shifted(raw, threshold), problem.y_valid)
            found[at] = np.nan if value is None else value
        outcomes[at] = outcome_of(problems[at][1], shifted(outputs[1], threshold))
    return Decided(threshold, scores, valid, outcomes)
