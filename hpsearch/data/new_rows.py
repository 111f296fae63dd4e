"""New rows for a trained model: prepared as its training rows were, by what was fitted to those."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.arrays import ArrayImages
from hpsearch.data.builtin import BUILT_IN, read_built_in
from hpsearch.data.columns import MISSING, Columns, Reading
from hpsearch.data.containers import no_such_file
from hpsearch.data.dataset import Image
from hpsearch.data.features import expanded, too_large
from hpsearch.data.folders import class_of
from hpsearch.data.paths import IMAGE_SUFFIXES, is_image, readable
from hpsearch.data.raw import Advance, Form, Images, class_name, listed
from hpsearch.data.scaling import pixels_like
from hpsearch.data.sources import IMAGES, kind_of
from hpsearch.data.table_files import SUFFIXES
from hpsearch.data.texts import (
    Table,
    arrow_column,
    date_column,
    is_text,
    name_column,
    number_column,
    numbers_of,
    without_unit,
)
from hpsearch.data.trees import Tree, TreeImages, image_names
from hpsearch.errors import DataError, HpsearchError, nearest, plural
from hpsearch.study.schema import DataSection

_TRUTH_WORDS = {"true": "True", "false": "False"}
_MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Expected:
    """The data that a model was trained on, as far as new rows have to be like them.

    form: how its features are made. target: the column that it predicts. classes: their names, () for
    numbers. ignored: further columns of the training table that are no features, such as ids.
    """

    form: Columns | Image
    target: str
    classes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """New rows.

    x: [n, features] float32. files: of images in files, their names, otherwise (). truth: [n] the index of
    each row's class, −1 where it is not known, or its number in the target's own unit, NaN where it is not
    known; None where the data have no target. notes: sentences that the user should read.
    """

    x: NDArray[np.float32]
    files: tuple[str, ...]
    truth: NDArray[np.int64] | NDArray[np.float64] | None
    notes: tuple[str, ...]


def read_rows(source: Path | str | pd.DataFrame, expected: Expected, advance: Advance | None = None) -> Rows:
    """Rows of a file or folder of any kind that training takes, of one image, or of a frame.

    The target need not be there. Further columns are left out; a text that training had not is 0 in every
    category; a number that is missing is the training set's median. Images may lie in any folders.

    Args:
        advance: is told how many of how many images are decoded.

    Raises:
        DataError: a column is missing, or the data cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        return _of_frame("the frame", source, expected)
    path, text = Path(source), str(source)
    if text in BUILT_IN and not os.path.exists(path):
        raw = read_built_in(DataSection(source=text), 0, _refuse)  # type: ignore[call-arg]
        return _of_frame(text, raw.frame, expected)
    if not os.path.exists(path):
        raise DataError(no_such_file(path))
    try:
        kind = IMAGES if is_image(path.name) and path.is_file() else kind_of(path)
        found = kind.rows(path, _refuse)
        if isinstance(found, pd.DataFrame):
            return _of_frame(path.name, found, expected)
        if isinstance(found, Table):
            return _of_table(path.name, found, expected)
        if isinstance(found, Tree):
            return _of_tree(path, found, expected, advance)
        return _of_pixels(path.name, *found, expected, advance)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _refuse(key: str, text: str) -> HpsearchError:
    return DataError(text)


# -- tables --------------------------------------------------------------------------------------


def _of_frame(name: str, frame: pd.DataFrame, expected: Expected) -> Rows:
    """Rows of a frame whose texts are read as those of a file."""
    frame = frame.set_axis(list(map(str, frame.columns)), axis=1)
    twice = sorted(column for column, count in Counter(frame.columns).items() if count > 1)
    if twice:
        raise DataError(f"{name}: expected each column once; found more than one {listed(twice)}")

    def place(row: int) -> str:
        return f"{name}, row {row + 1:,}" if row >= 0 else name

    wanted = {*_columns(name, expected).needed, expected.target}
    columns = {
        column: arrow_column(name, frame[column]) if column in wanted else None for column in frame.columns
    }
    return _of_table(name, Table(columns, place, len(frame)), expected)


def _columns(name: str, expected: Expected) -> Columns:
    if isinstance(expected.form, Columns):
        return expected.form
    raise DataError(
        f"{name}: expected images (a folder, a .zip, .npz or IDX files, or a file that ends in "
        f"{', '.join(IMAGE_SUFFIXES)}), as the model was trained on; found a table"
    )


def _of_table(name: str, table: Table, expected: Expected) -> Rows:
    columns = _columns(name, expected)
    _check_columns(name, list(table.columns), columns)
    if not table.rows:
        raise DataError(f"{name}: expected rows; found none")
    numbers = [number_column(table, each, _reading(columns, each, "number")) for each in columns.numbers]
    dates = [date_column(table, each, _reading(columns, each, "date")) for each in columns.dates]
    texts = [
        _words(name_column(table, each, _reading(columns, each, "category")), own)
        for each, own in zip(columns.textual, columns.categories, strict=True)
    ]
    matrix = np.column_stack(numbers) if numbers else np.zeros((table.rows, 0))
    matrix = np.where(np.isinf(matrix), np.nan, matrix)
    holes = int(np.isnan(matrix).sum())
    matrix = expanded(matrix, columns.numbers, dates, columns.flagged)
    try:
        x = columns.transformed(matrix, texts)
    except FloatingPointError:
        raise too_large(name, columns.numeric, matrix) from None
    truth, strange = None, Counter[str]()
    if expected.target in table.columns:
        truth, strange = _told(table, expected, columns)
    notes = _table_notes(table, expected, columns, holes, texts, strange)
    return Rows(x, (), truth, notes)


def _reading(columns: Columns, name: str, kind: str) -> Reading:
    """How training read a column; of models that do not say, by the column's place among the features."""
    return columns.reading(name) or Reading(kind)


def _check_columns(name: str, found: list[str], columns: Columns) -> None:
    if missing := [column for column in columns.needed if column not in found]:
        hint = nearest(missing[0], found)
        raise DataError(
            f"{name}: expected the {plural(len(columns.needed), 'column')} that the model was trained on; "
            f"{plural(len(missing), 'column')} missing: {listed(missing)}{hint} "
            f"(columns: {listed(found)}); add what is missing, empty where it is not known"
        )


def _words(texts: NDArray[np.object_], categories: Sequence[str]) -> NDArray[np.object_]:
    """[n] a column's texts spelt as the categories are."""
    known, truths = set(categories), {"True", "False"}
    if known & truths and known <= {*truths, MISSING}:
        return np.array([_TRUTH_WORDS.get(text.lower(), text) for text in texts], object)
    return texts


def _table_notes(
    table: Table,
    expected: Expected,
    columns: Columns,
    holes: int,
    texts: Sequence[NDArray[np.object_]],
    unknown: Counter[str],
) -> tuple[str, ...]:
    notes = []
    known = {*columns.needed, expected.target, *expected.ignored, ""}  # a column without a name is never used
    if extra := [name for name in table.columns if name not in known]:
        notes.append(f"{plural(len(extra), 'column')} that the model does not know left out: {listed(extra)}")
    if holes:
        notes.append(f"{plural(holes, 'missing number')} replaced by the training set's median")
    for name in columns.numbers:
        reading = _reading(columns, name, "number")
        if bare := without_unit(table, name, reading):
            notes.append(
                f'column "{name}": {plural(bare, "number")} without the unit "{reading.unit}" of training'
            )
    for name, own, words in zip(columns.textual, columns.categories, texts, strict=True):
        known_words = {*own, MISSING}
        if MISSING not in own and (blanks := int((words == MISSING).sum())):
            notes.append(
                f'column "{name}": {plural(blanks, "missing text")}, where training had none, taken for none '
                "of its categories"
            )
        if strange := Counter(word for word in words if word not in known_words):
            notes.append(
                f'column "{name}": {plural(strange.total(), "text")} that training had not, taken for none '
                f"of its categories: {_commonest(strange)}"
            )
    if unknown:
        notes.append(
            f'column "{expected.target}": {plural(unknown.total(), "label")} of {table.rows:,} that the '
            f"model does not know, not scored: {_commonest(unknown)} (it knows {listed(expected.classes)})"
        )
    return tuple(notes)


def _commonest(counts: Counter[str]) -> str:
    shown = listed(word for word, _ in counts.most_common(_MOST_EXAMPLES))
    return f"{shown} and {len(counts) - _MOST_EXAMPLES:,} more" if len(counts) > _MOST_EXAMPLES else shown


def _told(table: Table, expected: Expected, columns: Columns) -> tuple[NDArray[Any], Counter[str]]:
    """What the target column says, as `Rows.truth`, and the labels that the model does not know."""
    if not expected.classes:
        numbers = number_column(table, expected.target, _reading(columns, expected.target, "number"))
        return np.where(np.isinf(numbers), np.nan, numbers), Counter()
    reading = _reading(columns, expected.target, "category")
    words = _words(name_column(table, expected.target, reading, blank=""), expected.classes)
    if reading.kind == "number" and is_text(table.columns[expected.target]):
        numbers, bad = numbers_of(table.texts(expected.target), reading)
        known = np.isfinite(numbers) & ~bad
        words[known] = [class_name(number) for number in numbers[known].tolist()]
    places = {name: place for place, name in enumerate(expected.classes)}
    strange = Counter(str(word) for word in words if word and word not in places)
    return np.array([places.get(word, -1) for word in words], np.int64), strange


def _truth(column: NDArray[Any], classes: tuple[str, ...]) -> NDArray[Any]:
    """What the labels of images say, as `Rows.truth`."""
    values = pd.Series(column)
    if not classes:
        found = pd.to_numeric(values.astype(object), errors="coerce").to_numpy(np.float64, na_value=np.nan)
        return np.where(np.isinf(found), np.nan, found)
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places.get(class_name(value), -1) for value in values.astype(object)], np.int64)


# -- images --------------------------------------------------------------------------------------


def _of_pixels(name: str, values: Any, labels: Any, expected: Expected, advance: Advance | None) -> Rows:
    image = _image(name, expected)
    truth = None if labels is None else _truth(labels, expected.classes)
    shape = (image.height, image.width)
    resized = len(values) if values.shape[1:3] != shape else 0
    pixels, said = pixels_like(name, values, image)
    x, notes = _features(name, image, ArrayImages(name, pixels), advance)
    return Rows(x, (), truth, (*said, *notes, *_resized(resized, len(values), shape)))


def _of_tree(path: Path, tree: Tree, expected: Expected, advance: Advance | None) -> Rows:
    """Images of a folder or an archive in any folders, or a single one."""
    image = _image(path.name, expected)
    names = image_names(tree)
    places = {class_of(name): place for place, name in enumerate(expected.classes)}
    folders = [name.split("/")[-2] if "/" in name else "" for name in names]
    truth = np.array([places.get(class_of(folder), -1) for folder in folders], np.int64)
    images = TreeImages(tree, names)
    sizes = Counter(images.sizes())
    shape = (image.height, image.width)
    x, notes = _features(path.name, image, images, advance)
    notes = (*notes, *_resized(sizes.total() - sizes[shape], len(names), shape))
    return Rows(x, tuple(map(readable, names)), truth if (truth >= 0).any() else None, notes)


def _image(name: str, expected: Expected) -> Image:
    if isinstance(expected.form, Image):
        return expected.form
    raise DataError(
        f"{name}: expected a table ({', '.join(SUFFIXES)}, or .npz of plain features), as the model was "
        "trained on; found images"
    )


def _features(
    name: str, image: Image, images: Images, advance: Advance | None
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    colour = "grey" if image.channels == 1 else "rgb"
    form = Form((image.height, image.width), colour, {"uint8": 8, "uint16": 16}.get(image.dtype))
    found, notes = images.pixels(form, _refuse, advance or _nothing)
    if isinstance(images, TreeImages):
        found, more = pixels_like(name, found, image)
        notes = (*notes, *more)
    return image.standardised(found), notes


def _resized(count: int, total: int, shape: tuple[int, int]) -> tuple[str, ...]:
    if not count:
        return ()
    return (f"{count:,} of {plural(total, 'image')} resized to the model's {shape[0]} × {shape[1]} pixels",)


def _nothing(done: int, total: int) -> None:
    return None
