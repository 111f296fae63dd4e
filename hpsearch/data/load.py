"""Data sets by content: prepared once, then read from the cache.

Preparing takes scikit-learn and pandas, whose imports take longer than training a small study.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch import cache
from hpsearch.data.columns import Columns
from hpsearch.data.dataset import Dataset, Image, Part
from hpsearch.data.paths import key_parts
from hpsearch.errors import Complaint
from hpsearch.records import Task
from hpsearch.study.schema import DataSection

KEPT = 32
"""Prepared data sets in the cache; the ones that were longest not used are removed."""

LARGEST = 512 << 20
"""Bytes above which a data set is not cached: it takes longer to train than to prepare."""

MOST_BYTES = 2 << 30
"""Of all prepared data sets in the cache."""

_ARRAYS = ("train", "valid", "test")
_VALUES = (
    "name",
    "task",
    "features",
    "classes",
    "hash",
    "target_mean",
    "target_std",
    "notes",
    "target",
    "left_out",
    "ignored",
)
_FORMS = ("image", "columns")
"""How features were made: dataclasses, of which a data set has one."""


def load_dataset(
    data: DataSection,
    seed: int,
    base: Path | None = None,
    complain: Callable[[tuple[str, ...], str], Complaint] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Read, split and transform a source; the same arguments and content give the same bits.

    Args:
        seed: the study's; the split and generated points follow from it.
        base: folder of relative paths, the current one when absent.
        complain: makes a complaint about a key of the study file, such as `Study.source.complaint`.
        progress: is called with (done, total) again and again while images are decoded.

    Raises:
        StudyFileError: a key of `[data]` is wrong (DataError without `complain`).
        DataError: the content cannot be read or used.
    """
    base = base or Path()
    folder = cache.cache_folder()
    name = _name(data, seed, base / data.source) if folder is not None else None
    if folder is not None and name is not None and (found := _read(folder / name)):
        return found
    from hpsearch.data.prepare import prepare_dataset

    dataset = prepare_dataset(data, seed, base, complain, progress)
    if folder is not None and name is not None:
        arrays = _arrays(dataset)
        if sum(array.nbytes for array in arrays.values()) <= LARGEST:
            cache.put(folder, name, lambda path: _write(path, dataset, arrays))
            cache.prune(folder, "data-*.npz", KEPT, MOST_BYTES)
    return dataset


def _arrays(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """What is stored of the parts; whole pixels in place of the features, which are larger."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in _ARRAYS:
        part: Part = getattr(dataset, name)
        arrays[f"{name}_x"] = dataset.pictures(part.x) if _has_whole_pixels(dataset.image) else part.x
        arrays[f"{name}_y"] = part.y
    return arrays


def _name(data: DataSection, seed: int, path: Path) -> str | None:
    """The file's name in the cache: a hash of all that the prepared arrays depend on. None if unreadable."""
    digest = hashlib.sha256()
    versions = [metadata.version(name) for name in ("numpy", "pandas", "pillow", "scikit-learn", "pyarrow")]
    digest.update(json.dumps([data.model_dump(mode="json"), seed, versions]).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    try:
        for part in key_parts(path):
            digest.update(part)
    except (OSError, ValueError):
        return None
    return f"data-{digest.hexdigest()[:32]}.npz"


def _write(path: Path, dataset: Dataset, arrays: dict[str, NDArray[Any]]) -> None:
    texts = {key: getattr(dataset, key) for key in _VALUES}
    for key in _FORMS:
        form = getattr(dataset, key)
        texts[key] = None if form is None else asdict(form)
    with open(path, "wb") as file:
        np.savez(
            file, allow_pickle=False, about=np.frombuffer(json.dumps(texts).encode(), np.uint8), **arrays
        )


def _read(path: Path) -> Dataset | None:
    """The data set in a cached file; None if there is none or it is damaged: zip files have checksums."""
    try:
        os.utime(path)
        with np.load(path, allow_pickle=False) as file:
            about: dict[str, Any] = json.loads(file["about"].tobytes())
            xs, ys = ([file[f"{name}_{axis}"] for name in _ARRAYS] for axis in "xy")
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    about = {key: _tuples(value) for key, value in about.items()}
    about["task"] = Task(about["task"])
    if about["columns"] is not None:
        about["columns"] = Columns.of(about["columns"])
    if about["image"] is not None:
        image = Image(**about["image"])
        about["image"] = image
        if _has_whole_pixels(image):
            xs = [image.standardised(x) for x in xs]
    train, valid, test = (Part(x, y) for x, y in zip(xs, ys, strict=True))
    return Dataset(train=train, valid=valid, test=test, **about)


def _has_whole_pixels(image: Image | None) -> bool:
    """Whether features can be made of pixels and these of features, with the same bits."""
    return image is not None and image.dtype != "float32"


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
