"""Features: numbers standardised, text one-hot, fitted on the training part alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hpsearch.data.columns import MISSING, Columns
from hpsearch.data.raw import Raw, listed
from hpsearch.data.target import first_date, stray_text
from hpsearch.errors import DataError, plural

FEW_CATEGORIES = 50
MOST_CATEGORIES = 1000


@dataclass(frozen=True)
class Features:
    """x: [rows, features] float32. columns: how they were made."""

    x: NDArray[np.float32]
    columns: Columns
    notes: tuple[str, ...]


def read_features(raw: Raw, columns: list[str], train: NDArray[np.int64]) -> Features:
    """All rows' features, by what is found in the rows `train`.

    Missing and infinite numbers become the training part's median; missing text is a category of its
    own; a category that the training part lacks is all zeros. Numbers have mean 0 and standard deviation
    1 on the training part. A feature that is constant there is 0 everywhere.

    Raises:
        DataError: a column that is neither numbers nor categories, or nothing that varies.
    """
    if not columns:
        raise DataError(f'{raw.name}: no column is left to predict "{raw.target}" from')
    frame = raw.frame[columns]
    is_number = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    numeric = [name for name, number in zip(columns, is_number, strict=True) if number]
    textual = [name for name, number in zip(columns, is_number, strict=True) if not number]
    numbers = frame[numeric].to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = np.where(np.isinf(numbers), np.nan, numbers)
    texts = {name: _categories(raw.name, frame[name]) for name in textual}
    clean = pd.concat([pd.DataFrame(numbers, columns=numeric), pd.DataFrame(texts, dtype=object)], axis=1)
    try:
        with np.errstate(over="raise", invalid="ignore"):
            made = _fitted(clean.iloc[train], numeric, textual)
        x = made.transformed(numbers, [texts[name].to_numpy(dtype=object) for name in textual])
    except FloatingPointError:
        raise too_large(raw.name, numeric, numbers) from None
    constant = x[train].min(axis=0) == x[train].max(axis=0)
    if constant.all():
        raise DataError(f"{raw.name}: every feature is constant in the training part; nothing can be learnt")
    x[:, constant] = 0
    notes = _notes(numbers, frame[textual], [n for n, c in zip(made.features, constant, strict=True) if c])
    return Features(x, replace(made, constant=tuple(np.flatnonzero(constant).tolist())), notes)


def _categories(source: str, column: pd.Series[Any]) -> pd.Series[Any]:
    """A column of text as objects, nothing missing."""
    if (date := first_date(column)) is not None:
        raise DataError(
            f'{source}: column "{column.name}": expected numbers or categories; found dates such as '
            f'"{date}"; turn them into numbers (days since, month …) or leave the column out'
        )
    present = column.dropna()
    kinds = {type(value).__name__ for value in present}
    if not kinds <= {"str", "bool", "int"}:
        raise DataError(
            f'{source}: column "{column.name}": expected numbers or text; '
            f"found {', '.join(sorted(kinds))}; convert the column or leave it out of the file"
        )
    distinct = pd.Series(present.astype(str).unique(), dtype=object)
    most = max(FEW_CATEGORIES, min(len(column) // 2, MOST_CATEGORIES))
    if len(distinct) > most:
        stray = stray_text(column)
        found = f"{len(distinct):,} different texts" if stray is None else f'the text "{stray}" among numbers'
        raise DataError(
            f'{source}: column "{column.name}": expected numbers or at most {most:,} categories; '
            f"found {found}; mend the column or leave it out of the file"
        )
    return texts_of(column)


def texts_of(column: pd.Series[Any]) -> pd.Series[Any]:
    """Its values as text, "missing" where there is none."""
    return column.astype(object).where(column.notna(), MISSING).map(str).reset_index(drop=True)


def _fitted(train: pd.DataFrame, numeric: list[str], textual: list[str]) -> Columns:
    """What scikit-learn finds in the training part, whose columns are the numeric ones, then the textual."""
    scaling = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    encoding = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    # Places, because scikit-learn's search for names is quadratic in wide tables.
    places = (
        ("numeric", scaling, slice(0, len(numeric))),
        ("textual", encoding, slice(len(numeric), train.shape[1])),
    )
    fitted = ColumnTransformer([place for place in places if place[2].start < place[2].stop]).fit(train)
    medians, means, scales = ((), (), ()) if not numeric else _scaling(fitted.named_transformers_["numeric"])
    found = fitted.named_transformers_["textual"].categories_ if textual else ()
    categories = tuple(tuple(map(str, own)) for own in found)
    return Columns(tuple(numeric), medians, means, scales, tuple(textual), categories)


def _scaling(pipeline: Any) -> tuple[tuple[float, ...], ...]:
    imputer, scaler = pipeline[0], pipeline[1]
    return tuple(tuple(each.tolist()) for each in (imputer.statistics_, scaler.mean_, scaler.scale_))


def too_large(source: str, numeric: Sequence[str], numbers: NDArray[np.float64]) -> DataError:
    """The complaint about the largest of numbers [n, numeric]."""
    largest = np.where(np.isnan(numbers), 0, np.abs(numbers)).max(axis=0)
    column = int(largest.argmax())
    return DataError(
        f'{source}: column "{numeric[column]}": {largest[column]:g} is too large to standardise; '
        "mend it, leave it empty or use another unit"
    )


def _notes(numbers: NDArray[np.float64], texts: pd.DataFrame, constant: list[str]) -> tuple[str, ...]:
    notes = []
    holes, blanks = int(np.isnan(numbers).sum()), int(texts.isna().to_numpy().sum())
    if holes:
        notes.append(f"{plural(holes, 'missing number')} replaced by the training part's median")
    if blanks:
        notes.append(f'{plural(blanks, "missing text")} kept as the category "{MISSING}"')
    if constant:
        notes.append(
            f"{plural(len(constant), 'feature')} constant in the training part, "
            f"counted as 0: {listed(constant)}"
        )
    return tuple(notes)
