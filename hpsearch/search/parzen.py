"""Draw from and evaluate Optuna's Parzen estimators for a whole cohort at once.

The estimators (kernels, bandwidths, weights) are Optuna's own objects. This file computes their two sums over
all kernels with a few array operations: Optuna loops in Python over draws and allocates [draws, kernels] at
each step of each parameter, which took longer than training a cohort.
"""

from __future__ import annotations

import math
import threading
from importlib import import_module
from typing import Any

import numpy as np

from hpsearch.records import FloatArray
from hpsearch.search.optuna_private import CategoricalKernels, ParzenEstimator, mixture

_SMALLEST = 1e-300
"""Replaces a kernel's mass of 0, so that its logarithm stays finite."""


def warm_up() -> None:
    """Import what evaluating needs (0.2 s) while the workers train the first cohort."""
    threading.Thread(target=import_module, args=("scipy.special",), daemon=True).start()


def draw(estimator: ParzenEstimator, random: np.random.RandomState, count: int) -> FloatArray:
    """[count, parameters] draws from the mixture: pick a kernel by weight, then each parameter from it."""
    mixed = mixture(estimator)
    kernels = random.choice(len(mixed.weights), p=mixed.weights, size=count)
    drawn = np.empty((count, len(mixed.distributions)))
    for column, d in enumerate(mixed.distributions):
        if isinstance(d, CategoricalKernels):
            shares = np.cumsum(d.weights, axis=1)[kernels, :-1]  # [count, choices - 1]
            drawn[:, column] = (shares < random.random_sample((count, 1))).sum(axis=1)
            continue
        low, high = d.adapted_low, d.adapted_high
        x = _truncated_normal(d.mu[kernels], d.sigma[kernels], low, high, random)
        x = np.exp(x) if d.is_log else x
        drawn[:, column] = np.round((x - d.low) / d.step) * d.step + d.low if d.step else x
        np.clip(drawn[:, column], d.low, d.high, out=drawn[:, column])
    return drawn


def _truncated_normal(
    mu: FloatArray, sigma: FloatArray, low: float, high: float, random: np.random.RandomState
) -> FloatArray:
    """Normal draws between low and high, by rejection; at least a third pass, as low ≤ μ ≤ high and
    σ ≤ high − low.
    """
    x = random.normal(mu, sigma)
    while len(out := np.flatnonzero((x < low) | (x > high))):
        x[out] = random.normal(mu[out], sigma[out])
    return x


def log_density(estimator: ParzenEstimator, points: FloatArray) -> FloatArray:
    """[n] log density, or for discrete parameters mass, of the mixture at points [n, parameters]."""
    mixed = mixture(estimator)
    logs = np.tile(np.log(mixed.weights), (len(points), 1))  # [n, kernels]
    for x, d in zip(points.T, mixed.distributions, strict=True):
        if isinstance(d, CategoricalKernels):
            logs += np.log(d.weights).T[x.astype(np.int64)]
        elif d.step:
            values, at = np.unique(x, return_inverse=True)
            logs += _log_mass(d, values)[at]
        else:
            logs += _log_normal(d, x)
    top: FloatArray = logs.max(axis=1)
    logs -= top[:, None]
    log: FloatArray = top + np.log(np.exp(logs, out=logs).sum(axis=1))
    return log


def _log_normal(d: Any, x: FloatArray) -> FloatArray:
    """[n, kernels] log density of x in each truncated normal kernel.

    −(x − μ)²/2σ² is expanded into one matrix product; x and μ are centred and scaled by the range, so that
    nothing cancels.
    """
    low, high = d.adapted_low, d.adapted_high
    middle, unit = (low + high) / 2, high - low
    x = ((np.log(x) if d.is_log else x) - middle) / unit
    mu, precision = (d.mu - middle) / unit, (unit / d.sigma) ** 2
    constant = -0.5 * precision * mu**2 - np.log(d.sigma * math.sqrt(2 * math.pi) * _between(d, low, high))
    terms = np.stack([-0.5 * precision, precision * mu, constant])  # [3, kernels]
    product: FloatArray = np.stack([x**2, x, np.ones_like(x)], axis=1) @ terms
    return product


def _log_mass(d: Any, values: FloatArray) -> FloatArray:
    """[n, kernels] log mass of each value in each truncated, rounded normal kernel."""
    edges = values[:, None] - d.step / 2, values[:, None] + d.step / 2
    lower, upper = (np.log(edge) if d.is_log else edge for edge in edges)
    mass = _between(d, lower, upper) / _between(d, d.adapted_low, d.adapted_high)
    logs: FloatArray = np.log(np.maximum(mass, _SMALLEST))
    return logs


def _between(d: Any, low: float | FloatArray, high: float | FloatArray) -> FloatArray:
    """Mass of each normal kernel between two bounds."""
    from scipy.special import ndtr

    mass: FloatArray = ndtr((high - d.mu) / d.sigma) - ndtr((low - d.mu) / d.sigma)
    return mass
