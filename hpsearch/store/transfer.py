"""A whole study as files that restore it exactly: JSON, or JSON and two Parquet tables.

Numbers read back exactly. In JSON, NaN and the infinities are strings ("NaN", "Infinity", "-Infinity"; a NaN
with other bits appends them, "NaN:fff8000000000000"). `sha256` covers the rest of the document, written
without spaces and with sorted keys, so that only a change of content breaks it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import numpy as np
from pydantic import Field, TypeAdapter

from hpsearch.errors import StorageError
from hpsearch.records import Cohort, FloatArray, Queued, Run, Scoring, Segment, State, StudyRecord, Trial
from hpsearch.store.ddl import Tally
from hpsearch.store.reading import reason
from hpsearch.store.rows import record_of
from hpsearch.store.study import Contents

FORMAT = "hpsearch.study/1"
MANIFEST = "study.json"
"""The JSON file in a folder with tables."""

_NAN = "7ff8000000000000"
_INFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}

Document = dict[str, Any]

T = TypeVar("T")


def dump_json(record: StudyRecord, contents: Contents) -> bytes:
    """The study as one JSON document, mostly one entry per line."""
    return _text(_document(record, contents))


def dump_tables(record: StudyRecord, contents: Contents) -> dict[str, bytes]:
    """The study as files by name, manifest last: without it a folder is incomplete."""
    from hpsearch.store.parquet import curves_table, trials_table

    document = _document(record, contents)
    tables = {"trials": trials_table(contents.trials), "curves": curves_table(contents.segments)}
    for key, data in tables.items():
        document[key] = {"file": f"{key}.parquet", "sha256": hashlib.sha256(data).hexdigest()}
    return {f"{key}.parquet": data for key, data in tables.items()} | {MANIFEST: _text(document)}


def read_dump(path: Path) -> tuple[StudyRecord, Contents]:
    """The study of a JSON file, or of a folder with tables.

    Raises:
        StorageError: it cannot be read, is damaged, or comes from a newer hpsearch or another program.
    """
    file = path / MANIFEST if os.path.isdir(path) else path
    document = _checked(file, _read(file))
    try:
        if isinstance(document["trials"], dict):
            from hpsearch.store.parquet import segments_of, trials_of

            trials = trials_of(_table(file, document["trials"]))
            segments = segments_of(_table(file, document["curves"]))
        else:
            trials = [_trial(entry) for entry in document["trials"]]
            segments = [_segment(entry) for entry in document["curves"]]
        study = document["study"]
        record = record_of(json.dumps(study["record"]), Tally(seconds=_number(study["seconds"])))
        return record, _contents(document, trials, segments)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        raise StorageError(f"{file}: malformed ({reason(error)}); dump the study again") from None


# -- writing -----------------------------------------------------------------------------------------


def _document(record: StudyRecord, contents: Contents) -> Document:
    fields = asdict(record)
    seconds = fields.pop("seconds")
    created = contents.created
    return {
        "format": FORMAT,
        "study": {
            "record": fields,
            "seconds": _plain(seconds),
            "created": created and created.isoformat(),
        },
        "runs": [
            {"number": run.number, "begun": run.begun.isoformat(), "provenance": run.provenance}
            for run in contents.runs
        ],
        "queue": [
            {"params": params, "trial": contents.taken.get(position)}
            for position, params in enumerate(contents.queued)
        ],
        "cohorts": [
            {"number": cohort.number, "lanes": [[trial, *epochs] for trial, epochs in cohort.lanes.items()]}
            for cohort in contents.cohorts
        ],
        "trials": [_trial_entry(trial) for trial in contents.trials],
        "curves": [_segment_entry(segment) for segment in contents.segments],
        "scorings": [
            {
                "purpose": scoring.purpose,
                "about": scoring.about,
                "data": scoring.data.hex(),
                "when": scoring.when.isoformat(),
            }
            for scoring in contents.scorings
        ],
        "checkpoints": [
            {"trial": number, "epoch": epoch, "data": data.hex()}
            for number, (epoch, data) in contents.checkpoints.items()
        ],
    }


def _trial_entry(trial: Trial) -> Document:
    return {
        "number": trial.number,
        "cohort": trial.cohort,
        "params": trial.params,
        "state": str(trial.state),
        "epochs": trial.epochs,
        "value": _plain(trial.value),
        "loss": _plain(trial.loss),
        "best_epoch": trial.best_epoch,
        "reason": trial.reason,
        "started": trial.started and trial.started.isoformat(),
        "finished": trial.finished and trial.finished.isoformat(),
        "others": [_plain(value) for value in trial.others],
    }


def _segment_entry(segment: Segment) -> Document:
    rows = segment.curve.tolist()
    finite = bool(np.isfinite(segment.curve).all())
    return {
        "trial": segment.trial,
        "first_epoch": segment.first_epoch,
        "cohort": segment.cohort,
        "run": segment.run,
        "lane": segment.lane,
        "width": segment.width,
        "seconds": _plain(segment.seconds),
        "rows": rows if finite else [[_plain(value) for value in row] for row in rows],
    }


def _plain(number: float | None) -> float | str | None:
    """A number for JSON."""
    if number is None or math.isfinite(number):
        return number
    if math.isinf(number):
        return _INFINITE[number]
    bits = struct.pack(">d", number).hex()
    return "NaN" if bits == _NAN else f"NaN:{bits}"


def _text(document: Document) -> bytes:
    """The document with its checksum; lists have one entry per line."""
    parts = []
    for key, value in (document | {"sha256": checksum_of(document)}).items():
        if isinstance(value, list):
            entries = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in value)
            text = f"[\n{entries}\n]" if value else "[]"
        else:
            text = json.dumps(value, ensure_ascii=False, indent=1 if key == "study" else None)
        parts.append(f"{json.dumps(key)}: {text}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def checksum_of(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# -- reading -----------------------------------------------------------------------------------------


def _read(file: Path) -> Any:
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise StorageError(
                f"{file}: expected a study written by `hpsearch dump`; found a pipe or a device"
            )
        return json.loads(file.read_bytes())
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise StorageError(f"{file}: expected a study written by `hpsearch dump`; found no JSON") from None


def _checked(file: Path, document: Document) -> Document:
    """The document without its checksum.

    Raises:
        StorageError: it has another format, or is damaged.
    """
    kind = document.get("format") if isinstance(document, dict) else None
    if not isinstance(kind, str) or not kind.startswith(FORMAT.partition("/")[0] + "/"):
        raise StorageError(
            f"{file}: expected a study written by `hpsearch dump` (format {FORMAT}); "
            f"found {'other JSON' if kind is None else f'format {str(kind)[:60]}'}"
        )
    if kind != FORMAT:
        raise StorageError(
            f"{file}: a newer hpsearch wrote it: expected format {FORMAT}; found {kind[:60]}. "
            "Upgrade: pip install --upgrade hpsearch"
        )
    found = document.pop("sha256", None)
    try:
        expected = checksum_of(document)
    except (UnicodeEncodeError, RecursionError):  # half of a surrogate pair, which no dump has
        expected = ""
    if found != expected or not found:
        raise StorageError(
            f"{file}: damaged or edited: it does not match its checksum. Copy or dump the study again"
        )
    return document


def _table(manifest: Path, entry: Mapping[str, str]) -> bytes:
    """The bytes of a table beside the manifest.

    Raises:
        StorageError: it is missing or damaged.
    """
    file = manifest.with_name(Path(entry["file"]).name)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}. Copy the whole folder") from None
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise StorageError(
            f"{file}: damaged or edited: it does not match its checksum in {manifest.name}. "
            "Copy or dump the study again"
        )
    return data


_COUNT = TypeAdapter(Annotated[int, Field(ge=0, lt=2**31)])


@cache
def _checkers(kind: Any) -> dict[str, TypeAdapter[Any]]:
    """By field of a record."""
    return {name: TypeAdapter(of) for name, of in get_type_hints(kind).items()}


def _strict(kind: Callable[..., T], **values: Any) -> T:
    """The record of these values. A checksum tells that a file is whole, not that hpsearch wrote it."""
    for name, value in values.items():
        if name in _checkers(kind):
            _checkers(kind)[name].validate_python(value, strict=True)
    return kind(**values)


def _contents(document: Document, trials: list[Trial], segments: list[Segment]) -> Contents:
    created = document["study"]["created"]
    queue = [
        _strict(Queued, position=at, params=entry["params"], trial=entry["trial"])
        for at, entry in enumerate(document["queue"])
    ]
    return Contents(
        runs=[
            _strict(
                Run,
                number=entry["number"],
                provenance=entry["provenance"],
                begun=datetime.fromisoformat(entry["begun"]),
            )
            for entry in document["runs"]
        ],
        cohorts=[
            _strict(
                Cohort,
                number=entry["number"],
                lanes={trial: (before, reach) for trial, before, reach in entry["lanes"]},
            )
            for entry in document["cohorts"]
        ],
        trials=trials,
        segments=segments,
        queued=[point.params for point in queue],
        taken={point.position: point.trial for point in queue if point.trial is not None},
        scorings=[
            _strict(
                Scoring,
                number=number,
                purpose=entry["purpose"],
                about=entry["about"],
                data=bytes.fromhex(entry["data"]),
                when=datetime.fromisoformat(entry["when"]),
            )
            for number, entry in enumerate(document.get("scorings", ()), start=1)
        ],
        checkpoints={
            _COUNT.validate_python(entry["trial"], strict=True): (
                _COUNT.validate_python(entry["epoch"], strict=True),
                bytes.fromhex(entry["data"]),
            )
            for entry in document["checkpoints"]
        },
        created=created and datetime.fromisoformat(created),
    )


def _trial(entry: Document) -> Trial:
    value, loss, finished = entry["value"], entry["loss"], entry["finished"]
    return _strict(
        Trial,
        **(
            entry
            | {
                "state": State(entry["state"]),
                "value": None if value is None else _number(value),
                "loss": None if loss is None else _number(loss),
                "started": datetime.fromisoformat(entry["started"]),
                "finished": finished and datetime.fromisoformat(finished),
                "others": tuple(_number(value) for value in entry["others"]),
            }
        ),
    )


def _segment(entry: Document) -> Segment:
    curve: FloatArray = np.array([[_number(value) for value in row] for row in entry["rows"]], np.float64)
    places = {
        key: _COUNT.validate_python(entry[key], strict=True)
        for key in ("trial", "cohort", "first_epoch", "run", "lane", "width")
    }
    return Segment(**places, curve=curve, seconds=_number(entry["seconds"]))


def _number(stored: float | str) -> float:
    """The number of `_plain`."""
    if not isinstance(stored, str):
        return float(stored)
    word, _, bits = stored.partition(":")
    if word != "NaN":
        return {text: number for number, text in _INFINITE.items()}[stored]
    number: float = struct.unpack(">d", bytes.fromhex(bits or _NAN))[0]
    return number
