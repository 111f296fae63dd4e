"""How a table's columns become features: what was fitted on the training set, as a plain value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 16
"""Rows that are transformed at a time."""

ISO = "ISO8601"
"""The format of dates such as 2018-01-31, with or without a time."""

DATE_PARTS = ("year", "month", "weekday", "hour", "days")
"""Features of a date: weekday from 0, Monday; hour with its fraction; days since 1970, for what elapsed."""

MISSING = "missing"
"""The category of text that is not there."""


def room(rows: int, kind: Any) -> NDArray[Any]:
    """[rows] values of a column, in memory of its own: a heap keeps holes where large arrays were."""
    kind = np.dtype(kind)
    return np.frombuffer(mmap(-1, max(rows, 1) * kind.itemsize), kind)[:rows]


def standardised(numbers: NDArray[np.float64], median: Any, mean: Any, scale: Any) -> NDArray[np.float64]:
    """(numbers − mean) / scale, the median where nothing is; of a column, or of rows and arrays of these."""
    filled = np.where(np.isnan(numbers), median, numbers)
    filled -= mean
    filled /= scale
    return filled


@dataclass(frozen=True)
class Reading:
    """How a column's texts are read, in training and in prediction alike.

    kind: number, boolean, category or date. decimal, group: the decimal mark, and what may stand between
    thousands. unit: what stands behind or before numbers. missing: texts that stand for no value, beside the
    usual ones, unless these are names, too (`exact`). format: of dates, as in strptime, or ISO8601.
    """

    kind: str
    decimal: str = "."
    group: str = ""
    unit: str = ""
    missing: tuple[str, ...] = ()
    exact: bool = False
    format: str = ISO


@dataclass(frozen=True)
class Told:
    """A column's values in short: missing ones, different others, and the first of these."""

    missing: int
    distinct: int
    examples: tuple[Any, ...]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    kind: number, category, boolean, date, id, constant, empty or text. unused: why it is no feature. notes:
    what was guessed. doubt: what `[data.columns]` says to confirm a guess that may be wrong, as TOML;
    instead: what it says otherwise. told: of texts that are left out, and not kept.
    """

    name: str
    kind: str
    reading: Reading
    unused: str | None = None
    notes: tuple[str, ...] = ()
    doubt: str | None = None
    instead: str | None = None
    told: Told | None = None

    @property
    def left_out(self) -> bool:
        """Whether it is no feature at all; constant and empty columns are features that are always 0."""
        return self.unused is not None and self.kind in ("id", "text")


@dataclass(frozen=True)
class Columns:
    """What training and prediction do to a table: numbers first, then text, each in the table's order.

    numeric: names of numbers, with each one's median, which stands for what is missing, its mean and its
    scale (the standard deviation; 1 of a constant): (number − mean) / scale is the feature. They are the
    columns of numbers, then the parts of each column of `dates`, then 1 where a number of each of `flagged`
    is missing. textual: names of columns of text; categories: of each, sorted, a feature apiece that is 1
    where the text is this one. constant: places of features that are 0 everywhere, because they do not vary
    in the training set. readings: how the texts of a column are read, also of the target.
    """

    numeric: tuple[str, ...]
    medians: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    textual: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    constant: tuple[int, ...] = ()
    dates: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()
    readings: tuple[tuple[str, Reading], ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Columns:
        """The columns whose fields were written as plain values by `dataclasses.asdict`."""
        readings = tuple((name, Reading(**reading)) for name, reading in values["readings"])
        return cls(**{**values, "readings": readings})

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the columns of numbers."""
        return self.numeric[: len(self.numeric) - len(DATE_PARTS) * len(self.dates) - len(self.flagged)]

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of all columns from which features are made."""
        return (*self.numbers, *self.dates, *self.textual)

    def reading(self, name: str) -> Reading | None:
        """How the texts of a column are read; None of models that were trained before it was stored."""
        return dict(self.readings).get(name)

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
        medians, means, scales = map(np.array, (self.medians, self.means, self.scales))
        with np.errstate(over="raise", invalid="ignore"):
            for start in range(0, len(numbers), _BLOCK):  # all rows at once would take the memory of four x
                some = numbers[start : start + _BLOCK]
                filled = standardised(some, medians, means, scales)
                filled[:, flat] = 0
                x[start : start + _BLOCK, :first] = filled
        for column, own in zip(texts, self.categories, strict=True):
            places = {value: first + place for place, value in enumerate(own)}
            found = np.array([places.get(text, -1) for text in column], np.int64)
            rows = np.flatnonzero(found >= 0)
            x[rows, found[rows]] = 1
            first += len(own)
        x[:, list(self.constant)] = 0
        return x
