"""What finalists say of single test rows agrees with their scores, and comes back from the database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hpsearch
from hpsearch.data import Dataset
from hpsearch.records import VALID_METRIC
from hpsearch.running.prepare import make_problem, prepare
from hpsearch.study.file import Study, load_study
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, train_lanes
from hpsearch.train.cohort import train_cohort
from hpsearch.train.metrics import score
from tests.studies import url, write_study

LANES = [
    Lane(0, Configuration(learning_rate=0.05, batch_size=16, depth=2, width=8)),
    Lane(1, Configuration(learning_rate=1e9, batch_size=16, depth=3, width=12)),
    Lane(2, Configuration(learning_rate=0.01, batch_size=16, depth=1)),
]


def prepared(folder: Path, source: str, metric: str) -> tuple[Study, Dataset]:
    return prepare(load_study(write_study(folder, source=source), [f"train.metric={metric}"]))


@pytest.mark.parametrize("trainer", [train_lanes, train_cohort])
@pytest.mark.parametrize(
    ("source", "metric"), [("wine", "accuracy"), ("breast_cancer", "f1"), ("diabetes", "rmse")]
)
def test_kept_outputs_have_the_score_of_the_curve(
    tmp_path: Path, source: str, metric: str, trainer: type[train_lanes]
) -> None:
    study, dataset = prepared(tmp_path, source, metric)
    problem = make_problem(study, dataset, "cpu")
    plain = trainer(problem, LANES, 3)
    kept = trainer(replace(problem, keep_outputs=True), LANES, 3)
    y = problem.y_valid.astype(np.int64) if dataset.classes else problem.y_valid
    for before, after in zip(plain, kept, strict=True):
        assert before.outputs is None
        assert np.array_equal(before.curve, after.curve, equal_nan=True)
        if after.failure is not None:
            assert after.outputs is None
            continue
        assert after.outputs is not None
        found = score(metric, after.outputs, y, dataset.target_std)
        assert found == pytest.approx(after.curve[-1, VALID_METRIC], rel=1e-6)
    assert kept[0].outputs is not None


def test_a_confusion_matrix_counts_the_test_rows_of_all_seeds(tmp_path: Path) -> None:
    path = write_study(tmp_path, source="wine", trials=8)
    result = hpsearch.run(path, storage=url(tmp_path / "x.db"))
    c = result.numbers.confirmation
    assert c is not None
    for each in c.finalists:
        assert each.counts.sum() == c.rows * (c.seeds - each.diverged)
        share = np.trace(each.counts) / each.counts.sum()
        assert share == pytest.approx(np.nanmean(each.scores))
        assert each.shares.mean() == pytest.approx(share)
    document = result.document()["outcome"]
    assert document["counts"] == c.best.counts.tolist()
    assert (document["trial"], document["part"]) == (c.best.trial, "test")
    assert hpsearch.report("small", storage=url(tmp_path / "x.db")).document()["outcome"] == document
    text = result.markdown()
    assert "## Confusion matrix" in text
    assert "| class\\_0 |" in text
    assert "Confusion matrix" in result.html()


def test_of_a_regression_predictions_of_the_first_seed_are_kept(tmp_path: Path) -> None:
    path = write_study(tmp_path, source="diabetes", trials=8)
    result = hpsearch.run(path, storage=url(tmp_path / "x.db"))
    c = result.numbers.confirmation
    assert c is not None
    error = c.best.pairs[:, 0] - c.best.pairs[:, 1]
    assert np.sqrt((error**2).mean()) == pytest.approx(c.best.scores[0], rel=1e-5)
    document = result.document()["outcome"]
    whole = [round(value) for value in document["targets"]]  # as they are in the table
    assert document["targets"] == pytest.approx(whole, rel=1e-6)
    assert len(document["predicted"]) == c.rows
    assert "predicted" in result.charts
