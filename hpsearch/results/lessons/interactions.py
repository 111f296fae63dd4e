"""Pairs of hyper-parameters of which the best value of one depends on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from hpsearch.records import FloatArray
from hpsearch.results.frames import Report
from hpsearch.results.lessons.additive import Model, Part, f_test, holm
from hpsearch.results.lessons.basis import Basis
from hpsearch.results.lessons.factors import Factor
from hpsearch.stats import LEVEL

SMALL = 0.02
"""A share of the variance below which an interaction is not worth a word."""

FEW = 3
"""Trials in a cell below which its median says nothing."""

_CLEAR = 0.3
"""In standard deviations of scores: medians that are so far apart are told apart in words."""

_KNOTS = 4
_PER_COLUMN = 8
"""Trials that each column of an interaction needs."""


@dataclass(frozen=True)
class Interaction:
    """Two hyper-parameters that do together what neither does by itself.

    share: of the variance of scores, beyond what both explain alone. p: of none, corrected for the number of
    pairs. cells: one row a pair of buckets, in order: first, second (in words), first_place, second_place,
    trials, median (of the basis, diverged trials as the worst; NaN of fewer than 3 trials), best (of all
    epochs). sentence: what depends on what.
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
    """The pairs that the trials tell of, the largest share first; often none.

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
        if p <= 1 - LEVEL and share >= SMALL:
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
    """First the one whose best value is worth looking for: numbers before names, then what matters more."""
    own = model.coefficients[None]
    ranked = sorted((one, other), key=lambda part: (part.factor.named, -float(model.variance(part, own)[0])))
    return ranked[0].factor.name, ranked[1].factor.name


def _cells(report: Report, first: Factor, second: Factor, basis: Basis) -> pd.DataFrame:
    own = np.full(len(report.trials), np.nan)
    own[basis.rows] = np.where(np.isnan(basis.values), -np.inf if basis.maximize else np.inf, basis.values)
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
                    "median": _median(values),
                    "best": (ends.max() if basis.maximize else ends.min()) if len(ends) else np.nan,
                }
            )
    return pd.DataFrame(rows)


def _median(values: FloatArray) -> float:
    middle = float(np.quantile(values, 0.5, method="nearest")) if len(values) >= FEW else np.nan
    return middle if np.isfinite(middle) else np.nan


def _sentence(first: Factor, second: Factor, basis: Basis) -> str:
    """Where the first one is best at two values of the second, if either is clearly worse at the other's best
    place; of all such, those with the clearest difference.
    """
    a, b = first.bucket[basis.rows], second.bucket[basis.rows]
    medians = np.full((first.buckets, second.buckets), np.nan)
    for cell in np.ndindex(*medians.shape):
        scores = basis.scores[(a == cell[0]) & (b == cell[1])]
        medians[cell] = np.median(scores) if len(scores) >= FEW else np.nan
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
    if clearest is None or lost[clearest] < _CLEAR:
        return f"how much {first.name} matters depends on {second.name}"
    one, other = clearest
    here = f"{first.bucket_text(best[one])} with {second.name} {second.bucket_text(one)}"
    there = f"{first.bucket_text(best[other])} with {second.bucket_text(other)}"
    return f"{first.name} is best at {here}, at {there}"
