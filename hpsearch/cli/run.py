"""`hpsearch run`: create or resume a study, train it and show what came out."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.common import StorageOption, StudyArgument, make_console, show, storage_url
from hpsearch.errors import NothingToShowError, StorageError, UnknownStudyError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from hpsearch.cli.display import Display
    from hpsearch.data import Dataset
    from hpsearch.engine.api import Outcome
    from hpsearch.engine.pool import StopFlag
    from hpsearch.store import Database, StudyStore
    from hpsearch.study.file import Study

INTERRUPTED = 130
_SHOWN = 10


def run(
    study: StudyArgument,
    trials: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Total of trials, instead of the file's.", show_default=False),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="10m", help="Stop at the next rung after so long.", show_default=False),
    ] = None,
    storage: StorageOption = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to train.")] = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a key of the file, e.g. space.width=32.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Training threads. [default: one a core]", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and do nothing.")] = False,
) -> None:
    """Create a study or go on with it: train, show the progress, end with the ranked table."""
    overrides = list(set_ or [])
    overrides += [f"search.trials={trials}"] if trials is not None else []
    overrides += [f'search.time_limit="{time}"'] if time is not None else []
    found = _find_study(study, storage, overrides)
    err = make_console(sys.stderr)
    _run(found, study, storage_url(storage), device, workers, dry_run, err)


def _find_study(text: str, storage: str | None, overrides: list[str]) -> Study:
    """The study of a file, or the stored one of that name."""
    from hpsearch.study.file import load_study

    if text.endswith(".toml") or Path(text).is_file():
        return load_study(text, overrides)
    from hpsearch.store import Database
    from hpsearch.study.file import study_from_document

    try:
        with Database.open(storage_url(storage)) as database:
            record = database.study(text).record
    except (UnknownStudyError, StorageError) as error:
        files = [str(path) for folder in (Path(), Path("studies")) for path in sorted(folder.glob("*.toml"))]
        near = nearest(text, [*files, *(Path(file).stem for file in files)])
        raise UnknownStudyError(
            f"{text}: no such study file{near}; nor is it a stored study ({error})"
        ) from None
    return study_from_document(record.document, record.origin, overrides)


def _run(
    study: Study, called: str, url: str, device: str, workers: int | None, dry_run: bool, err: Console
) -> None:
    from hpsearch.cli.headers import dry_run_view, header_lines
    from hpsearch.engine.api import prepare
    from hpsearch.engine.resume import open_study
    from hpsearch.store import Database

    study, dataset = prepare(study)
    if dry_run:
        _say(err, header_lines(study, dataset))
        show(dry_run_view(study, dataset), make_console(sys.stdout))
        return
    with Database.open(url, create=True) as database:
        finished = _finished(database.find(study.name))
        if finished >= study.search.trials:
            # Nothing to train, so that torch need not even be imported.
            store, study = open_study(database, study, dataset, {})
            _say(err, header_lines(study, dataset))
        if finished < study.search.trials:
            store = _go_on(database, study, dataset, device, workers, called, err)
        else:
            _say(err, [f"complete: all {finished:,} trials are finished, nothing to train"])
        _show_result(store)


def _finished(store: StudyStore | None) -> int:
    return 0 if store is None else sum(trial.state.finished for trial in store.trials())


def _say(err: Console, lines: Iterable[str]) -> None:
    for line in lines:
        err.print(line, soft_wrap=not err.is_terminal)


def _go_on(
    database: Database,
    study: Study,
    dataset: Dataset,
    device: str,
    workers: int | None,
    called: str,
    err: Console,
) -> StudyStore:
    """Train what is missing; returns the complete study, or ends the command where it was stopped."""
    from hpsearch.cli.headers import header_lines
    from hpsearch.engine.pool import StopFlag, default_workers
    from hpsearch.engine.provenance import provenance
    from hpsearch.engine.resume import open_study
    from hpsearch.train import choose_device

    device = choose_device(device)
    workers = workers or default_workers(device)
    store, study = open_study(database, study, dataset, provenance(device, workers))
    _say(err, header_lines(study, dataset, f"{device}, {workers} thread{'s' if workers > 1 else ''}"))
    if before := _finished(store):
        _say(err, [f"resuming: {before:,} of {study.search.trials:,} trials are finished"])
    stop = StopFlag(study.search.time_limit)
    outcome = _train(study, dataset, store, device, workers, stop, err)
    _tell_end(study, store, outcome, database.url, err)
    if not outcome.complete:
        _show_so_far(store)
        why = "stopped" if stop.asked else "the time limit is reached"
        err.print(f"{why}; to go on:  {_resume_command(called)}", soft_wrap=True)  # to be copied whole
        raise typer.Exit(INTERRUPTED if stop.asked else 0)
    return store


def _train(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    device: str,
    workers: int,
    stop: StopFlag,
    err: Console,
) -> Outcome:
    from hpsearch.cli.display import Display
    from hpsearch.engine.api import train

    metric = study.train.metric or ""
    with (
        Display(err, metric, percent=metric in ("accuracy", "error")) as display,
        _interruptible(stop, display),
    ):
        return train(
            study,
            dataset,
            store,
            device=device,
            workers=workers,
            stop=stop,
            watch=display.update,
            warn=lambda text: err.print(f"warning: {text}", soft_wrap=True),
        )


@contextmanager
def _interruptible(stop: StopFlag, display: Display) -> Iterator[None]:
    """Ctrl-C, or SIGTERM, stops at the next rung; the second one at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            # Threads may be in the middle of a tile; nothing of it is stored, and nothing need be.
            display.close()
            os._exit(INTERRUPTED)
        stop.ask()
        display.stopping()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_end(study: Study, store: StudyStore, outcome: Outcome, url: str, err: Console) -> None:
    """One line that says what was done, and where the study stands."""
    from collections import Counter

    from hpsearch.report.text import counts_text, seconds_text

    trials = store.trials()
    counts = Counter(trial.state for trial in trials)
    finished = sum(trial.state.finished for trial in trials)
    speed = f"{outcome.epochs / max(outcome.seconds, 1e-9):,.0f} epochs/s"
    err.print(
        f"{finished:,} of {study.search.trials:,} trials ({counts_text(counts)}), "
        f"{outcome.epochs:,} epochs in {seconds_text(outcome.seconds)} ({speed}), stored in {url}",
        soft_wrap=True,
    )


def _resume_command(called: str) -> str:
    """The command line that goes on with this run: the one that was typed."""
    import shlex

    return shlex.join(["hpsearch", *sys.argv[1:]]) if sys.argv[1:2] == ["run"] else f"hpsearch run {called}"


def _show_so_far(store: StudyStore) -> None:
    """The table of an unfinished study, once there is anything to rank."""
    with suppress(NothingToShowError):
        _show_result(store)


def _show_result(store: StudyStore) -> None:
    from hpsearch.report.frames import finished_report
    from hpsearch.report.tables import report_view

    report = finished_report(store.record, store.trials(), store.curves())
    console = make_console(sys.stdout)
    show(report_view(report, console.width, _SHOWN), console)
