"""A study's record as a row: what it was set up with, and what its settings mean to its tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Row

from hpsearch.records import StudyRecord
from hpsearch.store import reading, rows
from hpsearch.store.schema import checksum
from hpsearch.store.tally import Tally


def record_columns(study_id: int, record: StudyRecord, created: datetime) -> dict[str, Any]:
    """The columns of a study; `created` is naive UTC."""
    fields = asdict(record)
    del fields["seconds"]  # they are in the tally
    text = rows.compact(fields)
    return {
        "study_id": study_id,
        "name": record.name,
        "record": text,
        "created": created,
        "checksum": checksum((study_id, record.name, text, created)),
    }


def row_record(shown: str, row: Row[Any], tally: Tally) -> StudyRecord:
    """The record of a row of the studies.

    Raises:
        StorageError: the row is not as it was written.
    """
    if row.checksum != checksum((row.study_id, row.name, row.record, row.created)):
        raise reading.damaged(shown, f'study "{row.name}"', "its record does not fit its checksum")
    return record_of(row.record, tally)


def record_of(text: str, tally: Tally) -> StudyRecord:
    """The record of its column."""
    fields = json.loads(text)
    fields["objectives"] = tuple(fields.get("objectives", ()))
    return StudyRecord(**fields, seconds=tally.seconds)
