"""Which hyper-parameters matter, how sure that is, and which way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpsearch import seeds
from hpsearch.records import FloatArray
from hpsearch.results.lessons.additive import RIDGE, Model, Part, holm
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

    share: of the variance of scores over the space, from 0 to 1; the shares of all and what none of them
    explains (interactions, luck) add up to 1. low, high: its 95 % interval. p: of no effect at all, corrected
    for the number of hyper-parameters. trials: that it rests on. verdict: "matters", "no effect seen" (the
    interval ends below 3 %) or "too few to say". direction: which values are better, "" unless it matters.
    All numbers are None where there are too few trials for the model.
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
        """Whether it can be told that it has an effect."""
        return self.verdict == MATTERS


def importances(model: Model | None, names: list[str], trials: int, seed: int) -> tuple[Importance, ...]:
    """Of the hyper-parameters of these names, the largest share first; those without numbers last.

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
    if factor.levels:
        return _levels_direction(model, part)
    effect = model.effect(part)
    best = int(effect.argmax())
    worse = effect[best] - effect > _CLEAR * _errors(model, part, best)
    below, above = bool(worse[:best].any()), bool(worse[best + 1 :].any())
    if not below and not above:
        return ""
    # As far as it is not clearly worse, on the side where it never is, that side's end is as good.
    where = factor.text(part.places[best])
    if below and above:
        return f"best around {where}"
    at_end = best in (0, len(effect) - 1)
    if below:
        return "higher is better" if at_end else f"higher is better, up to about {where}"
    return "lower is better" if at_end else f"lower is better, down to about {where}"


def _levels_direction(model: Model, part: Part) -> str:
    effect = model.effect(part)
    best = int(effect.argmax())
    worse = effect[best] - effect > _CLEAR * _errors(model, part, best)
    order = np.argsort(-effect, kind="stable")
    good = [part.factor.text(part.places[at]) for at in order if not worse[at]]
    bad = [part.factor.text(part.places[at]) for at in order if worse[at]]
    return f"{_some(good)} better than {_some(bad)}" if bad else ""


def _some(words: list[str]) -> str:
    return ", ".join(words)


def _errors(model: Model, part: Part, best: int) -> FloatArray:
    """[m] standard errors of the differences to the best place."""
    differences = part.grid - part.grid[best]
    square = np.einsum("ij,jk,ik->i", differences, model.covariance[part.own, part.own], differences)
    found: FloatArray = np.sqrt(square.clip(0))
    return found
