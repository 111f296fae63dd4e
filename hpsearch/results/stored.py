"""A stored study as the numbers that reports are made from."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace

from hpsearch.errors import check_trial
from hpsearch.records import Trial
from hpsearch.results.frames import Report, check_finished, trials_frame
from hpsearch.results.scorings import answered, confirmation_of
from hpsearch.store import StudyStore


def report_of(
    store: StudyStore, *, only: Sequence[int] = (), curves: bool = True
) -> tuple[Report, Sequence[Trial]]:
    """The study as a report, and its trials.

    Args:
        only: numbers of the trials that are wanted, all when empty; the ranks are then none of the study's.
        curves: whether the report is to have them.

    Raises:
        HpsearchError: no trial of it is finished, or a wanted one is missing.
    """
    record, counts = store.record, store.counts()
    check_finished(record, counts)
    for number in only:
        check_trial(record.name, number, sum(counts.values()), "--trial")
    trials, lines = store.read(only or None, curves=curves)
    report = Report(record, trials_frame(record, trials), lines, runs=tuple(store.runs()))
    if not only:
        scorings = store.scorings()
        report = replace(report, confirmation=confirmation_of(record, trials, scorings))
        report = answered(report, trials, scorings)
    gc.freeze()  # very many objects that stay to the end, through which no search for garbage need go
    return report, trials
