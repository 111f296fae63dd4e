"""What is read from a source, in numbers and words: what `hpsearch data` shows."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.columns import Column, Reading, Told
from hpsearch.data.features import schema_notes
from hpsearch.data.kinds import is_id
from hpsearch.data.load import load_dataset
from hpsearch.data.prepare import Complain, read_and_split, read_whole, refusal
from hpsearch.data.raw import Advance, Raw
from hpsearch.study.schema import DataSection

FORMAT = "hpsearch.data/1"
_EXAMPLES, _FIRST = 3, 1000
_SCALES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)
TARGET = re.compile(r"(target|label|labels|class|classes|y|outcome|response|output)", re.IGNORECASE)


_Ends = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class ColumnFacts:
    """One column of a table: what it is, and all its values in short.

    distinct: different values, missing ones left out; examples: the first of these; low, high, mean: of
    numbers. doubt: what `[data.columns]` says to confirm a guess that may be wrong,
    as TOML; instead: what it says otherwise. coded: numbers that look like codes. notes: what
    was guessed of it.
    """

    name: str
    kind: str
    used: bool
    reason: str | None
    missing: int
    distinct: int
    examples: tuple[str, ...]
    low: float | None
    high: float | None
    mean: float | None
    doubt: str | None
    instead: str | None
    coded: bool
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON-able values; `min`, `max` and `mean` of numbers alone."""
        found: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "used": self.used,
            "reason": self.reason,
            "missing": self.missing,
            "distinct": self.distinct,
            "examples": list(self.examples),
        }
        if self.low is not None:
            found.update({"min": self.low, "max": self.high, "mean": self.mean})
        if self.doubt is not None:
            found["confirm"] = self.doubt
        if self.instead is not None:
            found["instead"] = self.instead
        return found


@dataclass(frozen=True)
class DataFacts:
    """What is read from a source.

    rows: all of them, or images. columns: of a table. target: its name, None if nothing says which it is;
    task and classes, with the rows of each, if there is one. parts: rows to train, to rank and kept back.
    images: count, shape, levels and how many were left out. likely: the target, where nothing says which it
    is; asks_target: the study file has to name it.
    """

    name: str
    rows: int
    columns: tuple[ColumnFacts, ...] = ()
    target: str | None = None
    task: str | None = None
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    parts: tuple[int, int, int] | None = None
    images: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    likely: str | None = None
    asks_target: bool = False

    def document(self) -> dict[str, Any]:
        """As `hpsearch.data/1`."""
        target = None
        if self.target is not None:
            target = {
                "name": self.target,
                "task": self.task,
                "classes": list(self.classes),
                "counts": list(self.counts),
            }
        found: dict[str, Any] = {
            "format": FORMAT,
            "rows": self.rows,
            "columns": [column.document() for column in self.columns],
            "target": target,
            "notes": list(self.notes),
        }
        if self.parts is not None:
            found["splits"] = dict(zip(("train", "valid", "test"), self.parts, strict=True))
        if self.images is not None:
            found["images"] = self.images
        return found


def describe(
    data: DataSection,
    base: Path | None = None,
    complain: Complain | None = None,
    progress: Advance | None = None,
) -> DataFacts:
    """What is read from a source; of a table without a target, its columns alone.

    Raises:
        HpsearchError: as `load_dataset`.
    """
    base, refuse = base or Path(), refusal(complain)
    raw = read_whole(data, 0, base, refuse)
    if not raw.target:
        return DataFacts(
            raw.name,
            len(raw.frame),
            _columns(raw, ()),
            notes=(*raw.notes, *schema_notes(raw)),
            likely=likely_target(raw),
            asks_target=True,
        )
    found = read_and_split(data, 0, base, refuse, raw)
    target = found.target
    counts = tuple(np.bincount(target.values.astype(np.int64)).tolist()) if target.classes else ()
    images, notes = None, found.notes
    if raw.pictures is not None:  # they are decoded to know their shape and levels
        dataset = load_dataset(data, 0, base, complain, progress)
        images, notes = dataset.images, dataset.notes
    return DataFacts(
        raw.name,
        len(raw.frame),
        () if raw.pictures is not None else _columns(raw, found.coded),
        raw.target,
        str(target.task),
        target.classes,
        counts,
        (len(found.split.train), len(found.split.valid), len(found.split.test)),
        images,
        notes,
        asks_target=bool(raw.schema),
    )


def likely_target(raw: Raw) -> str:
    """The column that is probably predicted: one that is called so, or the last that could be."""
    names = raw.names
    called = [name for name in names if TARGET.fullmatch(name)]
    used = [column for column in raw.schema if column.unused is None and not is_id(column.name)]
    fitting = [column.name for column in used if column.kind != "date"]
    repeated = [name for name in fitting if not _all_different_names(raw.frame[name])]
    return [*names[-1:], *fitting[-1:], *repeated[-1:], *called[:1]][-1]


def _all_different_names(values: pd.Series[Any]) -> bool:
    return not pd.api.types.is_numeric_dtype(values) and values.is_unique


def _columns(raw: Raw, coded: list[str] | tuple[()]) -> tuple[ColumnFacts, ...]:
    schema = {column.name: column for column in raw.schema}

    def facts(name: str) -> ColumnFacts:
        column = schema.get(name)
        if column is not None and column.told is not None:
            return _facts(column, column.told)
        values = raw.frame[name]
        column = column or _typed(name, values)
        numbers = column.kind not in ("date", "boolean") and pd.api.types.is_numeric_dtype(values)
        ends = _ends(values) if numbers else (None, None, None)
        return _facts(column, _told(values), ends, name in coded)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return tuple(threads.map(facts, raw.names))


def _typed(name: str, values: pd.Series[Any]) -> Column:
    """A column of a source that is no table file: its type says what it is."""
    number = pd.api.types.is_numeric_dtype(values)
    return Column(name, "number" if number else "category", Reading("number" if number else "category"))


def _facts(column: Column, told: Told, ends: _Ends = (None, None, None), coded: bool = False) -> ColumnFacts:
    """ends: lowest, highest and mean."""
    return ColumnFacts(
        column.name,
        column.kind,
        column.unused is None,
        column.unused,
        told.missing,
        told.distinct,
        tuple(map(_example, told.examples)),
        *ends,
        column.doubt,
        '"category"' if coded else column.instead,
        coded,
        column.notes if column.unused is None else (*column.notes, column.unused),
    )


def _told(values: pd.Series[Any]) -> Told:
    present = values.dropna()
    missing = len(values) - len(present)
    first = present.iloc[:_FIRST].unique()
    if present.dtype.kind not in "iuf" or len(first) < _EXAMPLES:
        distinct = present.unique()
        return Told(missing, len(distinct), tuple(distinct[:_EXAMPLES]))
    return Told(missing, _count(present.to_numpy()), tuple(first[:_EXAMPLES]))


def _count(values: NDArray[Any]) -> int:
    """How many of [n] numbers differ, none of them missing.

    To sort them is faster than to hash them, and to tick off those that have few decimals is faster still.
    """
    scales = (scale for scale in _SCALES if (_scaled(values[:_FIRST], scale) == values[:_FIRST]).all())
    if (scale := next(scales, None)) is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            steps = np.rint(values * scale)
            reach = steps.max() - (low := steps.min())
        if reach < 8 * len(values) and (steps / scale == values).all():
            seen = np.zeros(int(reach) + 1, bool)
            seen[(steps - low).astype(np.int64)] = True
            return int(np.count_nonzero(seen))
    ordered = np.sort(values)
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))


def _scaled(values: NDArray[Any], scale: float) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        rounded: NDArray[np.float64] = np.rint(values * scale) / scale
    return rounded


def _ends(values: pd.Series[Any]) -> _Ends:
    numbers = values.to_numpy(np.float64)
    is_finite = np.isfinite(numbers)
    finite = values if is_finite.all() else values[is_finite]
    if not len(finite):
        return None, None, None
    return float(finite.min()), float(finite.max()), float(finite.mean())


def _example(value: Any) -> str:
    if isinstance(value, pd.Timestamp | np.datetime64):
        return str(pd.Timestamp(value)).removeprefix("1900-01-01 ").removesuffix(" 00:00:00")
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
