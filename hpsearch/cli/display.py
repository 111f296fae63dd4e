"""What a running study shows: a live line in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpsearch.cli.common import PLAIN_EVERY
from hpsearch.records import Progress


def clock(seconds: float) -> str:
    """0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Display:
    """Shows `Progress` values on `console` (stderr) while it is entered."""

    def __init__(self, console: Console, shown_metric: str, percent: bool) -> None:
        self._console, self._metric, self._percent = console, shown_metric, percent
        self._live: Live | None = None
        self._said = monotonic()
        self._first: tuple[float, int] | None = None
        self._stopping = False

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
        """Say that Ctrl-C was seen."""
        self._stopping = True
        text = "stopping at the next rung; finished trials are kept. Ctrl-C again stops at once"
        (self._live.console if self._live else self._console).print(text, highlight=False)

    def update(self, progress: Progress) -> None:
        """Show how far the study is."""
        if self._first is None:
            self._first = (progress.seconds, progress.finished)
        if self._live:
            self._live.update(self._line(progress))
        elif monotonic() - self._said >= PLAIN_EVERY:
            self._said = monotonic()
            self._console.print(self.text(progress), highlight=False, soft_wrap=True)

    def text(self, progress: Progress) -> str:
        """The figures of one moment, in words."""
        parts = [f"{progress.finished:,}/{progress.total:,} trials"]
        if progress.seconds > 0:
            parts.append(f"{progress.epochs / progress.seconds:,.0f} epochs/s")
        if progress.best_value is not None:
            value = (
                f"{progress.best_value:.1%}" if self._percent else f"{self._metric} {progress.best_value:.4g}"
            )
            parts.append(f"best {value} (trial {progress.best_trial})")
        if progress.failed:
            parts.append(f"{progress.failed} diverged")
        if left := self._left(progress):
            parts.append(f"{clock(left)} left")
        return "   ".join(parts)

    def _left(self, progress: Progress) -> float | None:
        """Seconds until the end at the pace of this run so far; None while that says nothing."""
        assert self._first is not None
        seconds, finished = progress.seconds - self._first[0], progress.finished - self._first[1]
        if finished < 1 or seconds <= 0 or self._stopping:
            return None
        return seconds / finished * (progress.total - progress.finished)

    def _line(self, progress: Progress) -> Table:
        text = self.text(progress)
        room = self._console.width - len(text) - 3
        line = Table.grid(padding=(0, 2))
        cells = [Text(text, no_wrap=True, overflow="ellipsis")]
        if room >= 8:
            bar = ProgressBar(total=max(1, progress.total), completed=progress.finished, width=min(room, 34))
            line.add_row(bar, *cells)
        else:
            line.add_row(*cells)
        return line
