"""What is predicted: the task, the classes, and the target as numbers."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.raw import Raw, Refuse, listed
from hpsearch.errors import DataError
from hpsearch.records import Task

MOST_NUMBERED_CLASSES = 30
ROWS_A_NUMBERED_CLASS = 20
NUMBERS = (Task.REGRESSION, Task.POSITIVE_REGRESSION)
_DATE = r"\s*(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})(?:[ T]\d{1,2}:\d{2}.*)?\s*"


@dataclass(frozen=True)
class Target:
    """The target of each usable row.

    rows: [usable] positions in the frame; rows without a (finite) target are left out.
    values: [usable] int64 class indices, or float64 numbers for regression, in the target's own unit.
    """

    task: Task
    rows: NDArray[np.int64]
    values: NDArray[np.int64] | NDArray[np.float64]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_target(raw: Raw, asked: str | None, refuse: Refuse) -> Target:
    """The target column, for the task `asked` or else inferred.

    Text, true/false and at most two distinct values are classes. So are whole numbers of at most 30
    distinct values with at least 20 rows for each on average. All else is regression; that the numbers
    must be positive has to be asked for. Classes are sorted: numbers by value, text by letters.

    Raises:
        DataError: no variation, or no usable row. HpsearchError: the task does not fit.
    """
    column = raw.frame[raw.target]
    if pd.api.types.is_float_dtype(column):
        column = column.replace([np.inf, -np.inf], np.nan)
    present = column.notna().to_numpy(dtype=bool)
    rows = np.flatnonzero(present)
    notes = []
    if left_out := len(column) - len(rows):
        notes.append(f'{raw.rows(left_out)} without "{raw.target}" left out')
    column = _checked(column.iloc[rows], raw)
    codes, distinct = pd.factorize(column, sort=True)
    if len(distinct) < 2:
        found = f"only {class_name(distinct[0])}" if len(distinct) else "no value"
        raise DataError(
            f"{raw.name}: expected at least two values in {raw.where}; found {found}: "
            "there is nothing to predict"
        )
    task = raw.task or _inferred(column, len(distinct))
    if asked is not None:
        task = Task(asked)
        _check_fit(task, column, list(distinct), raw, refuse)
    elif raw.task is None and task is Task.MULTICLASS and _is_number(column):
        notes.append(
            f'the {len(distinct)} whole numbers of "{raw.target}" are taken as classes; '
            'set data.task = "regression" if they are quantities'
        )
    if task in NUMBERS:
        values = column.to_numpy(dtype=np.float64)
        return Target(task, rows, values, (), tuple(notes))
    classes = tuple(class_name(value) for value in distinct)
    return Target(task, rows, codes.astype(np.int64), classes, tuple(notes))


def stray_text(column: pd.Series[Any]) -> str | None:
    """The first text in a column that is otherwise mostly numbers, or None when it is not such a column."""
    values = column.dropna().astype(str)
    numbers = pd.to_numeric(values, errors="coerce").notna()
    return str(values[~numbers].iloc[0]) if 0.5 < numbers.mean() < 1 else None


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def first_date(column: pd.Series[Any]) -> str | None:
    """The first value of a column of dates, or None when it is not such a column."""
    if pd.api.types.is_numeric_dtype(column) or not len(values := column.dropna()):
        return None
    if not isinstance(values.iloc[0], (str, datetime.date)):
        return None
    distinct = pd.Series(values.astype(str).unique(), dtype=object)
    return str(distinct[0]) if distinct.str.fullmatch(_DATE).all() else None


def _checked(column: pd.Series[Any], raw: Raw) -> pd.Series[Any]:
    """The column, if it holds numbers, text, or true and false."""
    if _is_number(column):
        return column
    expected = f"{raw.name}: {raw.where}: expected numbers or class names; found"
    if (date := first_date(column)) is not None and raw.pictures is None:
        raise DataError(
            f'{expected} dates such as "{date}"; turn them into numbers (days since …) or classes'
        )
    kinds = {type(value).__name__ for value in column}
    if not (kinds <= {"str"} or kinds <= {"bool"}):
        raise DataError(f"{expected} {', '.join(sorted(kinds))}; convert the column")
    if raw.task is None and (stray := stray_text(column)) is not None:
        raise DataError(f'{expected} the text "{stray}" among numbers; mend it or leave it empty')
    return column.astype(object)


def _inferred(column: pd.Series[Any], distinct: int) -> Task:
    if distinct == 2:
        return Task.BINARY
    if not _is_number(column):
        return Task.MULTICLASS
    values = column.to_numpy(dtype=np.float64)
    whole = bool((values == np.floor(values)).all())
    few = distinct <= MOST_NUMBERED_CLASSES and distinct * ROWS_A_NUMBERED_CLASS <= len(column)
    return Task.MULTICLASS if whole and few else Task.REGRESSION


def _check_fit(task: Task, column: pd.Series[Any], distinct: list[object], raw: Raw, refuse: Refuse) -> None:
    found, fitting = f"in {raw.where} of {raw.name}", _inferred(column, len(distinct))
    if task in NUMBERS and not _is_number(column):
        raise refuse("task", f'"{task}" needs numbers; found {_shown(distinct)} {found}; use "{fitting}"')
    if task is Task.BINARY and len(distinct) != 2:
        text = f'"{task}" needs two classes; found {len(distinct):,} {found}: {_shown(distinct)}'
        raise refuse("task", f'{text}; use "{fitting}"')
    if task is Task.POSITIVE_REGRESSION:
        values = column.to_numpy(dtype=np.float64)
        if negative := int((values < 0).sum()):
            lowest = int(values.argmin())
            smallest = f"the smallest {values[lowest]:g} in row {column.index[lowest] + 1:,}"
            text = f'"{task}" needs numbers from 0 up; found {negative:,} negative {found}, {smallest}'
            raise refuse("task", f'{text}; use task = "regression", or mend them')


def _shown(distinct: list[object]) -> str:
    return listed(class_name(value) for value in distinct)


def class_name(value: object) -> str:
    """The name of a class in a target column: whole numbers without a decimal point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
