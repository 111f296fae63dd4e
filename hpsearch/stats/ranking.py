"""Ranks of arms scored on the same few seeds; indistinguishable arms share a rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import combinations

import numpy as np

from hpsearch.records import FloatArray
from hpsearch.stats.estimates import FEWEST, LEVEL, SAME, sign_test


@dataclass(frozen=True)
class Pair:
    """A difference of means; interval and p-value hold simultaneously for all pairs of the ranking.

    low, high: None if the difference is the same for every seed. clear: differs from 0. t: the difference in
    standard errors. seeds: number on which both arms have a score. arms: number in the ranking.
    """

    mean: float
    low: float | None
    high: float | None
    clear: bool
    t: float
    seeds: int
    arms: int

    @cached_property
    def p(self) -> float:
        """Probability of so large a difference between any two arms if all were equal."""
        if self.low is None:
            return _sign_test(self.seeds, self.arms) if self.t else 1.0
        from scipy.stats import studentized_range

        return float(min(1.0, studentized_range.sf(abs(self.t) * np.sqrt(2), self.arms, self.seeds - 1)))

    @property
    def turned(self) -> Pair:
        """The reverse difference."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return replace(self, mean=-self.mean, low=low, high=high, t=-self.t)


@dataclass(frozen=True)
class Ranking:
    """Arms in order.

    order: places of the arms, best mean first (adjusted for missing seeds if one diverged); arms with fewer
    than three scores last. ranks: best and worst possible rank of each arm. pairs: the first arm minus the
    second, for each pair that can be compared. method: a sentence for the reader.
    """

    order: tuple[int, ...]
    ranks: tuple[tuple[int, int], ...]
    pairs: Mapping[tuple[int, int], Pair]
    method: str

    def against(self, other: int) -> tuple[Pair | None, ...]:
        """Each arm's difference to `other`; None for that one itself and for arms without a mean."""
        return tuple(_between(self.pairs, arm, other) for arm in range(len(self.ranks)))

    @property
    def to_best(self) -> tuple[Pair | None, ...]:
        """Each arm's difference to the best mean."""
        return self.against(self.order[0])


_METHOD = (
    "Ranks and differences hold all together with 95 % confidence (Games & Howell 1976, seeds as blocks; "
    "scores taken for normal, checked by simulation)."
)


def rank_arms(scores: FloatArray, maximize: bool) -> Ranking:
    """Rank arms by their mean scores [arms, seeds], NaN if an arm diverged on a seed.

    A rank is an interval: from one more than the clearly better arms up to all but the clearly worse ones (Al
    Mohamad, Goeman & van Zwet 2022, "Simultaneous confidence intervals for ranks with application to ranking
    institutions", Biometrics 78). Pairs are compared by Games & Howell (1976, "Pairwise multiple comparison
    procedures with unequal N's and/or variances", J. Educ. Stat. 1) on scores minus each seed's mean, but
    with the degrees of freedom of a single arm, seeds − 1: theirs found differences between equal arms in 7 %
    of studies with 8 arms and 5 seeds, these in 2 %; two arms then give the paired t-test.
    An arm that diverged more often than another is never clearly better, and is ordered by its scores
    relative to the others on the same seeds, so that missing a hard seed puts no arm first.
    """
    finite = np.isfinite(scores)
    usable = [int(arm) for arm in np.flatnonzero(finite.sum(1) >= FEWEST)]
    levels = dict(zip(usable, _levels(scores[usable]), strict=True))
    sign = -1.0 if maximize else 1.0
    order = sorted(usable, key=lambda arm: (sign * levels[arm], arm))
    lost = [arm for arm in range(len(scores)) if arm not in levels]
    better = np.zeros((len(scores), len(scores)), bool)  # [i, j]: i is clearly better than j
    pairs: dict[tuple[int, int], Pair] = {}
    if len(usable) > 1:
        pairs = _compared(scores, usable)
    for (i, j), pair in pairs.items():
        first = (pair.mean > 0) == maximize
        winner, loser = (i, j) if first else (j, i)
        more = finite[winner].sum() < finite[loser].sum()
        better[winner, loser] = pair.clear and not more
    ranks: list[tuple[int, int]] = [(len(usable) + 1, len(scores))] * len(scores)
    for arm in usable:
        ranks[arm] = (1 + int(better[:, arm].sum()), len(usable) - int(better[arm].sum()))
    return Ranking((*order, *lost), tuple(ranks), pairs, _METHOD)


def _levels(scores: FloatArray) -> list[float]:
    """The levels that order the arms: means, adjusted for the effects of missing seeds.

    The plain mean of an arm that diverged on the hard seeds would average the easy ones. Arms and seeds are
    fitted together by least squares (Yates 1934, "The analysis of multiple classifications with unequal
    numbers in the different classes", J. Am. Stat. Assoc. 29), in the order of the means if none is missing.
    """
    arms, seeds = scores.shape
    if np.isfinite(scores).all():
        return [float(mean) for mean in scores.mean(1)] if seeds else [0.0] * arms
    arm, seed = np.nonzero(np.isfinite(scores))
    design = np.hstack([np.eye(arms)[arm], np.eye(seeds)[seed]])
    values = scores[arm, seed]
    fitted = np.linalg.lstsq(design, values - values.mean(), rcond=None)[0]
    return [float(level) for level in fitted[:arms]]


def _compared(scores: FloatArray, usable: list[int]) -> dict[tuple[int, int], Pair]:
    """The first arm minus the second, for each comparable pair."""
    arms = len(usable)
    scale = float(np.nanmax(np.abs(scores[usable])))
    whole = np.isfinite(scores[usable]).all()
    # Subtracting the seed's mean leaves 1 − 1/arms of an arm's variance.
    left = scores[usable] - scores[usable].mean(0) if whole else scores[usable]
    variances = left.var(1, ddof=1) * arms / (arms - 1)
    pairs = {}
    for a, b in combinations(range(arms), 2):
        i, j = usable[a], usable[b]
        values = scores[i] - scores[j]
        values = values[np.isfinite(values)]
        n = len(values)
        if n < FEWEST:
            continue
        mean = float(values.mean())
        if np.ptp(values) <= SAME * scale:
            differs = abs(mean) > SAME * scale
            clear = differs and _sign_test(n, arms) <= 1 - LEVEL
            pairs[i, j] = Pair(mean, None, None, clear, float(differs), n, arms)
            continue
        square = float(variances[a] + variances[b]) if whole else float(values.var(ddof=1))
        error = float(np.sqrt(square / n))
        reach = _critical(arms, n - 1) * error
        pairs[i, j] = Pair(mean, mean - reach, mean + reach, abs(mean) > reach, mean / error, n, arms)
    return pairs


@lru_cache(maxsize=256)
def _critical(arms: int, freedom: int) -> float:
    """Critical value in standard errors: all differences of equal arms stay below it in 95 % of studies."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(LEVEL, arms, freedom) / np.sqrt(2))


def _sign_test(seeds: int, arms: int) -> float:
    """p-value of equal signs on all seeds, corrected for all pairs (Bonferroni)."""
    return float(min(1.0, sign_test(seeds) * arms * (arms - 1) / 2))


def _between(pairs: Mapping[tuple[int, int], Pair], arm: int, other: int) -> Pair | None:
    """The arm minus the other one."""
    turned = pairs.get((other, arm))
    return pairs.get((arm, other)) if turned is None else turned.turned
