"""Creating a stored study, or finding it again and holding it against the study file and the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hpsearch.data import Dataset
from hpsearch.errors import StudyChangedError
from hpsearch.records import StudyRecord
from hpsearch.store import Database, StudyStore
from hpsearch.study.file import Study, study_from_document

_DECIDES_BITS = ("engine", "device", "processor", "capability", "torch", "numpy", "optuna", "sklearn")
"""Fields of the provenance on which numbers depend."""

_MAY_CHANGE = ("search.trials", "search.time_limit", "compare")
"""What only says how far a study goes and what is told of it; all else would make its trials incomparable."""


def open_study(
    database: Database,
    study: Study,
    dataset: Dataset,
    provenance: Mapping[str, Any],
    warn: Callable[[str], None] = lambda text: None,
) -> tuple[StudyStore, Study]:
    """The stored study, created where it is new, and the study with its total of trials.

    The total is what the study says now, but never less than the trials that have begun. Where this
    process would train otherwise than those before, `warn` is told what differs, and it is stored.

    Raises:
        StudyChangedError: the study file or the data differ from those that the study was begun with.
    """
    store = database.find(study.name)
    if store is None:
        return database.create_study(_record(study, dataset, provenance)), study
    record = store.record
    written = _plain(study.document())
    # Read again, so that keys that came with a newer hpsearch have the defaults that trials had before.
    before = _plain(study_from_document(record.document, record.origin).document())
    changes = list(_changes(before, written))
    if refused := [text for key, text in changes if not _may_change(key)]:
        raise StudyChangedError(
            f'study "{study.name}" is stored in {database.url} with other settings:\n'
            + "\n".join(f"  {text}" for text in refused)
            + "\nChange the file back, or give the new study another name (study.name, or "
            f"--set study.name={study.name}-2)."
        )
    if dataset.hash != record.data_hash:
        raise StudyChangedError(
            f'study "{study.name}" was begun with other data: {study.data.source} has other content '
            f"(sha256 {record.data_hash[:12]}… then, {dataset.hash[:12]}… now).\nRestore the data, or give "
            f"the new study another name (study.name, or --set study.name={study.name}-2)."
        )
    begun = len(store.trials())
    if begun > study.search.trials:
        study = replace(study, search=study.search.model_copy(update={"trials": begun}))
    document, known = _plain(study.document()), record.provenance
    if differing := [key for key in _DECIDES_BITS if provenance and known.get(key) != provenance.get(key)]:
        shown = ", ".join(f"{key} {known.get(key)} → {provenance.get(key)}" for key in differing)
        warn(f"trained otherwise than before, so that numbers may differ in their last digits: {shown}")
        earlier = [*known.get("earlier", []), {k: v for k, v in known.items() if k != "earlier"}]
        known = {**provenance, "earlier": earlier}
    if document != record.document or known != record.provenance:
        store.update_record(replace(record, document=document, provenance=known))
    return store, study


def _record(study: Study, dataset: Dataset, provenance: Mapping[str, Any]) -> StudyRecord:
    assert study.data.task is not None
    assert study.train.metric is not None
    return StudyRecord(
        name=study.name,
        document=_plain(study.document()),
        direction=study.direction,
        task=study.data.task,
        metric=study.train.metric,
        data_hash=dataset.hash,
        data_summary=data_summary(dataset),
        origin=str(study.source.path.resolve()) if study.source.path else "",
        provenance=dict(provenance),
    )


def data_summary(dataset: Dataset) -> dict[str, Any]:
    """Sizes and names of the data, as JSON-able values; image: height, width and channels of pictures."""
    image = dataset.image
    return {
        "name": dataset.name,
        "rows": {"train": len(dataset.train), "valid": len(dataset.valid), "test": len(dataset.test)},
        "features": len(dataset.features),
        "classes": list(dataset.classes),
        "notes": list(dataset.notes),
        "image": None if image is None else [image.height, image.width, image.channels],
    }


def _may_change(key: str) -> bool:
    return any(key == allowed or key.startswith(f"{allowed}.") for allowed in _MAY_CHANGE)


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return plain


def _changes(stored: Any, written: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of each difference between two documents."""
    if isinstance(stored, dict) and isinstance(written, dict):
        for name in [*stored, *(name for name in written if name not in stored)]:
            inner = f"{key}.{name}" if key else name
            yield from _changes(stored.get(name), written.get(name), inner)
    elif stored != written:
        yield key, f"{key}: stored {json.dumps(stored)}, now {json.dumps(written)}"
