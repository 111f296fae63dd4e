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
from hpsearch.data.columns import MISSING, Columns
from hpsearch.data.dataset import Image
from hpsearch.data.features import texts_of, too_large
from hpsearch.data.files import IMAGE_SUFFIXES, is_image, readable
from hpsearch.data.layout import class_of
from hpsearch.data.raw import Advance, Form, Images, listed
from hpsearch.data.scaling import pixels_like
from hpsearch.data.sources import IMAGES, kind_of
from hpsearch.data.tables import SUFFIXES, no_such_file
from hpsearch.data.target import class_name
from hpsearch.data.trees import Tree, TreeImages, image_names
from hpsearch.errors import DataError, HpsearchError, nearest, plural
from hpsearch.study.schema import DataSection

_TRUTH_WORDS = {"true": "True", "false": "False"}
_MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Expected:
    """The data that a model was trained on, as far as new rows have to be like them.

    form: how its features are made. target: the column that it predicts. classes: their names, () for
    numbers. ignored: further columns that are known and no features, such as the one that divided the rows.
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
    category; a number that is missing is the training part's median. Images may lie in any folders.

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
    textual = expected.form.textual if isinstance(expected.form, Columns) else ()
    try:
        kind = IMAGES if is_image(path.name) and path.is_file() else kind_of(path)
        found = kind.rows(path, _refuse, textual)
        if isinstance(found, pd.DataFrame):
            return _of_frame(path.name, found, expected)
        if isinstance(found, Tree):
            return _of_tree(path, found, expected, advance)
        return _of_pixels(path.name, *found, expected, advance)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _refuse(key: str, text: str) -> HpsearchError:
    return DataError(text)


# -- tables --------------------------------------------------------------------------------------


def _of_frame(name: str, frame: pd.DataFrame, expected: Expected) -> Rows:
    columns = expected.form
    if not isinstance(columns, Columns):
        raise DataError(
            f"{name}: expected images (a folder, a .zip, .npz or IDX files, or a file that ends in "
            f"{', '.join(IMAGE_SUFFIXES)}), as the model was trained on; found a table"
        )
    frame = frame.set_axis(list(map(str, frame.columns)), axis=1)
    _check_columns(name, frame, columns, expected.target)
    if not len(frame):
        raise DataError(f"{name}: expected rows; found none")
    numbers = _numbers(name, frame, columns.numeric)
    texts = [
        _words(frame[column], own) for column, own in zip(columns.textual, columns.categories, strict=True)
    ]
    try:
        x = columns.transformed(numbers, texts)
    except FloatingPointError:
        raise too_large(name, columns.numeric, numbers) from None
    notes = _table_notes(frame, expected, columns, numbers, texts)
    truth = _truth(frame[expected.target], expected.classes) if expected.target in frame.columns else None
    return Rows(x, (), truth, notes)


def _check_columns(name: str, frame: pd.DataFrame, columns: Columns, target: str) -> None:
    needed = (*columns.numeric, *columns.textual)
    counts = Counter(frame.columns)
    if missing := [column for column in needed if not counts[column]]:
        hint = nearest(missing[0], counts)
        raise DataError(
            f"{name}: expected the {plural(len(needed), 'column')} that the model was trained on; "
            f"{plural(len(missing), 'column')} missing: {listed(missing)}{hint} "
            f"(columns: {listed(counts)}); add what is missing, empty where it is not known"
        )
    if twice := [column for column in (*needed, target) if counts[column] > 1]:
        raise DataError(f"{name}: expected each column once; found more than one {listed(twice)}")


def _numbers(name: str, frame: pd.DataFrame, numeric: Sequence[str]) -> NDArray[np.float64]:
    """[n, numeric] float64; what is missing or infinite is NaN."""
    own = frame[list(numeric)]
    for column, dtype in zip(numeric, own.dtypes, strict=True):
        if pd.api.types.is_complex_dtype(dtype):
            raise DataError(
                f'{name}: column "{column}": expected numbers, as in training; found complex ones; convert it'
            )
    others = [place for place, dtype in enumerate(own.dtypes) if not pd.api.types.is_numeric_dtype(dtype)]
    if others:
        own = own.astype({numeric[place]: object for place in others})
        for place in others:
            own[numeric[place]] = _converted(name, numeric[place], frame[numeric[place]])
    numbers = own.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isinf(numbers), np.nan, numbers)


def _converted(name: str, column: str, values: pd.Series[Any]) -> NDArray[np.float64]:
    """[n] numbers of a column that is none of numbers: empty, or true, false and nothing."""
    found = np.full(len(values), np.nan)
    for row, (value, there) in enumerate(zip(values.astype(object), values.notna(), strict=True)):
        try:
            if there:
                found[row] = _number(value)
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f'{name}: column "{column}", row {row + 1:,}: expected a number, as in training; '
                f'found "{value}"; mend it or leave it empty'
            ) from None
    return found


def _number(value: object) -> float:
    if isinstance(value, str):
        word = value.strip().lower()
        return float(word == "true") if word in _TRUTH_WORDS else float(word)
    if isinstance(value, (bool, int, float, np.number, np.bool_)):
        return float(value)
    raise TypeError


def _words(column: pd.Series[Any], categories: Sequence[str]) -> NDArray[np.object_]:
    """[n] a column's values spelt as the categories are."""
    known, truths = set(categories), {"True", "False"}
    if pd.api.types.is_float_dtype(column):  # whole numbers, among which some are missing
        column = column.astype(object).map(class_name, na_action="ignore")
    texts = texts_of(column)
    if known & truths and known <= {*truths, MISSING}:
        texts = texts.map(lambda text: _TRUTH_WORDS.get(text.strip().lower(), text))
    words: NDArray[np.object_] = texts.to_numpy(dtype=object)
    return words


def _table_notes(
    frame: pd.DataFrame,
    expected: Expected,
    columns: Columns,
    numbers: NDArray[np.float64],
    texts: Sequence[NDArray[np.object_]],
) -> tuple[str, ...]:
    notes = []
    known = {*columns.numeric, *columns.textual, expected.target, *expected.ignored}
    if extra := [str(name) for name in frame.columns if str(name) not in known]:
        notes.append(f"{plural(len(extra), 'column')} that the model does not know left out: {listed(extra)}")
    if holes := int(np.isnan(numbers).sum()):
        notes.append(f"{plural(holes, 'missing number')} replaced by the training part's median")
    for name, own, words in zip(columns.textual, columns.categories, texts, strict=True):
        strange = Counter(word for word in words if word not in set(own))
        if strange:
            shown = listed(word for word, _ in strange.most_common(_MOST_EXAMPLES))
            more = f" and {len(strange) - _MOST_EXAMPLES:,} more" if len(strange) > _MOST_EXAMPLES else ""
            notes.append(
                f'column "{name}": {plural(strange.total(), "text")} that training had not, taken for none '
                f"of its categories: {shown}{more}"
            )
    return tuple(notes)


def _truth(column: pd.Series[Any] | NDArray[Any], classes: tuple[str, ...]) -> NDArray[Any]:
    """What a target column says, as `Rows.truth`."""
    values = pd.Series(column)
    if not classes:
        found = pd.to_numeric(values.astype(object), errors="coerce").to_numpy(np.float64, na_value=np.nan)
        return np.where(np.isinf(found), np.nan, found)
    places = {name: place for place, name in enumerate(classes)}
    there = values.notna()
    return np.array(
        [
            places.get(class_name(value), -1) if present else -1
            for value, present in zip(values.astype(object), there, strict=True)
        ],
        np.int64,
    )


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
