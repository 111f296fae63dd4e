"""The variance of the gradient, against gradients row by row, enumeration and the closed forms."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from hpsearch.cli.app import app
from hpsearch.errors import HpsearchError, StudyChangedError
from hpsearch.extras.gradients import (
    Gradients,
    batch_law,
    epoch_sizes,
    expected,
    measure_batches,
    measure_velocity,
    velocity_law,
    velocity_weights,
)
from hpsearch.extras.variance import choose_epochs
from hpsearch.records import FloatArray, State, Trial
from hpsearch.retrain.reload import reload, retrain
from hpsearch.running.prepare import make_problem
from hpsearch.store import Database
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, Problem, initial_state, train_lanes
from hpsearch.train.losses import LOSSES
from hpsearch.train.solo import build_model
from tests.problems import METRIC_OF
from tests.problems import make_problem as random_problem
from tests.studies import hpsearch, url, write_study

SMALL = Configuration(depth=3, width=5, activation="tanh", batch_size=4)


def tiny(loss: str = "cross_entropy", rows: int = 7) -> Problem:
    return random_problem(loss, rows=rows, features=3, dtype=np.float64)


def row_gradients(problem: Problem, configuration: Configuration) -> FloatArray:
    """[rows, parameters]: each row's gradient by autograd, one backward pass a row."""
    model = build_model(problem, configuration, initial_state(problem, 0, configuration))
    model.eval()
    criterion = LOSSES[problem.loss].reference
    gradients = []
    for row in range(problem.rows):
        x, y = (torch.from_numpy(array[row : row + 1]) for array in (problem.x_train, problem.y_train))
        loss = criterion(model(x), y)
        parts = torch.autograd.grad(loss, list(model.parameters()))
        gradients.append(torch.cat([part.reshape(-1) for part in parts]).numpy())
    return np.stack(gradients)


def gradients_of(problem: Problem, configuration: Configuration = SMALL) -> Gradients:
    return Gradients(problem, configuration, initial_state(problem, 0, configuration))


def squared(deviations: FloatArray) -> FloatArray:
    result: FloatArray = np.square(deviations).sum(-1)
    return result


@pytest.mark.parametrize("loss", METRIC_OF)
@pytest.mark.parametrize(("at_once", "kept"), [(1 << 22, 1 << 25), (1 << 22, 0), (40, 1 << 25), (40, 0)])
def test_gradients_are_those_of_autograd(
    loss: str, at_once: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether in one piece or in many, with all gradients kept or with none."""
    monkeypatch.setattr("hpsearch.extras.gradients.NUMBERS_AT_ONCE", at_once)
    monkeypatch.setattr("hpsearch.extras.gradients.KEPT_NUMBERS", kept)
    problem = tiny(loss)
    rows = row_gradients(problem, SMALL)
    full = rows.mean(0)
    found = gradients_of(problem)
    assert found.size == rows.shape[1]
    assert found.square == pytest.approx(squared(full), rel=1e-9)
    assert found.variance == pytest.approx(squared(rows - full).mean(), rel=1e-9)
    draws = [(np.array([2, 5, 2]), np.array([0.5, 0.3, 0.2])), (np.array([6]), np.array([1.0]))]
    wanted = [squared(0.7 * rows[2] + 0.3 * rows[5] - full), squared(rows[6] - full)]
    assert found.deviations(draws) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(
    "more",
    [
        {"activation": "prelu", "slopes": "unit", "bias": False},
        {"activation": "maxout", "pieces": 3},
        {"activation": "gelu", "batch_norm": True, "dropout": 0.5, "optimizer": "adam"},
        {"depth": 1},
    ],
)
def test_gradients_of_other_networks(more: dict[str, Any]) -> None:
    problem, configuration = tiny(), replace(SMALL, **more)
    rows = row_gradients(problem, configuration)
    found = gradients_of(problem, configuration)
    assert found.size == rows.shape[1]
    assert found.variance == pytest.approx(squared(rows - rows.mean(0)).mean(), rel=1e-9)


@pytest.mark.parametrize("size", range(1, 8))
def test_the_law_is_the_mean_over_every_possible_mini_batch(size: int) -> None:
    problem = tiny()
    rows = row_gradients(problem, SMALL)
    every = [rows[list(chosen)].mean(0) for chosen in itertools.combinations(range(7), size)]
    wanted = squared(np.stack(every) - rows.mean(0)).mean()
    variance = squared(rows - rows.mean(0)).mean()
    assert batch_law(variance, 7, size) == pytest.approx(wanted, rel=1e-9, abs=1e-15)
    assert batch_law(variance, 7, size) == pytest.approx(
        variance / size * (7 - size) / 6, rel=1e-9, abs=1e-15
    )


@pytest.mark.parametrize("keep_last", [False, True])
def test_the_velocity_law_is_the_mean_over_every_order_of_the_rows(keep_last: bool) -> None:
    """Four rows, mini-batches of two or, with a last one kept, of three and one; three epochs suffice."""
    problem = replace(tiny(rows=4), keep_last=keep_last)
    size, momentum = (3 if keep_last else 2), 0.01  # whose velocity is forgotten after three steps
    sizes = epoch_sizes(problem, size)
    assert sizes.tolist() == ([3, 1] if keep_last else [2, 2])
    weights = velocity_weights(momentum)
    assert len(weights) == 3
    rows = row_gradients(problem, SMALL)
    orders = list(itertools.permutations(range(4)))
    values = []
    for first, second in itertools.product(orders, orders):
        batches = [
            rows[list(part)].mean(0)
            for order in (first, second)
            for part in np.split(np.array(order), np.cumsum(sizes)[:-1])
        ]
        for last in (2, 3):  # the third and the fourth step, where the second epoch is half done and done
            velocity = sum(w * batches[last - age] for age, w in enumerate(weights))
            values.append(squared(velocity - rows.mean(0)))
    variance = squared(rows - rows.mean(0)).mean()
    assert velocity_law(variance, 4, sizes, momentum) == pytest.approx(np.mean(values), rel=1e-9)


def test_independent_mini_batches_obey_the_textbook_law() -> None:
    """An epoch of a single mini-batch: they are then independent of each other."""
    for momentum in (0.0, 0.3, 0.9, 0.99):
        textbook = batch_law(2.5, 10, 6) * (1 - momentum) / (1 + momentum)
        assert velocity_law(2.5, 10, np.array([6]), momentum) == pytest.approx(textbook, rel=1e-5)


@given(
    rows=st.integers(2, 300),
    share=st.floats(0.001, 1),
    momenta=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
)
@settings(max_examples=60, deadline=None)
def test_no_convex_combination_exceeds_its_parts(
    rows: int, share: float, momenta: tuple[float, float]
) -> None:
    size = max(1, round(share * rows))
    sizes = np.full(rows // size, size)
    one = batch_law(1.0, rows, size)
    low, high = (velocity_law(1.0, rows, sizes, momentum) for momentum in sorted(momenta))
    slack = 1 + 1e-9
    assert 0 <= high <= low * slack + 1e-12
    assert low <= one * slack + 1e-12 <= slack + 1e-12


@given(weights=st.lists(st.floats(0.01, 1), min_size=7, max_size=7))
@settings(max_examples=30, deadline=None)
def test_jensens_bound_holds_for_gradients(weights: list[float]) -> None:
    """Over all orders of the rows, no convex combination of their gradients varies more than one row's."""
    shares = np.array(weights) / sum(weights)
    rows = row_gradients(tiny(), SMALL)[:, :3]
    variance = squared(rows - rows.mean(0)).mean()
    value = expected(variance, 7, float(np.square(shares).sum()), 1.0)
    assert value <= variance * (1 + 1e-9)
    order = np.random.default_rng(1).permuted(np.tile(np.arange(7), (4000, 1)), axis=1)
    sampled = squared(np.einsum("r,orp->op", shares, rows[order]) - rows.mean(0))
    assert abs(sampled.mean() - value) < 5 * sampled.std() / math.sqrt(4000) + 1e-12


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "none"])
def test_what_is_measured_obeys_the_laws(activation: str) -> None:
    problem = random_problem("cross_entropy", rows=100)
    configuration = Configuration(depth=2, width=6, activation=activation)
    found = gradients_of(problem, configuration)
    random = np.random.default_rng(3)
    for size in (1, 2, 8, 64, 99):
        measured = measure_batches(found, size, 200, random)
        law = batch_law(found.variance, 100, size)
        assert measured.draws == 200
        assert 0.002 * law < measured.standard_error < 0.2 * law
        assert abs(measured.mean - law) < 4.5 * measured.standard_error, size
    for momentum, size in itertools.product((0.0, 0.6, 0.95), (7, 40)):
        sizes = epoch_sizes(problem, size)
        measured = measure_velocity(found, sizes, momentum, 200, random)
        law = velocity_law(found.variance, 100, sizes, momentum)
        assert abs(measured.mean - law) < 4.5 * measured.standard_error, (momentum, size)


def test_standard_errors_cover_the_truth() -> None:
    found = gradients_of(random_problem("mse", rows=50), Configuration(depth=2, width=3))
    law = batch_law(found.variance, 50, 16)
    repeats = [measure_batches(found, 16, 60, np.random.default_rng(seed)) for seed in range(100)]
    covered = np.mean([abs(r.mean - law) < 2 * r.standard_error for r in repeats])
    assert covered > 0.85


def test_all_rows_have_no_variance() -> None:
    found = gradients_of(random_problem("bce", rows=90))
    for measured in (
        measure_batches(found, 90, 50, np.random.default_rng(0)),
        measure_velocity(found, np.array([90]), 0.9, 50, np.random.default_rng(0)),
    ):
        assert measured.draws == 1
        assert measured.mean == 0
        assert measured.standard_error == 0
    assert batch_law(found.variance, 90, 90) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a CSV file, trained."""
    folder = tmp_path_factory.mktemp("variance")
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 3))
    frame = pd.DataFrame(x, columns=list("abc")).assign(target=np.where(x[:, 0] > x[:, 1], "yes", "no"))
    frame.to_csv(folder / "points.csv", index=False)
    path = write_study(folder, source="points.csv", trials=12, cohort=8)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[space]", 'target = "target"\n[space]'), encoding="utf-8")
    done = hpsearch("run", path, "--storage", url(folder / "x.db"))
    assert done.returncode == 0, done.stderr
    return folder


def variance(folder: Path, *arguments: str) -> str:
    """What the command prints, in this process."""
    result = CliRunner().invoke(app, ["variance", "small", *arguments, "--storage", url(folder / "x.db")])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_a_trial_trained_again_is_the_trial_as_it_was(folder: Path) -> None:
    with Database.open(url(folder / "x.db")) as database:
        store = database.study("small")
        record, trials, curves = store.record, store.trials(), store.curves()
    study, dataset = reload(record)
    problem = make_problem(study, dataset, "cpu")
    trial = next(trial for trial in trials if trial.state is State.COMPLETE)
    state = retrain(study, problem, trial, 5)
    assert state.epoch == 5
    lane = Lane(trial.number, study.space.configuration(trial.params), state)
    (rest,) = train_lanes(problem, [lane], trial.epochs)
    assert np.array_equal(rest.curve, curves[trial.number][5:], equal_nan=True)
    fresh = retrain(study, problem, trial, 0)
    assert np.array_equal(fresh.parameters, lane_start(problem, trial.number, lane.configuration))
    hopeless = replace(trial, params={**trial.params, "learning_rate": 1e300})
    with pytest.raises(
        HpsearchError, match=f"trial {trial.number} has no weights after epoch 5: it diverged"
    ):
        retrain(study, problem, hopeless, 5)


def lane_start(problem: Problem, number: int, configuration: Configuration) -> FloatArray:
    parameters: FloatArray = initial_state(problem, number, configuration).parameters
    return parameters


def test_the_command_prints_the_same_numbers_in_every_format_and_process(folder: Path) -> None:
    more = ("0", "--epochs", "1,0", "--momenta", "0,0.9", "--draws", "20")
    text = variance(folder, *more, "--format", "json", "--out", str(folder / "v.png"))
    again = hpsearch("variance", "small", *more, "--format", "json", "--storage", url(folder / "x.db"))
    assert again.stdout == text, again.stderr
    document = json.loads(text)
    assert document["format"] == "hpsearch.variance/1"
    assert document["training_rows"] == 48
    frame = pd.DataFrame(document["rows"], columns=document["columns"])
    csv = variance(folder, *more, "--format", "csv")
    pd.testing.assert_frame_equal(pd.read_csv(StringIO(csv)), frame)
    assert frame["epoch"].unique().tolist() == [0, 1]
    first = frame[frame["epoch"] == 0]
    assert first[first["varied"] == "batch_size"]["batch_size"].tolist() == [1, 2, 4, 8, 16, 32, 48]
    assert first[first["varied"] == "momentum"]["momentum"].tolist() == [0, 0.9]
    assert (abs(frame["variance"] - frame["exact"]) <= 6 * frame["standard_error"] + 1e-12).all()
    assert (frame["exact"] <= frame["bound"] * (1 + 1e-9)).all()
    with Image.open(folder / "v.png") as picture:
        assert picture.format == "PNG"


def test_epochs_are_those_after_which_there_are_weights() -> None:
    trial = Trial(4, 0, {}, State.COMPLETE, epochs=9, best_epoch=6)
    assert choose_epochs(trial, None) == [0, 1, 6]
    assert choose_epochs(trial, [9, 0, 9]) == [0, 9]
    diverged = replace(trial, state=State.FAILED, epochs=3, best_epoch=None)
    assert choose_epochs(diverged, None) == [0, 1, 2]
    with pytest.raises(
        HpsearchError, match="from 0 to 2: trial 4 was trained for 3, where it diverged; found 3"
    ):
        choose_epochs(diverged, [3])
    assert choose_epochs(replace(diverged, epochs=1), None) == [0]


def test_the_table_fits_the_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    table = variance(folder, "0", "--epochs", "0,1", "--batch-sizes", "4,48", "--draws", "5")
    assert "initial weights" in table
    assert "after epoch 1" in table
    assert [line.split()[:3] for line in table.splitlines() if line.strip().startswith("48 ")] == [
        ["48", "0", "0"]
    ] * 2
    assert max(map(len, table.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("99",), "expected a trial from 0 to 11; found trial 99"),
        (("0", "--epochs", "0,10"), "--epochs: expected whole numbers from 0 to"),
        (("0", "--epochs", "one"), '--epochs: expected whole numbers separated by commas; found "one"'),
        (("0", "--batch-sizes", "4,49"), "--batch-sizes: expected whole numbers from 1 to 48"),
        (("0", "--momenta", "1"), "--momenta: expected numbers from 0 to below 1; found 1"),
        (("0", "--momenta", "nan"), "--momenta: expected numbers from 0 to below 1; found nan"),
        (("0", "--out", "picture.jpg"), "--out: expected a file name that ends in .png; found picture.jpg"),
        (("0", "--out", "not/there/v.png"), "--out: expected a file in an existing folder"),
    ],
)
def test_wrong_arguments_are_refused(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(HpsearchError, match=re.escape(message)):
        variance(folder, *arguments)
    assert not Path("picture.jpg").exists()


def test_changed_or_missing_data_are_refused(folder: Path) -> None:
    with Database.open(url(folder / "x.db")) as database:
        record = database.study("small").record
    path = folder / "points.csv"
    content = path.read_text(encoding="utf-8")
    try:
        path.write_text(content + "9,9,9,no\n", encoding="utf-8")
        with pytest.raises(StudyChangedError, match=r"points\.csv has changed since the study started"):
            reload(record)
        path.unlink()
        with pytest.raises(HpsearchError, match=r"cannot read its data again:\n.*points\.csv"):
            reload(record)
    finally:
        path.write_text(content, encoding="utf-8")
