"""Statistics of few repeats: intervals cover, equal arms are not told apart, claims come true."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from hpsearch.records import FloatArray
from hpsearch.stats import AS_GOOD, Ranking, chance_of_best, estimate, rank_arms

ARMS, SEEDS = 8, 5
STUDIES = 1200
ERROR = 2.6
"""Standard errors of a simulated rate: beyond them once in a hundred checks."""


def margin(rate: float, count: int) -> float:
    return ERROR * float(np.sqrt(rate * (1 - rate) / count))


def equal_worlds(
    random: np.random.Generator, arms: int, seeds: int, count: int
) -> Iterator[tuple[str, FloatArray]]:
    """[count, arms, seeds] scores of arms with the same expectation."""
    shape = count, arms, seeds
    spread = np.linspace(1, 3, arms)[None, :, None]
    lone = np.where(np.arange(arms) == 0, 5.0, 1.0)[None, :, None]
    yield "normal", random.normal(size=shape)
    yield "spreads from 1 to 3", random.normal(size=shape) * spread
    yield "one spread of 5", random.normal(size=shape) * lone
    yield "hard and easy seeds", random.normal(size=shape) + 3 * random.normal(size=(count, 1, seeds))
    rates = np.clip(0.98 + 0.004 * random.normal(size=shape), 0, 1)
    yield "accuracies", random.binomial(360, rates) / 360
    yield "skewed", random.lognormal(size=shape)
    yield "heavy tails", random.standard_t(3, size=shape)


def told_apart(ranking: Ranking) -> bool:
    return any((low, high) != (1, len(ranking.ranks)) for low, high in ranking.ranks)


@pytest.mark.parametrize(("arms", "seeds"), [(8, 5), (2, 5), (3, 10), (16, 3)])
def test_equal_arms_are_told_apart_in_at_most_one_study_of_twenty(arms: int, seeds: int) -> None:
    random = np.random.default_rng(arms)
    count = 400
    for name, scores in equal_worlds(random, arms, seeds, count):
        false = sum(told_apart(rank_arms(own, maximize=True)) for own in scores) / count
        assert false <= 0.05 + margin(0.05, count), (name, false)


def test_two_arms_are_compared_by_the_paired_t_test() -> None:
    scores = np.random.default_rng(3).normal(size=(2, 6))
    found = rank_arms(scores, maximize=True)
    (pair,) = (each for each in found.to_best if each is not None)
    by_scipy = stats.ttest_rel(scores[found.order[1]], scores[found.order[0]])
    interval = by_scipy.confidence_interval(0.95)
    assert pair.p == pytest.approx(by_scipy.pvalue, rel=1e-6)
    assert (pair.low, pair.high) == pytest.approx((interval.low, interval.high), rel=1e-6)


def test_real_differences_are_found_and_true_ranks_lie_in_the_intervals() -> None:
    random = np.random.default_rng(5)
    truth = np.array([6.0, 6.0, 4.0, 4.0, 4.0, 0.0, 0.0, -3.0])
    best, worst = (1, 2), (8, 8)
    count, found_worst, covered = 200, 0, 0
    for _ in range(count):
        scores = truth[:, None] + random.normal(size=(ARMS, SEEDS))
        ranks = rank_arms(scores, maximize=True).ranks
        true_low = [1 + int((truth > own).sum()) for own in truth]
        true_high = [int((truth >= own).sum()) for own in truth]
        covered += all(
            low <= least and high >= most
            for (low, high), least, most in zip(ranks, true_low, true_high, strict=True)
        )
        found_worst += ranks[7][0] >= 6
        assert ranks[0][0] <= best[1]
        assert ranks[7][1] == worst[1]
    assert covered / count >= 0.95 - margin(0.95, count)
    assert found_worst / count > 0.8


def test_intervals_of_means_cover() -> None:
    random = np.random.default_rng(11)
    for seeds in (3, 5, 10):
        rates = np.clip(0.95 + 0.01 * random.normal(size=(STUDIES, seeds)), 0, 1)
        for scores, truth in (
            (random.normal(2.0, 3.0, (STUDIES, seeds)), 2.0),
            (random.binomial(360, rates) / 360, 0.95),
        ):
            found = [estimate(own) for own in scores]
            inside = [
                e is not None and e.low is not None and e.high is not None and e.low <= truth <= e.high
                for e in found
            ]
            assert abs(np.mean(inside) - 0.95) <= 0.02, (seeds, truth)


def test_differences_to_the_best_cover_all_together() -> None:
    random = np.random.default_rng(13)
    truth = np.linspace(0, 2, ARMS)
    count, covered = 300, 0
    for _ in range(count):
        found = rank_arms(truth[:, None] + random.normal(size=(ARMS, SEEDS)), maximize=False)
        best = found.order[0]
        covered += all(
            pair is None
            or (
                pair.low is not None
                and pair.high is not None
                and pair.low <= truth[arm] - truth[best] <= pair.high
            )
            for arm, pair in enumerate(found.to_best)
        )
    assert covered / count >= 0.95 - margin(0.95, count)


def test_a_divergence_never_makes_an_arm_look_better() -> None:
    random = np.random.default_rng(17)
    scores = random.normal(size=(4, 8))
    scores[0] += 20
    assert rank_arms(scores, maximize=True).ranks[0] == (1, 1)
    scores[0, 2] = np.nan
    found = rank_arms(scores, maximize=True)
    assert found.order[0] == 0
    assert found.ranks[0] == (1, 4)
    scores[0, 1:7] = np.nan
    found = rank_arms(scores, maximize=True)
    assert (found.order[-1], found.ranks[0], found.to_best[0]) == (0, (4, 4), None)
    nothing = rank_arms(np.full((2, 5), np.nan), maximize=True)
    assert nothing.ranks == ((1, 2), (1, 2))
    assert nothing.to_best == (None, None)


def test_missing_a_hard_seed_puts_no_arm_first() -> None:
    random = np.random.default_rng(19)
    hard = np.array([0, 0, 0, 0, 0, 0, -30, -30.0])
    scores = hard + 0.1 * random.normal(size=(3, 8)) - np.array([[2.0], [0.0], [4.0]])
    scores[0, 6:] = np.nan  # its plain mean is the best by far
    found = rank_arms(scores, maximize=True)
    assert found.order == (1, 0, 2)
    assert found.ranks[1] == (1, 1)
    first, count = 0, 600
    for _ in range(count):
        seed = 3 * random.normal(size=SEEDS)
        equal = seed + random.normal(size=(ARMS, SEEDS))
        equal[0, seed.argmin()] = np.nan
        found = rank_arms(equal, maximize=True)
        first += found.order[0] == 0
        assert found.ranks[found.order[0]][0] == 1
    assert abs(first / count - 1 / ARMS) <= 0.02 + margin(1 / ARMS, count)


def test_scores_without_spread() -> None:
    found = rank_arms(np.array([[0.9] * 5, [0.9] * 5, [0.8] * 5]), maximize=True)
    assert found.ranks == ((1, 3), (1, 3), (1, 3))  # five equal signs are no proof
    assert [pair and pair.low for pair in found.to_best] == [None, None, None]
    many = rank_arms(np.array([[0.9] * 12, [0.8] * 12]), maximize=True)
    assert many.ranks == ((1, 1), (2, 2))
    alone = rank_arms(np.array([[0.9, 0.8, 0.7]]), maximize=True)
    assert (alone.order, alone.ranks, alone.to_best) == ((0,), ((1, 1),), (None,))


ARRAYS = arrays(np.float64, (4, 5), elements=st.floats(-1e3, 1e3, width=32))


@settings(max_examples=30, deadline=None)
@given(ARRAYS, st.permutations(range(4)), st.floats(-100, 100), st.floats(0.01, 100))
def test_ranks_follow_the_arms_and_not_their_places_units_or_signs(
    scores: FloatArray, places: list[int], shift: float, scale: float
) -> None:
    scores = np.round(scores, 2) + np.arange(5) ** 2 / 7  # no ties by rounding
    ranks = rank_arms(scores, maximize=True).ranks
    moved = rank_arms(scores[places], maximize=True).ranks
    assert [moved[at] for at in range(4)] == [ranks[place] for place in places]
    assert rank_arms(-scores, maximize=False).ranks == ranks
    for low, high in ranks:
        assert 1 <= low <= high <= 4
    if np.ptp(scores - scores.mean(0), axis=1).min() > 0.1:
        assert rank_arms(scale * scores + shift, maximize=True).ranks == ranks


POPULATIONS = {
    "normal": lambda random, n: random.normal(0, 1, n),
    "near a ceiling": lambda random, n: 0.98 - random.exponential(0.05, n),
    "even": lambda random, n: random.uniform(0, 1, n),
    "two clusters": lambda random, n: np.where(random.random(n) < 0.3, 0.97, 0.9) + random.normal(0, 0.01, n),
    "all alike": lambda random, n: random.normal(0.95, 0.0005, n),
}


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("count", [40, 256])
def test_the_chance_that_is_claimed_is_the_rate_or_less(name: str, count: int) -> None:
    random = np.random.default_rng(count)
    rounds = 150
    for noise_share in (0.2, 1.0):
        claims, true = [], 0
        for _ in range(rounds):
            truth = POPULATIONS[name](random, count)
            noise = 0.003 if name == "all alike" else noise_share * float(truth.std())
            seen = truth + random.normal(0, noise, count)
            kept = np.argsort(-seen)[:8]
            true += truth[kept].max() >= truth.max() - AS_GOOD * noise
            claims.append(chance_of_best(seen, 8, noise, maximize=True))
        rate = true / rounds
        assert np.mean(claims) <= rate + 0.05 + margin(0.05, rounds), (np.mean(claims), rate)
        assert np.mean(claims) >= rate - 0.2


def test_the_chance_of_all_is_one_and_mirrors() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert chance_of_best(values, 50, 0.1, maximize=True) == 1
    assert chance_of_best(values, 5, 0.3, maximize=True) == pytest.approx(
        chance_of_best(-values, 5, 0.3, maximize=False)
    )
    growing = [chance_of_best(values, kept, 1.0, maximize=True) for kept in (1, 3, 8, 20, 49)]
    assert growing == sorted(growing)
    assert 0 < growing[0] < growing[-1] <= 1
