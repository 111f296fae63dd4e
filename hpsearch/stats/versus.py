"""Two arms: their difference, how large it is, how likely one is better, and whether one is a regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch import seeds
from hpsearch.records import FloatArray
from hpsearch.stats.estimates import FEWEST, LEVEL, SAME

_RESAMPLES = 2000


@dataclass(frozen=True)
class Versus:
    """B minus A.

    paired: by seed. mean, low, high: of the difference, with a 95 % interval; None without a variance to go
    by. p: two-sided. effect: the difference in standard deviations of the scores, Hedges' g; None without
    any. chance: that B is better than A with one more seed each; chance_low, chance_high: its 95 % interval.
    """

    paired: bool
    mean: float
    low: float | None
    high: float | None
    p: float
    effect: float | None
    chance: float
    chance_low: float
    chance_high: float


def versus(a: FloatArray, b: FloatArray, paired: bool, maximize: bool) -> Versus | None:
    """Compare scores of A [n] and B [m], NaN where one diverged; None of fewer than three (pairs of) scores.

    Paired: Student's t of the differences (1908), otherwise Welch's (1947). The effect is Hedges' g (1981,
    "Distribution theory for Glass's estimator of effect size", J. Educ. Stat. 6), the chance the statistic of
    Mann & Whitney (1947) as a share, as Bouthillier et al. (2021, "Accounting for variance in machine
    learning benchmarks", section 4) want it, its interval by the bootstrap (Efron 1979). All but the last two
    take the scores for normal.
    """
    if paired:
        both = np.isfinite(a) & np.isfinite(b)
        a, b = a[both], b[both]
    else:
        a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if min(len(a), len(b)) < FEWEST:
        return None
    mean = float(b.mean() - a.mean())
    found = _t_test(a, b, paired)
    low, high, p = (None, None, _sign_p(a, b)) if found is None else found
    chance, ends = _chance(a, b, paired, maximize)
    return Versus(paired, mean, low, high, p, _hedges(a, b), chance, *ends)


def regression_p(a: FloatArray, b: FloatArray, paired: bool, maximize: bool, margin: float) -> float | None:
    """How likely B falls so far behind A if in truth it is worse by `margin` at most; None of too few scores.

    One-sided t-tests as in `versus` (non-inferiority, Schuirmann 1987), and where seeds diverged, whether B
    did so more often (Fisher's exact test, 1935): the smaller of both, doubled.
    """
    diverged = [int(np.isnan(scores).sum()) for scores in (a, b)]
    finite = np.isfinite(a) & np.isfinite(b) if paired else None
    own_a, own_b = (a[finite], b[finite]) if paired else (a[np.isfinite(a)], b[np.isfinite(b)])
    p = None
    if min(len(own_a), len(own_b)) >= FEWEST:
        sign = 1.0 if maximize else -1.0
        p = _behind_p(sign * own_a - margin, sign * own_b, paired)
    if not any(diverged):
        return p
    from scipy.stats import fisher_exact

    table = [[diverged[1], len(b) - diverged[1]], [diverged[0], len(a) - diverged[0]]]
    more = float(fisher_exact(table, alternative="greater").pvalue)
    return min(1.0, 2 * min(more, 1.0 if p is None else p))


def _t_test(a: FloatArray, b: FloatArray, paired: bool) -> tuple[float, float, float] | None:
    """Ends of the interval and p-value; None without a variance to go by."""
    from scipy import stats

    if not _varies(a, b, paired):
        return None
    found: Any = stats.ttest_rel(b, a) if paired else stats.ttest_ind(b, a, equal_var=False)
    interval = found.confidence_interval(LEVEL)
    return float(interval.low), float(interval.high), float(found.pvalue)


def _behind_p(a: FloatArray, b: FloatArray, paired: bool) -> float:
    """One-sided p-value of B being less than A."""
    from scipy import stats

    if not _varies(a, b, paired):
        return _sign_p(a, b) / 2 if b.mean() < a.mean() - SAME * np.abs(a).max() else 1.0
    if paired:
        return float(stats.ttest_rel(b, a, alternative="less").pvalue)
    return float(stats.ttest_ind(b, a, equal_var=False, alternative="less").pvalue)


def _varies(a: FloatArray, b: FloatArray, paired: bool) -> bool:
    scale = SAME * max(float(np.abs(a).max()), float(np.abs(b).max()))
    return bool(np.ptp(b - a) > scale) if paired else bool(max(np.ptp(a), np.ptp(b)) > scale)


def _sign_p(a: FloatArray, b: FloatArray) -> float:
    """Of differences that are all equal: the sign test."""
    from scipy.stats import binomtest

    n = min(len(a), len(b))
    same = abs(b.mean() - a.mean()) <= SAME * max(float(np.abs(a).max()), float(np.abs(b).max()))
    return 1.0 if same else float(binomtest(n, n).pvalue)


def _hedges(a: FloatArray, b: FloatArray) -> float | None:
    freedom = len(a) + len(b) - 2
    pooled = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / freedom
    if pooled <= (SAME * max(float(np.abs(a).max()), float(np.abs(b).max()))) ** 2:
        return None
    return float((b.mean() - a.mean()) / np.sqrt(pooled) * (1 - 3 / (4 * freedom - 1)))


def _chance(a: FloatArray, b: FloatArray, paired: bool, maximize: bool) -> tuple[float, tuple[float, float]]:
    """That B is better, ties count half, with its percentile interval."""
    sign = 1.0 if maximize else -1.0
    gaps = sign * (b[None, :] - a[:, None])
    wins = (gaps > 0) + 0.5 * (gaps == 0)
    random = seeds.generator(0, "versus", len(a), len(b))
    rows = random.integers(len(a), size=(_RESAMPLES, len(a)))
    columns = rows if paired else random.integers(len(b), size=(_RESAMPLES, len(b)))
    drawn = wins[rows[:, :, None], columns[:, None, :]].mean((1, 2))
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)).tolist()
    return float(wins.mean()), (low, high)
