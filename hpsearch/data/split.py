"""Which rows are for training, for validation and for the test that no trial sees."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from hpsearch.data.raw import (
    PARTS,
    TEST,
    TRAIN,
    VALID,
    Indices,
    Raw,
    Refuse,
    as_objects,
    generator,
    listed,
    unknown_column,
)
from hpsearch.data.target import Target
from hpsearch.errors import DataError
from hpsearch.study.schema import SplitSection

FEWEST_ROWS = 10


class Split(NamedTuple):
    """Positions of each part's rows among the usable ones, ascending."""

    train: Indices
    valid: Indices
    test: Indices


def split_rows(raw: Raw, target: Target, how: SplitSection, seed: int, refuse: Refuse) -> Split:
    """Divide the usable rows, which `raw` holds: as the source says, by a column of the table or by chance.

    By chance: `how.test` of the rows, rounded up, are for the test; `how.valid` of the rows, rounded to
    the nearest and at least one, for validation; the rest for training. Each class is divided in the
    same proportion, to within one row, and has at least one row in each part.

    A source that has its own parts keeps them. If it has none for validation, that is taken from its
    training set by chance, as large a share of it as `how.valid` says; the test likewise, but only if
    the source has a training set alone.

    Raises:
        DataError: too few rows, or too few of a class.
        HpsearchError: the split column is unknown or has unknown values.
    """
    rows = len(raw.frame)
    if rows < FEWEST_ROWS:
        raise DataError(f"{raw.name}: expected at least {raw.rows(FEWEST_ROWS)} with a target; found {rows}")
    if how.column is not None and raw.pictures is not None:
        raise refuse("split.column", f"is for tables; {raw.name} holds images")
    if how.column is not None:
        return _by_column(raw, target, how.column, refuse)
    if raw.parts is None:
        return _by_chance(raw, target, how, np.arange(rows), True, seed)
    given = Split(*(np.flatnonzero(raw.parts == part) for part in (TRAIN, VALID, TEST)))
    if not len(given.train):
        raise DataError(f"{raw.name}: its training set has no {'row' if raw.pictures is None else 'image'}")
    if not len(given.valid):
        _check_classes(raw, target, given)
        drawn = _by_chance(raw, target, how, given.train, not len(given.test), seed)
        given = drawn if not len(given.test) else drawn._replace(test=given.test)
    _check_classes(raw, target, given)
    return given


def choose_rows(raw: Raw, target: Target, count: int, seed: int, refuse: Refuse) -> Indices:
    """`data.n_images`: so many rows by chance, of each class in proportion and at least one, ascending.

    Where the source has its own parts, they are chosen from its training set and the others stay whole.

    Raises:
        HpsearchError: there are not so many, or more classes.
    """
    rows = np.arange(len(raw.frame))
    pool = rows if raw.parts is None else np.flatnonzero(raw.parts == TRAIN)
    if count > len(pool):
        part = "" if raw.parts is None else " in its training set"
        raise refuse("n_images", f"{count:,} are more than {raw.name} has{part}: {len(pool):,}; leave it out")
    random = generator(seed, "data.n_images")
    if target.classes:
        values = target.values[pool].astype(np.int64)
        counts = np.bincount(values, minlength=len(target.classes))
        if count < np.count_nonzero(counts):
            raise refuse("n_images", f"{count:,} cannot hold all {len(counts):,} classes of {raw.name}")
        taken = _shares(counts, count, counts, np.minimum(counts, 1))
        chosen = np.concatenate(
            [random.permutation(pool[values == label])[:number] for label, number in enumerate(taken)]
        )
    else:
        chosen = random.permutation(pool)[:count]
    return np.sort(np.concatenate([chosen, np.setdiff1d(rows, pool)]))


def _by_chance(
    raw: Raw, target: Target, how: SplitSection, pool: Indices, with_test: bool, seed: int
) -> Split:
    """Divide the rows of `pool`, ascending, by the shares; without a test set if there is one already."""
    rows = len(pool)
    test = math.ceil(round(how.test * rows, 9)) if with_test else 0
    valid = max(1, round(how.valid * rows))
    if rows - valid - test < 2:
        raise DataError(
            f"{raw.name}: {raw.rows(rows)} leave {max(0, rows - valid - test)} for training beside {valid} "
            f"for validation and {test} for the test; lower data.split.valid or data.split.test"
        )
    random = generator(seed, "data.split")
    if target.classes:
        return Split(*(pool[part] for part in _by_class(raw, target, pool, valid, test, random)))
    order = pool[random.permutation(rows)]
    return _split(order[valid + test :], order[:valid], order[valid : valid + test])


def _split(train: Indices, valid: Indices, test: Indices) -> Split:
    return Split(np.sort(train), np.sort(valid), np.sort(test))


def _by_class(
    raw: Raw, target: Target, pool: Indices, valid: int, test: int, random: np.random.Generator
) -> Split:
    """A stratified split of positions in `pool`; scikit-learn's may leave a rare class out of a part."""
    values = target.values[pool].astype(np.int64)
    counts = np.bincount(values, minlength=len(target.classes))
    needed = 3 if test else 2
    rare = int(np.argmin(counts))
    if counts[rare] < needed:
        raise DataError(
            f'{raw.name}: class "{target.classes[rare]}" of {raw.where} has {raw.rows(counts[rare])}; '
            f"expected at least {needed}, one for each part: add some, or leave the class out"
            + _numbers_hint(raw)
        )
    sizes = (
        ("train", len(pool) - valid - test, "lower data.split.valid or data.split.test"),
        ("valid", valid, "raise data.split.valid"),
        ("test", test, "raise data.split.test"),
    )
    for name, size, remedy in sizes:
        if 0 < size < len(counts):
            raise DataError(
                f"{raw.name}: the {name} part of {raw.rows(size)} cannot hold all {len(counts)} classes of "
                f"{raw.where}; {remedy}{_numbers_hint(raw)}"
            )
    one = np.ones_like(counts)
    for_test = _shares(counts, test, counts - 2, one) if test else np.zeros_like(counts)
    for_valid = _shares(counts, valid, counts - for_test - 1, one)
    parts: tuple[list[Indices], ...] = ([], [], [])
    for label in range(len(counts)):
        order = random.permutation(np.flatnonzero(values == label))
        cuts = [for_valid[label], for_valid[label] + for_test[label]]
        for part, rows in zip((1, 2, 0), np.split(order, cuts), strict=True):
            parts[part].append(rows)
    return _split(*(np.concatenate(part) for part in parts))


def _shares(counts: Indices, size: int, most: Indices, least: Indices) -> Indices:
    """Rows of each class, `size` in all: in proportion, at least `least` and at most `most`."""
    ideal = counts * (size / counts.sum())
    shares: Indices = np.clip(np.floor(ideal).astype(np.int64), least, most)
    while shares.sum() < size:
        shares[np.argmax(np.where(shares < most, ideal - shares, -np.inf))] += 1
    while shares.sum() > size:
        shares[np.argmin(np.where(shares > least, ideal - shares, np.inf))] -= 1
    return shares


def _numbers_hint(raw: Raw) -> str:
    numeric = pd.api.types.is_numeric_dtype(raw.frame[raw.target])
    return ', or set data.task = "regression" if they are quantities' if numeric and raw.task is None else ""


def _by_column(raw: Raw, target: Target, name: str, refuse: Refuse) -> Split:
    if name not in raw.names:
        raise refuse("split.column", f"{raw.name}: {unknown_column(name, raw.names)}")
    if name == raw.target:
        raise refuse("split.column", f'"{name}" is the target; expected another column')
    written = as_objects(raw.frame[name])
    parts = written.astype(str).str.strip().str.lower().map(PARTS)
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
            f"{raw.name}: {listed(untrained)} of {raw.where} is not in the training set; "
            "every class needs to be"
        )
