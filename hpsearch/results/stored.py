"""A stored study as the numbers that reports are made from."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from hpsearch.errors import check_trial
from hpsearch.records import Trial
from hpsearch.results.frames import Report, check_finished, trials_frame
from hpsearch.results.scorings import confirmation_of
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
    confirmation = None if only else confirmation_of(record, trials, store.scorings())
    frame, runs = trials_frame(record, trials), tuple(store.runs())
    gc.freeze()  # very many objects that stay to the end, through which no search for garbage need go
    return Report(record, frame, lines, confirmation=confirmation, runs=runs), trials
