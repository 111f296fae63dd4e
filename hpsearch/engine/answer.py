"""A report with all that is not stored and has to be trained again for it: the comparison, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpsearch.data import Dataset
from hpsearch.engine.again import reload
from hpsearch.engine.pool import resources
from hpsearch.errors import HpsearchError
from hpsearch.records import StudyRecord, Trial
from hpsearch.report.frames import Report
from hpsearch.study.arms import names_of
from hpsearch.study.file import Study

_TWO_FEATURES = 2


def needs_data(record: StudyRecord, pictures: bool) -> bool:
    """Whether the report of a study has anything that its data are needed for."""
    summary = record.data_summary
    plane = summary.get("features") == _TWO_FEATURES and summary.get("classes")
    drawable = summary.get("image") is not None or bool(plane)
    return "compare" in record.document or (pictures and drawable)


def full_report(
    report: Report, trials: Sequence[Trial], pictures: bool, say: Callable[[str], None]
) -> tuple[Report, dict[str, bytes]]:
    """The report with its comparison, and where they are asked for its pictures as PNGs by file name.

    What cannot be had, since the data are gone or changed, is a line in the report's notes. say: is told what
    takes a while.
    """
    if not needs_data(report.record, pictures):
        return report, {}
    try:
        study, dataset = reload(report.record)
    except HpsearchError as error:
        asked = "no comparison" if "compare" in report.record.document else "no pictures of the data"
        return with_note(report, f"{asked}: {error}"), {}
    device, workers = resources("auto", None)
    if study.compare is not None:
        report = compared(report, study, dataset, trials, device, workers, say)
    if not pictures:
        return report, {}
    from hpsearch.engine.illustrate import illustrations

    try:
        return report, illustrations(study, dataset, {t.number: t for t in trials}, report, device)
    except HpsearchError as error:
        return with_note(report, f"no pictures: {error}"), {}


def compared(
    report: Report,
    study: Study,
    dataset: Dataset,
    trials: Sequence[Trial],
    device: str,
    workers: int,
    say: Callable[[str], None],
) -> Report:
    """The report with the comparison that its study asks for, or with a line that says why there is none."""
    from hpsearch.engine.compare import compare

    if study.compare is None:
        return report
    by, seeds = " · ".join(names_of(study.compare)), study.compare.seeds
    say(f"comparing {by}: each one's best trial is trained again on {seeds} seeds")
    total = _total(report.record.document)
    finished = sum(trial.state.finished for trial in trials)
    if finished < total:
        so_far = f"the comparison is of the {finished:,} trials so far, of {total:,}"
        report = with_note(report, so_far)
    try:
        return replace(report, comparison=compare(study, dataset, trials, report, device, workers))
    except HpsearchError as error:
        return with_note(report, f"no comparison: {error}")


def with_note(report: Report, text: str) -> Report:
    """The report with one more line of notes."""
    return replace(report, notes=(*report.notes, " ".join(text.split())))


def _total(document: Mapping[str, Any]) -> int:
    return int(document["search"]["trials"])
