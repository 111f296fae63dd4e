"""Numbers that are names: codes of categories, told by a target that follows no order of theirs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.raw import Indices, Raw
from hpsearch.data.target import Target

FEWEST_CODES, MOST_CODES = 3, 60
_POOLED = 9
"""Codes below which columns that have the same ones are judged together."""
_ORDERED = 0.25
"""Share of the target's dependence, beyond chance, that a smooth curve over ordered numbers explains."""
_SIGNIFICANT = 3.0
"""Standard deviations by which a column must tell something of the target to be judged."""
_ENCODED = 2
"""Columns of codes from 0 up, none left out, from which all such columns are taken for the same encoder's."""


def coded_columns(raw: Raw, target: Target, train: Indices, columns: list[str]) -> list[str]:
    """Of some columns of a table those that look like codes of categories.

    A column of few whole numbers is judged by the mean target of each, of classes the share of each class: a
    polynomial over numbers that have an order explains most of how these differ, and one over codes no more
    than over codes in random order, its degree / (codes − 1). (An analysis of variance with a test for lack
    of fit, without its assumption that a straight line fits what is ordered.) Beside two such columns with
    the codes 0, 1, 2 …, none left out, as an encoder numbers categories, all columns like these are codes.
    """
    y = _responses(target, train)
    groups: dict[object, list[tuple[str, _Fit]]] = defaultdict(list)
    known = {column.name for column in raw.schema if column.kind == "number"}
    for name in columns:
        values = raw.frame[name].iloc[train] if name in known else pd.Series(dtype=float)
        if (codes := _codes(values)) is not None:
            places, distinct = codes
            key = tuple(distinct) if len(distinct) < _POOLED else name
            groups[key].append((name, _Fit(places, distinct, y)))
    found = {name for fits in groups.values() if _unordered([fit for _, fit in fits]) for name, _ in fits}
    complete = {name for fits in groups.values() for name, fit in fits if fit.complete}
    if len(found & complete) >= _ENCODED:
        found |= complete
    return [name for name in columns if name in found]


def _responses(target: Target, train: Indices) -> NDArray[np.float64]:
    """[train, responses] what is averaged: a column for each class, or the number."""
    if target.classes:
        return np.eye(len(target.classes))[target.values[train].astype(np.int64)]
    return target.values[train].astype(np.float64)[:, None]


def _codes(values: pd.Series[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """[rows] places among the few different whole numbers of a column, and these; None if it has others."""
    present = values.dropna()
    if pd.api.types.is_float_dtype(present) and not (np.floor(present) == present).all():
        return None
    distinct = present.unique()
    if not FEWEST_CODES <= len(distinct) <= MOST_CODES or len(distinct) * 2 > len(values):
        return None
    numbers = np.sort(distinct.astype(np.float64))
    if not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()):
        return None
    filled = values.fillna(numbers[0]).to_numpy(np.float64)
    return np.searchsorted(numbers, filled), numbers


class _Fit:
    """How responses differ between codes, beyond chance, and how much of that a polynomial explains."""

    def __init__(
        self, codes: NDArray[np.int64], numbers: NDArray[np.float64], y: NDArray[np.float64]
    ) -> None:
        rows, k = len(codes), len(numbers)
        self.codes, self.complete = k, bool((numbers == np.arange(k)).all())
        self.degree = 1 if k < 5 else 2 if k < 8 else 3
        counts = np.bincount(codes, minlength=k).astype(np.float64)
        means = np.stack([np.bincount(codes, weights=each, minlength=k) / counts for each in y.T], axis=1)
        centred = means - y.mean(axis=0)
        between = (counts[:, None] * centred**2).sum()
        within = ((y - y.mean(axis=0)) ** 2).sum() - between
        self.noise = within / max(rows - k, 1)
        weights = np.sqrt(counts)[:, None]
        scaled = (numbers - numbers.mean()) / numbers.std()
        basis, _ = np.linalg.qr(weights * np.vander(scaled, self.degree + 1, increasing=True))
        explained = ((basis.T @ (weights * centred)) ** 2).sum()
        self.signal = between - (k - 1) * self.noise
        self.explained = explained - self.degree * self.noise


def _unordered(fits: list[_Fit]) -> bool:
    freedom = fits[0].codes - 1
    signal, noise = sum(fit.signal for fit in fits), sum(fit.noise for fit in fits)
    if noise <= 0 or signal / (noise * freedom) < _SIGNIFICANT * np.sqrt(2 / (freedom * len(fits))):
        return False
    chance = fits[0].degree / freedom
    share = sum(fit.explained for fit in fits) / signal
    return bool(share < chance + _ORDERED * (1 - chance))
