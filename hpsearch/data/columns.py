"""How a table's columns become features: what was fitted on the training part, as a plain value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MISSING = "missing"
"""The category of text that is not there."""


@dataclass(frozen=True)
class Columns:
    """What training and prediction do to a table: numbers first, then text, each in the table's order.

    numeric: names of columns of numbers, with each one's median, which stands for what is missing, its mean
    and its scale (the standard deviation; 1 of a constant): (number − mean) / scale is the feature. textual:
    names of columns of text; categories: of each, sorted, a feature apiece that is 1 where the text is this
    one. constant: places of features that are 0 everywhere, because they do not vary in the training part.
    """

    numeric: tuple[str, ...]
    medians: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    textual: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    constant: tuple[int, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Their names: the column's, and "column=value" for text."""
        pairs = zip(self.textual, self.categories, strict=True)
        return (*self.numeric, *(f"{column}={value}" for column, own in pairs for value in own))

    @property
    def size(self) -> int:
        """How many features there are."""
        return len(self.numeric) + sum(map(len, self.categories))

    def transformed(
        self, numbers: NDArray[np.float64], texts: Sequence[NDArray[np.object_]]
    ) -> NDArray[np.float32]:
        """[n, features] of numbers [n, numeric], NaN where they are missing, and of texts [textual][n].

        A text that is none of the categories is 0 in all of them. What scikit-learn's SimpleImputer,
        StandardScaler and OneHotEncoder would make of them, bit for bit.

        Raises:
            FloatingPointError: a number is too large to standardise.
        """
        first = len(self.numeric)
        flat = [place for place in self.constant if place < first]
        x = np.zeros((len(numbers), self.size), np.float32)
        with np.errstate(over="raise", invalid="ignore"):
            filled = np.where(np.isnan(numbers), np.array(self.medians), numbers)
            filled -= np.array(self.means)
            filled[:, flat] = 0
            filled /= np.array(self.scales)
            x[:, :first] = filled
        for column, own in zip(texts, self.categories, strict=True):
            places = {value: first + place for place, value in enumerate(own)}
            found = np.array([places.get(text, -1) for text in column], np.int64)
            rows = np.flatnonzero(found >= 0)
            x[rows, found[rows]] = 1
            first += len(own)
        x[:, list(self.constant)] = 0
        return x
