"""Bayesian optimisation with Optuna's Gaussian process, fitted once for a whole cohort."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from hpsearch.records import FloatArray
from hpsearch.search.ask import Ask, UnitCube, filled, pin
from hpsearch.search.history import COMPLETE, FAILED, RUNNING, History
from hpsearch.search.optuna_private import gaussian_process
from hpsearch.search.simple import latin_hypercube
from hpsearch.search.tpe import STARTUP, best, learned, thinned
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study

BEST, OTHERS = 64, 96
"""The most of the best trials to fit, and of all others, evenly over the history.

The time to fit grows with the cube of their number."""

SPREAD, NEAR = 512, 256
"""Candidates all over the space, and near the best trials."""

_NEAR_SIGMA = (0.02, 0.1)


class CohortGP:
    """Expected improvement of a Gaussian process (Jones et al. 1998), a whole cohort from one fit.

    The kernel (Matérn 5/2, a length scale a parameter, Hamming distance between choices) and its fit are
    Optuna's. The points of a cohort are picked one by one from a set of candidates, each as if the earlier
    ones had come out as predicted ("kriging believer", Ginsbourger et al. 2010): that leaves the means and
    updates only the candidates' joint covariance.

    Stopped trials count with the value they reached, diverged ones as the worst.
    """

    def __init__(self, study: Study) -> None:
        distributions = optuna_distributions(study.space)
        self._maximize = study.direction == "maximize"
        self._cube = UnitCube(distributions)
        self._scale = _Scale(distributions)

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        if learned(history) < STARTUP:
            return latin_hypercube(ask, self._cube)
        scores = _scores(history, self._maximize)
        used = self._used(history)
        rows = self._scale.unit(filled(history, used, ask.seed, self._cube))
        candidates = self._candidates(ask, rows[np.argsort(-scores[used], kind="stable")[:8]])
        with _one_thread():
            mean, covariance, noise, top = self._posterior(
                rows, scores[used], self._running(history, ask.seed), candidates
            )
        picked = _believe(mean, covariance, noise, top, _fitting(self._scale.inner(candidates), ask.pinned))
        return pin(self._scale.inner(candidates[picked]), ask.pinned)

    def _used(self, history: History) -> NDArray[np.intp]:
        seen = np.flatnonzero(np.isin(history.state, (COMPLETE, FAILED)) | history.partial)
        good = best(history, BEST, self._maximize)
        return np.sort(np.concatenate([good, thinned(np.setdiff1d(seen, good), OTHERS)]))

    def _running(self, history: History, seed: int) -> FloatArray:
        unfinished = np.flatnonzero((history.state == RUNNING) & (history.epochs == 0))
        return self._scale.unit(filled(history, unfinished, seed, self._cube))

    def _candidates(self, ask: Ask, near: FloatArray) -> FloatArray:
        random = ask.generator("gp candidates")
        spread = self._scale.unit(self._cube.inner(random.random((SPREAD, self._cube.axes))))
        centres = near[np.arange(NEAR) % len(near)]
        sigma = np.repeat(_NEAR_SIGMA, -(-NEAR // len(_NEAR_SIGMA)))[:NEAR, None]
        moved = self._scale.moved(centres, sigma, random)
        return np.unique(self._scale.unit(self._scale.inner(np.concatenate([spread, moved]))), axis=0)

    def _posterior(
        self, rows: FloatArray, scores: FloatArray, running: FloatArray, candidates: FloatArray
    ) -> tuple[FloatArray, FloatArray, float, float]:
        """Mean [candidates] and joint covariance of standardised scores, the noise, and the best score."""
        import torch

        y = (scores - scores.mean()) / max(float(scores.std()), 1e-10)
        with torch.device("cpu"):
            fitted = gaussian_process(rows, y, self._scale.categorical)
            if len(running):
                x = torch.from_numpy(running)
                fitted.append_running_data(x, fitted.posterior(x)[0])
            with torch.no_grad():
                mean, covariance = fitted.posterior(torch.from_numpy(candidates), joint=True)
        return mean.numpy(), covariance.numpy(), float(fitted.noise_var), float(y.max())


def _scores(history: History, maximize: bool) -> FloatArray:
    """[n] scores, higher is better.

    The lower tail is cut as far below the median as the best is above it, because a model of smooth functions
    cannot handle a loss of 10³⁰. Diverged trials sit at that end.
    """
    scores = history.value if maximize else -history.value
    known = scores[np.isfinite(scores)]
    if not len(known):
        return np.zeros(len(history))
    middle, top = float(np.median(known)), float(known.max())
    floor = middle - max(top - middle, 1e-10)
    return np.where(np.isnan(scores), floor, np.clip(scores, floor, top))


def _fitting(candidates: FloatArray, pinned: FloatArray) -> list[NDArray[np.bool_]]:
    """For each requested point, which candidates have its pinned values; all, if none has."""
    masks = []
    for row in pinned:
        given = ~np.isnan(row)
        mask = (candidates[:, given] == row[given]).all(axis=1)
        masks.append(mask if mask.any() else np.ones(len(candidates), bool))
    return masks


def _believe(
    mean: FloatArray, covariance: FloatArray, noise: float, top: float, masks: list[NDArray[np.bool_]]
) -> list[int]:
    """Places of the candidates, picked one by one."""
    from scipy.special import log_ndtr

    taken = np.zeros(len(mean), bool)
    variance = covariance.diagonal().copy()
    updates = np.empty((len(mean), len(masks)))  # the covariance is that of before, less updates · updatesᵀ
    picked: list[int] = []
    for count, mask in enumerate(masks):
        sigma = np.sqrt(np.maximum(variance, 1e-12))
        z = (mean - top) / sigma
        # log of σ(zΦ(z) + φ(z)); far below, where both vanish, ≈ φ(z)σ/z².
        log_density = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
        inner = z * np.exp(np.minimum(log_ndtr(z) - log_density, 700)) + 1
        tail = np.where(z > -30, np.log(np.maximum(inner, 1e-300)), -2 * np.log(np.abs(z) + 1e-300))
        free = mask & ~taken
        at = int(np.where(free if free.any() else mask, np.log(sigma) + log_density + tail, -np.inf).argmax())
        picked.append(at)
        taken[at] = True
        column = covariance[:, at] - updates[:, :count] @ updates[at, :count]
        updates[:, count] = column / np.sqrt(max(float(column[at]), 1e-12) + noise)
        variance -= updates[:, count] ** 2
    return picked


class _Scale:
    """Parameters as the Gaussian process takes them: numbers in [0, 1], choices by their place."""

    def __init__(self, distributions: dict[str, BaseDistribution]) -> None:
        ranges = list(distributions.values())
        self.categorical = np.array([isinstance(d, CategoricalDistribution) for d in ranges])
        self._choices = np.array([len(getattr(d, "choices", ())) for d in ranges])
        self._log = np.array([bool(getattr(d, "log", False)) for d in ranges])
        self._low = np.array([getattr(d, "low", 0.0) for d in ranges], float)
        self._high = np.array([getattr(d, "high", 1.0) for d in ranges], float)
        integer = [type(d).__name__ == "IntDistribution" for d in ranges]
        steps = [getattr(d, "step", None) or 0.0 for d in ranges]
        self._step = np.array([1.0 if i and not s else s for i, s in zip(integer, steps, strict=True)])
        self._step[self.categorical] = 0.0
        low, high = (
            np.where(self._log, np.log(np.where(self._log, end, 1.0)), end) for end in (self._low, self._high)
        )
        self._unit_low, self._unit_range = low, high - low

    def unit(self, inner: FloatArray) -> FloatArray:
        x = np.where(self._log, np.log(np.where(self._log, inner, 1.0)), inner)
        return np.where(self.categorical, inner, (x - self._unit_low) / self._unit_range)

    def inner(self, unit: FloatArray) -> FloatArray:
        x = unit * self._unit_range + self._unit_low
        x = np.where(self._log, np.exp(np.where(self._log, x, 0.0)), x)
        step = np.where(self._step > 0, self._step, 1.0)
        x = np.where(self._step > 0, np.round((x - self._low) / step) * step + self._low, x)
        return np.where(self.categorical, unit, np.clip(x, self._low, self._high))

    def moved(self, centres: FloatArray, sigma: FloatArray, random: np.random.Generator) -> FloatArray:
        """Points near others: numbers move a little, a choice switches to any value with probability 0.2."""
        step = np.clip(centres + sigma * random.standard_normal(centres.shape), 0.0, 1.0)
        other = np.floor(random.random(centres.shape) * np.maximum(self._choices, 1))
        choice = np.where(random.random(centres.shape) < 0.2, other, centres)
        return np.where(self.categorical, choice, step)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep the last bits of torch's linear algebra independent of the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
