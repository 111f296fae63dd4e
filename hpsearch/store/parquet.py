"""Trials and curves of a study as Parquet tables, and back, bit for bit."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hpsearch.records import CURVE_COLUMNS, FloatArray, Segment, State, Trial

_TIME = pa.timestamp("us", "UTC")
_PLACES = ("cohort", "run", "lane", "width")


def trials_table(trials: Sequence[Trial]) -> bytes:
    """One row per trial; params and others are JSON."""
    kinds = {
        "number": pa.int64(),
        "cohort": pa.int64(),
        "params": pa.string(),
        "state": pa.string(),
        "epochs": pa.int64(),
        "value": pa.float64(),
        "loss": pa.float64(),
        "best_epoch": pa.int64(),
        "reason": pa.string(),
        "started": _TIME,
        "finished": _TIME,
        "others": pa.string(),
    }
    columns = {name: [getattr(trial, name) for trial in trials] for name in kinds}
    columns["params"] = [json.dumps(params) for params in columns["params"]]
    columns["others"] = [json.dumps(others) for others in columns["others"]]
    columns["state"] = [str(state) for state in columns["state"]]
    return _written({name: pa.array(columns[name], kind) for name, kind in kinds.items()})


def trials_of(data: bytes) -> list[Trial]:
    """The trials of `trials_table`."""
    return [
        Trial(
            **(
                row
                | {
                    "params": json.loads(row["params"]),
                    "state": State(row["state"]),
                    "started": row["started"].astimezone(UTC),
                    "finished": row["finished"] and row["finished"].astimezone(UTC),
                    "others": tuple(json.loads(row["others"])),
                }
            )
        )
        for row in pq.read_table(io.BytesIO(data)).to_pylist()
    ]


def curves_table(segments: Sequence[Segment]) -> bytes:
    """One row per trial and epoch, with the columns of its piece of the curve.

    Columns as in `curves --format parquet`, but "metric" stands for any metric; dead_1, … are null for trials
    without that layer.
    """
    lengths = [len(segment.curve) for segment in segments]
    widest = max((segment.curve.shape[1] for segment in segments), default=len(CURVE_COLUMNS))
    values = np.zeros((sum(lengths), widest))
    there = np.repeat([segment.curve.shape[1] for segment in segments], lengths)
    for segment, end in zip(segments, np.cumsum(lengths).tolist(), strict=True):
        values[end - len(segment.curve) : end, : segment.curve.shape[1]] = segment.curve
    first = _repeated([segment.first_epoch for segment in segments], lengths)
    columns = {"trial": _repeated([segment.trial for segment in segments], lengths)}
    columns["epoch"] = first + np.concatenate([np.empty(0, np.int64), *map(np.arange, lengths)])
    columns["first_epoch"] = first
    for place in _PLACES:
        columns[place] = _repeated([getattr(segment, place) for segment in segments], lengths)
    columns["seconds"] = np.repeat(np.array([segment.seconds for segment in segments], np.float64), lengths)
    for at, name in enumerate(_names(widest)):
        columns[name] = pa.array(values[:, at], pa.float64(), mask=np.asarray(there <= at, dtype=bool))
    return _written(columns)


def segments_of(data: bytes) -> list[Segment]:
    """The segments of `curves_table`."""
    table = pq.read_table(io.BytesIO(data)).combine_chunks()
    names = [name for name in _names(table.num_columns) if name in table.column_names]
    trial, first = (table[name].to_numpy() for name in ("trial", "first_epoch"))
    begins = np.flatnonzero((np.diff(trial, prepend=-1) != 0) | (np.diff(first, prepend=-1) != 0))
    values: FloatArray = np.empty((len(trial), len(names)))
    there = np.zeros(len(trial), np.int64)
    for at, name in enumerate(names):
        missing = table[name].is_null().to_numpy()
        values[:, at] = table[name].to_numpy()
        there += ~missing
    places = {name: table[name].to_numpy()[begins].tolist() for name in ("trial", "first_epoch", *_PLACES)}
    seconds = table["seconds"].to_numpy()[begins].tolist()
    pieces = zip(begins.tolist(), [*begins.tolist()[1:], len(trial)], strict=True)
    return [
        Segment(
            **{name: found[at] for name, found in places.items()},
            curve=values[begin:end, : there[begin]],
            seconds=seconds[at],
        )
        for at, (begin, end) in enumerate(pieces)
    ]


def _repeated(values: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
    return np.repeat(np.array(values, np.int64), lengths)


def _names(columns: int) -> list[str]:
    return [*CURVE_COLUMNS, *(f"dead_{layer + 1}" for layer in range(columns - len(CURVE_COLUMNS)))]


def _written(columns: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    # Dictionary encoding would merge NaNs with different bits.
    repeated = [name for name in columns if name in ("state", *_PLACES)]
    pq.write_table(pa.table(columns), buffer, use_dictionary=repeated, compression="zstd")
    return buffer.getvalue()
