"""An additive model of the trials' scores: what each hyper-parameter does, the others held equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hpsearch.records import FloatArray
from hpsearch.results.lessons.factors import KNOTS, Factor

FEWEST_KNOTS = 3
PER_COLUMN = 3
"""Trials that each column of the model needs; below that, curves get fewer knots."""

RIDGE = 1e-9
"""Of the largest eigenvalue: what is below it is rounding."""


@dataclass(frozen=True)
class Part:
    """What the model has of one hyper-parameter.

    factor: it. columns, grid, places: see Factor.columns. first: where its coefficients begin.
    """

    factor: Factor
    columns: FloatArray
    grid: FloatArray
    places: FloatArray
    first: int

    @property
    def own(self) -> slice:
        """Its coefficients' places."""
        return slice(self.first, self.first + self.columns.shape[1])


@dataclass(frozen=True)
class Model:
    """Scores as a sum of one function of each hyper-parameter: lines between knots, a constant a level.

    A main-effects analysis of variance by least squares. Since all functions are fitted together, a
    hyper-parameter gets no credit for others that the sampler chose to go with it.

    parts: of the hyper-parameters that vary. scores: [n]. design: [n, columns], the first one is 1.
    """

    parts: tuple[Part, ...]
    scores: FloatArray
    design: FloatArray

    @cached_property
    def inverse(self) -> FloatArray:
        """[columns, columns] of the normal equations; columns that depend on others share their effect."""
        square = self.design.T @ self.design
        found: FloatArray = np.asarray(np.linalg.pinv(square, rcond=RIDGE, hermitian=True), np.float64)
        return found

    @cached_property
    def coefficients(self) -> FloatArray:
        found: FloatArray = self.inverse @ (self.design.T @ self.scores)
        return found

    @cached_property
    def residuals(self) -> FloatArray:
        found: FloatArray = self.scores - self.design @ self.coefficients
        return found

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the residuals."""
        return len(self.scores) - int(self.design.shape[1])

    @property
    def noise(self) -> float:
        """Variance of what the hyper-parameters don't explain one by one."""
        return float(self.residuals @ self.residuals) / self.freedom

    @cached_property
    def covariance(self) -> FloatArray:
        """[columns, columns] of the coefficients, where the spread of scores differs from place to place
        (White 1980; HC3 of MacKinnon & White 1985).
        """
        leverage = np.einsum("ij,jk,ik->i", self.design, self.inverse, self.design)
        weights = (self.residuals / np.maximum(1 - leverage, 0.05)) ** 2
        found: FloatArray = self.inverse @ ((self.design.T * weights) @ self.design) @ self.inverse
        return found

    def p_value(self, part: Part) -> float:
        """Of the F test that a hyper-parameter does nothing: that all of its coefficients are 0."""
        own = self.coefficients[part.own]
        block = self.inverse[part.own, part.own]
        return f_test(
            float(own @ np.linalg.pinv(block, hermitian=True) @ own), len(own), self.noise, self.freedom
        )

    def effect(self, part: Part) -> FloatArray:
        """[m] of a hyper-parameter at the places of its grid, 0 on average over them."""
        found: FloatArray = part.grid @ self.coefficients[part.own]
        return found

    def variance(self, part: Part, coefficients: FloatArray) -> FloatArray:
        """[draws] of the effect, over the space, for coefficients [draws, columns]."""
        effects = coefficients[:, part.own] @ part.grid.T
        found: FloatArray = (effects**2).mean(1)
        return found

    def luck(self, part: Part) -> float:
        """By how much the variance of a fitted effect is too large on average, because it is fitted."""
        own = self.covariance[part.own, part.own]
        return float(np.einsum("ij,jk,ik->", part.grid, own, part.grid) / len(part.grid))


def fit(factors: Sequence[Factor], scores: FloatArray) -> Model | None:
    """The model of scores [n]; None where nothing varies, or there are too few trials for it."""
    for knots in range(KNOTS, FEWEST_KNOTS - 1, -1):
        parts: list[Part] = []
        first = 1
        for factor in factors:
            columns, grid, places = factor.columns(knots)
            if columns.shape[1]:
                parts.append(Part(factor, columns, grid, places, first))
                first += columns.shape[1]
        if len(scores) >= PER_COLUMN * first:
            design = np.hstack([np.ones((len(scores), 1)), *(part.columns for part in parts)])
            return Model(tuple(parts), scores, design) if parts and np.ptp(scores) > 0 else None
    return None


def f_test(square: float, columns: int, noise: float, freedom: int) -> float:
    """The p-value of a sum of squares that so many columns explain (Fisher 1925)."""
    from scipy.special import fdtrc

    return 0.0 if noise <= 0 else float(fdtrc(columns, freedom, square / columns / noise))


def holm(p: Sequence[float]) -> list[float]:
    """p-values that hold for all tests together (Holm 1979)."""
    order = np.argsort(p)
    steps = np.asarray(p, dtype=np.float64)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(p) else steps
    return [float(value) for value in adjusted]
