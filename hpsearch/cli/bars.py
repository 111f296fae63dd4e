"""How progress looks: a line with a bar in a terminal, a plain line at sensible times elsewhere."""

from __future__ import annotations

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_FIRST, _LEAST, _MOST = 5.0, 5.0, 30.0
"""Seconds until the first plain line, and between two."""
ECHO = 3
"""Columns that stay free at the end of a live line: a terminal echoes Ctrl-C there, and would wrap it."""
_BAR, _SHORTEST = 34, 8
"""Columns of a bar, and of the shortest that is worth its room."""


class PlainTimes:
    """When a plain line is due: soon for the first time, then at each tenth, and at least twice a minute.

    first: seconds until the first one.
    """

    def __init__(self, first: float = _FIRST) -> None:
        self._first = first
        self._said: float | None = None
        self._tenth = 0

    def due(self, seconds: float, share: float) -> bool:
        """Whether to print one now, so many seconds after the beginning; share: done, 0 … 1."""
        tenth = int(10 * share)
        if self._said is None:
            due = seconds >= self._first
        else:
            passed = seconds - self._said
            due = passed >= _MOST or (tenth > self._tenth and passed >= _LEAST)
        if due:
            self._said, self._tenth = seconds, tenth
        return due


def bar_line(text: str, share: float, width: int) -> Table:
    """A bar, if there is room for it beside the text, in one line of so many columns."""
    line = Table.grid(padding=(0, 2))
    cell = Text(text, no_wrap=True, overflow="ellipsis")
    room = width - len(text) - 2 - ECHO
    if room >= _SHORTEST:
        line.add_row(ProgressBar(total=1.0, completed=share, width=min(room, _BAR)), cell)
    else:
        line.add_row(cell)
    return line
