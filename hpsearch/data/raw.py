"""A source as it was read: one frame, nothing transformed yet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpsearch.errors import HpsearchError, nearest
from hpsearch.records import Task

Refuse = Callable[[str, str], HpsearchError]
"""Makes the error for a key below `data`, such as "target" or "split.column", and a text."""

_MOST_NAMES_SHOWN = 12


@dataclass(frozen=True)
class Raw:
    """Rows and columns of a source, the target among them.

    name: for messages and displays. task: of a built-in source, which knows it.
    hash: sha256 of the content.
    """

    name: str
    frame: pd.DataFrame
    target: str
    hash: str
    task: Task | None = None
    notes: tuple[str, ...] = ()


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


def unknown_column(name: str, columns: Iterable[str]) -> str:
    """What to say of a column that is not there."""
    columns = list(columns)
    return f'there is no column "{name}"{nearest(name, columns)} (columns: {listed(columns)})'
