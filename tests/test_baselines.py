"""Baselines beside a study: scores as scikit-learn's own, stored once, and an honest sentence."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from threadpoolctl import threadpool_limits

import hpsearch
from hpsearch.data import Dataset
from hpsearch.records import BOOSTING, GUESSES, LINEAR, NEIGHBOURS, Baseline
from hpsearch.reporting.baselines import baselines_grid, baselines_remarks, baselines_sentence
from hpsearch.results.baselines import pack_baselines, unpack_baselines
from hpsearch.results.confirmation import Confirmation, Finalist
from hpsearch.results.frames import Report
from hpsearch.running.baselines import make_job
from hpsearch.running.prepare import prepare
from hpsearch.study.file import Study, load_study
from hpsearch.train.simple_models import Job, baselines, most_rows
from tests.page_study import full_report
from tests.studies import assert_same, url, write_study


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the process beside a run: boosting's threads would wait for each other on busy cores."""
    with threadpool_limits(1):
        yield


def prepared(folder: Path, source: str, metric: str) -> tuple[Study, Dataset]:
    path = write_study(folder, source=source)
    return prepare(load_study(path, [f"train.metric={metric}"]))


CLASSES = {
    "accuracy": lambda y, p: metrics.accuracy_score(y, p.argmax(1)),
    "error": lambda y, p: 1 - metrics.accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: metrics.balanced_accuracy_score(y, p.argmax(1)),
    "f1": lambda y, p: metrics.f1_score(y, p.argmax(1), average="binary" if p.shape[1] == 2 else "macro"),
    "auc": lambda y, p: (
        metrics.roc_auc_score(y, p[:, 1])
        if p.shape[1] == 2
        else metrics.roc_auc_score(y, p, average="macro", multi_class="ovr")
    ),
    "log_loss": metrics.log_loss,
}
NUMBERS = {
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "r2": metrics.r2_score,
}


@pytest.mark.parametrize(
    ("source", "metric"),
    [
        *(("wine", metric) for metric in ("accuracy", "balanced_accuracy", "f1", "auc")),
        *(("breast_cancer", metric) for metric in ("error", "f1", "auc", "log_loss")),
    ],
)
def test_of_classes_they_score_as_scikit_learn_says(tmp_path: Path, source: str, metric: str) -> None:
    study, dataset = prepared(tmp_path, source, metric)
    job = replace(make_job(study, dataset), thresholds=False)  # scikit-learn predicts at 0.5
    found = {each.name: each for each in baselines(job)}
    assert list(found) == [GUESSES[0], LINEAR, NEIGHBOURS, BOOSTING]
    models = {
        LINEAR: LogisticRegression(),
        NEIGHBOURS: KNeighborsClassifier(),
        BOOSTING: HistGradientBoostingClassifier(random_state=job.seed),
    }
    for name, model in models.items():
        model.fit(job.x, job.y)
        for value, x, y in (
            (found[name].valid, job.x_valid, job.y_valid),
            (found[name].test, job.x_test, job.y_test),
        ):
            shares = model.predict_proba(x)
            if metric == "log_loss" and not shares[np.arange(len(y)), y].all():
                assert value is None  # the probability 0 of what happened
            else:
                assert value == pytest.approx(CLASSES[metric](y, shares), rel=1e-6)
        decided = models[name].predict(job.x_test)
        assert found[name].counts.tolist() == metrics.confusion_matrix(job.y_test, decided).tolist()
    most = np.bincount(job.y).argmax()
    if metric == "accuracy":
        assert found[GUESSES[0]].test == pytest.approx((job.y_test == most).mean())


@pytest.mark.parametrize("metric", NUMBERS)
def test_of_numbers_they_score_as_scikit_learn_says(tmp_path: Path, metric: str) -> None:
    study, dataset = prepared(tmp_path, "diabetes", metric)
    job = make_job(study, dataset)
    found = {each.name: each for each in baselines(job)}
    models = {
        LINEAR: Ridge(),
        NEIGHBOURS: KNeighborsRegressor(),
        BOOSTING: HistGradientBoostingRegressor(random_state=job.seed),
    }
    own = dataset.test.y.astype(float) * dataset.target_std + dataset.target_mean
    for name, model in models.items():
        said = model.fit(job.x, job.y).predict(job.x_test).astype(float)
        score = NUMBERS[metric](own, said * dataset.target_std + dataset.target_mean)
        assert found[name].test == pytest.approx(score, rel=1e-5)
    mean = np.full(len(own), job.y.mean() * dataset.target_std + dataset.target_mean)
    assert found[GUESSES[1]].test == pytest.approx(NUMBERS[metric](own, mean), rel=1e-5, abs=1e-6)


def test_what_would_take_minutes_is_left_out_or_gets_fewer_rows_and_says_so() -> None:
    images = {name: most_rows(name, 784, 10, 20_000) for name in (LINEAR, NEIGHBOURS, BOOSTING)}
    assert images[BOOSTING] < 1_000 < images[NEIGHBOURS] < 48_000
    assert images[LINEAR] > 1_000
    assert most_rows(BOOSTING, 105, 2, 16_000) > 32_000
    random = np.random.default_rng(0)
    x, y = random.normal(size=(1_100, 2_000)).astype(np.float32), random.integers(0, 10, 1_100)
    job = Job(x, y, x[:50], y[:50], x[:50], y[:50], 10, "accuracy", 1.0, 0)
    *others, boosting = baselines(job)
    assert (boosting.valid, boosting.test) == (None, None)
    assert boosting.note == "left out: 1,100 rows × 2,000 features × 10 classes would take minutes"
    assert all(each.test is not None and not each.note for each in others)


def test_a_class_without_a_training_row_is_never_guessed() -> None:
    x = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
    y = np.repeat([0, 2], 45)
    for metric in ("accuracy", "auc"):
        job = Job(x, y, x, np.resize([0, 1, 2], 90), x, np.resize([0, 1, 2], 90), 3, metric, 1.0, 0)
        for each in baselines(job):
            assert each.test is not None
            assert each.counts[:, 1].tolist() == [0, 0, 0]


# -- whole runs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study file with baselines, and the database of its finished run."""
    folder = tmp_path_factory.mktemp("baselines")
    path = write_study(folder, trials=12)
    path.write_text(path.read_text().replace("baselines = false\n", ""))
    hpsearch.run(path, storage=url(folder / "x.db"))
    return path, folder / "x.db"


def test_a_run_stores_them_once_and_every_reader_sees_the_same(
    place: tuple[Path, Path], tmp_path: Path
) -> None:
    study, database = place
    first = hpsearch.report("small", storage=url(database)).document()["baselines"]
    assert [each["name"] for each in first] == [GUESSES[0], LINEAR, NEIGHBOURS, BOOSTING]
    assert all(0 < each["test"] <= 1 and each["seconds"] >= 0 for each in first)
    again = hpsearch.run(study, storage=url(database))
    assert again.document()["baselines"] == first
    # Only the confirmation looked at the test set.
    assert again.numbers.confirmation is not None
    assert [use.purpose for use in again.numbers.confirmation.uses] == ["confirmation"]

    other = url(tmp_path / "other.db")
    hpsearch.dump("small", tmp_path / "dumped.json", storage=url(database))
    hpsearch.load(tmp_path / "dumped.json", storage=other)
    assert hpsearch.report("small", storage=other).document()["baselines"] == first
    hpsearch.fork(load_study(study, ["search.trials=13"]), "forked", storage=other)
    assert hpsearch.report("forked", storage=other).document()["baselines"] == first


def test_training_is_the_same_without_them_and_they_may_come_later(
    place: tuple[Path, Path], tmp_path: Path
) -> None:
    study, database = place
    without, other = load_study(study, ["study.baselines=false"]), tmp_path / "without.db"
    assert "baselines" not in hpsearch.run(without, storage=url(other)).document()
    assert_same(database, other)
    later = hpsearch.run(study, storage=url(other))
    assert [each.test for each in later.numbers.baselines] == [
        each.test for each in hpsearch.report("small", storage=url(database)).numbers.baselines
    ]
    assert not hpsearch.run(without, storage=url(other)).numbers.baselines


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux to hear of a stranger's end")
def test_the_process_ends_with_a_run_that_is_killed(place: tuple[Path, Path], tmp_path: Path) -> None:
    study, _ = place
    script = f"""
import sys
from hpsearch.running.baselines import Beside
from hpsearch.running.prepare import prepare
from hpsearch.running.resume import open_study
from hpsearch.store import Database
from hpsearch.study.file import load_study
study, dataset = prepare(load_study({str(study)!r}))
with Database.open({url(tmp_path / "x.db")!r}, create=True) as database:
    store, study = open_study(database, study, dataset, {{}})
    with Beside(study, dataset, store) as beside:
        print(beside.process, flush=True)
        sys.stdin.read()
"""
    run = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    child = os.pidfd_open(int(run.stdout.readline()))
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    ended, _, _ = select.select([child], [], [], 60)
    assert ended
    found = hpsearch.run(study, storage=url(tmp_path / "x.db"))
    assert [each.name for each in found.numbers.baselines] == [GUESSES[0], LINEAR, NEIGHBOURS, BOOSTING]


def test_a_regression_study_has_them_in_its_own_unit(tmp_path: Path) -> None:
    path = write_study(tmp_path, source="diabetes", trials=6)
    path.write_text(path.read_text().replace("baselines = false\n", ""))
    result = hpsearch.run(path, storage=url(tmp_path / "x.db"))
    mean, linear, *_ = result.numbers.baselines
    assert mean.name == "mean"
    assert 50 < (linear.test or 0) < (mean.test or 0) < 100
    assert "rmse " in str(baselines_sentence(result.numbers))


# -- what is said ---------------------------------------------------------------------------------


def made_up(
    scores: list[float], others: dict[str, float], metric: str = "accuracy", rows: int = 2_000
) -> Report:
    """A confirmed study with these test scores of its one finalist, and baselines with those."""
    report = full_report()
    maximize = metric in ("accuracy", "r2")
    record = replace(
        report.record, metric=metric, direction="maximize" if maximize else "minimize", task="regression"
    )
    finalist = Finalist(int(report.ranked["trial"].iloc[0]), 9, np.array(scores), np.array(scores))
    c = Confirmation(metric, maximize, "test", rows, len(scores), False, 10, (finalist,))
    shares = np.ones(1) if metric != "accuracy" else np.empty(0)
    found = tuple(Baseline(name, value, value, 0.1, shares=shares) for name, value in others.items())
    return replace(report, record=record, confirmation=c, baselines=found)


GUESS = GUESSES[0]


@pytest.mark.parametrize(
    ("scores", "others", "said"),
    [
        (
            [0.87, 0.875, 0.88],
            {GUESS: 0.6, BOOSTING: 0.95},
            "gradient boosting, untuned: 95.0%; the best network: 87.5% (86.3 … 88.7%): boosting is better "
            "here",
        ),
        (
            [0.87, 0.875, 0.88],
            {GUESS: 0.6, LINEAR: 0.8},
            "linear model, untuned: 80.0%; the best network: 87.5% (86.3 … 88.7%): the network is better "
            "here",
        ),
        (
            [0.87, 0.875, 0.88],
            {GUESS: 0.6, NEIGHBOURS: 0.88},
            "nearest neighbours, untuned: 88.0%; the best network: 87.5% (86.3 … 88.7%): too close to call",
        ),
        (
            [0.59, 0.60, 0.61],
            {GUESS: 0.6, BOOSTING: 0.95},
            "gradient boosting, untuned: 95.0%; the best network: 60.0% (57.5 … 62.5%): boosting is better "
            "here, and the network is no better than guessing the majority class (60.0%)",
        ),
        (
            [0.59, 0.60, 0.61],
            {GUESS: 0.6},
            "majority class: 60.0%; the best network: 60.0% (57.5 … 62.5%): no better than guessing the "
            "majority class",
        ),
    ],
)
def test_the_sentence_says_whether_a_network_was_worth_it(
    scores: list[float], others: dict[str, float], said: str
) -> None:
    assert baselines_sentence(made_up(scores, others)) == said


def test_of_errors_less_is_better() -> None:
    said = baselines_sentence(made_up([50.0, 51.0, 52.0], {"mean": 77.0, BOOSTING: 60.0}, "rmse"))
    assert said == (
        "gradient boosting, untuned: rmse 60.00; the best network: 51.00 (48.52 … 53.48): the network is "
        "better here"
    )
    said = baselines_sentence(made_up([50.0, 51.0, 52.0], {"mean": 77.0, BOOSTING: 40.0}, "rmse"))
    assert said is not None
    assert said.endswith("boosting is better here")


def test_few_test_rows_decide_nothing() -> None:
    """On 50 rows, 87.5 and 80 % differ by less than two standard errors, however alike the seeds are."""
    report = made_up([0.874, 0.875, 0.876], {GUESS: 0.3, LINEAR: 0.8}, rows=50)
    hits = np.arange(50) < 40
    told = replace(report, baselines=(report.baselines[0], replace(report.baselines[1], shares=hits * 1.0)))
    assert str(baselines_sentence(report)).endswith("the network is better here")
    assert str(baselines_sentence(told)).endswith("too close to call")


def test_before_it_is_confirmed_the_network_is_said_to_be_flattered() -> None:
    report = replace(made_up([0.9] * 3, {GUESS: 0.3, LINEAR: 0.999}), confirmation=None)
    said = str(baselines_sentence(report))
    assert "on validation, the best of all trials, and still no better; not confirmed" in said


def test_of_unbalanced_classes_both_accuracies_are_shown_and_rare_ones_named() -> None:
    report = made_up([0.9, 0.91, 0.92], {GUESS: 0.9})
    counts = np.array([[90, 0], [10 - 1, 0]])
    record = replace(report.record, data_summary={**report.record.data_summary, "classes": ["no", "yes"]})
    told = replace(report, record=record, baselines=(replace(report.baselines[0], counts=counts),))
    assert "test balanced accuracy" in [column.head for column in baselines_grid(told).columns]
    assert "50.0%" in baselines_grid(told).rows[-1]
    assert any("class yes (9)" in line for line in baselines_remarks(told))


def test_what_is_stored_reads_back_bit_for_bit() -> None:
    random = np.random.default_rng(0)
    found = (
        Baseline("a", 0.1, None, 0.3, "why", random.integers(0, 9, (3, 3)), random.normal(size=7)),
        Baseline("b", None, 1 / 3, 2.0),
    )
    about, data = pack_baselines(found)
    from safetensors.numpy import load

    back = unpack_baselines(json.loads(json.dumps(about)), load(data))
    for one, other in zip(found, back, strict=True):
        assert (one.name, one.valid, one.test, one.seconds, one.note) == (
            other.name,
            other.valid,
            other.test,
            other.seconds,
            other.note,
        )
        assert np.array_equal(one.counts, other.counts)
        assert np.array_equal(one.shares, other.shares)
