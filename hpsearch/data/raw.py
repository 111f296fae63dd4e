"""A source as it was read: nothing transformed yet, and images not even decoded."""

from __future__ import annotations

import hashlib
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.columns import Column
from hpsearch.errors import HpsearchError, nearest, plural
from hpsearch.records import Task

Refuse = Callable[[str, str], HpsearchError]
"""Makes the error for a key below `data`, such as "target" or "split.column", and a text."""

Advance = Callable[[int, int], None]
"""Is told how many of how many images are decoded."""

Indices = NDArray[np.int64]
Pixels = NDArray[Any]
"""uint8 or uint16, or float32 where a source has other numbers."""

DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What Python's readers of compressed content raise where it is damaged."""
BROKEN_ZIP = (*DAMAGED, zipfile.BadZipFile, RuntimeError, ValueError, NotImplementedError)
"""What zipfile raises of an archive that is damaged, encrypted, or of a kind that it does not know."""

TRAIN, VALID, TEST = range(3)
PARTS = {
    "train": TRAIN,
    "training": TRAIN,
    "valid": VALID,
    "validation": VALID,
    "val": VALID,
    "dev": VALID,
    "development": VALID,
    "test": TEST,
    "testing": TEST,
}
"""The words for the splits, in lower case."""

_SPLIT = re.compile(rf"({'|'.join(PARTS)})[-_ ]?(set|data|dataset|images|imgs|split|folder)?")

_MOST_NAMES_SHOWN = 12


@dataclass(frozen=True)
class Form:
    """What decoded images shall be: None is what all of them are.

    size: (height, width). colour: "rgb" or "grey". bits: 8 or 16, of image files.
    """

    size: tuple[int, int] | None = None
    colour: str | None = None
    bits: int | None = None


class Decoded(NamedTuple):
    """pixels: [n, height, width, channels]. notes: sentences that the user should read."""

    pixels: Pixels
    notes: tuple[str, ...] = ()


class Images(Protocol):
    """A source's images, in the order of its rows."""

    def take(self, rows: Indices) -> Images:
        """Those of some rows."""

    def pixels(self, form: Form, refuse: Refuse, advance: Advance) -> Decoded:
        """All of them decoded.

        Raises:
            DataError: some cannot be read. HpsearchError: they differ and `form` does not say what to do.
        """


@dataclass(frozen=True)
class Raw:
    """Rows and columns of a source, the target among them.

    name: for messages and displays. task: of a source that knows it. hash: sha256 of the content.
    parts: [rows] which of train, valid and test (0, 1, 2) each row is for, where the source says so.
    pictures: one a row; the frame then has the target alone. left_out: files beside them that are none.
    schema: what the columns of a table file are, but for those that the user left out; those that are texts
    and left out are not in the frame.
    """

    name: str
    frame: pd.DataFrame
    target: str
    hash: str
    task: Task | None = None
    notes: tuple[str, ...] = ()
    parts: Indices | None = None
    pictures: Images | None = None
    left_out: int = 0
    schema: tuple[Column, ...] = ()

    def take(self, rows: Indices) -> Raw:
        """Some of the rows, ascending."""
        if len(rows) == len(self.frame):
            return self
        return replace(
            self,
            frame=self.frame.iloc[rows].reset_index(drop=True),
            parts=None if self.parts is None else self.parts[rows],
            pictures=None if self.pictures is None else self.pictures.take(rows),
        )

    @property
    def names(self) -> list[str]:
        """Of all columns, also of those that are not in the frame."""
        return [column.name for column in self.schema] or [str(name) for name in self.frame.columns]

    @property
    def where(self) -> str:
        """Where the targets stand, for messages."""
        return f'column "{self.target}"' if self.pictures is None else f"the {self.target}s"

    def rows(self, count: int) -> str:
        """ "1 row", "2,000 images"."""
        return plural(count, "row" if self.pictures is None else "image")


def split_of(word: str) -> int | None:
    """The split that a folder or an array is named after, such as "Training", "val" or "test_set"."""
    match = _SPLIT.fullmatch(word.strip().lower())
    return PARTS[match.group(1)] if match else None


def as_objects(values: pd.Series[Any]) -> pd.Series[Any]:
    """A column whose categories are objects, None where nothing is; other columns as they are."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return values
    names = np.array([*values.cat.categories, None], object)
    return pd.Series(names[values.cat.codes], values.index, dtype=object, name=values.name)


def class_task(classes: int) -> Task:
    """The task of a source whose targets are so many classes."""
    return Task.BINARY if classes == 2 else Task.MULTICLASS


def class_name(value: object) -> str:
    """The name of a class in a target column: whole numbers without a decimal point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers that are a function of the study's seed and a purpose alone."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode())))


def frame_hash(frame: pd.DataFrame) -> str:
    """sha256 over the names and values of a frame's columns."""
    digest = hashlib.sha256()
    for name, column in frame.items():
        digest.update(f"{name}\0".encode())
        if pd.api.types.is_numeric_dtype(column):
            digest.update(np.ascontiguousarray(column.to_numpy()).tobytes())
        else:
            digest.update("\0".join(map(str, column)).encode())
    return digest.hexdigest()


def listed(names: Iterable[str]) -> str:
    """Names in quotes, the first dozen of them."""
    names = list(names)
    shown = ", ".join(f'"{name}"' for name in names[:_MOST_NAMES_SHOWN])
    left = len(names) - _MOST_NAMES_SHOWN
    return f"{shown} and {left:,} more" if left > 0 else shown


def alike(names: Iterable[str]) -> list[str]:
    """Those names that differ from another one in case, blanks or a last point alone."""
    spellings: dict[str, list[str]] = {}
    for name in sorted(names):
        plain = " ".join(name.casefold().replace("_", " ").split()).rstrip(".")
        spellings.setdefault(plain, []).append(name)
    return [name for same in spellings.values() if len(same) > 1 for name in same]


def unknown_column(name: str, columns: Iterable[str]) -> str:
    """What to say of a column that is not there."""
    columns = list(columns)
    return f'there is no column "{name}"{nearest(name, columns)} (columns: {listed(columns)})'
