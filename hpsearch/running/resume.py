"""Create a stored study, or find it and check it against the study file and the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hpsearch.data import Dataset
from hpsearch.errors import StudyChangedError
from hpsearch.records import State, StudyRecord
from hpsearch.running.provenance import DECIDES_BITS, changes, differences, may_change, plain, settings
from hpsearch.store import Database, StudyStore
from hpsearch.study.file import Study, study_from_document
from hpsearch.study.methods import exhaustive


def open_study(
    database: Database,
    study: Study,
    dataset: Dataset,
    provenance: Mapping[str, Any],
    warn: Callable[[str], None] = lambda text: None,
) -> tuple[StudyStore, Study]:
    """The stored study, created where it is new, and the study with its total of trials.

    The total is the study's own, but never below the number of trials that have begun. `warn` hears how
    this process differs from the last one that trained, where that changes results. What this process
    trains is marked as its own if it begins with the same provenance (`StudyStore.begin`).

    Raises:
        StudyChangedError: the study file or the data differ from those the study started with.
    """
    store = database.find(study.name)
    if store is None:
        return database.create_study(new_record(study, dataset)), study
    study = study.as_begun(store.record.document)
    check_unchanged(store.record, database.url, study, dataset)
    if differing := _deciding_differences(store, provenance):
        warn(f"environment changed since the last run; results may differ in the last digits: {differing}")
    begun = sum(store.counts().values())
    if begun > study.search.trials:
        study = replace(study, search=study.search.model_copy(update={"trials": begun}))
    document = plain(study.document())
    if document != store.record.document:
        store.update_record(replace(store.record, document=document))
    return store, study


def check_unchanged(record: StudyRecord, url: str, study: Study, dataset: Dataset) -> None:
    """Check that a study is the one that is stored in `url`.

    Raises:
        StudyChangedError: the study file or the data differ from those that the study was begun with.
    """
    # Read again, so that keys that came with a newer hpsearch have the defaults that trials had before.
    before = settings(study_from_document(record.document, record.origin))
    written = settings(study.as_begun(record.document))
    if refused := [text for key, text in changes(before, written) if not may_change(key)]:
        raise StudyChangedError(
            f'study "{study.name}" is stored in {url} with different settings:\n'
            + "\n".join(f"  {text}" for text in refused)
            + f"\nChange the file back, or start another study: --fork {study.name}-2 takes over the trials "
            f"that fit, --set study.name={study.name}-2 starts from scratch."
        )
    if dataset.hash != record.data_hash:
        raise StudyChangedError(
            f'study "{study.name}" was started with different data: {study.data.source} has changed '
            f"(sha256 {record.data_hash[:12]}… then, {dataset.hash[:12]}… now).\nRestore the data, or rename "
            f"the new study (study.name, or --set study.name={study.name}-2)."
        )
    if said := read_otherwise(record, dataset):
        raise StudyChangedError(
            f'study "{study.name}": {said}\nStart the study anew: --set study.name={study.name}-2'
        )


def read_otherwise(record: StudyRecord, dataset: Dataset) -> str:
    """How the same file was read when a study started, where this hpsearch makes other features; or ""."""
    now = data_summary(dataset)
    then = {**now, **record.data_summary}
    if (then["features"], then["classes"]) == (now["features"], now["classes"]):
        return ""
    before, after = (
        f"{each['features']:,} features, {len(each['classes']):,} classes" for each in (then, now)
    )
    return (
        f"an earlier hpsearch read {dataset.name} otherwise ({before} then; {after} now), so its trials "
        "do not compare with new ones."
    )


def is_complete(study: Study, store: StudyStore) -> str | None:
    """Why there is nothing to train, or None if there is; the study as it was asked for, and stored."""
    counts, search = store.counts(), study.search
    begun = sum(counts.values())
    if counts[State.RUNNING]:
        return None
    if begun >= search.trials:
        return f"all {begun:,} trials are finished"
    grid = exhaustive(search.sampler)
    if search.epoch_limit is None and search.give_up is None and not grid:
        return None
    from hpsearch.search import History, enough, make_sampler

    most = make_sampler(study).most if grid else None
    if most is not None and begun >= most:
        return f"all {begun:,} trials of the grid are finished"
    return enough(study, History(study.space, store.trials()))


def new_record(study: Study, dataset: Dataset, **fields: Any) -> StudyRecord:
    """The record of a study that is new; the study and the dataset are those of `api.prepare`."""
    assert study.data.task is not None
    assert study.train.metric is not None
    return StudyRecord(
        name=study.name,
        document=plain(study.document()),
        direction=study.direction,
        task=study.data.task,
        metric=study.train.metric,
        data_hash=dataset.hash,
        data_summary=data_summary(dataset),
        origin=str(study.source.path.resolve()) if study.source.path else "",
        objectives=tuple(study.search.objectives),
        **fields,
    )


def _deciding_differences(store: StudyStore, provenance: Mapping[str, Any]) -> str:
    """What changed since the last run and changes results; empty if nothing did."""
    runs = store.runs()
    last = runs[-1].provenance if runs else store.record.provenance
    found = differences(last, provenance)
    return ", ".join(f"{key} {found[key][0]} → {found[key][1]}" for key in DECIDES_BITS if key in found)


def data_summary(dataset: Dataset) -> dict[str, Any]:
    """Sizes and names of the data, as JSON-able values; image: height, width and channels."""
    image = dataset.image
    return {
        "name": dataset.name,
        "rows": {"train": len(dataset.train), "valid": len(dataset.valid), "test": len(dataset.test)},
        "features": len(dataset.features),
        "classes": list(dataset.classes),
        **({"class_counts": class_counts(dataset)} if dataset.classes else {}),
        "notes": list(dataset.notes),
        "image": None if image is None else [image.height, image.width, image.channels],
    }


def class_counts(dataset: Dataset) -> dict[str, list[int]]:
    """Rows of each class in the training and validation splits, in the order of the classes."""
    return {
        name: [int((split.y == at).sum()) for at in range(len(dataset.classes))]
        for name, split in (("train", dataset.train), ("valid", dataset.valid))
    }
