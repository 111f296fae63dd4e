"""The threshold of a binary class: chosen on validation, the same in scores, models and predictions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

import hpsearch
from hpsearch.errors import HpsearchError, StudyChangedError, StudyFileError
from hpsearch.model.files import ABOUT, checksum_of, load_model
from hpsearch.records import EVEN
from hpsearch.results.scorings import CONFIRMATION
from hpsearch.retrain.fresh_seeds import candidate_of, fresh_seed, train_fresh
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import make_problem, prepare
from hpsearch.store import Database
from hpsearch.study.file import THRESHOLDED, Study, load_study
from hpsearch.train import Lane, train_lanes
from hpsearch.train.metrics import OF_TWO
from hpsearch.train.simple_models import models
from hpsearch.train.thresholds import best_threshold, choose_threshold, shifted
from tests.studies import url, write_study

PEERS = {"balanced_accuracy": metrics.balanced_accuracy_score, "f1": metrics.f1_score}


def test_the_study_file_and_the_trainer_know_the_same_metrics() -> None:
    assert set(THRESHOLDED) == set(OF_TWO) == set(PEERS)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-36, 36).map(lambda o: o / 4) | st.just(-np.inf), st.booleans()),
        min_size=2,
        max_size=40,
    ),
    st.sampled_from(sorted(PEERS)),
)
def test_no_threshold_of_the_roc_curve_is_better(rows: list[tuple[float, bool]], metric: str) -> None:
    """By brute force: scikit-learn's metric at every threshold that its ROC curve has."""
    outputs = np.array([[o] for o, _ in rows], np.float32)
    truth = np.array([y for _, y in rows], np.int64)
    if len(set(truth)) < 2:
        assert best_threshold(metric, outputs, truth) == EVEN
        return
    *_, cuts = metrics.roc_curve(truth, outputs[:, 0].clip(-99), drop_intermediate=False)
    best = max(PEERS[metric](truth, outputs[:, 0] >= cut) for cut in cuts if cut > -99)
    threshold = best_threshold(metric, outputs, truth)
    assert PEERS[metric](truth, shifted(outputs, threshold)[:, 0] > 0) == pytest.approx(best, abs=1e-12)


def test_the_middle_of_the_widest_plateau_is_taken() -> None:
    shares = np.array([0.1, 0.2, 0.6, 0.7])
    outputs = np.log(shares / (1 - shares))[:, None]
    assert best_threshold("f1", outputs, np.array([0, 0, 1, 1])) == pytest.approx(0.4)
    # From 0.1 to 0.2 three rows of four are right, from 0.6 to 0.8 as well.
    shares[3] = 0.8
    outputs = np.log(shares / (1 - shares))[:, None]
    found = best_threshold("balanced_accuracy", outputs, np.array([0, 1, 0, 1]))
    assert found == pytest.approx(0.7)


def test_a_mean_that_is_no_better_than_a_half_is_not_taken() -> None:
    """One network's best is 0.3, the other's 0.7; at their mean, and at 0.5, both fail alike."""
    shares = np.array([[0.2, 0.4], [0.6, 0.8]])
    parts = [(np.log(each / (1 - each))[:, None], np.array([0, 1])) for each in shares]
    assert [best_threshold("f1", *each) for each in parts] == pytest.approx([0.3, 0.7])
    assert choose_threshold("f1", parts) == EVEN
    assert choose_threshold("f1", parts[:1]) == pytest.approx(0.3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study of an unbalanced table with its baselines, and the database of its run and confirmation."""
    folder = tmp_path_factory.mktemp("thresholds")
    random = np.random.default_rng(4)
    x = random.normal(size=(500, 3))
    rare = x[:, 0] + x[:, 1] ** 2 + random.normal(size=500) > 2.4
    frame = pd.DataFrame(x, columns=list("abc")).assign(label=np.where(rare, "yes", "no"))
    frame.to_csv(folder / "t.csv", index=False)
    path = write_study(folder, source="t.csv", trials=8, more='stopping = "none"\n')
    text = path.read_text().replace('"t.csv"', '"t.csv"\ntarget = "label"')
    path.write_text(
        text.replace("[train]", '[train]\nmetric = "balanced_accuracy"').replace("baselines = false", "")
    )
    hpsearch.run(path, storage=url(folder / "x.db"))
    return path, folder / "x.db"


@pytest.fixture
def confirmed(made: tuple[Path, Path]) -> Any:
    return hpsearch.report("small", storage=url(made[1])).numbers.confirmation


def by_hand(study: Study, dataset: Any, finalist: Any, seeds: int) -> Iterator[tuple[Any, Any, Any]]:
    """Of each fresh seed probabilities for validation and test rows, and the network's raw test outputs."""
    configuration = study.space.configuration(finalist.params)
    for index in range(seeds):
        for_valid = replace(
            make_problem(study, dataset, "cpu"), seed=fresh_seed(study.seed, index), keep_outputs=True
        )
        for_test = replace(for_valid, x_valid=dataset.test.x, y_valid=dataset.test.y)
        valid, test = (
            train_lanes(each, [Lane(0, configuration, None, 0)], finalist.epochs)[0].outputs
            for each in (for_valid, for_test)
        )
        assert valid is not None
        assert test is not None
        yield valid, test, None


def test_finalists_are_scored_at_the_mean_of_their_seeds_best_thresholds(
    made: tuple[Path, Path], confirmed: Any
) -> None:
    study, dataset = prepare(load_study(made[0]))
    for finalist in confirmed.finalists[:2]:
        outputs = list(by_hand(study, dataset, finalist, confirmed.seeds))
        own = [best_threshold("balanced_accuracy", valid, dataset.valid.y) for valid, _, _ in outputs]
        assert finalist.threshold in (pytest.approx(np.mean(own), abs=1e-12), EVEN)
        for at, (valid, test, _) in enumerate(outputs):
            for found, raw, part in (
                (finalist.decided, valid, dataset.valid),
                (finalist.scores, test, dataset.test),
            ):
                taken = 1 / (1 + np.exp(-raw[:, 0].astype(float))) > finalist.threshold
                assert found[at] == pytest.approx(metrics.balanced_accuracy_score(part.y, taken))
        assert finalist.counts.sum() == confirmed.rows * confirmed.seeds
        recalls = finalist.counts.diagonal() / finalist.counts.sum(axis=1)
        assert recalls.mean() == pytest.approx(finalist.scores.mean())
    assert any(each.threshold != EVEN for each in confirmed.finalists)
    promised = [each.decided.mean() for each in confirmed.ranked]
    assert promised == sorted(promised, reverse=True)


def test_a_study_that_looks_for_its_epoch_is_decided_alike(made: tuple[Path, Path]) -> None:
    """With `score = "best"` finalists are scored in a second pass, after another epoch."""
    study, dataset = prepare(load_study(made[0], ["train.score=best"]))
    with Database.open(url(made[1])) as opened:
        trial = max(opened.study("small").trials(), key=lambda each: each.epochs)
    machine = Machine("cpu", 1)
    (found,) = train_fresh(study, dataset, [candidate_of(study, trial)], 2, machine=machine, thresholds=True)
    outputs = list(by_hand(study, dataset, found, 2))
    own = [best_threshold("balanced_accuracy", valid, dataset.valid.y) for valid, _, _ in outputs]
    assert found.threshold == pytest.approx(np.mean(own), abs=1e-12)
    assert [len(curve) for curve in found.curves] == [trial.epochs] * 2


def test_curves_are_the_same_with_and_without(made: tuple[Path, Path]) -> None:
    study, dataset = prepare(load_study(made[0]))
    with Database.open(url(made[1])) as opened:
        candidate = candidate_of(study, opened.study("small").trials()[0])
    (a,), (b,) = (
        train_fresh(study, dataset, [candidate], 2, machine=Machine("cpu", 1), thresholds=each)
        for each in (False, True)
    )
    assert b.threshold != a.threshold == EVEN
    assert all(np.array_equal(one, other) for one, other in zip(a.curves, b.curves, strict=True))
    assert np.array_equal(a.losses, b.losses)


def test_predictions_are_the_classes_that_were_scored(
    made: tuple[Path, Path], confirmed: Any, tmp_path: Path
) -> None:
    _, dataset = prepare(load_study(made[0]))
    out = tmp_path / "m"
    done = hpsearch.export("small", out=out, storage=url(made[1]), onnx=True)
    model, best = load_model(out), confirmed.best
    assert model.threshold == best.threshold != EVEN
    assert f"above {best.threshold:.2f}, a threshold chosen on validation" in repr(model)
    assert repr(best.threshold) in done.snippet
    table = made[0].parent / "t.csv"
    frame = model.predict(table)
    assert ((frame["p_yes"] > model.threshold) == (frame["predicted"] == "yes")).all()
    assert (frame["predicted"] != np.where(frame["p_yes"] > 0.5, "yes", "no")).any()
    rows = model.prepare(table)
    truth = pd.read_csv(table)["label"]
    value, _ = model.score(rows, model.outputs(rows.x)) or (0.0, 0)
    assert value == pytest.approx(metrics.balanced_accuracy_score(truth, frame["predicted"]))

    import onnx

    written = onnx.load(out / "model.onnx")
    said = {each.key: each.value for each in written.metadata_props}
    assert float(said["threshold"]) == model.threshold

    # Without refitting, the file of the very seed that was scored decides its test rows as they were counted.
    shares = model.represented(model.outputs(dataset.test.x))
    assert np.array_equal(
        model.decided(model.outputs(dataset.test.x))[:, 0] > 0, shares[:, 1] > model.threshold
    )
    command = [sys.executable, "-m", "hpsearch", "predict", str(out), str(table), "--format", "json"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["threshold"] == model.threshold
    assert f'predicts "yes" where its probability is above {best.threshold:.2f}' in told.stderr


def test_a_model_file_without_a_threshold_decides_at_a_half(made: tuple[Path, Path], tmp_path: Path) -> None:
    """As every version before wrote them; and a threshold is covered by the checksum, and checked."""
    hpsearch.export("small", out=tmp_path, storage=url(made[1]))
    file = tmp_path / ABOUT
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "threshold": 0.25}))
    with pytest.raises(HpsearchError, match="does not match its checksum"):
        load_model(tmp_path)

    def rewritten(**changed: Any) -> None:
        new = {key: value for key, value in {**document, **changed}.items() if value is not None}
        file.write_text(json.dumps({**new, "sha256": checksum_of(new)}))

    rewritten(threshold=1.5)
    with pytest.raises(HpsearchError, match=r"threshold: expected a number below 1; found 1\.5"):
        load_model(tmp_path)
    rewritten(threshold=None)
    model = load_model(tmp_path)
    assert model.threshold == EVEN
    assert "threshold" not in repr(model)
    frame = model.predict(made[0].parent / "t.csv")
    assert ((frame["p_yes"] > 0.5) == (frame["predicted"] == "yes")).all()


def test_baselines_have_a_threshold_of_their_own(made: tuple[Path, Path]) -> None:
    """Of scikit-learn's linear model, trained and scored once more here."""
    _, dataset = prepare(load_study(made[0]))
    report = hpsearch.report("small", storage=url(made[1])).numbers
    linear = next(each for each in report.baselines if each.name == "linear model")
    model = dict(models(2, 0))["linear model"]().fit(dataset.train.x, dataset.train.y.astype(int))
    valid, test = (model.predict_proba(part.x)[:, 1] for part in (dataset.valid, dataset.test))
    raw = np.log(valid / (1 - valid))[:, None]
    assert linear.threshold == pytest.approx(
        best_threshold("balanced_accuracy", raw, dataset.valid.y), abs=0.02
    )
    for found, shares, part, threshold in (
        (linear.valid, valid, dataset.valid, EVEN),
        (linear.decided, valid, dataset.valid, linear.threshold),
        (linear.test, test, dataset.test, linear.threshold),
    ):
        expected = metrics.balanced_accuracy_score(part.y, shares > threshold)
        assert found == pytest.approx(expected, abs=0.02)


def test_the_report_says_the_threshold(made: tuple[Path, Path], confirmed: Any) -> None:
    from hpsearch.reporting.finalists import confirmation_document, finalists_grid, finalists_warnings

    rows = confirmation_document(confirmed)["finalists"]
    assert [row["threshold"] for row in rows] == [each.threshold for each in confirmed.ranked]
    assert "threshold" in [column.head for column in finalists_grid(confirmed).columns]
    assert finalists_warnings(confirmed)[0].startswith(f"Threshold {confirmed.best.threshold:.2f} chosen on")


def test_a_stored_study_that_names_no_threshold_stays_at_a_half(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    """As it was confirmed, though its file would now ask for one; a fork may ask anew."""
    path = made[0]
    database = url(tmp_path / "x.db")
    hpsearch.run(load_study(path, ["train.threshold=fixed"]), storage=database)
    with Database.open(database) as opened:
        store = opened.study("small")
        assert "threshold" not in store.record.document["train"]
        (before,) = [each for each in store.scorings() if each.purpose == CONFIRMATION]
        assert "threshold" not in before.about
    found = hpsearch.run(load_study(path), storage=database).numbers.confirmation
    assert found is not None
    assert {each.threshold for each in found.finalists} == {EVEN}
    assert not any(each.decided.size for each in found.finalists)
    with pytest.raises(StudyChangedError, match=r'train\.threshold: stored "fixed", now "validation"'):
        hpsearch.run(load_study(path, ["train.threshold=validation"]), storage=database)
    forked = hpsearch.fork(load_study(path, ["train.threshold=validation"]), "other", storage=database)
    assert forked.taken == 8
    hpsearch.confirm("other", storage=database)
    again = hpsearch.report("other", storage=database).numbers
    assert again.confirmation is not None
    assert again.confirmation.best.threshold != EVEN
    assert not again.baselines  # the parent's are decided at 0.5


def test_a_threshold_is_refused_where_nothing_is_decided_by_one(made: tuple[Path, Path]) -> None:
    asked = load_study(made[0], ["train.threshold=validation", "train.metric=accuracy"])
    with pytest.raises(StudyFileError, match="applies to binary tasks ranked by balanced_accuracy or f1"):
        prepare(asked)
    study, _ = prepare(load_study(made[0], ["train.metric=accuracy"]))
    assert not study.chooses_threshold
    assert "threshold" not in study.document()["train"]


def test_without_a_test_set_nothing_is_left_to_score_a_chosen_threshold(made: tuple[Path, Path]) -> None:
    study, dataset = prepare(load_study(made[0], ["data.split={valid=0.3,test=0}"]))
    assert not len(dataset.test)
    with Database.open(url(made[1])) as opened:
        candidate = candidate_of(study, opened.study("small").trials()[0])
    (found,) = train_fresh(study, dataset, [candidate], 2, machine=Machine("cpu", 1), thresholds=True)
    assert found.threshold == EVEN
