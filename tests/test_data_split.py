"""Splits: sizes as documented, every row once, classes in proportion, other rows never looked at."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from hpsearch.data import Dataset, load_dataset
from hpsearch.data.raw import Raw
from hpsearch.data.split import Split, split_rows
from hpsearch.data.target import read_target
from hpsearch.errors import DataError
from hpsearch.records import Task
from hpsearch.study.schema import DataSection, SplitSection


def refuse(key: str, text: str) -> DataError:
    return DataError(f"{key}: {text}")


def split_of(values: np.ndarray, valid: float, test: float, seed: int = 0) -> tuple[Split, np.ndarray]:
    raw = Raw("table", pd.DataFrame({"x": np.arange(len(values)), "y": values}), "y", "")
    target = read_target(raw, None, refuse)
    return split_rows(raw, target, SplitSection(valid=valid, test=test), seed, refuse), target.values


def table(tmp_path: Path, frame: pd.DataFrame, column: str | None = None, **more: str) -> Dataset:
    frame.to_csv(tmp_path / "t.csv", index=False)
    split = SplitSection(column=column)
    return load_dataset(DataSection(source="t.csv", target="y", split=split, **more), 0, tmp_path)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(8, 200), min_size=2, max_size=8),
    valid=st.floats(0.15, 0.4),
    test=st.one_of(st.just(0.0), st.floats(0.15, 0.4)),
    seed=st.integers(0, 2**63 - 1),
)
def test_stratified_splits(counts: list[int], valid: float, test: float, seed: int) -> None:
    values = np.random.default_rng(0).permutation(np.repeat([f"c{i}" for i in range(len(counts))], counts))
    split, labels = split_of(values, valid, test, seed)
    rows = len(values)
    assert sorted(np.concatenate(split)) == list(range(rows))
    assert len(split.test) == math.ceil(round(test * rows, 9))
    assert len(split.valid) == round(valid * rows)
    for part in split:
        found = np.bincount(labels[part], minlength=len(counts))
        proportional = np.array(counts) * len(part) / rows
        # Train takes what two rounded parts leave, so its own rounding adds up.
        assert np.abs(found - proportional).max() < (2 if part is split.train else 1)
        assert len(part) == 0 or found.min() >= 1


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(10, 300), valid=st.floats(0.05, 0.4), test=st.floats(0, 0.4), seed=st.integers(0, 99))
def test_regression_splits(rows: int, valid: float, test: float, seed: int) -> None:
    split, _ = split_of(np.linspace(0.1, 1.2, rows), valid, test, seed)
    assert sorted(np.concatenate(split)) == list(range(rows))
    assert len(split.test) == math.ceil(round(test * rows, 9))
    assert len(split.valid) == max(1, round(valid * rows))


def test_a_rare_class_is_in_every_part() -> None:
    split, labels = split_of(np.array(["common"] * 97 + ["rare"] * 3), 0.1, 0.1)
    assert [int((labels[part] == 1).sum()) for part in split] == [1, 1, 1]


def test_training_rows_alone_decide_the_transformation(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"x": random.normal(50, 9, 90), "z": random.normal(-3, 2, 90)})
    frame["kind"] = random.choice(["a", "b", "c"], 90)
    frame["y"] = random.normal(1000, 300, 90)
    frame["part"] = ["train"] * 60 + ["val"] * 20 + ["Test"] * 10
    frame.loc[[5, 70], "x"] = np.nan
    frame.loc[65, "x"] = np.inf
    frame.loc[75, "kind"] = "only in valid"
    dataset = table(tmp_path, frame, column="part")
    train = frame["part"] == "train"

    numbers = frame[["x", "z"]].replace(np.inf, np.nan)
    numbers = numbers.fillna(numbers[train].median())
    expected = StandardScaler().fit(numbers[train]).transform(numbers)
    for part, rows in (("train", slice(0, 60)), ("valid", slice(60, 80)), ("test", slice(80, 90))):
        np.testing.assert_allclose(getattr(dataset, part).x[:, :2], expected[rows], rtol=1e-5, atol=1e-6)
        one_hot = (frame["kind"].to_numpy()[rows, None] == np.array(["a", "b", "c"])).astype(np.float32)
        np.testing.assert_array_equal(getattr(dataset, part).x[:, 2:], one_hot)
        np.testing.assert_allclose(
            getattr(dataset, part).y * dataset.target_std + dataset.target_mean, frame["y"][rows], rtol=1e-5
        )
    assert dataset.features == ("x", "z", "kind=a", "kind=b", "kind=c")
    assert dataset.target_mean == pytest.approx(frame["y"][:60].mean())
    assert dataset.target_std == pytest.approx(frame["y"][:60].std(ddof=0))

    frame.loc[frame["part"] != "train", ["x", "z", "y"]] *= 7
    np.testing.assert_array_equal(table(tmp_path, frame, column="part").train.x, dataset.train.x)


def test_positive_targets_are_divided_by_the_training_parts_mean(tmp_path: Path) -> None:
    values = np.random.default_rng(2).gamma(2, 30, 60)
    values[:5] = 0
    frame = pd.DataFrame({"x": range(60), "y": values, "part": ["train"] * 40 + ["valid"] * 20})
    dataset = table(tmp_path, frame, column="part", task="positive_regression")
    assert dataset.task is Task.POSITIVE_REGRESSION
    assert (dataset.outputs, dataset.classes, dataset.target_mean) == (1, (), 0)
    assert dataset.target_std == pytest.approx(values[:40].mean())
    np.testing.assert_allclose(dataset.train.y, values[:40] / values[:40].mean(), rtol=1e-6)
    np.testing.assert_allclose(dataset.valid.y, values[40:] / values[:40].mean(), rtol=1e-6)
    assert dataset.train.y.dtype == np.float32
    assert (dataset.train.y[:5] == 0).all()
    assert table(tmp_path, frame, column="part").task is Task.REGRESSION


def test_a_split_column_may_leave_out_the_test_part(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"x": range(20), "y": ["a", "b"] * 10, "part": ["training"] * 14 + ["validation"] * 6}
    )
    dataset = table(tmp_path, frame, column="part")
    assert (len(dataset.train), len(dataset.valid), dataset.test.x.shape) == (14, 6, (0, 1))


def test_features_that_are_constant_in_training_are_zero_everywhere(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(30.0), "same": [0.1] * 20 + [5.0] * 10, "word": ["a"] * 29 + ["b"]})
    frame = frame.assign(empty=np.nan, y=["p", "q"] * 15, part=["train"] * 20 + ["valid"] * 10)
    dataset = table(tmp_path, frame, column="part")
    assert dataset.features == ("x", "same", "empty", "word=a")
    for part in (dataset.train, dataset.valid):
        assert (part.x[:, 1:] == 0).all()
        assert part.x[:, 0].any()
    assert dataset.notes[-1] == (
        '3 features constant in the training set, counted as 0: "same", "empty", "word=a"'
    )


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["b", "a"] * 20, "binary", ("a", "b")),
        (["b", "a", "c", "a"] * 10, "multiclass", ("a", "b", "c")),
        ([True, False] * 20, "binary", ("False", "True")),
        ([7.5, 2.5] * 20, "binary", ("2.5", "7.5")),
        ([10, 9, 2, 1] * 25, "multiclass", ("1", "2", "9", "10")),
        ([1e6 + 1, 2, None, 30] * 25, "multiclass", ("2", "30", "1000001")),
        (list(range(10)) * 10, "regression", ()),
        (list(range(31)) * 30, "regression", ()),
        ([0.5, 1.5, 2.5] * 30, "regression", ()),
    ],
)
def test_the_task_is_inferred_from_the_target(
    tmp_path: Path, values: list[object], task: str, classes: tuple[str, ...]
) -> None:
    dataset = table(tmp_path, pd.DataFrame({"x": range(len(values)), "y": values}))
    assert (dataset.task, dataset.classes) == (task, classes)


def test_whole_numbers_taken_as_classes_are_mentioned_and_can_be_quantities(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(100) / 4, "y": [10, 9, 2, 1] * 25})
    assert "taken as classes" in table(tmp_path, frame).notes[0]
    assert "taken as quantities" in table(tmp_path, frame.iloc[:40]).notes[0]
    assert table(tmp_path, frame, task="regression").classes == ()
    assert table(tmp_path, frame, task="multiclass").notes == ()
    assert table(tmp_path, frame.assign(y=[1, 0] * 50), task="multiclass").outputs == 2


def test_rows_without_a_finite_target_are_left_out(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 40)
    values[[2, 3]] = np.nan, np.inf
    dataset = table(tmp_path, pd.DataFrame({"x": np.arange(40) / 4, "y": values}))
    assert sum(map(len, (dataset.train, dataset.valid, dataset.test))) == 38
    assert dataset.notes == ('2 rows without "y" left out',)
