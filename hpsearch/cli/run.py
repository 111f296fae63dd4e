"""`hpsearch run`: create or resume a study, train it and show what came out."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.common import (
    DeviceOption,
    StorageOption,
    StudyArgument,
    WorkersOption,
    make_console,
    show,
    storage_url,
    storage_words,
)
from hpsearch.errors import (
    HpsearchError,
    NothingToShowError,
    StorageError,
    UnknownStudyError,
    nearest,
    plural,
)

if TYPE_CHECKING:
    from rich.console import Console

    from hpsearch.cli.display import Display
    from hpsearch.data import Dataset
    from hpsearch.records import State
    from hpsearch.running.pool import StopFlag
    from hpsearch.running.prepare import Outcome
    from hpsearch.store import Database, StudyStore
    from hpsearch.study.file import Study

INTERRUPTED = 130
_ESTIMATED = 10_000
"""Stored trials beyond which a run begins at once; what is left is still told by --dry-run."""


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
    device: DeviceOption = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a key of the file, e.g. space.width=32.",
            show_default=False,
        ),
    ] = None,
    workers: WorkersOption = None,
    checkpoint: Annotated[
        str,
        typer.Option(
            metavar="none|rung",
            help="Store the weights of what goes on at a rung, so that going on repeats at most one.",
        ),
    ] = "rung",
    fork: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Begin a new study from the finished trials of the stored one that fit it.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and do nothing.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Say at the end where the time went.")] = False,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm/--no-confirm",
            help="When it is complete, train the best 8 on 5 fresh seeds and score them on the test part.",
        ),
    ] = True,
) -> None:
    """Create a study or go on with it: train, show the progress, end with the ranked table."""
    overrides = list(set_ or [])
    overrides += [f"search.trials={trials}"] if trials is not None else []
    if checkpoint not in ("none", "rung"):
        raise HpsearchError(f'--checkpoint: expected none or rung; found "{checkpoint}"')
    call = _Call(
        study, storage, device, workers, _duration(time), profile, checkpoint == "rung", fork, confirm
    )
    _run(_find_study(study, storage, overrides), call, dry_run, make_console(sys.stderr))


@dataclass(frozen=True)
class _Call:
    """What was typed, besides the study file's own settings; time_limit in seconds."""

    study: str
    storage: str | None
    device: str
    workers: int | None
    time_limit: float | None
    profile: bool
    checkpoints: bool
    fork: str | None
    confirm: bool


def _duration(typed: str | None) -> float | None:
    """Seconds of `--time`."""
    if typed is None:
        return None
    from hpsearch.study.schema import seconds

    try:
        length = float(seconds(typed))
    except ValueError:
        length = 0.0
    if not 0 < length < float("inf"):
        raise HpsearchError(f'--time: expected a duration such as "90s", "10m" or "1h30m"; found "{typed}"')
    return length


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


def _run(study: Study, call: _Call, dry_run: bool, err: Console) -> None:
    from hpsearch.cli.headers import header_lines
    from hpsearch.cli.reading import reading
    from hpsearch.results.scorings import CONFIRMATION
    from hpsearch.running.prepare import prepare
    from hpsearch.running.resume import is_complete, open_study
    from hpsearch.store import Database

    with reading(err) as progress:
        study, dataset = prepare(study, progress)
    if dry_run:
        _dry_run(study, dataset, call, err)
        return
    with Database.open(storage_url(call.storage), create=True) as database:
        if call.fork is not None:
            study = _fork(database, study, dataset, call, err)
        store = database.find(study.name)
        if store is not None and (why := is_complete(study, store)):
            # Nothing to train, so that torch need not even be imported.
            asked = study.search.trials
            store, study = open_study(database, study, dataset, {})
            _say(err, header_lines(study, dataset))
            more = f" ({asked:,} were asked for)" if asked < study.search.trials else ""
            _say(err, [f"complete: {why}{more}, nothing to train"])
            new = call.confirm and not any(each.purpose == CONFIRMATION for each in store.scorings())
            _show_complete(study, dataset, store, call, err, confirm=new)
        else:
            _go_on(database, study, dataset, call, err)


def _show_complete(
    study: Study, dataset: Dataset, store: StudyStore, call: _Call, err: Console, *, confirm: bool
) -> None:
    from hpsearch.cli.result import show_complete

    show_complete(
        study,
        dataset,
        store,
        confirm=confirm,
        device=call.device,
        workers=call.workers,
        storage=call.storage,
        err=err,
    )


def _dry_run(study: Study, dataset: Dataset, call: _Call, err: Console) -> None:
    """Say what a run would do, with the trials that are stored, and do nothing."""
    from hpsearch.cli.headers import dry_run_view, header_lines
    from hpsearch.running.estimate import estimate
    from hpsearch.running.pool import resources
    from hpsearch.store import Database

    device, workers = resources(call.device, call.workers)
    _say(err, header_lines(study, dataset))
    with Database.open(storage_url(call.storage), create=True) as database:
        store = database.find(study.name)
        trials, cohort = ([], 0) if store is None else (store.trials(), _next_cohort(store))
    left = estimate(study, dataset, trials, cohort, device, workers)
    show(dry_run_view(study, left, device, workers), make_console(sys.stdout))


def _next_cohort(store: StudyStore) -> int:
    last = store.last_cohort()
    return 0 if last is None else last.number + 1


def _fork(database: Database, study: Study, dataset: Dataset, call: _Call, err: Console) -> Study:
    """The study under the name that was asked for, with the trials of the stored one that fit it."""
    from hpsearch.running.fork import fork
    from hpsearch.train import choose_device

    assert call.fork is not None
    made = fork(database, study, dataset, call.fork, choose_device(call.device))
    _say(err, [f"fork     {made.taken:,} of {plural(made.finished, 'finished trial')} of {study.name} fit"])
    return made.study


def _finished(counts: Mapping[State, int]) -> int:
    return sum(count for state, count in counts.items() if state.finished)


def _say(err: Console, lines: Iterable[str]) -> None:
    for line in lines:
        err.print(line, soft_wrap=not err.is_terminal)


def _go_on(database: Database, study: Study, dataset: Dataset, call: _Call, err: Console) -> None:
    """Train what is missing and show what is there then; ends the command where it was stopped."""
    from hpsearch.cli.headers import estimate_text, header_lines
    from hpsearch.cli.profile import age, profile_lines
    from hpsearch.cli.result import show_result
    from hpsearch.running.estimate import estimate
    from hpsearch.running.pool import StopFlag, resources
    from hpsearch.running.provenance import run_provenance
    from hpsearch.running.resume import open_study
    from hpsearch.train import missing_kernel

    device, workers = resources(call.device, call.workers)
    asked = study.search.trials
    warnings: list[str] = []
    said = run_provenance(study, dataset, device, workers)
    store, study = open_study(database, study, dataset, said, warnings.append)
    _say(err, header_lines(study, dataset, f"{device}, {plural(workers, 'thread')}"))
    _say(err, (f"warning  {text}" for text in warnings))
    if device == "cpu" and (reason := missing_kernel()):
        _say(err, [f"note     small networks train through torch, several times slower: {reason}"])
    counts = store.counts()
    if before := _finished(counts):
        _say(err, [f"resuming: {before:,} of {study.search.trials:,} trials are finished"])
    if asked < study.search.trials:
        _say(
            err,
            [f"note     {study.search.trials:,} trials have begun, more than {asked:,}: they are finished"],
        )
    if sum(counts.values()) <= _ESTIMATED:
        left = estimate(study, dataset, store.trials(), _next_cohort(store), device, workers, ask=False)
        _say(err, [f"left     {estimate_text(left)}"])
    stop = StopFlag(study.search.time_limit if call.time_limit is None else call.time_limit)
    _keep_memory_flat()
    started = age()
    outcome = _train(study, dataset, store, device, workers, stop, call, err, said)
    ended = age()
    _tell_end(study, store, database.url, err)
    if outcome.enough:
        _say(err, [f"enough   {outcome.enough}, so that no more trials begin"])
    with suppress(NothingToShowError):  # stopped before anything was finished
        if outcome.complete:
            _show_complete(study, dataset, store, call, err, confirm=call.confirm)
        else:
            show_result(store, call.storage)
    if call.profile:
        _say(err, profile_lines(outcome.profile, started, ended, age(), device == "cpu"))
    if not outcome.complete:
        why = "stopped" if stop.asked else "the time limit is reached"
        err.print(f"{why}; to go on:  {_resume_command(call)}", soft_wrap=True)  # to be copied whole
        raise typer.Exit(INTERRUPTED if stop.asked else 0)


def _keep_memory_flat() -> None:
    """Give large arrays back to the system as soon as they are free, where the C library is glibc.

    It would serve ever larger ones from its heaps, where small things that stay pin the holes between them:
    70 kB a trial in the end, although nothing of a finished trial's weights is kept.
    """
    import ctypes

    mmap_threshold, bytes_ = -3, 128 << 10  # M_MMAP_THRESHOLD
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(mmap_threshold, bytes_)


def _train(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    device: str,
    workers: int,
    stop: StopFlag,
    call: _Call,
    err: Console,
    provenance: dict[str, Any],
) -> Outcome:
    from hpsearch.cli.display import Display
    from hpsearch.running.prepare import train
    from hpsearch.text import is_share

    metric = study.train.metric or ""
    with (
        Display(err, metric, percent=is_share(metric)) as display,
        _interruptible(stop, display, call),
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
            provenance=provenance,
            checkpoints=call.checkpoints,
        )


@contextmanager
def _interruptible(stop: StopFlag, display: Display, call: _Call) -> Iterator[None]:
    """Ctrl-C, or SIGTERM, stops at the next rung; the second one at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            # Threads may be in the middle of a tile; nothing of it is stored, and nothing need be.
            display.close()
            print(f"stopped at once; to go on:  {_resume_command(call)}", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)
        stop.ask()
        display.stopping()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_end(study: Study, store: StudyStore, url: str, err: Console) -> None:
    """One line that says where the study stands."""
    from hpsearch.text import counts_text

    counts = store.counts()
    _say(
        err,
        [f"{_finished(counts):,} of {study.search.trials:,} trials ({counts_text(counts)}), stored in {url}"],
    )


def _resume_command(call: _Call) -> str:
    """The command line that goes on with this run: the one that was typed, without a password."""
    import shlex

    from hpsearch.store import shown_url

    if sys.argv[1:2] != ["run"]:
        return shlex.join(["hpsearch", "run", call.study]) + storage_words(call.storage)
    words = sys.argv[1:]
    if call.storage is not None:
        words = [word.replace(call.storage, shown_url(call.storage)) for word in words]
    return shlex.join(["hpsearch", *words])
