"""What the commands share: options, the terminal, and how a study is named."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from hpsearch.defaults import DEFAULT_STORAGE
from hpsearch.errors import check_trial

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hpsearch.records import Trial
    from hpsearch.results.frames import Report
    from hpsearch.store import StudyStore

_PIPED_WIDTH = 120
"""Columns when no terminal says how many there are: enough for every hyper-parameter at once."""
_LEAST_WIDTH = 40

StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="HPSEARCH_STORAGE",
        metavar="URL",
        help="Database, as an SQLAlchemy URL.",
        show_default=DEFAULT_STORAGE,
    ),
]
StudyArgument = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="A study file, or the name of a stored study.", show_default=False),
]
DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to train.")]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Training threads. [default: one a core]", show_default=False),
]
TopOption = Annotated[
    int | None,
    typer.Option(
        "--top",
        metavar="N",
        min=0,
        help="Show N trials; 0 shows all.",
        show_default="10 in tables, all in json and csv",
    ),
]


def storage_url(storage: str | None) -> str:
    """The database's URL: the option's value, or the default one in the current folder."""
    return storage or DEFAULT_STORAGE


def storage_words(storage: str | None) -> str:
    """The words " --storage URL" for a command to type next, without password; "" if not needed."""
    if storage is None or storage == os.environ.get("HPSEARCH_STORAGE"):
        return ""
    from shlex import quote

    from hpsearch.store import shown_url

    return f" --storage {quote(shown_url(storage))}"


def study_name(text: str) -> str:
    """The name of the study that the user means by a study file's path or a stored study's name.

    Raises:
        HpsearchError: it is a study file, and that cannot be read.
    """
    if not text.endswith(".toml") and not Path(text).is_file():
        return text
    from hpsearch.study.file import load_study

    return load_study(text).name


def read_study(
    study: str, storage: str | None, *, only: Sequence[int] = (), curves: bool = True
) -> tuple[Report, Sequence[Trial]]:
    """The stored study as a report, and its trials.

    only: numbers of the trials that are wanted, all when empty; the ranks are then none of the study's.
    curves: whether the report is to have them.

    Raises:
        HpsearchError: there is no such study, no trial of it is finished, or a wanted one is missing.
    """
    import gc

    from hpsearch.store import Database

    with Database.open(storage_url(storage)) as database:
        found = report_of(database.study(study_name(study)), only=only, curves=curves)
    gc.freeze()  # very many objects that stay to the end, through which no search for garbage need go
    return found


def report_of(
    store: StudyStore, *, only: Sequence[int] = (), curves: bool = True
) -> tuple[Report, Sequence[Trial]]:
    """`read_study` of a study that is open."""
    from hpsearch.results.frames import Report, check_finished, trials_frame
    from hpsearch.results.scorings import answered, confirmation_of

    record, counts = store.record, store.counts()
    check_finished(record, counts)
    for number in only:
        check_trial(record.name, number, sum(counts.values()), "--trial")
    trials, lines = store.read(only or None, curves=curves)
    report = Report(record, trials_frame(record, trials), lines, runs=tuple(store.runs()))
    if only:
        return report, trials
    scorings = store.scorings()
    report = replace(report, confirmation=confirmation_of(record, trials, scorings))
    return answered(report, trials, scorings), trials


def make_console(stream: TextIO) -> Console:
    """A console on the stream: plain text where NO_COLOR, a pipe or TERM=dumb ask for it."""
    from rich.console import Console

    terminal = stream.isatty()
    coloured = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    columns = os.environ.get("COLUMNS", "")
    width = None if terminal else int(columns) if columns.isdecimal() else _PIPED_WIDTH
    console = Console(
        file=stream,
        width=width,
        force_terminal=coloured,
        color_system="auto" if coloured else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    if console.width < _LEAST_WIDTH:
        console.width = _LEAST_WIDTH
    return console


def show(view: RenderableType, console: Console) -> None:
    """Print a view to stdout, as the console draws it."""
    from hpsearch.reporting.tables import trimmed

    with console.capture() as capture:
        console.print(view)
    write_out(trimmed(capture.get()))


def write_out(data: str | bytes) -> None:
    """Write data to stdout; a reader that goes away (`| head`) ends the command quietly."""
    try:
        if isinstance(data, bytes):
            sys.stdout.buffer.write(data)
        else:
            _write_text(data)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at its end, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def _write_text(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, errors="replace").decode(encoding))
