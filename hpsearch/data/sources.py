"""The kinds of sources: how each is recognised, read to train on, and read to predict.

A new kind is a file with its two readers, and a line in `SOURCES`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.idx import read_idx, read_rows_of_idx
from hpsearch.data.npz import read_npz, read_rows_of_npz
from hpsearch.data.paths import check_regular, idx_starts, is_idx, is_image
from hpsearch.data.raw import Pixels, Raw, Refuse
from hpsearch.data.table_files import is_table_source, read_table, read_texts
from hpsearch.data.texts import Table
from hpsearch.data.trees import Tree, open_tree, read_tree
from hpsearch.study.schema import DataSection

Content = pd.DataFrame | Table | tuple[Pixels, NDArray[Any] | None] | Tree
"""New rows: a frame, a table as it is written, pixels [n, height, width, channels] with their labels if
known, or image files."""


@dataclass(frozen=True)
class Kind:
    """One kind of source.

    fits: whether a path is of this kind; the first that fits is taken. read: the rows to train on, of a path
    and what the study says of it. rows: the rows to predict. asks_target: the user says which column to
    predict; other kinds know it themselves.
    """

    fits: Callable[[Path], bool]
    read: Callable[[Path, DataSection, Refuse], Raw]
    rows: Callable[[Path, Refuse], Content]
    asks_target: bool = False


def _npz_rows(path: Path, refuse: Refuse) -> Content:
    found, y = read_rows_of_npz(path)
    if isinstance(found, pd.DataFrame):
        return found if y is None else found.assign(y=y)
    return found, y


def _tree_rows(path: Path, refuse: Refuse) -> Content:
    return Tree(path.parent, (path.name,)) if is_image(path.name) else open_tree(path)


IMAGES = Kind(
    lambda path: os.path.isdir(path) or path.name.lower().endswith(".zip"),
    lambda path, data, refuse: read_tree(path),
    _tree_rows,
)
"""Also of a single image file, which can be predicted and not trained on."""

SOURCES: dict[str, Kind] = {
    "IDX files": Kind(
        lambda path: is_idx(path.name) or (os.path.isdir(path) and bool(idx_starts(path))),
        lambda path, data, refuse: read_idx(path, refuse),
        lambda path, refuse: read_rows_of_idx(path, refuse),
    ),
    ".npz": Kind(
        lambda path: path.name.lower().endswith(".npz") and not os.path.isdir(path),
        lambda path, data, refuse: read_npz(path),
        _npz_rows,
    ),
    "tables in a folder or a .zip": Kind(is_table_source, read_table, read_texts, asks_target=True),
    "images in folders or a .zip": IMAGES,
    # Last, since it takes whatever is left and says what a table's name ends in.
    "tables": Kind(lambda path: True, read_table, read_texts, asks_target=True),
}


def kind_of(path: Path) -> Kind:
    """The kind of a source; a folder that cannot be listed raises an OSError.

    Raises:
        DataError: a pipe or a device.
    """
    if os.path.exists(path):
        check_regular(path)
    return next(kind for kind in SOURCES.values() if kind.fits(path))
