"""Which rows are for training, for validation and for the test that no trial sees."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.raw import Raw, Refuse, generator, listed, unknown_column
from hpsearch.data.target import Target
from hpsearch.errors import DataError
from hpsearch.records import Task
from hpsearch.study.schema import SplitSection

FEWEST_ROWS = 10
_PARTS = {"train": 0, "training": 0, "valid": 1, "validation": 1, "val": 1, "test": 2}
Indices = NDArray[np.int64]


class Split(NamedTuple):
    """Positions of each part's rows among the usable ones, ascending."""

    train: Indices
    valid: Indices
    test: Indices


def split_rows(raw: Raw, target: Target, how: SplitSection, seed: int, refuse: Refuse) -> Split:
    """Divide the usable rows, which `raw` holds, by a column of the table or by chance.

    By chance: `how.test` of the rows, rounded up, are for the test; `how.valid` of the rows, rounded to
    the nearest and at least one, for validation; the rest for training. Each class is divided in the
    same proportion, to within one row, and has at least one row in each part.

    Raises:
        DataError: too few rows, or too few of a class.
        HpsearchError: the split column is unknown or has unknown values.
    """
    rows = len(raw.frame)
    if rows < FEWEST_ROWS:
        raise DataError(f"{raw.name}: expected at least {FEWEST_ROWS} rows with a target; found {rows}")
    if how.column is not None:
        return _by_column(raw, target, how.column, refuse)
    test = math.ceil(round(how.test * rows, 9))
    valid = max(1, round(how.valid * rows))
    if rows - valid - test < 2:
        raise DataError(
            f"{raw.name}: {rows} rows leave {max(0, rows - valid - test)} for training beside {valid} for "
            f"validation and {test} for the test; lower data.split.valid or data.split.test"
        )
    random = generator(seed, "data.split")
    if target.task is Task.REGRESSION:
        order = random.permutation(rows)
        return _split(order[valid + test :], order[:valid], order[valid : valid + test])
    return _by_class(raw, target, valid, test, random)


def _split(train: Indices, valid: Indices, test: Indices) -> Split:
    return Split(np.sort(train), np.sort(valid), np.sort(test))


def _by_class(raw: Raw, target: Target, valid: int, test: int, random: np.random.Generator) -> Split:
    """A stratified split; scikit-learn's may leave a rare class out of a part."""
    counts = np.bincount(target.values.astype(np.int64), minlength=len(target.classes))
    needed = 3 if test else 2
    rare = int(np.argmin(counts))
    if counts[rare] < needed:
        raise DataError(
            f'{raw.name}: class "{target.classes[rare]}" of "{raw.target}" has {counts[rare]} '
            f"{'row' if counts[rare] == 1 else 'rows'}; expected at least {needed}, one for each part: "
            "add rows, or leave the class out" + _numbers_hint(raw)
        )
    sizes = (
        ("train", len(raw.frame) - valid - test, "lower data.split.valid or data.split.test"),
        ("valid", valid, "raise data.split.valid"),
        ("test", test, "raise data.split.test"),
    )
    for name, size, remedy in sizes:
        if 0 < size < len(counts):
            raise DataError(
                f"{raw.name}: the {name} part of {size} rows cannot hold all {len(counts)} classes of "
                f'"{raw.target}"; {remedy}{_numbers_hint(raw)}'
            )
    for_test = _shares(counts, test, counts - 2) if test else np.zeros_like(counts)
    for_valid = _shares(counts, valid, counts - for_test - 1)
    parts: tuple[list[Indices], ...] = ([], [], [])
    for label in range(len(counts)):
        order = random.permutation(np.flatnonzero(target.values == label))
        cuts = [for_valid[label], for_valid[label] + for_test[label]]
        for part, rows in zip((1, 2, 0), np.split(order, cuts), strict=True):
            parts[part].append(rows)
    return _split(*(np.concatenate(part) for part in parts))


def _shares(counts: Indices, size: int, most: Indices) -> Indices:
    """Rows of each class, `size` in all: in proportion, at least 1 and at most `most`."""
    ideal = counts * (size / counts.sum())
    shares: Indices = np.clip(np.floor(ideal).astype(np.int64), 1, most)
    while shares.sum() < size:
        shares[np.argmax(np.where(shares < most, ideal - shares, -np.inf))] += 1
    while shares.sum() > size:
        shares[np.argmin(np.where(shares > 1, ideal - shares, np.inf))] -= 1
    return shares


def _numbers_hint(raw: Raw) -> str:
    numeric = pd.api.types.is_numeric_dtype(raw.frame[raw.target])
    return ', or set data.task = "regression" if they are quantities' if numeric and raw.task is None else ""


def _by_column(raw: Raw, target: Target, name: str, refuse: Refuse) -> Split:
    if name not in raw.frame.columns:
        raise refuse("split.column", f"{raw.name}: {unknown_column(name, raw.frame.columns)}")
    if name == raw.target:
        raise refuse("split.column", f'"{name}" is the target; expected another column')
    written = raw.frame[name]
    parts = written.astype(str).str.strip().str.lower().map(_PARTS)
    unknown = parts.isna()
    if unknown.any():
        values = listed(str(value) for value in written[unknown].unique())
        raise refuse(
            "split.column",
            f'{raw.name}: column "{name}": expected train, valid or test in every row; '
            f"found {values} in {int(unknown.sum()):,}",
        )
    split = _split(*(np.flatnonzero((parts == part).to_numpy()) for part in range(3)))
    for part, rows in (("train", split.train), ("valid", split.valid)):
        if len(rows) == 0:
            raise refuse("split.column", f'{raw.name}: column "{name}" has no row marked {part}')
    _check_classes(raw, target, split)
    return split


def _check_classes(raw: Raw, target: Target, split: Split) -> None:
    trained = np.unique(target.values[split.train])
    untrained = [name for label, name in enumerate(target.classes) if label not in trained]
    if target.classes and untrained:
        raise DataError(
            f'{raw.name}: {listed(untrained)} of "{raw.target}" has no row in the training part; '
            "every class needs one"
        )
