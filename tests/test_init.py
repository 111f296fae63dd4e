"""`hpsearch init`: the template, and study files that suit somebody's data; each of them runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from hpsearch.cli.app import app
from hpsearch.running.estimate import estimate
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import make_problem, prepare
from hpsearch.study.file import Study, load_study
from hpsearch.study.space import Choice, Entry, Fixed
from hpsearch.train import Lane
from hpsearch.train.native import fits

EFFORTS = ("quick", "good", "best")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*words: str) -> str:
    done = CliRunner().invoke(app, ["init", *words])
    if isinstance(done.exception, Exception):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def table(rows: int, target: object) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(rows, 6)), columns=list("abcdef"))
    frame.assign(target=target).to_csv("data.csv", index=False)


def test_the_template_is_a_study_and_is_not_overwritten() -> None:
    assert "wrote first.toml" in init("first")
    assert load_study("first.toml").search.trials == 256
    with pytest.raises(Exception, match="exists already"):
        init("first")
    init("first", "--force")


@pytest.mark.parametrize(
    ("target", "task", "loss", "metric"),
    [
        (np.arange(400) / 7.0, "regression", "mse", "rmse"),
        (["yes", "no"] * 200, "binary", "bce", "accuracy"),
        (["a", "b", "c", "b"] * 100, "multiclass", "cross_entropy", "accuracy"),
        (["rare"] * 40 + ["usual"] * 360, "binary", "bce", "balanced_accuracy"),
    ],
)
def test_loss_and_metric_follow_from_the_target(target: object, task: str, loss: str, metric: str) -> None:
    table(400, target)
    init("data.csv", "--target", "target")
    study, dataset = prepare(load_study("data.toml"))
    assert (dataset.task, study.train.loss, study.train.metric) == (task, loss, metric)
    assert set(study.space.searched) == {"learning_rate", "depth"}
    fixed = study.space.fixed
    assert (fixed["activation"], fixed["momentum"], fixed["batch_size"]) == ("relu", 0.9, 16)


def test_positive_regression_is_asked_for() -> None:
    table(400, np.arange(400))
    init("data.csv", "--target", "target", "--task", "positive_regression")
    study, dataset = prepare(load_study("data.toml"))
    assert dataset.task == "positive_regression"
    assert study.train.representation == "softplus"


def test_the_batch_grows_with_the_data() -> None:
    sizes = []
    for rows in (100, 2_000, 30_000, 60_000):
        table(rows, np.arange(rows) / 7)
        init("data.csv", "--target", "target", "--force")
        sizes.append(load_study("data.toml").space.fixed["batch_size"])
    assert sizes == [16, 32, 64, 128]


def test_a_folder_of_pictures_and_a_study_file_elsewhere(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cat", 'it\'s a "dog"'):
        (folder / "pets" / name).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 255, (8, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pets" / name / f"{number}.png")
    (folder / "studies").mkdir()
    init("pets", "--out", "studies/pets.toml")
    study, dataset = prepare(load_study("studies/pets.toml"))
    assert study.data.image_size == [8, 10]
    assert dataset.image is not None
    assert len(dataset.features) == 240


def test_a_built_in_source_is_data() -> None:
    init("iris")
    assert prepare(load_study("iris.toml"))[1].name == "iris"


def test_what_is_missing_is_said_with_the_option_that_gives_it() -> None:
    table(100, np.arange(100))
    with pytest.raises(Exception, match='--target: is missing; expected the column to predict, one of "a"'):
        init("data.csv")
    with pytest.raises(Exception, match='there is no column "targt"; did you mean "target"'):
        init("data.csv", "--target", "targt")
    with pytest.raises(Exception, match="no such file"):
        init("nowhere/data.csv")
    with pytest.raises(
        Exception, match=r'--target, --task and --effort are for data; there is no file.*"dta"'
    ):
        init("dta", "--target", "y")
    assert not list(Path().glob("*.toml"))


def contains(outer: Entry, inner: Entry) -> bool:
    """Whether every value of one entry of a space is among another's."""
    if isinstance(inner, Fixed | Choice):
        values = [inner.value] if isinstance(inner, Fixed) else inner.values
        if isinstance(outer, Fixed | Choice):
            return set(values) <= set([outer.value] if isinstance(outer, Fixed) else outer.values)
        return all(outer.low <= value <= outer.high for value in values)
    return not isinstance(outer, Fixed | Choice) and outer.low <= inner.low and inner.high <= outer.high


def written(source: str, *words: str) -> dict[str, Study]:
    """The study of each effort."""
    for effort in EFFORTS:
        init(source, *words, "--effort", effort, "--out", f"{effort}.toml")
    return {effort: load_study(f"{effort}.toml") for effort in EFFORTS}


@pytest.mark.parametrize("source", ["numbers", "tiny", "iris", "digits", "codes"])
def test_efforts_search_ever_more_and_what_they_write_runs(source: str) -> None:
    words: tuple[str, ...] = ()
    if source in ("numbers", "tiny", "codes"):
        rows = 30 if source == "tiny" else 600
        table(rows, ["a", "b", "c"] * (rows // 3) if source == "codes" else np.arange(rows) / 7)
        source, words = "data.csv", ("--target", "target")
    studies = written(source, *words)
    for less, more in (("quick", "good"), ("good", "best")):
        inner, outer = studies[less], studies[more]
        assert inner.search.trials < outer.search.trials
        assert inner.train.epochs <= outer.train.epochs
        assert set(inner.space.searched) < set(outer.space.searched)
        for name, entry in inner.space.entries.items():
            assert contains(outer.space.entries[name], entry), f"{more} lacks some of {less}'s {name}"
    for study in studies.values():
        ready, dataset = prepare(study)
        left = estimate(ready, dataset, (), 0, Machine.of("cpu", 1))
        assert len(left.asked) == min(study.search.cohort, study.search.trials)
        problem = make_problem(ready, dataset, "cpu")
        lanes = [Lane(n, study.space.configuration(params)) for n, params in enumerate(left.asked)]
        assert all(fits(problem, lane) for lane in lanes), "torch would train some of them, which is slow"


def test_init_says_what_each_effort_costs() -> None:
    said = init("iris", "--effort", "good").splitlines()
    assert said[0].startswith("wrote iris.toml; effort good: ")
    assert said[1].startswith("--effort quick: 192 trials, about 0:0")
    assert "best: " in said[1]
    assert init("iris", "--force").splitlines()[0].startswith("wrote iris.toml; effort quick: 192 trials")
    assert set(load_study("iris.toml").space.searched) == {"learning_rate", "depth"}


def test_an_unknown_effort_is_refused_and_a_template_has_none() -> None:
    with pytest.raises(Exception, match='--effort: expected one of quick, good, best; found "god"; did you'):
        init("iris", "--effort", "god")
    with pytest.raises(Exception, match="--target, --task and --effort are for data"):
        init("first", "--effort", "good")
    assert not list(Path().glob("*.toml"))
