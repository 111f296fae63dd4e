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
from hpsearch.train.losses import LOSSES
from hpsearch.train.metrics import METRICS
from hpsearch.train.native import load_kernel, train_native
from hpsearch.train.planner import bucket
from tests.problems import make_lanes, make_problem, mixed_configurations


def assert_identical(a: LaneResult, b: LaneResult) -> None:
    assert a.trial == b.trial
    assert np.array_equal(a.curve, b.curve, equal_nan=True)
    assert a.failure == b.failure
    if a.state is not None:
        assert b.state is not None
        assert np.array_equal(a.state.parameters, b.state.parameters)
        assert np.array_equal(a.state.momentum, b.state.momentum)


def train_by_kernel(problem: Problem, lanes: Sequence[Lane], last_epoch: int) -> list[LaneResult]:
    kernel = load_kernel()
    if kernel is None:
        pytest.skip("no C compiler here: lanes are trained stacked, by torch")
    return train_native(kernel, problem, lanes, last_epoch)


@dataclasses.dataclass(frozen=True)
class Whole:
    """24 mixed lanes at odd sizes, where vectors and alignments are cut short, trained together."""

    trainer: Trainer
    problem: Problem
    lanes: list[Lane]
    results: list[LaneResult]


@pytest.fixture(
    scope="module",
    params=itertools.product(
        (train_cohort, train_by_kernel),
        (("cross_entropy", 17, 16), ("bce", 32, 50), ("mse", 50, 33), ("cross_entropy", 150, 70)),
    ),
    ids=lambda param: f"{param[0].__name__}-{'-'.join(map(str, param[1]))}",
)
def whole(request: pytest.FixtureRequest) -> Whole:
    trainer, (loss, batch_size, width) = request.param
    problem = make_problem(loss, valid_rows=359)
    lanes = make_lanes(problem, mixed_configurations(batch_size, width=width))
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
    sane = mixed_configurations(32)
    # Linear, so that nothing saturates: the weights grow without bound.
    wild = Configuration(learning_rate=1e30, activation="none", depth=3, width=16, batch_size=32)
    together = trainer(problem, make_lanes(problem, [*sane[:9], wild, *sane[9:]]), 3)
    numbers = [n for n in range(25) if n != 9]
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
    assert failed.curve.shape == (1, len(CURVE_COLUMNS))


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


# -- losses and metrics -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 50.0, 1e4])
@pytest.mark.parametrize("name", ["cross_entropy", "bce"])
def test_losses_are_stable_at_large_logits(name: str, scale: float) -> None:
    """Against closed forms in float64: log Σ exp(o) − o_t, and log(1 + exp(−|o|)) + max(o, 0) − o·y."""
    random = np.random.default_rng(0)
    outputs = 4 if name == "cross_entropy" else 1
    o = (random.choice([-1.0, 0.3, 1.0], size=(2, 30, outputs)) * scale).astype(np.float32)
    y = random.integers(0, max(2, outputs), 30)
    o64 = o.astype(np.float64)
    if name == "cross_entropy":
        expected = np.logaddexp.reduce(o64, axis=2) - o64[:, np.arange(30), y]
        targets = torch.from_numpy(y)
    else:
        z = o64[:, :, 0]
        expected = np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - z * y
        targets = torch.from_numpy(y.astype(np.float32))
    values = LOSSES[name].values(torch.from_numpy(o), targets)
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-5, atol=1e-6)
    gradient = torch.empty(2, 30, outputs)
    LOSSES[name].gradient(torch.from_numpy(o), targets, gradient)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_equal_autograd(name: str) -> None:
    torch.manual_seed(0)
    outputs = 5 if name == "cross_entropy" else 1
    logits = torch.randn(3, 11, outputs, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 5, (11,)) if name == "cross_entropy" else torch.rand(11, dtype=torch.float64)
    LOSSES[name].values(logits, targets).mean(1).sum().backward()
    ours = torch.empty(3, 11, outputs, dtype=torch.float64)
    LOSSES[name].gradient(logits.detach(), targets, ours)
    torch.testing.assert_close(ours, logits.grad)


def test_metrics_equal_scikit_learn() -> None:
    from sklearn import metrics

    random = np.random.default_rng(1)
    y, o = random.normal(size=40), random.normal(size=40)
    std = 2.5

    def ours(name: str, logits: np.ndarray, targets: np.ndarray) -> float:  # type: ignore[type-arg]
        metric, t = METRICS[name], torch.from_numpy(targets)
        mean = metric.contributions(torch.from_numpy(logits)[None], t).double().mean(1)
        return metric.finish(mean, t.double().var(correction=0), std).item()

    column = o[:, None]
    assert ours("mae", column, y) == pytest.approx(metrics.mean_absolute_error(y * std, o * std))
    assert ours("rmse", column, y) == pytest.approx(metrics.root_mean_squared_error(y * std, o * std))
    assert ours("r2", column, y) == pytest.approx(metrics.r2_score(y, o))
    classes, scores = random.integers(0, 3, 40), random.normal(size=(40, 3))
    accuracy = metrics.accuracy_score(classes, scores.argmax(1))
    assert ours("accuracy", scores, classes) == pytest.approx(accuracy)
    assert ours("error", scores, classes) == pytest.approx(1 - accuracy)
    binary = (y > 0).astype(np.float32)
    assert ours("accuracy", column, binary) == pytest.approx(metrics.accuracy_score(binary, o > 0))


# -- the planner --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_tiles_hold_every_lane_once_and_mix_only_what_may_be_mixed(data: st.DataObject) -> None:
    problem = make_problem(pad_widths=data.draw(st.booleans()))
    config = st.builds(
        Configuration,
        batch_size=st.sampled_from([16, 32, 500]),
        depth=st.integers(1, 5),
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
