"""A report with all that is not stored and has to be trained again for it: the comparison, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpsearch.data import Dataset
from hpsearch.errors import HpsearchError
from hpsearch.records import Trial
from hpsearch.results.frames import Report
from hpsearch.study.arms import names_of
from hpsearch.study.file import Study


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
    from hpsearch.retrain.compare import compare

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
