"""Cohort = solo = torch.optim.SGD, for every activation, loss, depth and batch size."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hpsearch.records import DEAD
from hpsearch.study.hyperparameters import ACTIVATIONS, Configuration
from hpsearch.study.layout import layer_shapes
from hpsearch.train import Lane, LaneResult, Problem, plan_tiles
from hpsearch.train.cohort import train_cohort
from hpsearch.train.losses import LOSSES
from hpsearch.train.native import Kernel, load_kernel, train_native
from hpsearch.train.native.build import compile_kernel, find_compiler
from hpsearch.train.solo import train_solo
from tests.problems import (
    VARIANTS,
    kernel_lanes,
    make_lanes,
    make_problem,
    mixed_configurations,
    varied_configurations,
)

EPOCHS = 3


def assert_equal(ours: list[LaneResult], theirs: list[LaneResult], rtol: float, atol: float = 3e-7) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.trial == b.trial
        assert a.failure == b.failure
        np.testing.assert_allclose(a.curve, b.curve, rtol=rtol, atol=atol)  # R² may be near 0
        assert a.state is not None
        assert b.state is not None
        for name in ("parameters", "second", "running"):
            own, other = getattr(a.state, name), getattr(b.state, name)
            np.testing.assert_allclose(own, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("batch_size", [50, 64, 17, 1000], ids=lambda b: f"batch{b}")
@pytest.mark.parametrize("loss", LOSSES)
def test_cohort_equals_solo(loss: str, batch_size: int) -> None:
    """200 rows: 50 divides them, 64 and 17 do not, 1000 is more than there are."""
    problem = make_problem(loss)
    lanes = make_lanes(problem, mixed_configurations(batch_size))
    assert_equal(train_cohort(problem, lanes, EPOCHS), train_solo(problem, lanes, EPOCHS), rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_cohort_equals_solo_to_the_last_digits_in_double_precision(loss: str) -> None:
    problem = make_problem(loss, dtype=np.float64)
    lanes = make_lanes(problem, mixed_configurations(16))
    assert_equal(train_cohort(problem, lanes, 2 * EPOCHS), train_solo(problem, lanes, 2 * EPOCHS), 1e-10)


@pytest.mark.parametrize("keep_last", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_equals_solo(variant: str, keep_last: bool) -> None:
    """At depths 1 to 4, alone among others: 200 rows leave 8 for the last mini-batch of 32."""
    problem = make_problem(dtype=np.float64, epochs=2 * EPOCHS, keep_last=keep_last)
    settings = {"learning_rate": 0.02, "batch_size": 32, **VARIANTS[variant]}
    configurations = [Configuration(depth=depth, width=9, **settings) for depth in (1, 2, 4)]
    lanes = make_lanes(problem, [*configurations, *varied_configurations(32, width=9)])
    alone = train_solo(problem, lanes[:3], EPOCHS)
    # Where a weight gets no gradient at all, Adam divides rounding by rounding.
    rtol = 1e-6 if "optimizer" in VARIANTS[variant] and "batch_norm" in VARIANTS[variant] else 1e-10
    assert_equal(train_cohort(problem, lanes, EPOCHS)[:3], alone, rtol)
    # Going on from a state: of optimiser, schedule, batch normalisation and dropout.
    pairs = zip(lanes, train_solo(problem, lanes[:3], 1), strict=False)
    on = [Lane(lane.trial, lane.configuration, result.state) for lane, result in pairs]
    for rest, whole in zip(train_cohort(problem, on, EPOCHS), alone, strict=True):
        np.testing.assert_allclose(rest.curve, whole.curve[1:], rtol=max(rtol, 1e-8), atol=1e-9)
    for rest, whole in zip(train_solo(problem, on, EPOCHS), alone, strict=True):
        np.testing.assert_allclose(rest.curve, whole.curve[1:], rtol=max(rtol, 1e-8), atol=1e-9)


@pytest.mark.parametrize("hidden", ["", "20", "20-10", "5-9-33", "100-50-50"])
def test_cohort_equals_solo_for_hidden_layers_of_different_widths(hidden: str) -> None:
    problem = make_problem(dtype=np.float64)
    configurations = [
        Configuration(learning_rate=0.05, hidden=hidden, activation=a, batch_size=32) for a in ACTIVATIONS
    ]
    lanes = make_lanes(problem, configurations)
    assert_equal(train_cohort(problem, lanes, EPOCHS), train_solo(problem, lanes, EPOCHS), 1e-10)


def test_padded_units_change_nothing() -> None:
    """Lanes of widths 3 to 16 in one tile, padded to 16, equal solo lanes of their own widths."""
    problem = make_problem(dtype=np.float64, pad_widths=True)
    configurations = [
        Configuration(learning_rate=0.05, width=width, depth=1 + n % 4, activation=a, batch_size=32)
        for n, (width, a) in enumerate((w, a) for w in (3, 9, 16) for a in ACTIVATIONS)
    ]
    configurations += varied_configurations(32, width=5)
    lanes = make_lanes(problem, configurations)
    assert_equal(train_cohort(problem, lanes, EPOCHS), train_solo(problem, lanes, EPOCHS), 1e-10)


@pytest.mark.parametrize("pad_widths", [False, True])
def test_layers_of_their_own_widths_equal_solo(pad_widths: bool) -> None:
    """Tiled by the planner, so that lanes that do not stack are apart."""
    problem = make_problem(dtype=np.float64, pad_widths=pad_widths)
    activations = ("relu", "maxout", "prelu", "tanh")
    widths = itertools.product((5, 30), (None, 14), activations)
    configurations = [
        Configuration(
            learning_rate=0.05, depth=1 + (n + n // 4) % 4, width=9, width1=first, width2=second,
            activation=activation, batch_size=32,
        )
        for n, (first, second, activation) in enumerate(widths)
    ]  # fmt: skip
    lanes = make_lanes(problem, configurations)
    tiles = plan_tiles(problem, lanes, [EPOCHS] * len(lanes))
    assert 1 < len(tiles) < len(lanes)
    for tile in tiles:
        alone = train_solo(problem, tile.lanes, EPOCHS)
        assert_equal(train_cohort(problem, tile.lanes, EPOCHS), alone, rtol=1e-10)
    kernel = load_kernel()
    if kernel is not None:
        problem = make_problem()
        fitting = kernel_lanes(problem, make_lanes(problem, configurations))
        assert len({lane.configuration.layers for lane in fitting}) > 4
        alone = train_solo(problem, fitting, EPOCHS)
        assert_equal(train_native(kernel, problem, fitting, EPOCHS), alone, rtol=1e-5)


def test_init_scale_scales_the_initial_weights() -> None:
    problem = make_problem()
    small, large = make_lanes(problem, [Configuration(), Configuration(init_scale=3.0)])
    large = Lane(0, large.configuration, make_lanes(problem, [large.configuration])[0].state)
    np.testing.assert_allclose(large.state.parameters, 3 * small.state.parameters, rtol=1e-6)


def test_initial_weights_are_distributed_as_in_torch() -> None:
    """Uniform in ±1/√inputs for weights and biases: range and variance of torch.nn.Linear."""
    problem = make_problem(features=100)
    lane = make_lanes(problem, [Configuration(hidden="400")])[0]
    first = lane.state.parameters[: 100 * 400]
    torch.manual_seed(0)
    reference = nn.Linear(100, 400).weight.detach()
    assert np.abs(first).max() <= 0.1
    assert first.std().item() == pytest.approx(reference.std().item(), rel=0.02)


@pytest.mark.parametrize(
    ("init", "reference"),
    [
        ("kaiming", lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
        ("xavier", nn.init.xavier_uniform_),
        ("normal", lambda w: nn.init.normal_(w, std=w.shape[1] ** -0.5)),
        ("zeros", nn.init.zeros_),
    ],
)
def test_other_initialisations_are_distributed_as_in_torch(init: str, reference: Any) -> None:
    """Quantiles of the first layer's 100 × 400 weights; biases are 0."""
    problem = make_problem(features=100)
    lane = make_lanes(problem, [Configuration(hidden="400", init=init, init_scale=2.0)])[0]
    assert lane.state is not None
    weights, biases = lane.state.parameters[:40_000], lane.state.parameters[40_000:40_400]
    torch.manual_seed(0)
    expected = 2 * reference(torch.empty(400, 100)).numpy().ravel()
    quantiles = [0.01, 0.25, 0.5, 0.75, 0.99]
    spread = expected.std()
    np.testing.assert_allclose(
        np.quantile(weights, quantiles), np.quantile(expected, quantiles), atol=0.05 * spread
    )
    assert not biases.any()


@pytest.mark.parametrize("nesterov", [False, True])
def test_solo_is_the_loop_of_a_textbook(nesterov: bool) -> None:
    """The reference itself, against a loop that shares no code with it."""
    problem = make_problem()
    configuration = Configuration(
        learning_rate=0.05,
        momentum=0.8,
        nesterov=nesterov,
        weight_decay=1e-3,
        depth=3,
        width=12,
        batch_size=30,
    )
    lane = make_lanes(problem, [configuration])[0]
    model = nn.Sequential(nn.Linear(7, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))
    at = 0
    for layer in model[::2]:
        i, o = layer.in_features, layer.out_features
        flat = torch.from_numpy(lane.state.parameters[at : at + i * o + o])
        layer.weight.data = flat[: i * o].view(i, o).T.contiguous()
        layer.bias.data = flat[i * o :].clone()
        at += i * o + o
    x_train, y_train, x_valid, y_valid = (
        torch.from_numpy(array)
        for array in (problem.x_train, problem.y_train, problem.x_valid, problem.y_valid)
    )
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.8, nesterov=nesterov, weight_decay=1e-3
    )
    expected = []
    for epoch in range(1, EPOCHS + 1):
        order, losses, correct = problem.order(epoch).copy(), [], 0
        for start in range(0, 180, 30):  # 200 rows: the last 20 of the order are dropped
            rows = order[start : start + 30]
            logits = model(x_train[rows])
            loss = nn.functional.cross_entropy(logits, y_train[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            correct += (logits.argmax(1) == y_train[rows]).sum().item()
        with torch.no_grad():
            valid = model(x_valid)
        valid_loss = nn.functional.cross_entropy(valid, y_valid).item()
        accuracy = (valid.argmax(1) == y_valid).double().mean().item()
        expected.append([np.mean(losses), correct / 180, valid_loss, accuracy])
    for trainer in (train_solo, train_cohort):
        np.testing.assert_allclose(trainer(problem, [lane], EPOCHS)[0].curve[:, :DEAD], expected, rtol=1e-5)


def test_each_epoch_is_a_fresh_order_of_all_rows() -> None:
    problem = make_problem()
    orders = [problem.order(epoch) for epoch in (1, 2, 3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(200))
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[1], orders[2])


def test_layer_shapes_count_linear_layers() -> None:
    assert layer_shapes(7, Configuration(depth=1), 3) == [(7, 3)]
    assert layer_shapes(7, Configuration(depth=3, width=5), 3) == [(7, 5), (5, 5), (5, 3)]
    assert layer_shapes(7, Configuration(hidden="100-50"), 1) == [(7, 100), (100, 50), (50, 1)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: GPU runs stay unverified here")
def test_cohort_equals_solo_on_a_gpu() -> None:
    problem = dataclasses.replace(make_problem(), device="cuda")
    lanes = make_lanes(problem, mixed_configurations(50))
    assert_equal(train_cohort(problem, lanes, EPOCHS), train_solo(problem, lanes, EPOCHS), rtol=1e-4)


# -- the native trainer ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["this processor's", "AVX2's"])
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    """The kernel as users get it, and with the narrower vectors that other processors have."""
    found = load_kernel()
    if found is None:
        pytest.skip("no C compiler here: small lanes are trained stacked, by torch")
    if request.param == "AVX2's":
        if found.vector_width == 8:
            pytest.skip("vectors are of 8 floats here anyway")
        compiler, library = find_compiler(), tmp_path_factory.mktemp("kernel") / "narrow.so"
        assert compiler is not None
        compile_kernel(compiler, library, "-mno-avx512f")
        found = Kernel(library)
        assert found.vector_width == 8
    return found


@lru_cache
def reference(loss: str, batch_size: int) -> tuple[Problem, list[Lane], list[LaneResult]]:
    """Mixed lanes and what becomes of them by themselves: trained once for all kernels."""
    problem = make_problem(loss, rows=200 if batch_size > 1 else 60)
    rate = {"learning_rate": 0.002} if batch_size == 1 else {}
    lanes = kernel_lanes(problem, make_lanes(problem, mixed_configurations(batch_size, **rate)))
    assert {lane.configuration.activation for lane in lanes} >= {
        "relu",
        "leaky_relu",
        "elu",
        "tanh",
        "sigmoid",
    }
    return problem, lanes, train_solo(problem, lanes, EPOCHS)


@pytest.mark.parametrize("batch_size", [50, 64, 17, 1, 1000], ids=lambda b: f"batch{b}")
@pytest.mark.parametrize("loss", LOSSES)
def test_native_equals_solo(kernel: Kernel, loss: str, batch_size: int) -> None:
    problem, lanes, alone = reference(loss, batch_size)
    assert_equal(train_native(kernel, problem, lanes, EPOCHS), alone, rtol=1e-5)


@pytest.mark.parametrize("hidden", ["", "20", "20-10", "5-9-33", "100-50-50", "300"])
def test_native_equals_solo_for_hidden_layers_of_any_width(kernel: Kernel, hidden: str) -> None:
    problem = make_problem(features=300)
    configurations = [
        Configuration(learning_rate=0.02, hidden=hidden, activation=a, batch_size=32) for a in ACTIVATIONS
    ]
    lanes = kernel_lanes(problem, make_lanes(problem, configurations))
    assert_equal(train_native(kernel, problem, lanes, EPOCHS), train_solo(problem, lanes, EPOCHS), rtol=1e-5)


@pytest.mark.parametrize("keep_last", [False, True])
def test_every_variant_of_the_kernel_equals_solo(kernel: Kernel, keep_last: bool) -> None:
    problem = make_problem(epochs=EPOCHS, keep_last=keep_last)
    varied = [c for depth in (1, 2, 4) for c in varied_configurations(32, depth, width=20)]
    lanes = kernel_lanes(problem, make_lanes(problem, varied))
    assert len(lanes) >= 20
    alone = train_solo(problem, lanes, EPOCHS)
    for lane, ours, theirs in zip(lanes, train_native(kernel, problem, lanes, EPOCHS), alone, strict=True):
        # Adam divides by roots of squared gradients: rounding of small ones is not small.
        assert_equal([ours], [theirs], 1e-5 if lane.configuration.optimizer == "sgd" else 3e-4)
    on = [
        Lane(r.trial, a.configuration, r.state)
        for r, a in zip(_native_once(kernel, problem, lanes), lanes, strict=True)
    ]
    for rest, whole in zip(
        train_native(kernel, problem, on, EPOCHS), train_native(kernel, problem, lanes, EPOCHS), strict=True
    ):
        assert np.array_equal(rest.curve, whole.curve[1:])


def _native_once(kernel: Kernel, problem: Problem, lanes: list[Lane]) -> list[LaneResult]:
    return train_native(kernel, problem, lanes, 1)


@pytest.mark.parametrize(
    ("loss", "metric"),
    [("mse", "mae"), ("mse", "rmse"), ("mse", "r2"), ("softplus_poisson", "mae")]
    + [
        (loss, m) for loss in ("bce", "cross_entropy") for m in ("f1", "auc", "balanced_accuracy", "log_loss")
    ],
)
def test_metrics_of_both_trainers_equal_solo(kernel: Kernel, loss: str, metric: str) -> None:
    problem = make_problem(loss, metric=metric)
    lanes = kernel_lanes(problem, make_lanes(problem, mixed_configurations(32)))
    alone = train_solo(problem, lanes, EPOCHS)
    # Two rows whose scores are equal but for rounding may change places in an AUC.
    for ours in (train_cohort(problem, lanes, EPOCHS), train_native(kernel, problem, lanes, EPOCHS)):
        assert_equal(ours, alone, rtol=1e-5, atol=1e-3 if metric == "auc" else 3e-7)


def test_native_goes_on_from_a_state_and_from_a_stacked_one(kernel: Kernel) -> None:
    problem = make_problem()
    lanes = kernel_lanes(problem, make_lanes(problem, mixed_configurations(32)))
    whole = train_native(kernel, problem, lanes, EPOCHS)
    again = train_native(kernel, problem, lanes, 1)
    exact = [Lane(r.trial, a.configuration, r.state) for r, a in zip(again, lanes, strict=True) if r.state]
    for a, b in zip(train_native(kernel, problem, exact, EPOCHS), whole, strict=True):
        assert np.array_equal(a.curve, b.curve[1:])
    for first in (again, train_cohort(problem, lanes, 1)):
        on = [Lane(r.trial, a.configuration, r.state) for r, a in zip(first, lanes, strict=True) if r.state]
        rest = train_native(kernel, problem, on, EPOCHS)
        for a, b in zip(rest, whole, strict=True):
            np.testing.assert_allclose(a.curve, b.curve[1:], rtol=1e-5)


def test_native_failures_are_those_of_the_solo_trainer(kernel: Kernel) -> None:
    problem = make_problem("mse")
    configs = [
        Configuration(learning_rate=1e30, activation="none", depth=3, width=16, batch_size=100),
        Configuration(learning_rate=1.5, momentum=0.0, depth=1, batch_size=100),
        Configuration(learning_rate=0.01, batch_size=100),
    ]
    lanes = make_lanes(problem, configs)
    ours, theirs = train_native(kernel, problem, lanes, 300), train_solo(problem, lanes, 300)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.failure is None) == (b.failure is None)
    assert ours[0].failure == theirs[0].failure
    assert ours[1].failure is not None
    assert ours[2].failure is None


def test_a_damaged_cached_kernel_is_compiled_again(tmp_path: Path) -> None:
    if load_kernel() is None:
        pytest.skip("no C compiler here")
    code = "from hpsearch.train.native import load_kernel, missing_kernel as m; assert load_kernel(), m()"
    call = [sys.executable, "-c", code]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run(call, env=environment, check=True)
    (library,) = (tmp_path / "hpsearch").glob("tile-*.so")
    whole = library.stat().st_size
    library.write_bytes(library.read_bytes()[:500])
    subprocess.run(call, env=environment, check=True)
    assert library.stat().st_size == whole
    # Nowhere to keep it, and no compiler: with a private copy, and with a reason.
    subprocess.run(call, env={**environment, "XDG_CACHE_HOME": "/proc/none"}, check=True)
    reason = "from hpsearch.train.native import load_kernel as k, missing_kernel as m; print(k(), m())"
    bare = {**environment, "PATH": "/nowhere", "CC": "none"}
    done = subprocess.run(
        [sys.executable, "-c", reason], env=bare, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None no C compiler (cc) found"
