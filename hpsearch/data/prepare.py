"""From a study's `[data]` section to arrays: read, split, transform."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.builtin import BUILT_IN, GENERATED, read_built_in
from hpsearch.data.coded import coded_columns
from hpsearch.data.containers import no_such_file
from hpsearch.data.dataset import Dataset, Part
from hpsearch.data.features import read_features, schema_notes, used_columns
from hpsearch.data.paths import is_idx
from hpsearch.data.raw import Advance, Form, Raw, Refuse, listed
from hpsearch.data.scaling import fitted_image
from hpsearch.data.sources import kind_of
from hpsearch.data.split import Split, choose_rows, split_rows
from hpsearch.data.table_files import SUFFIXES
from hpsearch.data.target import Target, read_target
from hpsearch.errors import Complaint, DataError, HpsearchError, StudyFileError, nearest
from hpsearch.records import Task
from hpsearch.study.schema import DataSection

Complain = Callable[[tuple[str, ...], str], Complaint]
"""Makes a complaint about a key of the study file, such as `Study.source.complaint`."""

_PICTURES = (".zip", ".npz")


@dataclass(frozen=True)
class Prepared:
    """A source that is read and split, but not transformed.

    whole: all its rows. raw: those that are used, whose `target` and `split` follow; columns: those of a
    table that are features. notes: what the user should read so far.
    """

    whole: Raw
    raw: Raw
    target: Target
    split: Split
    columns: list[str]
    coded: list[str]
    notes: tuple[str, ...]


def prepare_dataset(
    data: DataSection, seed: int, base: Path, complain: Complain | None, progress: Advance | None = None
) -> Dataset:
    """What `load_dataset` returns, made anew."""
    refuse = refusal(complain)
    found = read_and_split(data, seed, base, refuse)
    raw, target, split, said = found.raw, found.target, found.split, found.notes
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
        used = found.columns
        values = {name: raw.frame[name] for name in used}
        raw = replace(raw, frame=raw.frame[[raw.target]])
        del found  # so that a column's memory is free when its features are made
        features = read_features(raw, used, split.train, values)
        parts = [features.of(rows) for rows in split]
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
        notes=(*said, *notes),
        image=image,
        columns=made,
        target=raw.target,
        left_out=raw.left_out,
        ignored=_ignored(data, raw),
    )


def _ignored(data: DataSection, raw: Raw) -> tuple[str, ...]:
    """Columns of a table that are neither features nor the target."""
    asked = [name for name, own in data.asked_columns().items() if own.get("kind") == "ignore"]
    left_out = [column.name for column in raw.schema if column.left_out]
    split = [data.split.column] if data.split.column is not None else []
    return tuple(dict.fromkeys((*split, *asked, *left_out)))


def refusal(complain: Complain | None) -> Refuse:
    def refuse(key: str, text: str) -> HpsearchError:
        if complain is None:
            return DataError(f"data.{key}: {text}")
        return StudyFileError([complain(("data", *key.split(".")), text)])

    return refuse


def read_and_split(
    data: DataSection, seed: int, base: Path, refuse: Refuse, whole: Raw | None = None
) -> Prepared:
    """The source of a study, its target and its split, before features are made.

    whole: what `read_whole` returned, if it was called before.

    Raises:
        HpsearchError: as `load_dataset`.
    """
    whole = whole or read_whole(data, seed, base, refuse)
    if not whole.target:
        names = listed(whole.names)
        raise refuse("target", f"is missing; expected the column to predict, one of {names}")
    target = read_target(whole, data.task, refuse)
    raw = whole.take(target.rows)
    if data.n_images is not None:
        chosen = choose_rows(raw, target, data.n_images, seed, refuse)
        raw, target = raw.take(chosen), replace(target, values=target.values[chosen])
    split = split_rows(raw, target, data.split, seed, refuse)
    columns = [] if raw.pictures is not None else used_columns(raw, data.split.column)
    asked = data.columns or {}
    coded = [name for name in coded_columns(raw, target, split.train, columns) if name not in asked]
    notes = (*raw.notes, *schema_notes(raw, data.split.column), *target.notes)
    if coded:
        notes += (
            f"{listed(coded)}: numbers that look like codes of categories, because the target follows no "
            'order of theirs; if they are, say "category" under [data.columns]',
        )
    return Prepared(whole, raw, target, split, columns, coded, notes)


def read_whole(data: DataSection, seed: int, base: Path, refuse: Refuse) -> Raw:
    """All rows of a source. A table's target is "" if the study file does not say which it is."""
    for key in ("rows", "noise"):
        if getattr(data, key) is not None and data.source not in GENERATED:
            raise refuse(key, f'is for {", ".join(GENERATED)} only; "{data.source}" has its own')
    path = base / data.source
    raw = _read_source(data, path, seed, refuse)
    if data.columns and not raw.schema:
        raise refuse(
            "columns", f"is for table files; {raw.name} says itself what it holds; leave the key out"
        )
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
        if not kind.asks_target and not os.path.exists(path):
            raise refuse("source", no_such_file(path))
        if not kind.asks_target and data.target is not None:
            raise refuse("target", f"is for tables; {path} knows its own; leave the key out")
        return kind.read(path, data, refuse)
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
        raise DataError(f"{raw.name}: expected {raw.where} to vary; it is constant in the training set")
    if not (np.isfinite(std) and np.isfinite(standardised).all()):
        raise DataError(f"{raw.name}: {raw.where}: found values too large to standardise; use another unit")
    return standardised, mean, std


def _positive(
    raw: Raw, y: NDArray[np.float64], train: NDArray[np.int64]
) -> tuple[NDArray[np.float32], float, float]:
    """Targets divided by their mean in the training set, so that 0 stays 0."""
    with np.errstate(over="ignore"):
        mean = float(y[train].mean())
        scaled = (y / (mean or 1)).astype(np.float32)
    if not mean:
        raise DataError(f"{raw.name}: {raw.where}: expected positive numbers; the training set has only 0")
    if not (np.isfinite(mean) and np.isfinite(scaled).all()):
        raise DataError(f"{raw.name}: {raw.where}: found values too large to scale; use another unit")
    return scaled, 0.0, mean
