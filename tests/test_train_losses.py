"""Losses against closed forms in double precision and autograd; metrics against scikit-learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from hpsearch.records import Task
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Problem
from hpsearch.train.losses import LOSSES
from hpsearch.train.metrics import METRICS, WHOLE
from hpsearch.train.native import load_kernel, train_native
from hpsearch.train.representation import decide, represent
from hpsearch.train.tensors import tensors_of
from tests.problems import make_lanes, make_problem

ROWS = 30


def closed_form(name: str, o: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of one output o and target y, in double precision, in a form that does not overflow."""
    softplus = np.logaddexp(0, o)
    log_softplus = np.where(o < -30, o, np.log(np.where(o < -30, 1.0, softplus)))
    forms = {
        "bce": np.log1p(np.exp(-np.abs(o))) + np.maximum(o, 0) - o * y,
        "mse": (o - y) ** 2,
        "l1": np.abs(o - y),
        "softplus_mse": (softplus - y) ** 2,
        "softplus_l1": np.abs(softplus - y),
        "softplus_poisson": softplus - y * log_softplus,
    }
    return np.asarray(forms[name])


def derivative(name: str, o: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    sigma = np.exp(-np.logaddexp(0, -o))
    softplus = np.logaddexp(0, o)
    ratio = np.where(o < -30, 1.0, sigma / np.where(o < -30, 1.0, softplus))
    forms = {
        "bce": sigma - y,
        "mse": 2 * (o - y),
        "l1": np.sign(o - y),
        "softplus_mse": 2 * (softplus - y) * sigma,
        "softplus_l1": np.sign(softplus - y) * sigma,
        "softplus_poisson": sigma - y * ratio,
    }
    return np.asarray(forms[name])


def outputs(scale: float) -> NDArray[np.float32]:
    """[ROWS] raw outputs up to ±scale, 0 among them."""
    return (np.linspace(-1, 1, ROWS) * scale).astype(np.float32)


@pytest.mark.parametrize("scale", [1.0, 50.0, 1e4])
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "cross_entropy"])
def test_losses_of_one_output_are_exact_however_large_it_is(name: str, scale: float) -> None:
    o = outputs(scale)
    y = (np.arange(ROWS) % 2).astype(np.float32)
    logits, targets = torch.from_numpy(o)[None, :, None], torch.from_numpy(y)
    o64, y64 = o.astype(np.float64), y.astype(np.float64)
    values = LOSSES[name].values(logits, targets)[0]
    np.testing.assert_allclose(values.numpy(), closed_form(name, o64, y64), rtol=2e-6, atol=1e-6)
    gradient = torch.empty_like(logits)
    LOSSES[name].gradient(logits, targets, gradient)
    expected = derivative(name, o64, y64) / ROWS
    np.testing.assert_allclose(gradient.numpy()[0, :, 0], expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("scale", [1.0, 50.0, 1e4])
def test_cross_entropy_is_exact_however_large_the_outputs_are(scale: float) -> None:
    random = np.random.default_rng(0)
    o = (random.choice([-1.0, 0.3, 1.0], size=(2, ROWS, 4)) * scale).astype(np.float32)
    y = random.integers(0, 4, ROWS)
    o64 = o.astype(np.float64)
    expected = np.logaddexp.reduce(o64, axis=2) - o64[:, np.arange(ROWS), y]
    values = LOSSES["cross_entropy"].values(torch.from_numpy(o), torch.from_numpy(y))
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-5, atol=1e-6)
    shares = np.exp(o64 - np.logaddexp.reduce(o64, axis=2)[:, :, None])
    shares[:, np.arange(ROWS), y] -= 1
    gradient = torch.empty(2, ROWS, 4)
    LOSSES["cross_entropy"].gradient(torch.from_numpy(o), torch.from_numpy(y), gradient)
    np.testing.assert_allclose(gradient.numpy(), shares / ROWS, atol=1e-7)


def test_a_logarithm_of_the_sigmoid_would_not_do() -> None:
    """What docs/losses.md says: log σ(o) is −∞ where the loss is 104, and its gradient is lost."""
    o = torch.tensor([-104.0], requires_grad=True)
    assert torch.log(torch.sigmoid(o)).item() == -np.inf
    assert LOSSES["bce"].values(o.detach()[None, :, None], torch.ones(1)).item() == 104.0
    torch.log(torch.sigmoid(o)).backward()  # type: ignore[no-untyped-call]
    assert o.grad is not None
    assert not torch.isfinite(o.grad).all()


@pytest.mark.parametrize("scale", [50.0, 1e4])
@pytest.mark.parametrize("name", LOSSES)
def test_the_kernel_judges_large_outputs_like_the_closed_forms(name: str, scale: float) -> None:
    """A linear model whose weights make outputs of ±scale; its loss before the first step is in the curve."""
    kernel = load_kernel()
    if kernel is None:
        pytest.skip("no C compiler here")
    problem = make_problem(name, rows=64, features=1, valid_rows=40)
    classes = name == "cross_entropy"
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    targets = (np.arange(40) % (3 if classes else 2)).astype(problem.y_valid.dtype)
    problem = dataclasses.replace(problem, x_valid=x, y_valid=targets, metric="loss")
    lane = make_lanes(problem, [Configuration(depth=1, learning_rate=1e-30, momentum=0.0, batch_size=64)])[0]
    assert lane.state is not None
    weights = lane.state.parameters
    weights[:] = 0
    weights[: problem.outputs] = [scale, -scale, 0.3 * scale][: problem.outputs]
    o = x.astype(np.float64) * weights[: problem.outputs].astype(np.float64)
    if classes:
        expected = np.logaddexp.reduce(o, axis=1) - o[np.arange(40), targets]
    else:
        expected = closed_form(name, o[:, 0], targets.astype(np.float64))
    curve = train_native(kernel, problem, [lane], 1)[0].curve
    np.testing.assert_allclose(curve[0, 2], expected.mean(), rtol=3e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_equal_autograd(name: str) -> None:
    torch.manual_seed(0)
    units = 5 if name == "cross_entropy" else 1
    logits = torch.randn(3, 11, units, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 5, (11,)) if name == "cross_entropy" else torch.rand(11, dtype=torch.float64)
    LOSSES[name].values(logits, targets).mean(1).sum().backward()  # type: ignore[no-untyped-call]
    ours = torch.empty(3, 11, units, dtype=torch.float64)
    LOSSES[name].gradient(logits.detach(), targets, ours)
    torch.testing.assert_close(ours, logits.grad)
    for lane in logits.detach():
        mean = LOSSES[name].values(lane[None], targets).mean()
        torch.testing.assert_close(mean, LOSSES[name].reference(lane, targets))


# -- metrics ------------------------------------------------------------------------------------


def mean_metric(name: str, values: NDArray[np.float64], targets: NDArray[np.generic], std: float) -> float:
    metric, t = METRICS[name], torch.from_numpy(targets)
    mean = metric.contributions(torch.from_numpy(values)[None], t).double().mean(1)
    return float(metric.finish(mean, t.double().var(correction=0), std))


def test_means_over_rows_equal_scikit_learn() -> None:
    random = np.random.default_rng(1)
    y, o = random.normal(size=40), random.normal(size=40)
    std, column = 2.5, o[:, None]
    assert mean_metric("mae", column, y, std) == pytest.approx(metrics.mean_absolute_error(y * std, o * std))
    rmse = metrics.root_mean_squared_error(y * std, o * std)
    assert mean_metric("rmse", column, y, std) == pytest.approx(rmse)
    assert mean_metric("r2", column, y, std) == pytest.approx(metrics.r2_score(y, o))
    classes, scores = random.integers(0, 3, 40), random.normal(size=(40, 3))
    accuracy = metrics.accuracy_score(classes, scores.argmax(1))
    assert mean_metric("accuracy", scores, classes, 1) == pytest.approx(accuracy)
    assert mean_metric("error", scores, classes, 1) == pytest.approx(1 - accuracy)
    binary = (y > 0).astype(np.float32)
    expected = metrics.accuracy_score(binary, o > 0)
    assert mean_metric("accuracy", column, binary, 1) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 5), rows=st.integers(5, 60), ties=st.booleans())
def test_metrics_of_all_rows_equal_scikit_learn(seed: int, classes: int, rows: int, ties: bool) -> None:
    """Two classes have one output; scores with and without ties, classes perhaps missing."""
    random = np.random.default_rng(seed)
    outputs = 1 if classes == 2 else classes
    scores = random.normal(size=(3, rows, outputs))
    scores = np.round(scores, 0 if ties else 12)
    y = random.integers(0, classes, rows)
    for lane in range(3):
        own = scores[lane]
        decided = decide(own)
        known = np.isin(decided, y)  # scikit-learn warns of classes that are predicted but not there
        if known.all():
            expected = metrics.balanced_accuracy_score(y, decided)
            assert WHOLE["balanced_accuracy"](scores, y)[lane] == pytest.approx(expected)
        average = "binary" if outputs == 1 else "macro"
        expected = metrics.f1_score(y, decided, average=average, zero_division=0)
        assert WHOLE["f1"](scores, y)[lane] == pytest.approx(expected)
        if len(np.unique(y)) < classes:
            assert np.isnan(WHOLE["auc"](scores, y)[lane])
        elif outputs == 1:
            assert WHOLE["auc"](scores, y)[lane] == pytest.approx(metrics.roc_auc_score(y, own[:, 0]))
        else:
            shares = represent(Task.MULTICLASS, own, "identity")
            expected = metrics.roc_auc_score(y, shares, multi_class="ovr")
            assert WHOLE["auc"](scores, y)[lane] == pytest.approx(expected)


def test_log_loss_is_scikit_learns() -> None:
    problem = make_problem("bce", metric="log_loss")
    lane = make_lanes(problem, [Configuration(batch_size=50)])[0]
    trained = _trained(problem, lane.trial)
    logits = trained[1]
    expected = metrics.log_loss(problem.y_valid, represent(Task.BINARY, logits, "identity"))
    assert trained[0][-1, 3] == pytest.approx(expected, rel=1e-5)


def _trained(problem: Problem, trial: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """A trial's curve, and its raw outputs on the validation set by the plain torch model."""
    from hpsearch.train import Lane, train_lanes
    from hpsearch.train.solo import build_model

    configuration = Configuration(batch_size=50)
    (result,) = train_lanes(problem, [Lane(trial, configuration)], 2)
    assert result.state is not None
    model = build_model(problem, configuration, result.state).eval()
    with torch.no_grad():
        return result.curve, model(tensors_of(problem).x_valid).numpy()


@pytest.mark.parametrize("representation", ["softplus", "relu"])
def test_positive_regression_is_measured_by_what_its_outputs_represent(representation: str) -> None:
    """Both trainers' RMSE, in the target's unit, is that of softplus(o) or ReLU(o)."""
    loss = "softplus_mse" if representation == "softplus" else "mse"
    problem = make_problem("softplus_mse", metric="rmse")
    problem = dataclasses.replace(problem, loss=loss, representation=representation)
    curve, logits = _trained(problem, 0)
    predicted = represent(Task.POSITIVE_REGRESSION, logits, representation)  # type: ignore[arg-type]
    assert (predicted >= 0).all()
    rmse = metrics.root_mean_squared_error(problem.y_valid * 2.5, predicted * 2.5)
    assert curve[-1, 3] == pytest.approx(rmse, rel=1e-5)


def test_representations() -> None:
    o = np.array([[-1e4], [-1.0], [0.0], [2.0], [1e4]], np.float32)
    probabilities = represent(Task.BINARY, o, "identity")
    np.testing.assert_allclose(probabilities, [0, 1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-2)), 1])
    assert decide(o).tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_allclose(represent(Task.POSITIVE_REGRESSION, o, "relu"), [0, 0, 0, 2, 1e4])
    softplus = represent(Task.POSITIVE_REGRESSION, o, "softplus")
    np.testing.assert_allclose(softplus, [0, np.log1p(np.exp(-1)), np.log(2), 2 + np.log1p(np.exp(-2)), 1e4])
    shares = represent(Task.MULTICLASS, np.array([[1e4, 0.0, -1e4], [0, 0, 0]]), "identity")
    np.testing.assert_allclose(shares, [[1, 0, 0], [1 / 3] * 3])
    assert represent(Task.REGRESSION, o, "identity").tolist() == o[:, 0].tolist()
