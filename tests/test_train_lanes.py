"""Lanes don't touch: not by width, order, place or neighbours, not when one diverges. Bit for bit."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.records import CURVE_COLUMNS
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, LaneResult, Problem, Trainer, initial_state, plan_tiles
from hpsearch.train.cohort import train_cohort
from hpsearch.train.native import load_kernel, train_native
from hpsearch.train.planner import bucket, stack_key
from tests.problems import (
    kernel_lanes,
    make_lanes,
    make_problem,
    mixed_configurations,
    varied_configurations,
)


def assert_identical(a: LaneResult, b: LaneResult) -> None:
    assert a.trial == b.trial
    assert np.array_equal(a.curve, b.curve, equal_nan=True)
    assert a.failure == b.failure
    if a.state is not None:
        assert b.state is not None
        for name in ("parameters", "momentum", "second", "running"):
            assert np.array_equal(getattr(a.state, name), getattr(b.state, name))


def train_by_kernel(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    kernel = load_kernel()
    if kernel is None:
        pytest.skip("no C compiler here: lanes are trained stacked, by torch")
    return train_native(kernel, problem, lanes, last_epoch)


def suited(trainer: Trainer, problem: Problem, lanes: list[Lane]) -> list[Lane]:
    """The lanes that a trainer takes."""
    return kernel_lanes(problem, lanes) if trainer is train_by_kernel else lanes


@dataclasses.dataclass(frozen=True)
class Whole:
    """Mixed lanes at odd sizes, where vectors and alignments are cut short, trained together."""

    trainer: Trainer
    problem: Problem
    lanes: list[Lane]
    results: list[LaneResult]


@pytest.fixture(
    scope="module",
    params=itertools.product(
        (train_cohort, train_by_kernel),
        (
            ("cross_entropy", 17, 16),
            ("bce", 32, 50),
            ("mse", 50, 33),
            ("cross_entropy", 150, 70),
            ("softplus_poisson", 53, 20),
            ("softplus_mse", 17, 16),
        ),
    ),
    ids=lambda param: f"{param[0].__name__}-{'-'.join(map(str, param[1]))}",
)
def whole(request: pytest.FixtureRequest) -> Whole:
    trainer, (loss, batch_size, width) = request.param
    problem = make_problem(loss, valid_rows=359, epochs=2, keep_last=batch_size == 32)
    configurations = mixed_configurations(batch_size, width=width)
    configurations += varied_configurations(batch_size, width=width)
    lanes = suited(trainer, problem, make_lanes(problem, configurations))
    return Whole(trainer, problem, lanes, trainer(problem, lanes, 2))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_lane_is_the_same_in_any_company(whole: Whole, data: st.DataObject) -> None:
    numbers = st.integers(0, len(whole.lanes) - 1)
    chosen = data.draw(st.lists(numbers, unique=True, min_size=1, max_size=9))
    together = whole.trainer(whole.problem, [whole.lanes[n] for n in chosen], 2)
    for number, result in zip(chosen, together, strict=True):
        assert_identical(result, whole.results[number])


def test_a_lane_is_the_same_with_one_and_with_two_torch_threads(whole: Whole) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            again = whole.trainer(whole.problem, whole.lanes[5:12], 2)
            for a, b in zip(again, whole.results[5:12], strict=True):
                assert_identical(a, b)
    finally:
        torch.set_num_threads(before)


def test_going_on_from_a_state_equals_never_having_stopped(whole: Whole) -> None:
    halves = whole.trainer(whole.problem, whole.lanes, 1)
    pairs = zip(halves, whole.lanes, strict=True)
    on = [Lane(r.trial, lane.configuration, r.state) for r, lane in pairs if r.state]
    rest = whole.trainer(whole.problem, on, 2)
    for first, second, both in zip(halves, rest, whole.results, strict=True):
        joined = dataclasses.replace(second, curve=np.concatenate([first.curve, second.curve]))
        assert_identical(joined, both)


@pytest.mark.parametrize("trainer", [train_cohort, train_by_kernel])
def test_a_diverging_lane_fails_with_its_epoch_and_harms_nobody(trainer: Trainer) -> None:
    problem = make_problem("mse")
    lanes = make_lanes(problem, [*mixed_configurations(32), *varied_configurations(32)])
    sane = [lane.configuration for lane in suited(trainer, problem, lanes)]
    # Linear, so that nothing saturates: the weights grow without bound.
    wild = Configuration(learning_rate=1e30, activation="none", depth=3, width=16, batch_size=32)
    together = trainer(problem, make_lanes(problem, [*sane[:9], wild, *sane[9:]]), 3)
    numbers = [n for n in range(len(sane) + 1) if n != 9]
    alone = trainer(
        problem, [Lane(n, c, initial_state(problem, n, c)) for n, c in zip(numbers, sane, strict=True)], 3
    )
    for number, result in zip(numbers, alone, strict=True):
        assert_identical(together[number], result)
    failed = together[9]
    assert failed.failure is not None
    assert failed.failure.startswith("diverged: training loss ")
    assert failed.failure.endswith(" in epoch 1")
    assert failed.state is None
    assert failed.curve.shape == (1, len(CURVE_COLUMNS) + 2)


@pytest.mark.parametrize("trainer", [train_cohort, train_by_kernel])
def test_a_later_failure_names_its_epoch_and_keeps_the_curve_up_to_it(trainer: Trainer) -> None:
    problem = make_problem("mse", dtype=np.float32)
    # Gradient descent on a quadratic beyond its stable step: grows by a factor each step.
    config = Configuration(learning_rate=1.5, momentum=0.0, depth=1, batch_size=100)
    result = trainer(problem, make_lanes(problem, [config]), 400)[0]
    assert result.failure is not None
    epoch = int(result.failure.rsplit(" ", 1)[1])
    assert 1 < epoch < 400
    assert len(result.curve) == epoch
    assert np.isfinite(result.curve[:-1]).all()
    assert not np.isfinite(result.curve[-1, [0, 2]]).all()


def test_lanes_share_the_mini_batches_but_not_the_initial_weights() -> None:
    problem = make_problem()
    config = Configuration(learning_rate=0.05)
    a, b = make_lanes(problem, [config, config])
    assert not np.array_equal(a.state.parameters, b.state.parameters)
    again = initial_state(problem, 0, config)
    assert np.array_equal(a.state.parameters, again.parameters)


# -- the planner --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_tiles_hold_every_lane_once_and_mix_only_what_may_be_mixed(data: st.DataObject) -> None:
    problem = make_problem(pad_widths=data.draw(st.booleans()))
    config = st.builds(
        Configuration,
        batch_size=st.sampled_from([16, 32, 500]),
        depth=st.integers(1, 5),
        activation=st.sampled_from(["relu", "maxout"]),
        optimizer=st.sampled_from(["sgd", "adam"]),
        width=st.sampled_from([8, 20, 64]),
        hidden=st.sampled_from([None, None, "20-10", "64"]),
    )
    lanes = make_lanes(problem, data.draw(st.lists(config, min_size=1, max_size=90)))
    targets = data.draw(st.lists(st.sampled_from([1, 3]), min_size=len(lanes), max_size=len(lanes)))
    tiles = plan_tiles(problem, lanes, targets)
    planned = list(itertools.chain.from_iterable(tile.lanes for tile in tiles))
    assert sorted(lane.trial for lane in planned) == list(range(len(lanes)))
    for tile in tiles:
        assert {targets[lane.trial] for lane in tile.lanes} == {tile.last_epoch}
        assert len({problem.batch(lane.configuration.batch_size) for lane in tile.lanes}) == 1
        assert len({stack_key(lane) for lane in tile.lanes}) == 1
        deepest = max((lane.configuration.layers for lane in tile.lanes), key=len)
        for lane in tile.lanes:
            for own, widest in zip(lane.configuration.layers, deepest, strict=False):
                assert own == widest or (problem.pad_widths and bucket(own) == bucket(widest))


@given(st.integers(1, 5000))
def test_a_bucket_holds_its_width_and_wastes_little(width: int) -> None:
    padded = bucket(width)
    assert padded >= width
    assert padded % 16 == 0
    assert bucket(padded) == padded
    assert padded - width < max(16, width / 3)
