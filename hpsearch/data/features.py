"""Features: numbers standardised, text one-hot, fitted on the training set alone."""

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

from hpsearch.data.columns import DATE_PARTS, MISSING, Columns
from hpsearch.data.dates import features_of
from hpsearch.data.raw import Raw, as_objects, listed
from hpsearch.errors import DataError, plural

FREQUENT = 0.05
"""Share of the training rows from which missing numbers get a feature that says so."""


@dataclass(frozen=True)
class Features:
    """x: [rows, features] float32. columns: how they were made."""

    x: NDArray[np.float32]
    columns: Columns
    notes: tuple[str, ...]


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


def read_features(raw: Raw, columns: list[str], train: NDArray[np.int64]) -> Features:
    """All rows' features, by what is found in the rows `train`.

    Missing and infinite numbers become the training set's median, and where they are frequent there, a
    feature says which they are; missing text is a category of its own; a category that the training set lacks
    is all zeros; a date becomes numbers. Numbers have mean 0 and standard deviation 1 on the training set. A
    feature that is constant there is 0 everywhere.

    Raises:
        DataError: a column that is neither numbers nor categories, or nothing that varies.
    """
    if not columns:
        why = "; ".join(("", *schema_notes(raw)))
        raise DataError(f'{raw.name}: no column is left to predict "{raw.target}" from{why}')
    frame = raw.frame[columns]
    dated = [name for name in columns if pd.api.types.is_datetime64_any_dtype(frame[name].dtype)]
    plain = [name for name in columns if pd.api.types.is_numeric_dtype(frame[name].dtype)]
    textual = [name for name in columns if name not in {*plain, *dated}]
    numbers = frame[plain].to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = np.where(np.isinf(numbers), np.nan, numbers)
    holes = np.isnan(numbers[train]).mean(axis=0) if plain else np.zeros(0)
    flagged = [name for name, share in zip(plain, holes, strict=True) if FREQUENT <= share < 1]
    gaps = int(np.isnan(numbers).sum()), int(frame[dated].isna().to_numpy().sum())
    numbers = expanded(numbers, plain, [frame[name] for name in dated], flagged)
    numeric = [*plain, *(f"{name} ({part})" for name in dated for part in DATE_PARTS)]
    numeric += [f"{name} (missing)" for name in flagged]
    texts = {name: _categories(raw.name, as_objects(frame[name])) for name in textual}
    clean = pd.concat([pd.DataFrame(numbers, columns=numeric), pd.DataFrame(texts, dtype=object)], axis=1)
    try:
        with np.errstate(over="raise", invalid="ignore"):
            made = _fitted(clean.iloc[train], numeric, textual)
        x = made.transformed(numbers, [texts[name].to_numpy(dtype=object) for name in textual])
    except FloatingPointError:
        raise too_large(raw.name, numeric, numbers) from None
    constant = x[train].min(axis=0) == x[train].max(axis=0)
    if constant.all():
        raise DataError(f"{raw.name}: every feature is constant in the training set; nothing can be learnt")
    x[:, constant] = 0
    flat = [name for name, is_flat in zip(made.features, constant, strict=True) if is_flat]
    notes = _notes(gaps, frame[textual], flat, flagged)
    used = {*columns, raw.target}
    made = replace(
        made,
        constant=tuple(np.flatnonzero(constant).tolist()),
        dates=tuple(dated),
        flagged=tuple(flagged),
        readings=tuple((column.name, column.reading) for column in raw.schema if column.name in used),
    )
    return Features(x, made, notes)


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


def _fitted(train: pd.DataFrame, numeric: list[str], textual: list[str]) -> Columns:
    """What scikit-learn finds in the training set, whose columns are the numeric ones, then the textual."""
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


def _notes(
    gaps: tuple[int, int], texts: pd.DataFrame, constant: list[str], flagged: list[str]
) -> tuple[str, ...]:
    """gaps: missing numbers and dates."""
    notes = []
    (holes, undated), blanks = gaps, int(texts.isna().to_numpy().sum())
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
