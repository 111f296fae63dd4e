"""Learning curves and hyper-parameters as event files, which TensorBoard reads.

STUDY/trial-00017/train and STUDY/trial-00017/valid are runs with the same tags, so that TensorBoard draws
both into one chart; each curve is there by epoch (`epoch/loss`) and by optimiser step (`step/loss`).
STUDY/trial-00017 holds the trial's hyper-parameters and its ranked value for the HParams table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import numpy as np

from hpsearch.errors import HpsearchError
from hpsearch.records import (
    DEAD,
    TRAIN_LOSS,
    TRAIN_METRIC,
    VALID_LOSS,
    VALID_METRIC,
    FloatArray,
    State,
    StudyRecord,
    Trial,
)
from hpsearch.results.frames import curve_columns, space_of
from hpsearch.study.batches import steps_per_epoch
from hpsearch.study.space import Choice, Range, Space

try:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
    from tensorboard.summary.writer.record_writer import RecordWriter
except ImportError as error:
    raise HpsearchError(
        f"--tensorboard needs the package tensorboard ({error}). To install it: "
        "pip install 'hpsearch[tensorboard]'"
    ) from None

EVENTS = "events.out.tfevents.hpsearch"
"""Name of every file: a new export replaces it, since a second file would draw every curve twice."""

_COLUMNS = {"train": (TRAIN_LOSS, TRAIN_METRIC), "valid": (VALID_LOSS, VALID_METRIC)}
_STATUS = {
    State.COMPLETE: "SUCCESS",
    State.PRUNED: "SUCCESS",
    State.FAILED: "FAILURE",
    State.RUNNING: "RUNNING",
}


def event_files(
    record: StudyRecord, trials: Iterable[Trial], curves: Mapping[int, FloatArray], now: float
) -> dict[PurePath, bytes]:
    """Event files by their path below TensorBoard's folder.

    Args:
        curves: trial number → curve as in `records.Segment`; these trials are written.
        now: seconds since 1970, of all events.
    """
    space, folder = space_of(record), PurePath(folder_name(record.name))
    config = summary_v2.hparams_config_pb(_domains(space), _metrics(record), now)
    files = {folder / EVENTS: _file([Event(wall_time=now, summary=config)], now)}
    for trial in trials:
        if trial.number not in curves:
            continue
        run = folder / f"trial-{trial.number:05}"
        settings = {name: _value(space, name, v) for name, v in space.described(trial.params).items()}
        files[run / EVENTS] = _file(_session(record, trial, settings, now), now)
        for part in _COLUMNS:
            steps = optimiser_steps(record, space.configuration(trial.params).batch_size)
            files[run / part / EVENTS] = _file(_scalars(record, part, curves[trial.number], steps, now), now)
    return files


def folder_name(study: str) -> str:
    """A study's name as one part of a path, whatever characters it has; the same for no other name."""
    name = quote(study, safe="")
    return f"%2E{name[1:]}" if name.startswith(".") else name or "%"


def optimiser_steps(record: StudyRecord, batch_size: int | str) -> int:
    """Optimiser steps of an epoch of a trial."""
    keep_last = record.document["train"].get("last_batch") == "keep"
    return steps_per_epoch(record.data_summary["rows"]["train"], batch_size, keep_last)


def _scalars(record: StudyRecord, part: str, curve: FloatArray, steps: int, now: float) -> Iterable[Event]:
    """A curve on a split, each value by epoch and by step.

    Training values are means over an epoch, validation values are those at its end; both stand at its end.
    """
    loss, metric = _COLUMNS[part]
    names = {"loss": loss, record.metric: loss if record.metric == "loss" else metric}
    if part == "valid":
        columns = curve_columns(record.metric, curve.shape[1])
        names |= {name: place for place, name in columns if place >= DEAD}
    with np.errstate(over="ignore"):
        values = curve.astype(np.float32)  # what the file format holds
    for epoch, row in enumerate(values, start=1):
        for axis, at in (("epoch", epoch), ("step", epoch * steps)):
            for name, column in names.items():
                yield _scalar(f"{axis}/{name}", float(row[column]), at, now)


def _session(record: StudyRecord, trial: Trial, settings: dict[str, Any], now: float) -> Iterable[Event]:
    """The trial's row in the HParams table, by number, so that equal trials have their own rows."""
    start = summary_v2.hparams_pb(settings, trial_id=f"trial {trial.number}", start_time_secs=now)
    yield Event(wall_time=now, summary=start)
    if trial.value is not None and trial.best_epoch is not None:
        yield _scalar(f"best/{record.metric}", trial.value, trial.best_epoch, now)
    status = api_pb2.Status.Value(f"STATUS_{_STATUS[trial.state]}")
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=now)
    end = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=info))
    value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=end, tensor=metadata.NULL_TENSOR)
    yield Event(wall_time=now, summary=Summary(value=[value]))


def _metrics(record: StudyRecord) -> list[summary_v2.Metric]:
    """Columns of the HParams table: the ranked value, and what the curves end with."""
    names = ["loss"] if record.metric == "loss" else [record.metric, "loss"]
    final = [
        summary_v2.Metric(f"epoch/{name}", group=part, display_name=f"final {part} {name}")
        for part in ("valid", "train")
        for name in names
    ]
    best = summary_v2.Metric(f"best/{record.metric}", group="", display_name=f"best valid {record.metric}")
    return [best, *final]


def _domains(space: Space) -> list[summary_v2.HParam]:
    """Columns of the HParams table: hyper-parameters with their domains, searched ones first."""
    searched = [summary_v2.HParam(name, _domain(entry)) for name, entry in space.searched.items()]
    return searched + [summary_v2.HParam(name) for name in space.fixed if name not in space.searched]


def _domain(entry: Choice | Range) -> summary_v2.Domain:
    if isinstance(entry, Range):
        if entry.integer:
            return summary_v2.IntInterval(int(entry.low), int(entry.high))
        return summary_v2.RealInterval(float(entry.low), float(entry.high))
    values = [_choice(entry, value) for value in entry.values]
    return summary_v2.Discrete(values)


def _value(space: Space, name: str, value: Any) -> Any:
    entry = space.entries.get(name)
    return _choice(entry, value) if isinstance(entry, Choice) else _word(value)


def _choice(entry: Choice, value: Any) -> Any:
    """A value of a choice, as a word if the choice mixes kinds, such as 32 and "all"."""
    return _word(value) if len({type(v) for v in entry.values}) == 1 else str(value)


def _word(value: Any) -> Any:
    return value or "linear" if isinstance(value, str) else value


def _scalar(tag: str, value: float, step: int, now: float) -> Event:
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    return Event(wall_time=now, step=step, summary=summary)


def _file(events: Iterable[Event], now: float) -> bytes:
    target = BytesIO()
    writer = RecordWriter(target)
    for event in (Event(wall_time=now, file_version="brain.Event:2"), *events):
        writer.write(event.SerializeToString())
    return target.getvalue()
