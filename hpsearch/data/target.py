"""What is predicted: the task, the classes, and the target as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.raw import Raw, Refuse, class_name, listed
from hpsearch.errors import DataError
from hpsearch.records import Task

MOST_NUMBERED_CLASSES = 30
ROWS_A_NUMBERED_CLASS = 20
NUMBERS = (Task.REGRESSION, Task.POSITIVE_REGRESSION)


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
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.set_categories(pd.Index(sorted(column.cat.categories), dtype=object))
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
    elif raw.task is None and _is_number(column) and len(distinct) > 2:
        if task is Task.MULTICLASS:
            notes.append(
                f'the {len(distinct)} whole numbers of "{raw.target}" are taken as classes; '
                'set data.task = "regression" if they are quantities'
            )
        elif len(distinct) <= MOST_NUMBERED_CLASSES and _is_whole(column):
            notes.append(
                f'the {len(distinct)} whole numbers of "{raw.target}" are taken as quantities; '
                'set data.task = "multiclass" if they are classes'
            )
    if task in NUMBERS:
        values = column.to_numpy(dtype=np.float64)
        return Target(task, rows, values, (), tuple(notes))
    classes = tuple(class_name(value) for value in distinct)
    return Target(task, rows, codes.astype(np.int64), classes, tuple(notes))


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _checked(column: pd.Series[Any], raw: Raw) -> pd.Series[Any]:
    """The column, if it holds numbers, text, or true and false."""
    if _is_number(column):
        return column
    expected = f"{raw.name}: {raw.where}: expected numbers or class names; found"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise DataError(
            f'{expected} dates such as "{column.iloc[0]:%Y-%m-%d}"; turn them into numbers (days since …) '
            f'or say under [data.columns]: {raw.target} = "category"'
        )
    kinds = {type(value).__name__ for value in pd.unique(column)}
    if not (kinds <= {"str"} or kinds <= {"bool"}):
        raise DataError(f"{expected} {', '.join(sorted(kinds))}; convert the column")
    return column if isinstance(column.dtype, pd.CategoricalDtype) else column.astype(object)


def _inferred(column: pd.Series[Any], distinct: int) -> Task:
    if distinct == 2:
        return Task.BINARY
    if not _is_number(column):
        return Task.MULTICLASS
    few = distinct <= MOST_NUMBERED_CLASSES and distinct * ROWS_A_NUMBERED_CLASS <= len(column)
    return Task.MULTICLASS if few and _is_whole(column) else Task.REGRESSION


def _is_whole(column: pd.Series[Any]) -> bool:
    values = column.to_numpy(dtype=np.float64)
    return bool((values == np.floor(values)).all())


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
