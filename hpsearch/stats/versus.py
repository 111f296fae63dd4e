"""Two arms on fresh seeds: how far apart they are, how surely, and whether the second is a regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import FloatArray
from hpsearch.stats.estimates import FEWEST, LEVEL, SAME

ERROR = 0.05
"""Of the studies in which the second arm is not worse than allowed, at most this share trips the test."""


@dataclass(frozen=True)
class Share:
    """A probability and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Gap:
    """The second arm minus the first.

    low, high: 95 % interval of the mean; None where all seeds give the same. p: of a difference as large
    either way between equal arms. effect: Hedges' g, the mean in standard deviations between seeds; None
    where there are none. better: of the second arm, to be better on one more seed. seeds: of the first and of
    the second arm that are compared, where they did not diverge; paired: they are the same ones.
    """

    mean: float
    low: float | None
    high: float | None
    p: float
    effect: float | None
    better: Share
    seeds: tuple[int, int]
    paired: bool


@dataclass(frozen=True)
class Regression:
    """Whether the second arm is worse than the first by more than is allowed.

    bound: the most by which it may still be better than what is allowed, below 0 if it is worse; an upper
    confidence bound, None where too few seeds are left. diverges: it is worse since it diverges more often.
    error: the rate at which arms that are just as bad as allowed trip the test.
    """

    tripped: bool
    bound: float | None
    diverges: bool
    error: float = ERROR


@dataclass(frozen=True)
class _Contrast:
    """A difference of means, its standard error and the degrees of freedom of that; error 0: it is exact."""

    mean: float
    error: float
    freedom: float
    fewest: int


def gap(
    a: FloatArray, b: FloatArray, maximize: bool, *, paired: bool, rows: tuple[int, int] | None = None
) -> Gap | None:
    """Compare scores [seeds] of two arms, NaN where one diverged; None if fewer than three of one are left.

    Paired by seed: Student's t of the differences (1908). Otherwise Welch's t (1947, "The generalization of
    Student's problem when several different population variances are involved", Biometrika 34).

    Args:
        rows: of the parts that the arms were scored on, where these are different rows and scores are shares
            of them; the interval is then about other rows, too.
    """
    a, b = _kept(a, b, paired)
    found = _contrast(a, b, paired, rows)
    if found is None:
        return None
    low, high, p = None, None, _sign_test(found, "two-sided")
    if found.error:
        from scipy import stats  # 0.3 s that a command without a comparison need not pay

        reach = float(stats.t.ppf((1 + LEVEL) / 2, found.freedom)) * found.error
        low, high = found.mean - reach, found.mean + reach
        p = float(2 * stats.t.sf(abs(found.mean) / found.error, found.freedom))
    sign = 1.0 if maximize else -1.0
    better = _better_paired(sign * (b - a), a) if paired else _better(sign * a, sign * b)
    return Gap(found.mean, low, high, p, _hedges(a, b), better, (len(a), len(b)), paired)


def regression(
    a: FloatArray,
    b: FloatArray,
    maximize: bool,
    *,
    paired: bool,
    margin: float = 0.0,
    relative: float = 0.0,
    rows: tuple[int, int] | None = None,
) -> Regression:
    """Test whether the second arm is worse than the first by more than is allowed, one-sided at 5 %.

    That is a test for non-inferiority turned round (Wellek 2010, "Testing statistical hypotheses of
    equivalence and noninferiority", ch. 2): it trips if the upper confidence bound of the improvement lies
    below −margin. Where an arm diverged, the second also trips it by diverging more often, by McNemar's exact
    test (1947) of paired seeds and Fisher's (1935) of others; each of the two tests then has half of the 5 %.

    Args:
        margin: allowed, in the metric's unit. relative: allowed besides, as a share of the first arm's score.
        paired, rows: as of `gap`.
    """
    sign = 1.0 if maximize else -1.0
    lost_a, lost_b = np.isnan(a), np.isnan(b)
    error = ERROR / 2 if lost_a.any() or lost_b.any() else ERROR
    diverges = bool(lost_b.any()) and _diverges_more(lost_a, lost_b, paired) <= error
    kept_a, kept_b = _kept(a, b, paired)
    # What is allowed is taken off the first arm seed by seed, so that its own spread is accounted for.
    allowed = kept_a - sign * (margin + relative * np.abs(kept_a))
    found = _contrast(allowed, kept_b, paired, rows)
    if found is None:
        return Regression(diverges, None, diverges)
    improvement = sign * found.mean
    if not found.error:
        sure = _sign_test(found, "greater") <= error
        return Regression(diverges or (improvement < 0 and sure), improvement, diverges)
    from scipy import stats

    bound = improvement + float(stats.t.ppf(1 - error, found.freedom)) * found.error
    return Regression(diverges or bound < 0, bound, diverges)


def _kept(a: FloatArray, b: FloatArray, paired: bool) -> tuple[FloatArray, FloatArray]:
    """The scores of seeds that did not diverge, of pairs those of which neither did."""
    if paired:
        both = np.isfinite(a) & np.isfinite(b)
        return a[both], b[both]
    return a[np.isfinite(a)], b[np.isfinite(b)]


def _contrast(a: FloatArray, b: FloatArray, paired: bool, rows: tuple[int, int] | None) -> _Contrast | None:
    """The second mean minus the first.

    Degrees of freedom of a sum of variances are Satterthwaite's (1946, "An approximate distribution of
    estimates of variance components", Biometrics Bull. 2).
    """
    fewest = min(len(a), len(b))
    if fewest < FEWEST:
        return None
    scale = max(float(np.abs(a).max()), float(np.abs(b).max()))
    mean = float(b.mean() - a.mean())
    if abs(mean) <= SAME * scale:
        mean = 0.0
    samples = [b - a] if paired else [a, b]
    parts = [
        (float(values.var(ddof=1)) / len(values), len(values) - 1)
        for values in samples
        if np.ptp(values) > SAME * scale
    ]
    if rows is not None:
        parts += [
            (_share_variance(float(own.mean()), count), count)
            for own, count in zip((a, b), rows, strict=True)
        ]
    variance = sum(part for part, _ in parts)
    if not variance:
        return _Contrast(mean, 0.0, fewest - 1, fewest)
    freedom = variance**2 / sum(part**2 / own for part, own in parts)
    return _Contrast(mean, variance**0.5, freedom, fewest)


def _share_variance(share: float, rows: int) -> float:
    """Of a share of so many rows, one more of each kind counted in.

    Agresti & Caffo (2000), "Simple and effective confidence intervals for proportions and differences of
    proportions result from adding two successes and two failures", Am. Stat. 54.
    """
    near = (min(max(share, 0.0), 1.0) * rows + 1) / (rows + 2)
    return near * (1 - near) / (rows + 2)


def _sign_test(found: _Contrast, alternative: str) -> float:
    """How likely so many equal signs are, where there is no variance to go by."""
    from scipy.stats import binomtest

    if found.mean == 0:
        return 1.0
    return float(binomtest(found.fewest, found.fewest, alternative=alternative).pvalue)


def _hedges(a: FloatArray, b: FloatArray) -> float | None:
    """The difference of means in standard deviations between seeds, corrected for few of them.

    Hedges (1981), "Distribution theory for Glass's estimator of effect size and related estimators",
    J. Educ. Stat. 6, eq. 6e; of pairs, too, so that both kinds compare.
    """
    freedom = len(a) + len(b) - 2
    deviation = float(np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / freedom))
    if deviation <= SAME * max(float(np.abs(a).max()), float(np.abs(b).max())):
        return None
    return float((b.mean() - a.mean()) / deviation * (1 - 3 / (4 * freedom - 1)))


def _better_paired(improvement: FloatArray, a: FloatArray) -> Share:
    """How often the second arm is better with a seed, ties counting half.

    Bouthillier et al. (2021), "Accounting for variance in machine learning benchmarks", MLSys 3, sec. 4; the
    interval is Clopper & Pearson's (1934), which covers with few seeds and where all agree.
    """
    from statsmodels.stats.proportion import proportion_confint

    tied = np.abs(improvement) <= SAME * max(float(np.abs(a).max()), float(np.abs(improvement).max()))
    count = float((improvement[~tied] > 0).sum()) + float(tied.sum()) / 2
    low, high = proportion_confint(count, len(improvement), alpha=1 - LEVEL, method="beta")
    return Share(count / len(improvement), float(low), float(high))


def _better(a: FloatArray, b: FloatArray) -> Share:
    """How often a seed of the second arm is better than one of the first, ties counting half.

    Mann & Whitney (1947), with the variance of Brunner & Munzel (2000, "The nonparametric Behrens-Fisher
    problem", Biometrical J. 42); the interval is one of log odds (Perme & Manevski 2019, "Confidence
    intervals for the Mann-Whitney test", Stat. Methods Med. Res. 28), since theirs covers 87 to 93 % with 10
    seeds. Where the arms do not overlap it has no width, and the seeds of the smaller one are taken for a
    count in which all agree (Clopper & Pearson 1934).
    """
    from scipy import special, stats
    from statsmodels.stats.nonparametric import rank_compare_2indep
    from statsmodels.stats.proportion import proportion_confint

    with np.errstate(all="ignore"):
        found = rank_compare_2indep(b, a)
    value = float(found.prob1)
    if not found.var > 0:
        fewest = min(len(a), len(b))
        low, high = proportion_confint(value * fewest, fewest, alpha=1 - LEVEL, method="beta")
        return Share(value, float(low), float(high))
    error = float(np.sqrt(found.var / found.nobs)) / (value * (1 - value))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, found.df)) * error
    low, high = special.expit(special.logit(value) + np.array([-reach, reach]))
    return Share(value, float(low), float(high))


def _diverges_more(a: NDArray[np.bool_], b: NDArray[np.bool_], paired: bool) -> float:
    """p of the second arm having diverged so much more often than the first by chance."""
    from scipy import stats

    if paired:
        only_b, only_a = int((b & ~a).sum()), int((a & ~b).sum())
        if not only_b:
            return 1.0
        return float(stats.binomtest(only_b, only_a + only_b, alternative="greater").pvalue)
    table = [[int(b.sum()), int((~b).sum())], [int(a.sum()), int((~a).sum())]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)
