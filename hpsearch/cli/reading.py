"""What is shown while pictures are decoded or trials are trained again, if that takes a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.live import Live
from rich.text import Text

_PATIENCE = 1.0
"""Seconds that pass without a word."""

_PLAIN_EVERY = 5.0
"""Seconds between two lines when nobody looks at a terminal."""


@contextmanager
def reading(
    console: Console, patience: float = _PATIENCE, what: str = "reading pictures"
) -> Iterator[Callable[[int, int], None]]:
    """What to call with (done, total); it shows them on `console`, live if that is a terminal."""
    is_live = console.is_terminal and not console.is_dumb_terminal
    due = monotonic() + patience
    live: Live | None = None

    def show(done: int, total: int) -> None:
        nonlocal due, live
        text = f"{what}   {done:,}/{total:,}"
        if live is not None:
            live.update(Text(text))
        elif monotonic() >= due and is_live:
            live = Live(Text(text), console=console, refresh_per_second=8, transient=True)
            live.start()
        elif monotonic() >= due:
            console.print(text, highlight=False)
            due = monotonic() + _PLAIN_EVERY

    try:
        yield show
    finally:
        if live is not None:
            live.stop()
