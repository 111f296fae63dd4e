"""What hyper-parameters do: how much each matters, by itself in buckets, and in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from hpsearch import seeds
from hpsearch.errors import plural
from hpsearch.records import FloatArray, State
from hpsearch.results.frames import PARAM, Report
from hpsearch.results.lessons.additive import RIDGE, Basis, Factor, Model, Part, f_test, holm
from hpsearch.stats import LEVEL

MATTERS, NOTHING_SEEN, TOO_FEW = "matters", "no effect seen", "too few to say"
SMALL = 0.03
"""A share of the variance below which an effect is as good as none."""

_RESAMPLES = 100
_MANY = 2000
"""Trials from which half as many resamples have to do."""

_CLEAR = 2.0
"""Standard errors by which a place is worse than the best one."""


@dataclass(frozen=True)
class Importance:
    """How much of the differences between trials a hyper-parameter explains.

    share: of the variance of scores over the space, from 0 to 1; all shares and the unexplained rest
    (interactions, luck) add up to 1. low, high: its 95 % interval. p: of no effect at all, corrected for the
    number of hyper-parameters. trials: it rests on. verdict: "matters", "no effect seen" (the interval ends
    below 3 %) or "too few to say". direction: which values are better, "" unless it matters. Numbers are None
    where there are too few trials for the model.
    """

    name: str
    trials: int
    verdict: str
    share: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    direction: str = ""

    @property
    def matters(self) -> bool:
        """Whether it clearly has an effect."""
        return self.verdict == MATTERS


def importances(model: Model | None, names: list[str], trials: int, seed: int) -> tuple[Importance, ...]:
    """Importances by these names, the largest share first, those without numbers last.

    The shares are of a functional analysis of variance as Optuna's fANOVA evaluator has it (Hutter, Hoos &
    Leyton-Brown 2014, section 3: variances of marginals over the space), of an additive model instead of a
    random forest: 1,000 times as fast, with an F test of each, and unmoved by a sampler that prefers some
    combinations. What a fitted curve varies by chance is taken off. Intervals are by the bootstrap.
    """
    parts = [] if model is None else list(model.parts)
    adjusted = holm([model.p_value(part) for part in parts]) if model else []
    found = [] if model is None else _shares(model, parts, adjusted, seed)
    found.sort(key=lambda each: (-(each.share or 0.0), names.index(each.name)))
    known = {each.name for each in found}
    return (*found, *(Importance(name, trials, TOO_FEW) for name in names if name not in known))


def _shares(model: Model, parts: list[Part], adjusted: list[float], seed: int) -> list[Importance]:
    luck = np.array([model.luck(part) for part in parts])
    own = np.array([model.variance(part, model.coefficients[None])[0] for part in parts])
    variances = np.maximum(own - luck, 0)
    whole = variances.sum() + model.noise
    drawn, noise = _resampled(model, seed)
    # A resample varies by chance twice: as the trials did, and as they were resampled.
    pairs = zip(parts, luck, strict=True)
    likely = np.array([np.maximum(model.variance(part, drawn) - 2 * each, 0) for part, each in pairs])
    likely /= likely.sum(0) + noise
    ends = np.quantile(likely, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    found = []
    for at, (part, p) in enumerate(zip(parts, adjusted, strict=True)):
        share = float(variances[at] / whole) if whole > 0 else 0.0
        low, high = min(share, float(ends[0, at])), max(share, float(ends[1, at]))
        matters = p <= 1 - LEVEL and share > 0
        verdict = MATTERS if matters else NOTHING_SEEN if high < SMALL else TOO_FEW
        there = int((~np.isnan(part.factor.at)).sum())
        says = direction(model, part) if matters else ""
        found.append(Importance(part.factor.name, there, verdict, share, low, high, p, says))
    return found


def _resampled(model: Model, seed: int) -> tuple[FloatArray, FloatArray]:
    """[resamples, columns] coefficients, and [resamples] what they don't explain, of trials drawn with
    replacement (Efron 1979), ranked anew.
    """
    from scipy.special import ndtri

    random = seeds.generator(seed, "importances")
    n, width = model.design.shape
    rank = np.unique(model.scores, return_inverse=True)[1]
    count = _RESAMPLES if n < _MANY else _RESAMPLES // 2
    drawn, noise = np.empty((count, width)), np.empty(count)
    for at in range(count):
        weights = np.bincount(random.integers(0, n, n), minlength=n).astype(np.float64)
        ranked = np.bincount(rank, weights)
        scores = ndtri(((np.cumsum(ranked) - ranked / 2) / n).clip(0.5 / n, 1 - 0.5 / n))[rank]
        weighted = model.design.T * weights
        drawn[at] = np.linalg.pinv(weighted @ model.design, rcond=RIDGE, hermitian=True) @ (weighted @ scores)
        left = weights @ (scores - model.design @ drawn[at]) ** 2
        noise[at] = left / max(1, n - 2 * width)
    return drawn, noise


def direction(model: Model, part: Part) -> str:
    """Which values are better, the others held equal, in words."""
    factor = part.factor
    effect = model.effect(part)
    best = int(effect.argmax())
    worse = effect[best] - effect > _CLEAR * _errors(model, part, best)
    if factor.levels:
        order = np.argsort(-effect, kind="stable")
        good = ", ".join(factor.text(part.places[at]) for at in order if not worse[at])
        bad = ", ".join(factor.text(part.places[at]) for at in order if worse[at])
        return f"{good} better than {bad}" if bad else ""
    below, above = bool(worse[:best].any()), bool(worse[best + 1 :].any())
    if not below and not above:
        return ""
    # On a side that is never clearly worse, its end is as good.
    where = factor.text(part.places[best])
    if below and above:
        return f"best around {where}"
    at_end = best in (0, len(effect) - 1)
    if below:
        return "higher is better" if at_end else f"higher is better, up to about {where}"
    return "lower is better" if at_end else f"lower is better, down to about {where}"


def _errors(model: Model, part: Part, best: int) -> FloatArray:
    """[m] standard errors of the differences to the best place."""
    differences = part.grid - part.grid[best]
    square = np.einsum("ij,jk,ik->i", differences, model.covariance[part.own, part.own], differences)
    found: FloatArray = np.sqrt(square.clip(0))
    return found


FEW_IN_BUCKET = 5
"""Trials in a bucket below which its best says little."""


@dataclass(frozen=True)
class Isolation:
    """A hyper-parameter by itself, whatever the others were (an isolation plot: Godbole et al. 2023, "Deep
    Learning Tuning Playbook", "Extracting insight from experiment results").

    log: whether its scale is logarithmic. buckets: one row per bucket, in order: bucket (in words), low, high
    (both None for a single value), trials, diverged, share_diverged, best, best_trial (of all epochs),
    median, lower, upper (quartiles of the basis, diverged trials as the worst; NaN where that is one).
    points: one row per trial that uses it: trial, at (its value), value (of all epochs), basis (its value
    there, NaN outside), state. remark: that the best bucket has few trials, or "".
    """

    name: str
    log: bool
    buckets: pd.DataFrame
    points: pd.DataFrame
    remark: str = ""


def isolations(report: Report, factors: Sequence[Factor], basis: Basis) -> tuple[Isolation, ...]:
    """One per searched hyper-parameter, in the study file's order. factors: of all trials of the report."""
    return tuple(_isolation(report, factor, basis) for factor in factors)


def _isolation(report: Report, factor: Factor, basis: Basis) -> Isolation:
    frame, maximize = report.trials, basis.maximize
    own, values = basis.spread(len(frame)), np.full(len(frame), np.nan)
    values[basis.rows] = basis.values
    value = frame["value"].to_numpy(np.float64)
    failed = (frame["state"] == str(State.FAILED)).to_numpy()
    rows = []
    for place in range(factor.buckets):
        there = factor.bucket == place
        low, high = (None, None) if factor.levels else factor.bucket_ends(place)
        final = np.where(there & ~failed & np.isfinite(value), value if maximize else -value, -np.inf)
        best = int(final.argmax()) if np.isfinite(final).any() else None
        found = own[there & ~np.isnan(own)]
        quartiles = [_quantile(found, share) if len(found) else np.nan for share in (0.25, 0.5, 0.75)]
        rows.append(
            {
                "bucket": factor.bucket_text(place),
                "low": low,
                "high": high,
                "trials": int(there.sum()),
                "diverged": int((there & failed).sum()),
                "share_diverged": float(failed[there].mean()) if there.any() else np.nan,
                "best": np.nan if best is None else value[best],
                "best_trial": None if best is None else int(frame["trial"].iloc[best]),
                **dict(zip(("lower", "median", "upper"), quartiles, strict=True)),
            }
        )
    buckets = pd.DataFrame(rows).astype({"best_trial": "Int64"})
    used = factor.bucket >= 0
    points = pd.DataFrame(
        {
            "trial": frame["trial"][used],
            "at": frame[PARAM + factor.name][used],
            "value": frame["value"][used],
            "basis": values[used],
            "state": frame["state"][used],
        }
    ).reset_index(drop=True)
    return Isolation(factor.name, factor.log, buckets, points, _remark(buckets, maximize))


def _quantile(values: FloatArray, share: float) -> float:
    """The nearest value; NaN where that is one of a diverged trial, which is infinite."""
    found = float(np.quantile(values, share, method="nearest"))
    return found if np.isfinite(found) else np.nan


def _remark(buckets: pd.DataFrame, maximize: bool) -> str:
    best = buckets["best"].to_numpy(np.float64) * (1 if maximize else -1)
    if np.isfinite(best).sum() < 2:
        return ""
    place = int(np.where(np.isfinite(best), best, -np.inf).argmax())
    bucket, trials = buckets["bucket"].iloc[place], int(buckets["trials"].iloc[place])
    if trials >= FEW_IN_BUCKET:
        return ""
    return f"the best lies at {bucket}, which has only {plural(trials, 'trial')}; try more there"


SMALL_TOGETHER = 0.02
"""A share of the variance below which an interaction is not worth a word."""

FEW_IN_CELL = 3
"""Trials in a cell below which its median says nothing."""

_APART = 0.3
"""In standard deviations of scores: medians that are so far apart are told apart in words."""

_KNOTS = 4
_PER_COLUMN = 8
"""Trials that each column of an interaction needs."""


@dataclass(frozen=True)
class Interaction:
    """Two hyper-parameters whose joint effect is not the sum of their own.

    share: of the variance of scores, beyond what both explain alone. p: of no interaction, corrected for the
    number of pairs. cells: one row per pair of buckets, in order: first, second (in words), first_place,
    second_place, trials, median (of the basis, diverged trials as the worst; NaN for fewer than 3 trials),
    best (of all epochs). sentence: what depends on what.
    """

    first: str
    second: str
    share: float
    p: float
    cells: pd.DataFrame
    sentence: str


def interactions(
    model: Model | None, report: Report, factors: Sequence[Factor], basis: Basis
) -> tuple[Interaction, ...]:
    """The pairs with a clear interaction, the largest share first; often none.

    Products of the functions of two hyper-parameters are added to the additive model, and the F test asks
    whether they explain anything beyond it, corrected for the number of pairs (Holm 1979). factors: of all
    trials of the report.
    """
    if model is None or len(model.parts) < 2:
        return ()
    pairs = list(combinations(model.parts, 2))
    tested = [_tested(model, *pair) for pair in pairs]
    adjusted = holm([p for p, _ in tested])
    by_name = {factor.name: factor for factor in factors}
    found = []
    for (one, other), (_, share), p in zip(pairs, tested, adjusted, strict=True):
        if p <= 1 - LEVEL and share >= SMALL_TOGETHER:
            first, second = (by_name[name] for name in _ordered(model, one, other))
            cells = _cells(report, first, second, basis)
            says = _sentence(first, second, basis)
            found.append(Interaction(first.name, second.name, share, p, cells, says))
    return tuple(sorted(found, key=lambda each: -each.share))


def _tested(model: Model, one: Part, other: Part) -> tuple[float, float]:
    """p-value of no interaction, and the share of the variance that it explains."""
    a, b = (part.factor.columns(_KNOTS)[0] for part in (one, other))
    products = (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)
    # What the additive model could explain of them is its own.
    products = products - model.design @ (model.inverse @ (model.design.T @ products))
    square = products.T @ products
    values, vectors = np.linalg.eigh(square)
    kept = values > 1e-6 * max(1.0, float(values[-1]))
    columns = int(kept.sum())
    freedom = model.freedom - columns
    if not columns or freedom < _PER_COLUMN * columns:
        return 1.0, 0.0
    own = (vectors[:, kept].T @ (products.T @ model.residuals)) ** 2 / values[kept]
    explained, left = float(own.sum()), float(model.residuals @ model.residuals - own.sum())
    noise = left / freedom
    whole = float(((model.scores - model.scores.mean()) ** 2).sum())
    return f_test(explained, columns, noise, freedom), max(0.0, (explained - columns * noise) / whole)


def _ordered(model: Model, one: Part, other: Part) -> tuple[str, str]:
    """Numbers before names, then what matters more: the sentence says where the first one is best."""
    own = model.coefficients[None]
    ranked = sorted((one, other), key=lambda part: (part.factor.named, -float(model.variance(part, own)[0])))
    return ranked[0].factor.name, ranked[1].factor.name


def _cells(report: Report, first: Factor, second: Factor, basis: Basis) -> pd.DataFrame:
    own = basis.spread(len(report.trials))
    final = report.trials["value"].to_numpy(np.float64)
    rows = []
    for a in range(first.buckets):
        for b in range(second.buckets):
            there = (first.bucket == a) & (second.bucket == b)
            values, ends = own[there & ~np.isnan(own)], final[there & np.isfinite(final)]
            rows.append(
                {
                    "first": first.bucket_text(a),
                    "second": second.bucket_text(b),
                    "first_place": a,
                    "second_place": b,
                    "trials": int(there.sum()),
                    "median": _quantile(values, 0.5) if len(values) >= FEW_IN_CELL else np.nan,
                    "best": (ends.max() if basis.maximize else ends.min()) if len(ends) else np.nan,
                }
            )
    return pd.DataFrame(rows)


def _sentence(first: Factor, second: Factor, basis: Basis) -> str:
    """Where the first is best at two values of the second, if each best place is clearly worse at the other
    value; of all such pairs, the clearest.
    """
    a, b = first.bucket[basis.rows], second.bucket[basis.rows]
    medians = np.full((first.buckets, second.buckets), np.nan)
    for cell in np.ndindex(*medians.shape):
        scores = basis.scores[(a == cell[0]) & (b == cell[1])]
        medians[cell] = np.median(scores) if len(scores) >= FEW_IN_CELL else np.nan
    known = np.flatnonzero(np.isfinite(medians).any(0))
    best = {int(at): int(np.nanargmax(medians[:, at])) for at in known}
    lost = {
        (one, other): min(
            medians[best[one], one] - medians[best[other], one],
            medians[best[other], other] - medians[best[one], other],
        )
        for one, other in combinations(best, 2)
        if np.isfinite([medians[best[other], one], medians[best[one], other]]).all()
    }
    clearest = max(lost, key=lambda pair: lost[pair], default=None)
    if clearest is None or lost[clearest] < _APART:
        return f"how much {first.name} matters depends on {second.name}"
    one, other = clearest
    here = f"{first.bucket_text(best[one])} with {second.name} {second.bucket_text(one)}"
    there = f"{first.bucket_text(best[other])} with {second.bucket_text(other)}"
    return f"{first.name} is best at {here}, at {there}"
