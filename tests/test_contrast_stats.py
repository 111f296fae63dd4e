"""Two arms on fresh seeds: intervals cover, seeds alone trip no test, and numbers are the libraries'."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special, stats

from hpsearch.records import FloatArray
from hpsearch.stats import BETTER, EQUAL, UNCLEAR, WORSE, by_seed, difference, regression, verdict

STUDIES = 1000
ERROR = 2.6
"""Standard errors of a simulated rate: beyond them once in a hundred checks."""
NEAR = 0.02
PAIRING = pytest.mark.parametrize("paired", [True, False])

World = Callable[[np.random.Generator, bool], tuple[FloatArray, FloatArray]]


def normal(random: np.random.Generator, paired: bool) -> tuple[FloatArray, FloatArray]:
    hard = 2 * random.normal(size=5) if paired else 0.0  # a hard seed is hard for both
    return random.normal(size=5) + hard, 2 * random.normal(size=5) + hard


def accuracies(random: np.random.Generator, paired: bool) -> tuple[FloatArray, FloatArray]:
    hard = 0.01 * random.normal(size=10) if paired else 0.0
    rates = np.clip(0.96 + 0.005 * random.normal(size=(2, 10)) + hard, 0, 1)
    a, b = random.binomial(360, rates) / 360
    return a, b


WORLDS = pytest.mark.parametrize("world", [normal, accuracies])


def at_most(rate: float, count: int) -> float:
    return rate + ERROR * float(np.sqrt(rate * (1 - rate) / count))


@PAIRING
@WORLDS
def test_intervals_cover_the_difference(world: World, paired: bool) -> None:
    random = np.random.default_rng(2)
    inside, told = 0, 0
    for _ in range(STUDIES):
        a, b = world(random, paired)
        found = difference(a, b - 0.01, maximize=True, paired=paired)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= -0.01 <= found.high
        told += (found.p < 0.05) == (found.low <= 0 <= found.high)
    assert abs(inside / STUDIES - 0.95) <= NEAR
    assert told == 0


@PAIRING
@WORLDS
def test_seeds_alone_trip_in_at_most_one_of_twenty(world: World, paired: bool) -> None:
    random = np.random.default_rng(4)
    tripped = allowed = worse = 0
    for _ in range(STUDIES):
        a, b = world(random, paired)
        tripped += regression(a, b, maximize=True, paired=paired).tripped
        allowed += regression(a, b - 0.5, maximize=True, paired=paired, margin=0.5).tripped
        worse += regression(a, b - 9, maximize=True, paired=paired, margin=0.5).tripped
    assert tripped / STUDIES <= at_most(0.05, STUDIES)
    assert allowed / STUDIES <= at_most(0.05, STUDIES)
    assert min(tripped, allowed) / STUDIES >= 0.02  # it is no test that never trips
    assert worse / STUDIES >= 0.9


@PAIRING
def test_a_relative_margin_is_of_the_first_ones_score(paired: bool) -> None:
    random = np.random.default_rng(7)
    tripped = worse = 0
    for _ in range(STUDIES):
        a, b = 50 + 5 * random.normal(size=(2, 8))
        tripped += regression(a, 1.1 * b, maximize=False, paired=paired, relative=0.1).tripped
        worse += regression(a, 1.6 * b, maximize=False, paired=paired, relative=0.1).tripped
    assert 0.03 <= tripped / STUDIES <= at_most(0.05, STUDIES)
    assert worse / STUDIES >= 0.95


def test_other_rows_trip_no_regression_where_they_are_counted_in() -> None:
    random = np.random.default_rng(3)
    rows, seeds, count = 300, 8, 400
    tripped = {True: 0, False: 0}
    covered = 0
    for _ in range(count):
        # Each arm has test rows of its own, most of them easy, and models that differ a little by seed.
        right = np.where(random.random((2, 1, rows)) < 0.9, 0.99, 0.6)
        a, b = (random.random((2, seeds, rows)) < right).mean(2)
        for known in tripped:
            size = (rows, rows) if known else None
            tripped[known] += regression(a, b, maximize=True, paired=False, rows=size).tripped
        found = difference(a, b, maximize=True, paired=False, rows=(rows, rows))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert tripped[True] / count <= at_most(0.05, count)
    assert tripped[False] / count > 0.15  # what it would be without
    assert covered / count >= 0.95 - NEAR


@PAIRING
def test_the_chance_to_be_better_lies_in_its_interval(paired: bool) -> None:
    random = np.random.default_rng(11)
    for shift in (0.0, 0.8):
        truth = float(stats.norm.cdf(shift / np.sqrt(2)))
        inside = 0
        for _ in range(400):
            a, b = random.normal(size=(2, 10))
            found = by_seed(a, b + shift, maximize=True, paired=paired)
            assert found is not None
            inside += found.better.low <= truth <= found.better.high
        assert inside / 400 >= 0.95 - NEAR


def test_numbers_are_scipys() -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(size=9), 0.5 + 2 * random.normal(size=9)
    for paired, by_scipy in (
        (True, stats.ttest_rel(b, a)),
        (False, stats.ttest_ind(b, a, equal_var=False)),
    ):
        found = difference(a, b, maximize=True, paired=paired)
        assert found is not None
        interval = by_scipy.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        assert found.p == pytest.approx(by_scipy.pvalue)
        bound = regression(a, b, maximize=True, paired=paired).bound
        assert bound == pytest.approx(by_scipy.confidence_interval(0.90).high)
        correction = special.gamma(8) / (np.sqrt(8) * special.gamma(7.5))
        pooled = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
        seeds = by_seed(a, b, maximize=True, paired=paired)
        assert seeds is not None
        assert seeds.effect == pytest.approx(correction * (b.mean() - a.mean()) / pooled, rel=1e-3)
        wins = (b > a).mean() if paired else stats.mannwhitneyu(b, a).statistic / 81
        assert seeds.better.value == pytest.approx(wins)


def test_seeds_that_diverged() -> None:
    a, b = 0.9 + 0.01 * np.random.default_rng(5).normal(size=(2, 10))
    lost = b.copy()
    lost[[2, 7]] = np.nan
    kept = np.isfinite(lost)
    assert difference(a, lost, maximize=True, paired=True) == difference(
        a[kept], b[kept], maximize=True, paired=True
    )
    assert difference(a, lost, maximize=True, paired=False) == difference(
        a, b[kept], maximize=True, paired=False
    )
    for paired in (True, False):
        found = difference(a, np.where(np.arange(10) < 2, b, np.nan), maximize=True, paired=paired)
        assert found is None
        nothing = np.full(10, np.nan)
        gone = regression(a, nothing, maximize=True, paired=paired, margin=0.1)
        assert (gone.tripped, gone.diverges, gone.bound) == (True, True, None)
        other = regression(nothing, b, maximize=True, paired=paired, margin=0.1)
        assert (other.tripped, other.diverges) == (False, False)
        both = regression(nothing, nothing, maximize=True, paired=paired)
        assert not both.tripped
        assert not regression(a, lost, maximize=True, paired=paired).diverges  # two of ten may be chance


@PAIRING
def test_divergence_alone_trips_in_at_most_one_of_twenty(paired: bool) -> None:
    random = np.random.default_rng(9)
    tripped = 0
    for _ in range(STUDIES):
        a, b = np.where(random.random((2, 10)) < 0.3, np.nan, random.normal(size=(2, 10)))
        tripped += regression(a, b, maximize=True, paired=paired).tripped
    assert tripped / STUDIES <= at_most(0.05, STUDIES)


def test_scores_without_spread() -> None:
    same = np.full(10, 0.9)
    found = difference(same, same, maximize=True, paired=True)
    assert found is not None
    assert (found.mean, found.sd, found.low, found.p) == (0.0, 0.0, None, 1.0)
    even = by_seed(same, same, maximize=True, paired=True)
    assert even is not None
    assert (even.effect, even.better.value) == (None, 0.5)
    assert not regression(same, same, maximize=True, paired=True).tripped
    for paired in (True, False):
        assert regression(same, same - 0.1, maximize=True, paired=paired).tripped
        assert not regression(same, same - 0.1, maximize=True, paired=paired, margin=0.1 + 1e-12).tripped
        assert not regression(
            same[:4], same[:4] - 0.1, maximize=True, paired=paired
        ).tripped  # by chance 1/16
        clear = by_seed(same, same - 0.1, maximize=True, paired=paired)
        assert clear is not None
        assert (clear.better.value, clear.better.low) == (0.0, 0.0)
        assert clear.better.high == pytest.approx(1 - 0.025**0.1)
    apart = by_seed(np.arange(5.0), np.arange(5.0) + 10, maximize=True, paired=False)
    assert apart is not None
    assert (apart.better.value, apart.better.high) == (1.0, 1.0)
    assert apart.better.low < 0.6


SCORES = arrays(np.float64, 6, elements=st.integers(-50, 50).map(float))


@settings(max_examples=40, deadline=None)
@given(SCORES, SCORES, st.booleans(), st.booleans())
def test_the_other_way_round_all_is_turned(
    a: FloatArray, b: FloatArray, paired: bool, maximize: bool
) -> None:
    assume(np.ptp(a) > 0 and np.ptp(b) > 0)
    found, turned = (difference(x, y, maximize, paired=paired) for x, y in ((a, b), (b, a)))
    assert found is not None
    assert turned is not None
    assert turned.mean == pytest.approx(-found.mean)
    assert turned.p == pytest.approx(found.p)
    seeds, others = (by_seed(x, y, maximize, paired=paired) for x, y in ((a, b), (b, a)))
    assert seeds is not None
    assert others is not None
    assert others.better.value == pytest.approx(1 - seeds.better.value)
    assert others.better.low == pytest.approx(1 - seeds.better.high)
    mirrored = by_seed(-a, -b, not maximize, paired=paired)
    assert mirrored is not None
    assert mirrored.better == seeds.better
    one, other = (
        regression(x, y, m, paired=paired, margin=1.0)
        for x, y, m in ((a, b, maximize), (-a, -b, not maximize))
    )
    assert one == other
    assert not (one.tripped and regression(b, a, maximize, paired=paired).tripped)


@PAIRING
@WORLDS
def test_a_loss_that_is_there_is_excluded_in_at_most_one_of_twenty(world: World, paired: bool) -> None:
    """What --strict passes: arms just as bad as allowed seldom, arms that are better by far always."""
    random = np.random.default_rng(12)
    passed = better = inside = 0
    for _ in range(STUDIES):
        a, b = world(random, paired)
        passed += regression(a, b - 0.5, maximize=True, paired=paired, margin=0.5).excluded
        better += regression(a, b + 9, maximize=True, paired=paired, margin=0.5).excluded
        found = regression(a, b - 0.5, maximize=True, paired=paired)
        assert found.loss is not None
        inside += found.loss >= 0.5  # the loss that is there is one of those that are not excluded
    assert 0.02 <= passed / STUDIES <= at_most(0.05, STUDIES)
    assert better / STUDIES >= 0.9
    assert inside / STUDIES >= 0.95 - NEAR


def test_no_loss_is_excluded_by_an_arm_that_diverged_more_often() -> None:
    a = 0.9 + 0.01 * np.random.default_rng(5).normal(size=10)
    once = np.where(np.arange(10) == 0, np.nan, a + 0.1)
    assert not regression(a, once, maximize=True, paired=True).excluded
    assert regression(once, once + 0.1, maximize=True, paired=True).excluded
    same, few = np.full(10, 0.9), np.full(4, 0.9)
    assert regression(same, same, maximize=True, paired=True).excluded
    unsure = regression(few, few, maximize=True, paired=True, margin=0.1)  # by chance 1/16
    assert (unsure.excluded, unsure.loss) == (False, None)


def test_bonferroni_widens_the_interval_and_multiplies_p() -> None:
    random = np.random.default_rng(6)
    a, b = random.normal(size=9), 0.8 + random.normal(size=9)
    one = difference(a, b, maximize=True, paired=False)
    several = difference(a, b, maximize=True, paired=False, comparisons=4)
    assert one is not None
    assert several is not None
    assert several.p == pytest.approx(min(1.0, 4 * one.p))
    interval = stats.ttest_ind(b, a, equal_var=False).confidence_interval(1 - 0.05 / 4)
    assert (several.low, several.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize(
    ("mean", "p", "more", "said"),
    [
        (1, 0.2, 0, EQUAL),
        (1, 0.01, 0, BETTER),
        (-1, 0.01, 0, WORSE),
        (1, 0.01, 2, UNCLEAR),
        (1, 0.01, -2, BETTER),
        (-1, 0.01, -2, UNCLEAR),
        (-1, 0.01, 2, WORSE),
        (1, 0.2, 2, EQUAL),
        (1, float("nan"), 0, EQUAL),
    ],
)
def test_verdicts(mean: float, p: float, more: int, said: str) -> None:
    assert verdict(mean, p, maximize=True, more=more) == said
    assert verdict(-mean, p, maximize=False, more=more) == said
