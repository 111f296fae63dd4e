"""Comparing two trials or studies: the statistics hold, and a regression is told and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner, Result

import hpsearch as package
from hpsearch.cli.app import app
from hpsearch.engine.versus import trial_name
from hpsearch.records import FloatArray
from hpsearch.stats import regression_p, versus
from hpsearch.store import Database
from tests.studies import hpsearch, url, write_study

COUNT = 800


def margin_of(rate: float) -> float:
    return 2.6 * float(np.sqrt(rate * (1 - rate) / COUNT))


def accuracies(random: np.random.Generator, mean: float, seeds: int) -> FloatArray:
    rates = np.clip(mean + 0.005 * random.normal(size=(COUNT, seeds)), 0, 1)
    found: FloatArray = random.binomial(360, rates) / 360
    return found


# -- statistics ----------------------------------------------------------------------------------


def test_intervals_and_p_values_are_those_of_scipy() -> None:
    random = np.random.default_rng(2)
    a, b = random.normal(size=8), random.normal(0.5, 2, size=8)
    paired, welch = versus(a, b, True, True), versus(a, b, False, True)
    assert paired is not None
    assert welch is not None
    for found, by_scipy in ((paired, stats.ttest_rel(b, a)), (welch, stats.ttest_ind(b, a, equal_var=False))):
        interval = by_scipy.confidence_interval(0.95)
        assert (found.low, found.high, found.p) == pytest.approx(
            (interval.low, interval.high, by_scipy.pvalue)
        )
    share = stats.mannwhitneyu(b, a).statistic / 64
    assert welch.chance == pytest.approx(share)
    assert versus(-a, -b, False, False).chance == pytest.approx(share)  # type: ignore[union-attr]
    pooled = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    assert welch.effect == pytest.approx((b.mean() - a.mean()) / pooled * (1 - 3 / (4 * 14 - 1)))


@pytest.mark.parametrize("paired", [True, False])
def test_intervals_cover_and_seeds_alone_trip_no_more_than_is_stated(paired: bool) -> None:
    random = np.random.default_rng(7)
    inside = np.zeros(COUNT, bool)
    tripped = {0.0: 0, 0.005: 0}
    a, b = accuracies(random, 0.97, 10), accuracies(random, 0.97, 10)
    for at in range(COUNT):
        found = _interval(a[at], b[at], paired)
        inside[at] = found[0] <= 0 <= found[1]
        for margin in tripped:
            p = regression_p(a[at], b[at], paired, True, margin)
            tripped[margin] += p is not None and p < 0.05
    assert abs(inside.mean() - 0.95) <= 0.02
    assert tripped[0.0] / COUNT <= 0.05 + margin_of(0.05)
    assert tripped[0.005] / COUNT <= 0.01


def _interval(a: FloatArray, b: FloatArray, paired: bool) -> tuple[float, float]:
    """Of `versus`, without its bootstrap."""
    from hpsearch.stats.versus import _t_test

    found = _t_test(a, b, paired)
    return (b.mean() - a.mean(), b.mean() - a.mean()) if found is None else found[:2]


def test_a_margin_holds_at_the_margin_and_beyond_it_regressions_are_found() -> None:
    random = np.random.default_rng(9)
    a, at_margin, beyond = (accuracies(random, mean, 10) for mean in (0.97, 0.96, 0.93))
    at = [regression_p(x, y, True, True, 0.01) for x, y in zip(a, at_margin, strict=True)]
    far = [regression_p(x, y, True, True, 0.01) for x, y in zip(a, beyond, strict=True)]
    assert np.mean([p is not None and p < 0.05 for p in at]) <= 0.05 + margin_of(0.05)
    assert np.mean([p is not None and p < 0.05 for p in far]) > 0.95
    # Where less is better, the same numbers turned round.
    assert regression_p(-a[0], -beyond[0], True, False, 0.01) == pytest.approx(far[0])


def test_divergence_counts_against_the_side_that_diverges() -> None:
    a = np.random.default_rng(1).normal(1, 0.01, 12)
    b = np.where(np.arange(12) < 9, np.nan, a)
    assert (regression_p(a, b, True, True, 0.0) or 1) < 0.05
    assert (regression_p(b, a, True, True, 0.0) or 0) > 0.5
    assert versus(a, np.full(12, np.nan), True, True) is None
    assert (regression_p(a, np.full(12, np.nan), True, True, 0.0) or 1) < 0.01


def test_scores_without_spread_need_many_seeds() -> None:
    few, many = (regression_p(np.full(n, 0.9), np.full(n, 0.8), True, True, 0.0) for n in (4, 10))
    assert few is not None
    assert many is not None
    assert many < 0.05 < few
    assert regression_p(np.full(9, 0.9), np.full(9, 0.9), True, True, 0.0) == 1.0


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good study, the same searched badly, one of other rows and one of another task."""
    folder = tmp_path_factory.mktemp("versus")
    good = write_study(folder, trials=16, more='stopping = "none"\n')
    text = good.read_text()
    bad = text.replace("low = 1e-3, high = 3.0", "low = 1e-6, high = 1e-5").replace('"small"', '"bad"')
    (folder / "bad.toml").write_text(bad)
    (folder / "other.toml").write_text(text.replace('"small"', '"other"').replace("seed = 3", "seed = 4"))
    (folder / "task.toml").write_text(text.replace('"small"', '"task"').replace('"iris"', '"diabetes"'))
    for name in ("small", "bad", "other", "task"):
        package.run(folder / f"{name}.toml", storage=url(folder / "x.db"))
    return folder / "x.db"


def compare(database: Path, *words: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, words), "--storage", url(database)])


def test_a_study_is_no_regression_against_itself_and_a_bad_one_is(database: Path) -> None:
    same = compare(database, "small", "small", "--fail-if-worse", "0.5%", "--format", "json")
    assert same.exit_code == 0
    document = json.loads(same.stdout)
    assert document["format"] == "hpsearch.compare/1"
    assert document["a"]["scores"] == document["b"]["scores"]
    assert document["paired"] is True
    assert document["regression"] == {"margin": 0.005, "p": 1.0, "regressed": False}
    worse = compare(database, "small", "bad", "--fail-if-worse", "0.5%")
    assert worse.exit_code == 4
    assert "Regression: B is worse than A by more than 0.5 points" in " ".join(worse.stdout.split())
    better = compare(database, "bad", "small", "--fail-if-worse", "0.5%", "--format", "markdown")
    assert better.exit_code == 0
    assert "| A bad |" in better.stdout
    assert "B is better" in better.stdout


def test_trials_and_studies_of_other_rows_can_be_compared(database: Path) -> None:
    trials = json.loads(compare(database, "small:0", "small#1", "--seeds", 3, "--format", "json").stdout)
    assert (trials["a"]["trial"], trials["b"]["trial"], len(trials["a"]["scores"])) == (0, 1, 3)
    other = json.loads(compare(database, "small", "other", "--format", "json").stdout)
    assert other["paired"] is False
    assert any("not paired" in line for line in other["remarks"])
    anytime = other["a"]["anytime"]
    assert anytime["trials"] == list(range(1, 17))
    assert anytime["epochs"] == [9 * n for n in range(1, 17)]
    assert anytime["best"] == sorted(anytime["best"])
    by_loss = json.loads(compare(database, "small", "bad", "--metric", "log_loss", "--format", "json").stdout)
    assert (by_loss["metric"], by_loss["direction"]) == ("log_loss", "minimize")
    assert by_loss["difference"]["mean"] > 0


def test_looks_at_the_test_part_are_noted_with_both(database: Path) -> None:
    compare(database, "small:2", "other:3", "--seeds", 3)
    with Database.open(url(database)) as stored:
        last = [stored.study(name).scorings()[-1] for name in ("small", "other")]
    assert [each.purpose for each in last] == ["comparison", "comparison"]
    assert [each.about["trials"] for each in last] == [[2], [3]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("small", "smal"), 'did you mean "small"'),
        (("small:99", "small"), "expected a trial from 0 to 15; found 99"),
        (("small", "task"), "expected the same task"),
        (("small", "bad", "--fail-if-worse", "five"), 'such as 0.5% or 0.02; found "five"'),
        (("small", "bad", "--fail-if-worse", "-1%"), "expected a margin from 0 up"),
        (("small", "bad", "--metric", "rmse"), "--metric: expected one of accuracy"),
    ],
)
def test_what_cannot_be_compared_is_said(database: Path, words: tuple[str, ...], message: str) -> None:
    done = hpsearch("compare", *words, "--storage", url(database))
    assert done.returncode == 2
    assert message in done.stderr
    assert not done.stdout


def test_names_of_trials() -> None:
    assert trial_name("digits") == ("digits", None)
    assert trial_name("digits:17") == ("digits", 17)
    assert trial_name("studies/digits.toml#3") == ("studies/digits.toml", 3)
