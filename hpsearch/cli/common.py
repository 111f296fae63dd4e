"""What the commands share: options, the terminal, and how a study is named."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from hpsearch.cli import completion
from hpsearch.defaults import DEFAULT_STORAGE

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_PIPED_WIDTH = 120
"""Columns when no terminal says how many there are: enough for every hyper-parameter at once."""
_LEAST_WIDTH = 40

_PATIENCE = 1.0
"""Seconds before progress shows at all."""

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
    typer.Argument(
        metavar="STUDY",
        help="A study file, or the name of a stored study.",
        show_default=False,
        autocompletion=completion.studies,
    ),
]
DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to train.")]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Training threads. [default: one a core]", show_default=False),
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="COLUMN",
        help="Tables: the column to predict.",
        show_default=False,
        autocompletion=completion.columns,
    ),
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

    from hpsearch.stored import shown_url

    return f" --storage {quote(shown_url(storage))}"


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


def show(view: Callable[[int], RenderableType]) -> None:
    """Print to stdout what `view` makes of the terminal's width in columns."""
    from hpsearch.reporting.tables import trimmed

    console = make_console(sys.stdout)
    with console.capture() as capture:
        console.print(view(console.width))
    write_out(trimmed(capture.get()))


@contextmanager
def reading(
    what: str = "reading images", console: Console | None = None, patience: float = _PATIENCE
) -> Iterator[Callable[[int, int], None]]:
    """What to call with (done, total); after some seconds of patience it shows them on stderr.

    console: instead of stderr. In a terminal the line is live, elsewhere a plain one appears now and then.
    """
    from hpsearch.cli.bars import PlainTimes, bar_line
    from hpsearch.text import clock

    began, times = monotonic(), PlainTimes(patience)
    live: Live | None = None

    def tell(done: int, total: int) -> None:
        nonlocal live, console
        passed, share = monotonic() - began, done / max(1, total)
        if passed < patience:
            return
        text = f"{what}   {done:,}/{total:,}"
        if 0 < share < 1:
            text += f"   {clock(passed / share - passed)} left"
        console = console or make_console(sys.stderr)
        if live is not None:
            live.update(bar_line(text, share, console.width))
        elif console.is_terminal and not console.is_dumb_terminal:
            from rich.live import Live

            line = bar_line(text, share, console.width)
            live = Live(line, console=console, refresh_per_second=8, transient=True)
            live.start()
        elif times.due(passed, share):
            console.print(text, highlight=False)

    try:
        yield tell
    finally:
        if live is not None:
            live.stop()


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
