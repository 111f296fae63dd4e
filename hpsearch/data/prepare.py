"""From a study's `[data]` section to arrays: read, split, transform."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.builtin import BUILT_IN, GENERATED, read_built_in
from hpsearch.data.dataset import Dataset, Part
from hpsearch.data.features import read_features
from hpsearch.data.files import is_idx
from hpsearch.data.raw import Advance, Form, Raw, Refuse
from hpsearch.data.scaling import fitted_image
from hpsearch.data.sources import kind_of
from hpsearch.data.split import choose_rows, split_rows
from hpsearch.data.tables import SUFFIXES, no_such_file
from hpsearch.data.target import Target, read_target
from hpsearch.errors import Complaint, DataError, HpsearchError, StudyFileError, nearest
from hpsearch.records import Task
from hpsearch.study.schema import DataSection

Complain = Callable[[tuple[str, ...], str], Complaint]
"""Makes a complaint about a key of the study file, such as `Study.source.complaint`."""

_PICTURES = (".zip", ".npz")


def prepare_dataset(
    data: DataSection, seed: int, base: Path, complain: Complain | None, progress: Advance | None = None
) -> Dataset:
    """What `load_dataset` returns, made anew."""

    def refuse(key: str, text: str) -> HpsearchError:
        if complain is None:
            return DataError(f"data.{key}: {text}")
        return StudyFileError([complain(("data", *key.split(".")), text)])

    raw = _read(data, seed, base, refuse)
    target = read_target(raw, data.task, refuse)
    raw = raw.take(target.rows)
    if data.n_images is not None:
        chosen = choose_rows(raw, target, data.n_images, seed, refuse)
        raw, target = raw.take(chosen), replace(target, values=target.values[chosen])
    split = split_rows(raw, target, data.split, seed, refuse)
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    image = made = None
    if raw.pictures is not None:
        form = Form((data.image_size[0], data.image_size[1]) if data.image_size else None, data.colour)
        pixels, notes = raw.pictures.pixels(form, refuse, progress or (lambda done, total: None))
        image = fitted_image(raw.name, pixels, split.train)
        parts = [image.standardised(pixels[rows]) for rows in split]
        names = image.features
    else:
        columns = [name for name in raw.frame.columns if name not in (raw.target, data.split.column)]
        features = read_features(raw, columns, split.train)
        parts = [features.x[rows] for rows in split]
        made, notes = features.columns, features.notes
        names = made.features
    y, mean, std = _numbers(raw, target, split.train)
    train, valid, test = (Part(x, y[rows]) for x, rows in zip(parts, split, strict=True))
    return Dataset(
        name=raw.name,
        task=target.task,
        train=train,
        valid=valid,
        test=test,
        features=names,
        classes=target.classes,
        hash=raw.hash,
        target_mean=mean,
        target_std=std,
        notes=(*raw.notes, *target.notes, *notes),
        image=image,
        columns=made,
        target=raw.target,
        left_out=raw.left_out,
    )


def _read(data: DataSection, seed: int, base: Path, refuse: Refuse) -> Raw:
    for key in ("rows", "noise"):
        if getattr(data, key) is not None and data.source not in GENERATED:
            raise refuse(key, f'is for {", ".join(GENERATED)} only; "{data.source}" has its own')
    path = base / data.source
    raw = _read_source(data, path, seed, refuse)
    for key in ("image_size", "n_images", "colour"):
        if getattr(data, key) is not None and raw.pictures is None:
            raise refuse(key, f"is for images; {raw.name} is a table; leave the key out")
    return raw


def _read_source(data: DataSection, path: Path, seed: int, refuse: Refuse) -> Raw:
    if data.source in BUILT_IN:
        return read_built_in(data, seed, refuse)
    is_word = path.name == data.source and "." not in data.source and not is_idx(data.source)
    if is_word and not os.path.exists(path):
        raise refuse(
            "source",
            f'unknown built-in source "{data.source}"{nearest(data.source, BUILT_IN)} '
            f"(built in: {', '.join(BUILT_IN)}), and there is no folder {path}; the path of a folder of "
            f"images, or of a file that ends in {', '.join((*SUFFIXES, *_PICTURES))}, works too",
        )
    try:
        kind = kind_of(path)
        if kind.asks_target:
            return kind.read(path, data.target, refuse)
        if not os.path.exists(path):
            raise refuse("source", no_such_file(path))
        if data.target is not None:
            raise refuse("target", f"is for tables; {path} knows its own; leave the key out")
        return kind.read(path, None, refuse)
    except OSError as error:
        raise refuse("source", f"{path}: cannot be read: {error.strerror or error}") from None


def _numbers(
    raw: Raw, target: Target, train: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | NDArray[np.float32], float, float]:
    """y for each usable row as `Part` has it, and the mean and deviation that were taken out."""
    if target.task is Task.MULTICLASS:
        return target.values.astype(np.int64), 0.0, 1.0
    if target.task is Task.BINARY:
        return target.values.astype(np.float32), 0.0, 1.0
    y = target.values.astype(np.float64)
    if target.task is Task.POSITIVE_REGRESSION:
        return _positive(raw, y, train)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(y[train].mean()), float(y[train].std())
        standardised = ((y - mean) / (std or 1)).astype(np.float32)
    if not std:
        raise DataError(f"{raw.name}: expected {raw.where} to vary; it is constant in the training part")
    if not (np.isfinite(std) and np.isfinite(standardised).all()):
        raise DataError(f"{raw.name}: {raw.where}: found values too large to standardise; use another unit")
    return standardised, mean, std


def _positive(
    raw: Raw, y: NDArray[np.float64], train: NDArray[np.int64]
) -> tuple[NDArray[np.float32], float, float]:
    """Targets divided by their mean in the training part, so that 0 stays 0."""
    with np.errstate(over="ignore"):
        mean = float(y[train].mean())
        scaled = (y / (mean or 1)).astype(np.float32)
    if not mean:
        raise DataError(f"{raw.name}: {raw.where}: expected positive numbers; the training part has only 0")
    if not (np.isfinite(mean) and np.isfinite(scaled).all()):
        raise DataError(f"{raw.name}: {raw.where}: found values too large to scale; use another unit")
    return scaled, 0.0, mean
