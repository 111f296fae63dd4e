"""What `hpsearch run` shows at its end: the report, of a complete study with finalists and comparison."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from hpsearch.cli.common import make_console, report_of, show, storage_words
from hpsearch.defaults import CONFIRM_SEEDS, TOP
from hpsearch.errors import NothingToShowError

if TYPE_CHECKING:
    from rich.console import Console

    from hpsearch.data import Dataset
    from hpsearch.results.frames import Report
    from hpsearch.store import StudyStore
    from hpsearch.study.file import Study

_SHOWN = 10


def show_result(store: StudyStore, storage: str | None) -> None:
    """The report of what is stored, which is not all of the study yet.

    Raises:
        NothingToShowError: no trial is finished.
    """
    report, _ = report_of(store)
    _show(report, storage)


def show_complete(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    *,
    confirm: bool,
    device: str,
    workers: int | None,
    storage: str | None,
    err: Console,
) -> None:
    """The report of a complete study, with the comparison that it asks for.

    confirm: train its finalists on fresh seeds, unless that was done already.

    Raises:
        NothingToShowError: no trial is finished.
    """
    if confirm:
        from hpsearch.cli.reading import reading
        from hpsearch.retrain.confirm import confirm_stored
        from hpsearch.running.pool import resources

        # Without a complete trial there is nothing to confirm, and the report says so.
        with suppress(NothingToShowError), reading(err, what="training finalists again") as watch:
            own = resources(device, workers)
            confirm_stored(study, dataset, store, *own, top=TOP, seeds=CONFIRM_SEEDS, watch=watch)
    note = None
    if study.compare is not None:
        from hpsearch.retrain.contrast import answer
        from hpsearch.running.pool import resources

        note = answer(
            study,
            dataset,
            store,
            *resources(device, workers),
            lambda text: err.print(text, soft_wrap=not err.is_terminal),
        )
    report, _ = report_of(store)
    if note is not None:
        from hpsearch.results.frames import with_note

        report = with_note(replace(report, notes=()), note)
    _show(report, storage)


def _show(report: Report, storage: str | None) -> None:
    from hpsearch.reporting.tables import report_view

    console = make_console(sys.stdout)
    show(report_view(report, console.width, _SHOWN, storage_words(storage)), console)
