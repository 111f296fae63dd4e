"""Arms on fresh seeds against a baseline: difference, confidence, and regression test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import FloatArray
from hpsearch.stats.estimates import FEWEST, LEVEL, SAME, sign_test

ERROR = 0.05
"""False positive rate: at most this share of arms no worse than allowed trips the test."""

BETTER, WORSE, EQUAL = "better", "worse", "no detectable difference"
UNCLEAR = "no clear answer"
"""Better where both arms finished, but diverged more often; or worse, and less often."""


def verdict(mean: float, p: float, maximize: bool, more: int = 0) -> str:
    """The verdict on an arm from its mean minus the baseline's: one of the four above.

    Diverged seeds have no score, so they count here.

    Args:
        p: corrected for all comparisons. more: diverged seeds of the arm minus those of the baseline.
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

    low, high: 95 % interval of the mean; None if all seeds give the same. sd: of the paired differences, or
    the square root of the summed variances of unpaired arms. p: two-sided. Interval and p are corrected for
    the number of comparisons and hold simultaneously. seeds: compared seeds of the baseline and the arm,
    without diverged ones. verdict: see `verdict`.
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
        """Ends of the interval; none if all seeds give the same."""
        return tuple(end for end in (self.low, self.high) if end is not None)


@dataclass(frozen=True)
class BySeed:
    """Seed-to-seed comparison of an arm with the baseline, on the scored rows alone.

    better: probability of beating the baseline on one more seed. effect: Hedges' g, the difference of means
    in standard deviations between seeds; None if these are 0.
    """

    better: Share
    effect: float | None


@dataclass(frozen=True)
class Regression:
    """Whether an arm is worse than the baseline by more than allowed, and whether that is ruled out.

    bound: upper confidence bound of its improvement over the allowed level, negative if it is worse; None
    with too few seeds. loss: how much worse than the baseline it may still be, in the metric's unit, at least
    0; None if no loss is ruled out. excluded: it is not worse by more than allowed and did not diverge more
    often. diverges: it is worse because it diverges more often. error: error rate of either test.
    """

    tripped: bool
    bound: float | None
    diverges: bool
    loss: float | None = None
    excluded: bool = False
    error: float = ERROR


@dataclass(frozen=True)
class _Means:
    """A difference of means, its standard error and degrees of freedom; error 0: exact."""

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
    overlap: float = 0.0,
    fewest: int = FEWEST,
) -> Difference | None:
    """Compare scores [seeds] of an arm with the baseline's, NaN if diverged; None if one keeps fewer than
    `fewest`.

    Paired by seed: Student's t of the differences (1908). Otherwise Welch's t (1947, "The generalization of
    Student's problem when several different population variances are involved", Biometrika 34). Without any
    variance, the sign test gives p.

    Args:
        rows: sizes of the splits, if the arms were scored on different rows and scores are shares of them;
            the interval then covers new rows as well.
        comparisons: how many to correct for, by Bonferroni's inequality.
        overlap: if each score is of another split of the same rows: scored rows by all others. Such scores
            are no independent draws; the variance of their mean is then σ² (1/n + overlap), not σ²/n
            (Nadeau & Bengio 2003, "Inference for the generalization error", Mach. Learn. 52, sec. 4.1).
    """
    kept_base, kept = _kept(base, arm, paired)
    found = _means(kept_base, kept, paired, rows, overlap, fewest)
    if found is None:
        return None
    low, high, p = None, None, sign_test(found.fewest) if found.mean else 1.0
    if found.error:
        from scipy import special  # 0.3 s that other commands need not pay

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


def comparable(base: FloatArray, arm: FloatArray, paired: bool, fewest: int = FEWEST) -> bool:
    """Whether both keep enough seeds for a difference."""
    return min(map(len, _kept(base, arm, paired))) >= fewest


def by_seed(base: FloatArray, arm: FloatArray, maximize: bool, *, paired: bool) -> BySeed | None:
    """Seed-to-seed comparison; arguments and None as in `difference`."""
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
    overlap: float = 0.0,
    fewest: int = FEWEST,
) -> Regression:
    """Test whether the second arm is worse than the first by more than allowed, one-sided at 5 %.

    A reversed non-inferiority test (Wellek 2010, "Testing statistical hypotheses of equivalence and
    noninferiority", ch. 2): it trips if the upper confidence bound of the improvement lies below −margin. A
    lower bound above −margin rules a loss out. If an arm diverged, the second also trips the test by
    diverging more often: McNemar's exact test (1947) for paired seeds, Fisher's (1935) otherwise; each test
    then gets half of the 5 %.

    Args:
        margin: allowed loss in the metric's unit. relative: further allowed loss, as a share of the first
            arm's score. paired, rows, overlap, fewest: as in `difference`.
    """
    sign = 1.0 if maximize else -1.0
    lost_a, lost_b = np.isnan(a), np.isnan(b)
    error = ERROR / 2 if lost_a.any() or lost_b.any() else ERROR
    diverges = bool(lost_b.any()) and _diverges_more(lost_a, lost_b, paired) <= error
    kept_a, kept_b = _kept(a, b, paired)
    # The allowance is subtracted from the first arm seed by seed, to account for its own spread.
    allowed = kept_a - sign * (margin + relative * np.abs(kept_a))
    found, plain = (_means(own, kept_b, paired, rows, overlap, fewest) for own in (allowed, kept_a))
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
    """One-sided bounds of an improvement, each with error rate `error`; None if too few seeds agree."""
    improvement = sign * found.mean
    if not found.error:
        sure = 0.5**found.fewest <= error
        return (improvement, improvement) if sure else (None, None)
    from scipy import stats

    reach = float(stats.t.ppf(1 - error, found.freedom)) * found.error
    return improvement - reach, improvement + reach


def _kept(a: FloatArray, b: FloatArray, paired: bool) -> tuple[FloatArray, FloatArray]:
    """Scores of the seeds that did not diverge; of pairs, where neither did."""
    if paired:
        both = np.isfinite(a) & np.isfinite(b)
        return a[both], b[both]
    return a[np.isfinite(a)], b[np.isfinite(b)]


def _means(
    a: FloatArray,
    b: FloatArray,
    paired: bool,
    rows: tuple[int, int] | None,
    overlap: float,
    least: int,
) -> _Means | None:
    """The second mean minus the first; None if a sample has fewer values than `least`.

    Degrees of freedom are Satterthwaite's (1946, "An approximate distribution of
    estimates of variance components", Biometrics Bull. 2).
    """
    fewest = min(len(a), len(b))
    if fewest < least:
        return None
    scale = max(float(np.abs(a).max()), float(np.abs(b).max()))
    samples = [b - a] if paired else [a, b]
    mean = float(samples[0].mean()) if paired else float(b.mean() - a.mean())
    if abs(mean) <= SAME * scale:
        mean = 0.0
    spread = [values for values in samples if np.ptp(values) > SAME * scale]
    sd = float(np.sqrt(sum(values.var(ddof=1) for values in spread)))
    parts = [
        (float(values.var(ddof=1)) / len(values) * (1 + overlap * len(values)), len(values) - 1)
        for values in spread
    ]
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
    """Variance of a share of `rows` rows, with one success and one failure added.

    Agresti & Caffo (2000), "Simple and effective confidence intervals for proportions and differences of
    proportions result from adding two successes and two failures", Am. Stat. 54.
    """
    near = (min(max(share, 0.0), 1.0) * rows + 1) / (rows + 2)
    return near * (1 - near) / (rows + 2)


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
    """How often the second arm is better on the same seed; ties count half.

    Bouthillier et al. (2021), "Accounting for variance in machine learning benchmarks", MLSys 3, sec. 4; the
    interval is Clopper & Pearson's (1934), which covers with few seeds and where all agree.
    """
    from statsmodels.stats.proportion import proportion_confint

    tied = np.abs(improvement) <= SAME * max(float(np.abs(a).max()), float(np.abs(improvement).max()))
    count = float((improvement[~tied] > 0).sum()) + float(tied.sum()) / 2
    low, high = proportion_confint(count, len(improvement), alpha=1 - LEVEL, method="beta")
    return Share(count / len(improvement), float(low), float(high))


def _better(a: FloatArray, b: FloatArray) -> Share:
    """How often a seed of the second arm beats one of the first; ties count half.

    Mann & Whitney (1947), with the variance of Brunner & Munzel (2000, "The nonparametric Behrens-Fisher
    problem", Biometrical J. 42); the interval is one of log odds (Perme & Manevski 2019, "Confidence
    intervals for the Mann-Whitney test", Stat. Methods Med. Res. 28), since theirs covers 87 to 93 % with 10
    seeds. If the arms do not overlap it has no width; then the seeds of the smaller arm count as trials that
    all agree (Clopper & Pearson 1934).
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
    """p-value of the second arm diverging more often than the first."""
    from scipy import stats

    if paired:
        only_b, only_a = int((b & ~a).sum()), int((a & ~b).sum())
        if not only_b:
            return 1.0
        return float(stats.binomtest(only_b, only_a + only_b, alternative="greater").pvalue)
    table = [[int(b.sum()), int((~b).sum())], [int(a.sum()), int((~a).sum())]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)
