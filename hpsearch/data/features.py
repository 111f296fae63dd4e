"""Features: numbers standardised, text one-hot, fitted on the training set alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from hpsearch.data.columns import MISSING, Columns, room, standardised
from hpsearch.data.dates import features_of
from hpsearch.data.raw import Raw, listed
from hpsearch.errors import DataError, plural

FREQUENT = 0.05
"""Share of the training rows from which missing numbers get a feature that says so."""

_BLOCK = 1 << 12
_TOGETHER = 8 << 20
"""Bytes of numbers that are scaled together."""


@dataclass(frozen=True)
class Features:
    """columns: how they were made. numbers: [numeric][rows] float32. places: [textual][rows] the category's,
    −1 where it is none."""

    columns: Columns
    notes: tuple[str, ...]
    numbers: list[NDArray[np.float32]]
    places: list[NDArray[Any]]

    @property
    def x(self) -> NDArray[np.float32]:
        """[rows, features]."""
        return self.of(np.arange(len([*self.numbers, *self.places][0])))

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """[n, features] of n rows."""
        x = np.zeros((len(rows), self.columns.size), np.float32)
        for start in range(0, len(rows), _BLOCK):  # in the cache, where columns become rows
            some, part = rows[start : start + _BLOCK], x[start : start + _BLOCK]
            for place, column in enumerate(self.numbers):
                part[:, place] = column[some]
        first = len(self.numbers)
        for column, own in zip(self.places, self.columns.categories, strict=True):
            found = column[rows]
            known = np.flatnonzero(found >= 0)
            x[known, first + found[known]] = 1
            first += len(own)
        x[:, list(self.columns.constant)] = 0
        return x


def used_columns(raw: Raw, *others: str | None) -> list[str]:
    """The columns of a table that are features: neither the target, nor of no use, nor one of `others`."""
    unused = {column.name for column in raw.schema if column.left_out}
    return [name for name in raw.names if name not in {raw.target, *others, *unused}]


def schema_notes(raw: Raw, *others: str | None) -> tuple[str, ...]:
    """What was guessed of a table's columns, and which are left out."""
    own = [column for column in raw.schema if column.name not in others]
    said: dict[str, list[str]] = {}
    for column in own:
        for note in (*column.notes, *((f"left out: {column.unused}",) if column.left_out else ())):
            said.setdefault(note, []).append(column.name)
    return tuple(f"{listed(names)}: {note}" for note, names in said.items())


def read_features(
    raw: Raw,
    columns: list[str],
    train: NDArray[np.int64],
    values: dict[str, pd.Series[Any]] | None = None,
) -> Features:
    """All rows' features, by what is found in the rows `train`.

    Missing and infinite numbers become the training set's median, and where they are frequent there, a
    feature says which they are; missing text is a category of its own; a category that the training set lacks
    is all zeros; a date becomes numbers. Numbers have mean 0 and standard deviation 1 on the training set. A
    feature that is constant there is 0 everywhere.

    Args:
        values: the columns' values, if nobody else needs them: each is dropped when its features are made.

    Raises:
        DataError: a column that is neither numbers nor categories, or nothing that varies.
    """
    if not columns:
        why = "; ".join(("", *schema_notes(raw)))
        raise DataError(f'{raw.name}: no column is left to predict "{raw.target}" from{why}')
    values = {name: raw.frame[name] for name in columns} if values is None else values
    dated = [name for name in columns if pd.api.types.is_datetime64_any_dtype(values[name].dtype)]
    plain = [name for name in columns if pd.api.types.is_numeric_dtype(values[name].dtype)]
    textual = [name for name in columns if name not in {*plain, *dated}]
    words = [_coded(raw.name, values.pop(name)) for name in textual]
    numbers = _Numbers(raw.name, values, plain, dated, train)
    made = [_category_places(codes, names, train) for codes, names, _ in words]
    flat = [bool(column[train].min() == column[train].max()) for column in numbers.columns]
    for places, own in made:
        counts = np.bincount(places[train], minlength=len(own))
        flat += (counts == len(train)).tolist()
    if all(flat):
        raise DataError(f"{raw.name}: every feature is constant in the training set; nothing can be learnt")
    used = {*columns, raw.target}
    found = Columns(
        tuple(numbers.names),
        tuple(numbers.medians),
        tuple(numbers.means),
        tuple(numbers.scales),
        tuple(textual),
        tuple(own for _, own in made),
        constant=tuple(np.flatnonzero(flat).tolist()),
        dates=tuple(dated),
        flagged=tuple(numbers.flagged),
        readings=tuple((column.name, column.reading) for column in raw.schema if column.name in used),
    )
    constant = [name for name, is_flat in zip(found.features, flat, strict=True) if is_flat]
    blanks = sum(missing for *_, missing in words)
    notes = _notes((numbers.holes, numbers.undated), blanks, constant, numbers.flagged)
    return Features(found, notes, numbers.columns, [places for places, _ in made])


class _Numbers:
    """The features of numbers and dates, which are made column by column.

    columns: [numeric][rows] float32; names, medians, means, scales, flagged: as in `Columns`. holes, undated:
    missing numbers and dates. values: is emptied.
    """

    def __init__(
        self,
        source: str,
        values: dict[str, pd.Series[Any]],
        plain: list[str],
        dated: list[str],
        train: NDArray[np.int64],
    ) -> None:
        self._values, self._plain, self._dated, self._train = values, plain, dated, train
        self.names: list[str] = []
        self.columns: list[NDArray[np.float32]] = []
        self.medians: list[float] = []
        self.means: list[float] = []
        self.scales: list[float] = []
        self.flagged: list[str] = []
        self.holes = self.undated = 0
        self._gaps: list[NDArray[np.bool_]] = []
        largest: list[float] = []
        together: list[NDArray[np.float64]] = []
        most, fine = max(1, _TOGETHER // (8 * len(train))), True
        for name, column in self._all():
            self.names.append(name)
            largest.append(float(np.max(np.abs(column), where=~np.isnan(column), initial=0)))
            together.append(column)
            if len(together) == most:
                fine, together = fine and self._make(together), []
        if not ((not together or self._make(together)) and fine):
            raise too_large(source, self.names, np.array([largest]))

    def _all(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Name and [rows] float64 of each feature, NaN where nothing is, in the order of `Columns`."""
        for name in self._plain:
            column = self._values.pop(name).to_numpy(dtype=np.float64, na_value=np.nan)
            if (infinite := np.isinf(column)).any():
                column = np.where(infinite, np.nan, column)
            if (gaps := np.isnan(column)).any():
                self.holes += int(gaps.sum())
                if FREQUENT <= gaps[self._train].mean() < 1:
                    self.flagged.append(name)
                    self._gaps.append(gaps)
            yield name, column
        for name in self._dated:
            dates = self._values.pop(name)
            self.undated += int(dates.isna().sum())
            yield from ((f"{name} ({part})", own) for part, own in features_of(dates).items())
        for name, gaps in zip(self.flagged, self._gaps, strict=True):
            yield f"{name} (missing)", gaps.astype(np.float64)

    def _make(self, columns: list[NDArray[np.float64]]) -> bool:
        """Scale some columns by what scikit-learn finds in the training set; False where one is too large."""
        known = np.empty((len(self._train), len(columns)), order="F")
        for place, column in enumerate(columns):
            known[:, place] = column[self._train]
        try:
            with np.errstate(over="raise", invalid="ignore"):
                imputer = SimpleImputer(strategy="median", keep_empty_features=True, copy=False)
                scaler = StandardScaler().fit(imputer.fit_transform(known))
                found = (imputer.statistics_, scaler.mean_, scaler.scale_)
                for column, median, mean, scale in zip(columns, *found, strict=True):
                    self.columns.append(room(len(column), np.float32))
                    self.columns[-1][:] = standardised(column, median, mean, scale)
        except FloatingPointError:
            return False
        for own, each in zip((self.medians, self.means, self.scales), found, strict=True):
            own.extend(each.tolist())
        return True


def expanded(
    numbers: NDArray[np.float64],
    names: Sequence[str],
    dates: Sequence[pd.Series[Any]],
    flagged: Sequence[str],
) -> NDArray[np.float64]:
    """[rows, numeric] as `Columns.numeric` has them, of columns of numbers [rows, names] and of dates."""
    parts = [part[:, None] for column in dates for part in features_of(column).values()]
    flags = [np.isnan(numbers[:, [names.index(name)]]).astype(np.float64) for name in flagged]
    return np.hstack([numbers, *parts, *flags]) if parts or flags else numbers


def _categories(source: str, column: pd.Series[Any]) -> pd.Series[Any]:
    """A column of text as objects, nothing missing."""
    kinds = {type(value).__name__ for value in column.dropna()}
    if not kinds <= {"str", "bool", "int"}:
        raise DataError(
            f'{source}: column "{column.name}": expected numbers or text; '
            f"found {', '.join(sorted(kinds))}; convert the column or leave it out of the file"
        )
    return texts_of(column)


def texts_of(column: pd.Series[Any]) -> pd.Series[Any]:
    """Its values as text, "missing" where there is none."""
    return column.astype(object).where(column.notna(), MISSING).map(str).reset_index(drop=True)


def _coded(source: str, column: pd.Series[Any]) -> tuple[NDArray[Any], list[str], int]:
    """[rows] codes of a column of texts, the texts that they stand for, and how many rows have none."""
    missing = int(column.isna().sum())
    if not isinstance(column.dtype, pd.CategoricalDtype):
        places, found = pd.factorize(_categories(source, column).to_numpy(dtype=object))
        return places, [str(name) for name in found], missing
    names = [str(name) for name in column.cat.categories]
    codes = column.cat.codes.to_numpy()
    if missing:
        names = [*names, MISSING] if MISSING not in names else names
        codes = np.where(codes < 0, names.index(MISSING), codes.astype(np.int32))
    return codes, names, missing


def _category_places(
    codes: NDArray[Any], names: list[str], train: NDArray[np.int64]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """[rows] places among the texts of the training set, −1 of others; and these texts, sorted."""
    present = np.bincount(codes[train], minlength=len(names)) > 0
    categories = sorted(name for name, is_there in zip(names, present.tolist(), strict=True) if is_there)
    places = {name: place for place, name in enumerate(categories)}
    kind = np.int16 if len(names) < np.iinfo(np.int16).max else np.int32
    return np.array([places.get(name, -1) for name in names], kind)[codes], tuple(categories)


def too_large(source: str, numeric: Sequence[str], numbers: NDArray[np.float64]) -> DataError:
    """The complaint about the largest of numbers [n, numeric]."""
    largest = np.where(np.isnan(numbers), 0, np.abs(numbers)).max(axis=0)
    column = int(largest.argmax())
    return DataError(
        f'{source}: column "{numeric[column]}": {largest[column]:g} is too large to standardise; '
        "mend it, leave it empty or use another unit"
    )


def _notes(gaps: tuple[int, int], blanks: int, constant: list[str], flagged: list[str]) -> tuple[str, ...]:
    """gaps: missing numbers and dates; blanks: missing texts."""
    notes = []
    holes, undated = gaps
    if holes:
        notes.append(f"{plural(holes, 'missing number')} replaced by the training set's median")
    if undated:
        notes.append(f"{plural(undated, 'missing date')} replaced by the training set's medians")
    if flagged:
        notes.append(f"a feature says where numbers are missing in {listed(flagged)}")
    if blanks:
        notes.append(f'{plural(blanks, "missing text")} kept as the category "{MISSING}"')
    if constant:
        notes.append(
            f"{plural(len(constant), 'feature')} constant in the training set, "
            f"counted as 0: {listed(constant)}"
        )
    return tuple(notes)
