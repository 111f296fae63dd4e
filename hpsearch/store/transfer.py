"""A whole study as files, from which it can be stored again as it was: JSON, or JSON and two Parquet tables.

Numbers read back exactly. In JSON, NaN and the infinities are strings ("NaN", "Infinity", "-Infinity"; a NaN
of other bits has them behind it, "NaN:fff8000000000000"). `sha256` is over the rest of the document, written
without blanks and with sorted keys, so that only a change of what it says makes it unfit.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.errors import StorageError
from hpsearch.records import Cohort, FloatArray, Run, Scoring, Segment, State, StudyRecord, Trial
from hpsearch.store.reading import record_of
from hpsearch.store.schema import Tally
from hpsearch.store.study import Contents

FORMAT = "hpsearch.study/1"
MANIFEST = "study.json"
"""The JSON in a folder, beside its tables."""

_NAN = "7ff8000000000000"
_INFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}

Document = dict[str, Any]


def dump_json(record: StudyRecord, contents: Contents) -> bytes:
    """The study as one JSON document, most of it an entry a line."""
    return _text(_document(record, contents))


def dump_tables(record: StudyRecord, contents: Contents) -> dict[str, bytes]:
    """The study as files by name: the manifest last, so that without it the folder is not whole."""
    from hpsearch.store.tables import curves_table, trials_table

    document = _document(record, contents)
    tables = {"trials": trials_table(contents.trials), "curves": curves_table(contents.segments)}
    for key, data in tables.items():
        document[key] = {"file": f"{key}.parquet", "sha256": hashlib.sha256(data).hexdigest()}
    return {f"{key}.parquet": data for key, data in tables.items()} | {MANIFEST: _text(document)}


def read_dump(path: Path) -> tuple[StudyRecord, Contents]:
    """The study of a JSON file, or of a folder with tables.

    Raises:
        StorageError: it cannot be read, is damaged, is of a newer hpsearch or something else.
    """
    file = path / MANIFEST if path.is_dir() else path
    document = _checked(file, _read(file))
    try:
        if isinstance(document["trials"], dict):
            from hpsearch.store.tables import segments_of, trials_of

            trials = trials_of(_table(file, document["trials"]))
            segments = segments_of(_table(file, document["curves"]))
        else:
            trials = [_trial(entry) for entry in document["trials"]]
            segments = [_segment(entry) for entry in document["curves"]]
        study = document["study"]
        record = record_of(json.dumps(study["record"]), Tally(seconds=_number(study["seconds"])))
        return record, _contents(document, trials, segments)
    except (LookupError, TypeError, ValueError) as error:
        raise StorageError(
            f"{file}: is not as hpsearch writes it ({error!r}); dump the study again"
        ) from None


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
            "created": None if created is None else created.isoformat(),
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
        "started": None if trial.started is None else trial.started.isoformat(),
        "finished": None if trial.finished is None else trial.finished.isoformat(),
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
    """A number as JSON has it."""
    if number is None or math.isfinite(number):
        return number
    if math.isinf(number):
        return _INFINITE[number]
    bits = struct.pack(">d", number).hex()
    return "NaN" if bits == _NAN else f"NaN:{bits}"


def _text(document: Document) -> bytes:
    """The document with its checksum; lists have an entry a line."""
    parts = []
    for key, value in (document | {"sha256": _digest(document)}).items():
        if isinstance(value, list):
            entries = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in value)
            text = f"[\n{entries}\n]" if value else "[]"
        else:
            text = json.dumps(value, ensure_ascii=False, indent=1 if key == "study" else None)
        parts.append(f"{json.dumps(key)}: {text}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# -- reading -----------------------------------------------------------------------------------------


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise StorageError(
            f"{file}: expected a study that `hpsearch dump` has written; found something that is no JSON"
        ) from None


def _checked(file: Path, document: Document) -> Document:
    """The document, if it is one of this format and whole.

    Raises:
        StorageError: it is not.
    """
    kind = document.get("format") if isinstance(document, dict) else None
    if not isinstance(kind, str) or not kind.startswith(FORMAT.partition("/")[0] + "/"):
        raise StorageError(
            f"{file}: expected a study that `hpsearch dump` has written (format {FORMAT}); "
            f"found {'other JSON' if kind is None else f'format {kind}'}"
        )
    if kind != FORMAT:
        raise StorageError(
            f"{file}: is of a newer hpsearch: expected format {FORMAT}; found {kind}. "
            "Update this one: pip install --upgrade hpsearch"
        )
    found = document.pop("sha256", None)
    if found != _digest(document):
        raise StorageError(
            f"{file}: was damaged or edited, it does not fit its checksum. Copy it or dump the study again"
        )
    return document


def _table(manifest: Path, entry: Mapping[str, str]) -> bytes:
    """The bytes of a table beside the manifest.

    Raises:
        StorageError: it is not there, or not as it was written.
    """
    file = manifest.with_name(Path(entry["file"]).name)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}. Copy the whole folder") from None
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise StorageError(
            f"{file}: was damaged or edited: it does not fit the checksum in {manifest.name}. "
            "Copy it again, or dump the study again"
        )
    return data


def _contents(document: Document, trials: list[Trial], segments: list[Segment]) -> Contents:
    created = document["study"]["created"]
    return Contents(
        runs=[
            Run(entry["number"], entry["provenance"], datetime.fromisoformat(entry["begun"]))
            for entry in document["runs"]
        ],
        cohorts=[
            Cohort(entry["number"], {trial: (before, reach) for trial, before, reach in entry["lanes"]})
            for entry in document["cohorts"]
        ],
        trials=trials,
        segments=segments,
        queued=[entry["params"] for entry in document["queue"]],
        taken=dict(_taken(document["queue"])),
        scorings=[
            Scoring(
                number,
                entry["purpose"],
                entry["about"],
                bytes.fromhex(entry["data"]),
                datetime.fromisoformat(entry["when"]),
            )
            for number, entry in enumerate(document.get("scorings", ()), start=1)
        ],
        checkpoints={
            entry["trial"]: (entry["epoch"], bytes.fromhex(entry["data"]))
            for entry in document["checkpoints"]
        },
        created=None if created is None else datetime.fromisoformat(created),
    )


def _taken(entries: Iterable[Document]) -> Iterable[tuple[int, int]]:
    return ((at, entry["trial"]) for at, entry in enumerate(entries) if entry["trial"] is not None)


def _trial(entry: Document) -> Trial:
    finished = entry["finished"]
    return Trial(
        **(
            entry
            | {
                "state": State(entry["state"]),
                "value": _float(entry["value"]),
                "loss": _float(entry["loss"]),
                "started": datetime.fromisoformat(entry["started"]),
                "finished": None if finished is None else datetime.fromisoformat(finished),
                "others": tuple(_number(value) for value in entry["others"]),
            }
        )
    )


def _segment(entry: Document) -> Segment:
    curve: FloatArray = np.array([[_number(value) for value in row] for row in entry["rows"]], np.float64)
    places = {key: entry[key] for key in ("trial", "cohort", "first_epoch", "run", "lane", "width")}
    return Segment(**places, curve=curve, seconds=_number(entry["seconds"]))


def _float(stored: float | str | None) -> float | None:
    return None if stored is None else _number(stored)


def _number(stored: float | str) -> float:
    """The number of `_plain`."""
    if not isinstance(stored, str):
        return float(stored)
    word, _, bits = stored.partition(":")
    if word != "NaN":
        return {text: number for number, text in _INFINITE.items()}[stored]
    number: float = struct.unpack(">d", bytes.fromhex(bits or _NAN))[0]
    return number
