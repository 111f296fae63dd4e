"""NumPy's .npz archives of pictures or plain features."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.data.arrays import ArrayImages
from hpsearch.data.pixels import check_memory
from hpsearch.data.raw import PARTS, Pixels, Raw, class_task, listed
from hpsearch.data.scaling import pixels_of
from hpsearch.errors import DataError

Array = NDArray[Any]

_EXPECTED = "expected the arrays x and y, or x_train and y_train and perhaps the same with _valid and _test"
_TARGET_KINDS = "iubfU"


def read_npz(path: Path) -> Raw:
    """The arrays x and y, or those of parts, such as x_train and y_train; they are never unpickled.

    Pictures are [n, height, width] or [n, height, width, channels], with 1 or 3 channels; whole numbers are
    pixels from 0 to 255, floats may also be from 0 to 1, and are rounded to 256 steps. Plain features are
    [n, features]. Targets are [n] numbers, or words; for pictures whole numbers are classes.

    Raises:
        DataError: not an archive of arrays, or arrays of another shape or kind.
    """
    arrays = _arrays(path)
    ends = _ends(path, arrays)
    pairs = [_pair(path, arrays, end) for end in ends]
    x, y = _joined(path, [x for x, _ in pairs]), np.concatenate([y for _, y in pairs])
    digest = hashlib.sha256(
        repr([ends, [len(x) for x, _ in pairs], x.shape, str(x.dtype), str(y.dtype)]).encode()
    )
    digest.update(np.ascontiguousarray(x).data)
    digest.update(np.ascontiguousarray(y).tobytes())
    parts = None
    if ends != [""]:
        parts = np.repeat([PARTS[end[1:]] for end in ends], [len(x) for x, _ in pairs]).astype(np.int64)
    target = y.astype(object) if y.dtype.kind == "U" else y
    if x.ndim == 2:
        frame = _plain(x).assign(y=target)
        return Raw(path.name, frame, "y", digest.hexdigest(), parts=parts)
    return Raw(
        path.name,
        pd.DataFrame({"label": target}),
        "label",
        digest.hexdigest(),
        task=None if y.dtype.kind == "f" else class_task(len(np.unique(y))),
        parts=parts,
        pictures=ArrayImages(path.name, pixels_of(str(path), _with_channels(x))),
    )


def read_rows_of_npz(path: Path) -> tuple[pd.DataFrame | Pixels, Array | None]:
    """Plain features as columns, or pixels [n, height, width, channels], and the targets if there are any.

    Those of all parts, one after another; y may be missing in any of them.

    Raises:
        DataError: as `read_npz`.
    """
    arrays = _arrays(path)
    ends = _ends(path, arrays)
    x = _joined(path, [_rows(path, arrays, end) for end in ends])
    complete = all(f"y{end}" in arrays for end in ends)
    y = np.concatenate([_pair(path, arrays, end)[1] for end in ends]) if complete else None
    return (_plain(x) if x.ndim == 2 else _with_channels(x)), y


def _ends(path: Path, arrays: dict[str, Array]) -> list[str]:
    """What follows x and y in the arrays' names: nothing, or an underscore and a part."""
    ends = [end for end in ("", *(f"_{part}" for part in PARTS)) if f"x{end}" in arrays]
    if not ends or (ends[0] == "" and len(ends) > 1):
        raise DataError(f"{path}: {_EXPECTED}; found {listed(arrays)}")
    return ends


def _joined(path: Path, xs: list[Array]) -> Array:
    if len(shapes := {x.shape[1:] for x in xs}) > 1:
        shown = " and ".join(map(str, sorted(shapes)))
        raise DataError(f"{path}: expected rows of one shape in all parts; found {shown}")
    return np.concatenate(xs)


def _plain(x: Array) -> pd.DataFrame:
    return pd.DataFrame(x, columns=[f"x{place}" for place in range(x.shape[1])])


def _arrays(path: Path) -> dict[str, Array]:
    """The arrays whose names begin with x or y, in lower case."""
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        check_memory(f"{path}: {size:,} bytes of arrays", size)
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                if name.lower()[:1] in ("x", "y"):
                    arrays[name.lower()] = file[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: expected arrays of numbers or words; found Python objects, which are not read, "
                "as they may run code; save the array with a plain dtype"
            ) from None
        raise _damaged(path, error) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, MemoryError, NotImplementedError) as error:
        raise _damaged(path, error) from None
    return arrays


def _damaged(path: Path, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0]
    return DataError(f"{path}: not a whole .npz archive of arrays ({reason}); write or copy it again")


def _rows(path: Path, arrays: dict[str, Array], end: str) -> Array:
    """x of one part, of a shape that can be used."""
    x = arrays[f"x{end}"]
    if x.ndim == 4 and x.shape[3] not in (1, 3) and x.shape[1] in (1, 3):
        raise DataError(
            f"{path}: x{end}: expected channels last; found the shape {x.shape}; move the second axis"
        )
    fits = x.ndim in (2, 3) or (x.ndim == 4 and x.shape[3] in (1, 3))
    if not fits or x.dtype.kind not in "iubf" or 0 in x.shape[1:]:
        raise DataError(
            f"{path}: x{end}: expected numbers of the shape [n, features], [n, height, width] or "
            f"[n, height, width, 1 or 3 channels]; found {x.dtype} of the shape {x.shape}"
        )
    return x


def _pair(path: Path, arrays: dict[str, Array], end: str) -> tuple[Array, Array]:
    """x and y of one part, with shapes that fit."""
    y = arrays.get(f"y{end}")
    if y is None:
        raise DataError(f"{path}: {_EXPECTED}; found x{end} without y{end}")
    x = _rows(path, arrays, end)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in _TARGET_KINDS:
        hint = "; for one-hot rows save their argmax" if y.ndim == 2 else ""
        raise DataError(
            f"{path}: y{end}: expected [n] numbers or words; found {y.dtype} of the shape {y.shape}{hint}"
        )
    if len(x) != len(y):
        raise DataError(
            f"{path}: expected as many rows in x{end} as in y{end}; found {len(x):,} and {len(y):,}"
        )
    return x, y


def _with_channels(x: Array) -> Array:
    """[n, height, width, channels] numbers, which may come without channels."""
    return x[..., None] if x.ndim == 3 else x
