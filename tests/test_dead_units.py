"""Dead units: counted as a plain loop counts them, and named when they explain bad trials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hpsearch.records import DEAD, State, StudyRecord, Trial
from hpsearch.results.advice import Advice, advice
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, train_lanes
from hpsearch.train.cohort import train_cohort
from hpsearch.train.solo import build_model
from hpsearch.train.tensors import tensors_of
from tests.problems import make_lanes, make_problem
from tests.report_study import RECORD
from tests.studies import finished_report


@pytest.mark.parametrize("trainer", [train_lanes, train_cohort])
def test_units_that_are_zero_on_the_whole_validation_part_are_dead(trainer) -> None:  # type: ignore[no-untyped-def]
    """Large steps kill units; who is dead is read from a plain torch model's hidden values."""
    problem = make_problem("mse", valid_rows=300)
    configuration = Configuration(learning_rate=0.3, momentum=0.5, depth=4, width=20, batch_size=20)
    lanes = make_lanes(problem, [configuration] * 8)
    found = 0
    for result in trainer(problem, lanes, 3):
        if result.state is None:
            continue
        h, dead = tensors_of(problem).x_valid, []
        with torch.no_grad():
            for layer in build_model(problem, configuration, result.state).eval():
                h = layer(h)
                if isinstance(layer, torch.nn.ReLU):
                    dead.append((h == 0).all(0).double().mean().item())
        np.testing.assert_allclose(result.curve[-1, DEAD:], dead, atol=1e-12)
        found += sum(share > 0 for share in dead)
    assert found > 3


def test_zero_weights_leave_all_units_dead() -> None:
    problem = make_problem()
    lanes = [Lane(0, Configuration(init="zeros", depth=3, width=5, batch_size=50))]
    assert train_lanes(problem, lanes, 2)[0].curve[-1, DEAD:].tolist() == [1.0, 1.0]


def planted(random: np.random.Generator, loss: float) -> list[Advice]:
    """What is said of 40 trials of which 12 have dead layers, worse by `loss` standard deviations."""
    trials, curves = [], {}
    for number in range(40):
        dead = number % 10 < 3
        value = 0.9 + 0.02 * random.normal() - 0.02 * loss * dead
        state = State.COMPLETE if number % 2 else State.PRUNED
        params = {"learning_rate": 0.1}
        trials.append(Trial(number, 0, params, state, epochs=1, value=value, loss=1.0, best_epoch=1))
        curves[number] = np.array([[1.0, 0.9, 1.0, value, 0.8 if dead else 0.1, 0.2]])
    document = RECORD.document | {"space": {"learning_rate": {"low": 1e-3, "high": 1.0}}}
    record: StudyRecord = replace(RECORD, document=document)
    found = advice(finished_report(record, trials, curves))
    return [each for each in found if each.kind == "dead units"]


def test_dead_units_are_named_when_they_explain_bad_trials_and_seldom_in_vain() -> None:
    random = np.random.default_rng(0)
    found = sum(bool(planted(random, 2.0)) for _ in range(100))
    in_vain = sum(bool(planted(random, 0.0)) for _ in range(300))
    assert found >= 95
    assert in_vain <= 3
    (dead,) = planted(random, 5.0)
    line = dead.text
    assert dead.remedy == 'space.activation = "leaky_relu"'
    assert line.startswith("dead units: 12 of 40 trials ended with at least half of a layer's units at 0")
    assert "their median accuracy is 79.7% against 90.0%" in line
    assert 'smaller learning_rate, init = "kaiming" or activation = "leaky_relu"' in line
