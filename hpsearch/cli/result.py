"""What `hpsearch run` shows at its end: the report, of a complete study with finalists and comparison."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hpsearch.cli.common import make_console, show, storage_words

if TYPE_CHECKING:
    from rich.console import Console

    from hpsearch.data import Dataset
    from hpsearch.report.frames import Report
    from hpsearch.store import StudyStore
    from hpsearch.study.file import Study

_SHOWN = 10


def show_result(store: StudyStore, storage: str | None) -> None:
    """The report of what is stored, which is not all of the study yet.

    Raises:
        NothingToShowError: no trial is finished.
    """
    _show(_report(store), storage)


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
    report = _report(store)
    confirm = confirm and len(report.ranked) > 0
    if confirm or study.compare is not None:
        from hpsearch.engine.pool import default_workers
        from hpsearch.train import choose_device

        device = choose_device(device)
        workers = workers or default_workers(device)
    if confirm:
        from hpsearch.cli.confirm import SEEDS, TOP
        from hpsearch.cli.reading import reading
        from hpsearch.engine.confirm import confirm_stored

        with reading(err, what="training finalists again") as watch:
            confirm_stored(
                study, dataset, store, top=TOP, seeds=SEEDS, device=device, workers=workers or 1, watch=watch
            )
        report = _report(store)
    if study.compare is not None:
        from hpsearch.engine.answer import compared
        from hpsearch.engine.scorings import count_comparison

        report = compared(
            report,
            study,
            dataset,
            store.trials(),
            device,
            workers or 1,
            lambda text: err.print(text, soft_wrap=not err.is_terminal),
        )
        if report.comparison is not None:
            count_comparison(store, report.comparison)
    _show(report, storage)


def _report(store: StudyStore) -> Report:
    from hpsearch.engine.scorings import confirmation_of
    from hpsearch.report.frames import finished_report

    trials, curves = store.read()
    confirmation = confirmation_of(store.record, trials, store.scorings())
    return finished_report(store.record, trials, curves, confirmation)


def _show(report: Report, storage: str | None) -> None:
    from hpsearch.report.tables import report_view

    console = make_console(sys.stdout)
    show(report_view(report, console.width, _SHOWN, storage_words(storage)), console)
