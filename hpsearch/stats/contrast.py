"""Arms on fresh seeds against a baseline: how far apart, how surely, and whether one is a regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import FloatArray
from hpsearch.stats.estimates import FEWEST, LEVEL, SAME

ERROR = 0.05
"""Of the studies in which the second arm is not worse than allowed, at most this share trips the test."""

BETTER, WORSE, EQUAL = "better", "worse", "no detectable difference"
UNCLEAR = "no clear answer"
"""Better where both arms were trained to the end, but it diverged more often; or worse, and less often."""


def verdict(mean: float, p: float, maximize: bool, more: int = 0) -> str:
    """What a difference of means, an arm's minus the baseline's, says of the arm: one of the four above.

    Seeds with which an arm diverged have no score, so that they speak here.

    Args:
        p: corrected for all comparisons. more: seeds with which the arm diverged beyond the baseline's.
    """
    if not p < 1 - LEVEL:
        return EQUAL
    better = (mean > 0) == maximize
    if more > 0 if better else more < 0:
        return UNCLEAR
    return BETTER if better else WORSE


@dataclass(frozen=True)
class Share:
    """A probability and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline.

    low, high: 95 % interval of the mean; None where all seeds give the same. sd: of the differences, of arms
    that are not paired the square root of both variances' sum. p: of a difference as large either way between
    equal arms. Interval and p are corrected for the number of comparisons, so that all of them hold together.
    seeds: of the baseline and of the arm that are compared, where they did not diverge. verdict: see
    `verdict`.
    """

    mean: float
    sd: float
    low: float | None
    high: float | None
    p: float
    seeds: tuple[int, int]
    verdict: str

    @property
    def ends(self) -> tuple[float, ...]:
        """Of the interval; none where all seeds give the same."""
        return tuple(end for end in (self.low, self.high) if end is not None)


@dataclass(frozen=True)
class BySeed:
    """What seeds alone say of an arm, on the rows that it was scored on.

    better: how often it is better than the baseline on one more seed. effect: Hedges' g, the difference of
    means in standard deviations between seeds; None where there are none.
    """

    better: Share
    effect: float | None


@dataclass(frozen=True)
class Regression:
    """Whether an arm is worse than the baseline by more than is allowed, and whether that is excluded.

    bound: the most by which it may still be better than what is allowed, below 0 if it is worse; an upper
    confidence bound, None where too few seeds are left. loss: how much worse than the baseline it may still
    be, in the metric's unit, at least 0; None where no loss is excluded. excluded: it is not worse by more
    than is allowed, and did not diverge more often. diverges: it is worse since it diverges more often.
    error: the rate at which arms that are just as bad as allowed trip the test, and of those at which a loss
    is excluded.
    """

    tripped: bool
    bound: float | None
    diverges: bool
    loss: float | None = None
    excluded: bool = False
    error: float = ERROR


@dataclass(frozen=True)
class _Means:
    """A difference of means, its standard error and the degrees of freedom of that; error 0: it is exact."""

    mean: float
    sd: float
    error: float
    freedom: float
    fewest: int


def difference(
    base: FloatArray,
    arm: FloatArray,
    maximize: bool,
    *,
    paired: bool,
    rows: tuple[int, int] | None = None,
    comparisons: int = 1,
) -> Difference | None:
    """Compare scores [seeds] of an arm with the baseline's, NaN where one diverged; None if fewer than three
    of one are left.

    Paired by seed: Student's t of the differences (1908). Otherwise Welch's t (1947, "The generalization of
    Student's problem when several different population variances are involved", Biometrika 34). Where all
    are equal there is no variance to go by; the sign test then says how likely n equal signs are.

    Args:
        rows: of the parts that the arms were scored on, where these are different rows and scores are shares
            of them; the interval is then about other rows, too.
        comparisons: how many hold together, by Bonferroni's inequality.
    """
    kept_base, kept = _kept(base, arm, paired)
    found = _means(kept_base, kept, paired, rows)
    if found is None:
        return None
    low, high, p = None, None, _sign_test(found)
    if found.error:
        from scipy import special  # 0.3 s that a command without a comparison need not pay

        # Not (1 - LEVEL) / comparisons / 2, which rounds otherwise: stored answers have these last digits.
        tail = (1 - (1 - (1 - LEVEL) / comparisons)) / 2
        low, high = (
            float(special.stdtrit(found.freedom, at)) * found.error + found.mean for at in (tail, 1 - tail)
        )
        p = 2 * float(special.stdtr(found.freedom, -abs(found.mean / found.error)))
    p = min(1.0, comparisons * p)
    more = int(np.isnan(arm).sum()) - int(np.isnan(base).sum())
    said = verdict(found.mean, p, maximize, more)
    return Difference(found.mean, found.sd, low, high, p, (len(kept_base), len(kept)), said)


def comparable(base: FloatArray, arm: FloatArray, paired: bool) -> bool:
    """Whether enough seeds of both are left for a difference."""
    return min(map(len, _kept(base, arm, paired))) >= FEWEST


def by_seed(base: FloatArray, arm: FloatArray, maximize: bool, *, paired: bool) -> BySeed | None:
    """What seeds alone say of two arms that can be compared; None if they cannot. As of `difference`."""
    base, arm = _kept(base, arm, paired)
    if min(len(base), len(arm)) < FEWEST:
        return None
    sign = 1.0 if maximize else -1.0
    better = _better_paired(sign * (arm - base), base) if paired else _better(sign * base, sign * arm)
    return BySeed(better, _hedges(base, arm))


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
    below −margin. A loss is excluded by the test itself: if the lower bound lies above −margin. Where an arm
    diverged, the second also trips it by diverging more often, by McNemar's exact test (1947) of paired seeds
    and Fisher's (1935) of others; each of the two tests then has half of the 5 %.

    Args:
        margin: allowed, in the metric's unit. relative: allowed besides, as a share of the first arm's score.
        paired, rows: as of `difference`.
    """
    sign = 1.0 if maximize else -1.0
    lost_a, lost_b = np.isnan(a), np.isnan(b)
    error = ERROR / 2 if lost_a.any() or lost_b.any() else ERROR
    diverges = bool(lost_b.any()) and _diverges_more(lost_a, lost_b, paired) <= error
    kept_a, kept_b = _kept(a, b, paired)
    # What is allowed is taken off the first arm seed by seed, so that its own spread is accounted for.
    allowed = kept_a - sign * (margin + relative * np.abs(kept_a))
    found, plain = _means(allowed, kept_b, paired, rows), _means(kept_a, kept_b, paired, rows)
    if found is None or plain is None:
        return Regression(diverges, None, diverges)
    least, bound = _bounds(found, sign, error)
    loss, _ = _bounds(plain, sign, error)
    return Regression(
        tripped=diverges or (bound is not None and bound < 0),
        bound=sign * found.mean if bound is None else bound,
        diverges=diverges,
        loss=None if loss is None else max(0.0, -loss),
        excluded=least is not None and least >= 0 and lost_b.sum() <= lost_a.sum(),
    )


def _bounds(found: _Means, sign: float, error: float) -> tuple[float | None, float | None]:
    """One-sided bounds of an improvement, each wrong with the probability `error`; None where so few seeds
    that agree say nothing.
    """
    improvement = sign * found.mean
    if not found.error:
        sure = 0.5**found.fewest <= error
        return (improvement, improvement) if sure else (None, None)
    from scipy import stats

    reach = float(stats.t.ppf(1 - error, found.freedom)) * found.error
    return improvement - reach, improvement + reach


def _kept(a: FloatArray, b: FloatArray, paired: bool) -> tuple[FloatArray, FloatArray]:
    """The scores of seeds that did not diverge, of pairs those of which neither did."""
    if paired:
        both = np.isfinite(a) & np.isfinite(b)
        return a[both], b[both]
    return a[np.isfinite(a)], b[np.isfinite(b)]


def _means(a: FloatArray, b: FloatArray, paired: bool, rows: tuple[int, int] | None) -> _Means | None:
    """The second mean minus the first.

    Degrees of freedom of a sum of variances are Satterthwaite's (1946, "An approximate distribution of
    estimates of variance components", Biometrics Bull. 2).
    """
    fewest = min(len(a), len(b))
    if fewest < FEWEST:
        return None
    scale = max(float(np.abs(a).max()), float(np.abs(b).max()))
    samples = [b - a] if paired else [a, b]
    mean = float(samples[0].mean()) if paired else float(b.mean() - a.mean())
    if abs(mean) <= SAME * scale:
        mean = 0.0
    spread = [values for values in samples if np.ptp(values) > SAME * scale]
    sd = float(np.sqrt(sum(values.var(ddof=1) for values in spread)))
    parts = [(float(values.var(ddof=1)) / len(values), len(values) - 1) for values in spread]
    if rows is not None:
        parts += [
            (_share_variance(float(own.mean()), count), count)
            for own, count in zip((a, b), rows, strict=True)
        ]
    variance = sum(part for part, _ in parts)
    if not variance:
        return _Means(mean, 0.0, 0.0, fewest - 1, fewest)
    freedom = variance**2 / sum(part**2 / own for part, own in parts)
    return _Means(mean, sd, float(np.sqrt(variance)), freedom, fewest)


def _share_variance(share: float, rows: int) -> float:
    """Of a share of so many rows, one more of each kind counted in.

    Agresti & Caffo (2000), "Simple and effective confidence intervals for proportions and differences of
    proportions result from adding two successes and two failures", Am. Stat. 54.
    """
    near = (min(max(share, 0.0), 1.0) * rows + 1) / (rows + 2)
    return near * (1 - near) / (rows + 2)


def _sign_test(found: _Means) -> float:
    """How likely so many equal signs are, where there is no variance to go by."""
    from scipy.stats import binomtest

    if found.mean == 0:
        return 1.0
    return float(binomtest(found.fewest, found.fewest).pvalue)


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
