"""What a configuration is worth on fresh seeds and on rows that no search has seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import mean

from benchmarks.digits import digits
from hpsearch.records import VALID_METRIC, Params
from hpsearch.running.prepare import prepare
from hpsearch.train import Lane, Problem, train_lanes

FRESH = 5
"""Fresh seeds for each configuration."""

_FIRST = 1_000_003
"""The first of them, far from those of any study here."""


@dataclass(frozen=True)
class Scores:
    """Mean accuracies over the fresh seeds, at the epoch that the validation set chooses."""

    valid: float
    test: float


def confirm(seed: int, params: Params) -> Scores:
    """Retrain a configuration on the data of the digits study with this seed."""
    study, dataset = prepare(digits(seed))
    assert study.train.loss is not None
    configuration = study.space.configuration(params)
    valid, test = [], []
    for fresh in range(_FIRST, _FIRST + FRESH):
        problem = Problem.from_dataset(dataset, study.train.loss, "accuracy", fresh)
        lane = Lane(0, configuration)
        (trained,) = train_lanes(problem, [lane], study.train.epochs)
        epoch = int(trained.curve[:, VALID_METRIC].argmax()) + 1
        valid.append(float(trained.curve[epoch - 1, VALID_METRIC]))
        # The same training once more, up to that epoch, with the test set where the other one was.
        tested = replace(problem, x_valid=dataset.test.x, y_valid=dataset.test.y)
        (again,) = train_lanes(tested, [lane], epoch)
        test.append(float(again.curve[-1, VALID_METRIC]))
    return Scores(mean(valid), mean(test))
