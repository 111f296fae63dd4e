"""What a running study shows: a live line in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import math
from types import TracebackType

from rich.console import Console
from rich.live import Live

from hpsearch.cli.bars import ECHO, PlainTimes, bar_line
from hpsearch.records import Progress
from hpsearch.text import progress_text, stop_text

_PLAIN_WIDTH = 100


class Display:
    """Shows `Progress` values on `console` (stderr) while it is entered."""

    def __init__(self, console: Console, metric: str) -> None:
        self._console, self._metric = console, metric
        self._live: Live | None = None
        self._times = PlainTimes()
        self._progress: Progress | None = None
        self._share, self._stopping = 0.0, False

    def __enter__(self) -> Display:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()

    def stopping(self) -> None:
        """Say that Ctrl-C was seen, and how long the rung takes."""
        self._stopping = True
        rung = self._progress.rung if self._progress else None
        (self._live.console if self._live else self._console).print(stop_text(rung), highlight=False)

    def update(self, progress: Progress) -> None:
        """Show how far the study is."""
        self._progress = progress
        self._share = max(self._share, _share(progress))
        if self._live:
            width = self._console.width
            self._live.update(bar_line(self.text(progress, width - ECHO), self._share, width))
        elif self._times.due(progress.seconds, self._share):
            self._console.print(self.text(progress, _PLAIN_WIDTH), highlight=False, soft_wrap=True)

    def text(self, progress: Progress, width: int) -> str:
        """The figures of one moment, in at most so many columns."""
        return progress_text(progress, self._metric, width, stopping=self._stopping)


def _share(progress: Progress) -> float:
    """How much of the way is behind: by time if it is known what is left, by trials before."""
    if progress.left is None:
        return progress.finished / max(1, progress.total)
    done, left = progress.seconds, math.sqrt(progress.left[0] * progress.left[1])
    return done / (done + left) if done + left > 0 else 0.0
