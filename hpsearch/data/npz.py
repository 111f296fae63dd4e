"""NumPy's .npz archives of images or plain features."""

from __future__ import annotations

import hashlib
import math
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.lib import format as npy
from numpy.typing import NDArray

from hpsearch.data.arrays import ArrayImages
from hpsearch.data.paths import check_unpacked
from hpsearch.data.pixels import check_memory
from hpsearch.data.raw import Raw, class_task, listed, split_of
from hpsearch.data.scaling import pixels_of
from hpsearch.errors import DataError, HpsearchError, plural
from hpsearch.text import plain

Array = NDArray[Any]

_EXPECTED = (
    "expected the arrays x and y, or x_train and y_train, or train_images and train_labels, "
    "and perhaps the same of valid and test"
)
_ROLES = {
    **dict.fromkeys(("x", "images", "image", "imgs", "data", "features", "inputs"), "x"),
    **dict.fromkeys(("y", "labels", "label", "targets", "target"), "y"),
}
_TARGET_KINDS = "iubfU"
_MOST_REASON = 200


class Group(NamedTuple):
    """Names of the arrays of one split, or of all rows where `split` is ""; y is None if it is not there."""

    split: str
    x: str
    y: str | None


def read_npz(path: Path) -> Raw:
    """The arrays x and y, or those of splits, such as x_train and y_train; they are never unpickled.

    Images are [n, height, width] or [n, height, width, channels], with 1 or 3 channels; see `pixels_of` for
    what their numbers mean. Plain features are [n, features]. Targets are [n] numbers, or words; for images
    whole numbers are classes.

    Raises:
        DataError: not an archive of arrays, or arrays of another shape or kind.
    """
    with _opened(path) as archive:
        groups, notes = _groups(path, archive)
        pairs = [_pair(path, archive, group) for group in groups]
    x, y = _joined(path, [x for x, _ in pairs]), np.concatenate([y for _, y in pairs])
    ends = [group.split and f"_{group.split}" for group in groups]
    digest = hashlib.sha256(
        repr([ends, [len(x) for x, _ in pairs], x.shape, str(x.dtype), str(y.dtype)]).encode()
    )
    digest.update(np.ascontiguousarray(x).data)
    digest.update(np.ascontiguousarray(y).tobytes())
    parts = None
    if ends != [""]:
        splits = np.array([split_of(group.split) for group in groups], np.int64)
        parts = np.repeat(splits, [len(x) for x, _ in pairs])
    target = y.astype(object) if y.dtype.kind == "U" else y
    if x.ndim == 2:
        frame = _plain(x).assign(y=target)
        return Raw(path.name, frame, "y", digest.hexdigest(), notes=notes, parts=parts)
    return Raw(
        path.name,
        pd.DataFrame({"label": target}),
        "label",
        digest.hexdigest(),
        task=None if y.dtype.kind == "f" else class_task(len(np.unique(y))),
        notes=notes,
        parts=parts,
        pictures=ArrayImages(path.name, pixels_of(str(path), _with_channels(x))),
    )


def read_rows_of_npz(path: Path) -> tuple[pd.DataFrame | Array, Array | None]:
    """Plain features as columns, or numbers [n, height, width, channels], and the targets if there are any.

    Those of all splits, one after another; y may be missing in any of them.

    Raises:
        DataError: as `read_npz`.
    """
    with _opened(path) as archive:
        groups, _ = _groups(path, archive)
        if all(group.y for group in groups):
            pairs = [_pair(path, archive, group) for group in groups]
            xs, y = [x for x, _ in pairs], np.concatenate([y for _, y in pairs])
        else:
            xs, y = [_rows(path, archive, group.x) for group in groups], None
    x = _joined(path, xs)
    return (_plain(x) if x.ndim == 2 else _with_channels(x)), y


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; what is wrong with it inside of `with` is a DataError."""
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of NumPy about headers of Python 2
                size = sum(member.file_size for member in archive.infolist())
                check_unpacked(str(path), os.path.getsize(path), size)
                check_memory(f"{path}: {size:,} bytes of arrays", size)
                yield archive
        except HpsearchError:
            raise
        except Exception as error:  # zipfile and NumPy raise nearly anything when a file is damaged
            raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    reason = plain(str(error).partition("\n")[0][:_MOST_REASON]) or type(error).__name__
    return DataError(f"{path}: not a whole .npz archive of arrays ({reason}); write or copy it again")


def _groups(path: Path, archive: zipfile.ZipFile) -> tuple[list[Group], tuple[str, ...]]:
    """The arrays that belong together by their names, by splits in their order, and notes on the others."""
    found: dict[tuple[str, str], str] = {}
    strange = []
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    for name in names:
        split, role = _meaning(name)
        if role and (split, role) not in found:
            found[split, role] = name
        else:
            strange.append(name)
    splits = sorted({split for split, role in found if role == "x"}, key=lambda word: split_of(word) or 0)
    if not splits or (splits[0] == "" and len(splits) > 1) or any(_meaning(name)[1] for name in strange):
        raise DataError(f"{path}: {_EXPECTED}; found {listed(map(plain, names)) or 'no array'}; rename them")
    groups = [Group(split, found[split, "x"], found.get((split, "y"))) for split in splits]
    used = {name for group in groups for name in (group.x, group.y)}
    others = [plain(name) for name in names if name not in used]
    return groups, (f"{plural(len(others), 'array')} left out: {listed(others)}",) if others else ()


def _meaning(name: str) -> tuple[str, str]:
    """The split and the role, x or y, of an array's name such as x_train or train_images; "" for none."""
    words = [word for word in re.split(r"[-_. ]+", name.lower()) if word]
    roles = [word for word in words if word in _ROLES]
    rest = [word for word in words if word not in _ROLES]
    if len(roles) != 1 or len(rest) > 1 or (rest and split_of(rest[0]) is None):
        return "", ""
    return "".join(rest), _ROLES[roles[0]]


def _joined(path: Path, xs: list[Array]) -> Array:
    if len(shapes := {x.shape[1:] for x in xs}) > 1:
        shown = " and ".join(map(str, sorted(shapes)))
        raise DataError(f"{path}: expected rows of one shape in all splits; found {shown}")
    return np.concatenate(xs)


def _plain(x: Array) -> pd.DataFrame:
    return pd.DataFrame(x, columns=[f"x{place}" for place in range(x.shape[1])])


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> Array:
    """An array by its name; its header must announce what is there, before memory is taken for it."""
    member = archive.getinfo(f"{name}.npy" if f"{name}.npy" in archive.namelist() else name)
    with archive.open(member) as file:
        shape, dtype = _header(file, name)
        if dtype.hasobject:
            raise DataError(
                f"{path}: expected arrays of numbers or words; found Python objects in {plain(name)}, which "
                "are not read, as they may run code; save the array with a plain dtype"
            )
        announced, there = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if announced != there:
            raise ValueError(f"{plain(name)} announces {announced:,} bytes and has {there:,}")
    with archive.open(member) as file:
        array: Array = npy.read_array(file, allow_pickle=False)
    return array


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, by the head of its file."""
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    except (zipfile.BadZipFile, zlib.error):
        raise
    except Exception:  # of a Python parser, in its words
        raise ValueError(f"the header of {plain(name)} cannot be read") from None
    return shape, dtype


def _rows(path: Path, archive: zipfile.ZipFile, name: str) -> Array:
    """x of one split, of a shape that can be used."""
    x = _array(path, archive, name)
    if x.ndim == 4 and x.shape[3] not in (1, 3) and x.shape[1] in (1, 3):
        raise DataError(
            f"{path}: {name}: expected channels last; found the shape {x.shape}; move the second axis"
        )
    fits = x.ndim in (2, 3) or (x.ndim == 4 and x.shape[3] in (1, 3))
    if not fits or x.dtype.kind not in "iubf" or 0 in x.shape[1:]:
        raise DataError(
            f"{path}: {name}: expected numbers of the shape [n, features], [n, height, width] or "
            f"[n, height, width, 1 or 3 channels]; found {x.dtype} of the shape {x.shape}"
        )
    return x


def _pair(path: Path, archive: zipfile.ZipFile, group: Group) -> tuple[Array, Array]:
    """x and y of one split, with shapes that fit."""
    if group.y is None:
        raise DataError(f"{path}: {_EXPECTED}; found {plain(group.x)} without its labels")
    x, y = _rows(path, archive, group.x), _array(path, archive, group.y)
    if y.dtype.kind == "S":
        with suppress(UnicodeDecodeError):
            y = np.char.decode(y, "utf-8")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in _TARGET_KINDS:
        hint = "; for one-hot rows save their argmax" if y.ndim == 2 else ""
        raise DataError(
            f"{path}: {group.y}: expected [n] numbers or words; found {y.dtype} of the shape {y.shape}{hint}"
        )
    if len(x) != len(y):
        raise DataError(
            f"{path}: expected as many rows in {group.x} as in {group.y}; found {len(x):,} and {len(y):,}"
        )
    return x, y


def _with_channels(x: Array) -> Array:
    """[n, height, width, channels] numbers, which may come without channels."""
    return x[..., None] if x.ndim == 3 else x
