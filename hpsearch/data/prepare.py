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
from hpsearch.data.raw import Raw, Refuse
from hpsearch.data.split import split_rows
from hpsearch.data.tables import SUFFIXES, read_table
from hpsearch.data.target import Target, read_target
from hpsearch.errors import Complaint, DataError, HpsearchError, StudyFileError, nearest
from hpsearch.records import Task
from hpsearch.study.schema import DataSection

Complain = Callable[[tuple[str, ...], str], Complaint]
"""Makes a complaint about a key of the study file, such as `Study.source.complaint`."""


def prepare_dataset(data: DataSection, seed: int, base: Path, complain: Complain | None) -> Dataset:
    """What `load_dataset` returns, made anew."""

    def refuse(key: str, text: str) -> HpsearchError:
        if complain is None:
            return DataError(f"data.{key}: {text}")
        return StudyFileError([complain(("data", *key.split(".")), text)])

    raw = _read(data, seed, base, refuse)
    target = read_target(raw, data.task, refuse)
    raw = replace(raw, frame=raw.frame.iloc[target.rows].reset_index(drop=True))
    split = split_rows(raw, target, data.split, seed, refuse)
    columns = [name for name in raw.frame.columns if name not in (raw.target, data.split.column)]
    features = read_features(raw, columns, split.train)
    y, mean, std = _numbers(raw, target, split.train)
    return Dataset(
        name=raw.name,
        task=target.task,
        train=Part(features.x[split.train], y[split.train]),
        valid=Part(features.x[split.valid], y[split.valid]),
        test=Part(features.x[split.test], y[split.test]),
        features=features.names,
        classes=target.classes,
        hash=raw.hash,
        target_mean=mean,
        target_std=std,
        notes=(*raw.notes, *target.notes, *features.notes),
    )


def _read(data: DataSection, seed: int, base: Path, refuse: Refuse) -> Raw:
    for key in ("rows", "noise"):
        if getattr(data, key) is not None and data.source not in GENERATED:
            raise refuse(key, f'is for {" and ".join(GENERATED)} only; "{data.source}" has its own')
    if data.source in BUILT_IN:
        return read_built_in(data, seed, refuse)
    path = base / data.source
    is_word = path.name == data.source and "." not in data.source
    if is_word and not os.path.exists(path):
        raise refuse(
            "source",
            f'unknown built-in source "{data.source}"{nearest(data.source, BUILT_IN)} '
            f"(built in: {', '.join(BUILT_IN)}; "
            f"the path of a file that ends in {', '.join(SUFFIXES)} works too)",
        )
    return read_table(path, data.target, refuse)


def _numbers(
    raw: Raw, target: Target, train: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | NDArray[np.float32], float, float]:
    """y for each usable row as `Part` has it, and the mean and deviation that were taken out."""
    if target.task is Task.MULTICLASS:
        return target.values.astype(np.int64), 0.0, 1.0
    if target.task is Task.BINARY:
        return target.values.astype(np.float32), 0.0, 1.0
    y = target.values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(y[train].mean()), float(y[train].std())
        standardised = ((y - mean) / (std or 1)).astype(np.float32)
    if not std:
        raise DataError(f'{raw.name}: column "{raw.target}" is constant in the training part')
    if not (np.isfinite(std) and np.isfinite(standardised).all()):
        raise DataError(f'{raw.name}: column "{raw.target}" has values too large to standardise')
    return standardised, mean, std
