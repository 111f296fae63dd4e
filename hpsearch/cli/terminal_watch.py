"""What `hpsearch run` says on stderr while it goes on, and how Ctrl-C stops it."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from hpsearch import Watch
from hpsearch.cli.common import reading, storage_words
from hpsearch.cli.display import Display
from hpsearch.cli.headers import complete_text, estimate_text, header_lines
from hpsearch.cli.profile import age, profile_lines
from hpsearch.errors import plural
from hpsearch.records import Progress, State
from hpsearch.text import counts_text

if TYPE_CHECKING:
    from hpsearch.data import Dataset
    from hpsearch.running.pool import StopFlag
    from hpsearch.running.profile import Profile
    from hpsearch.running.watch import Beginning, Ending
    from hpsearch.study.file import Study

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
_ESTIMATED = 10_000
"""Stored trials beyond which a run begins at once; `--dry-run` still tells what is left."""


class TerminalWatch(Watch):
    """Prints what a run tells, and turns Ctrl-C into a stop at the next rung.

    study, storage: as they were typed, for the command that resumes the run.
    """

    def __init__(self, console: Console, study: str, storage: str | None) -> None:
        self._err, self._study, self._storage = console, study, storage
        self._stack = ExitStack()
        self._shown: dict[str, Any] = {}
        self._display: Display | None = None
        self._handlers: dict[int, Any] = {}
        self._started = self._ended = 0.0
        self._cpu = True

    def __enter__(self) -> TerminalWatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def reads(self, done: int, total: int) -> None:
        self._advance("reading images", done, total)

    def forks(self, parent: str, taken: int, finished: int) -> None:
        self.say([f"fork     {taken:,} of {plural(finished, 'finished trial')} of {parent} fit"])

    def finds_complete(self, study: Study, dataset: Dataset, asked: int, why: str) -> None:
        more = f" ({asked:,} were asked for)" if asked < study.search.trials else ""
        self.say([*header_lines(study, dataset), f"{complete_text(why)}{more}"])

    def begins(self, beginning: Beginning) -> None:
        b, study = beginning, beginning.study
        self.say(header_lines(study, b.dataset, f"{b.machine.device}, {plural(b.machine.workers, 'thread')}"))
        self.say(f"warning  {text}" for text in b.warnings)
        self.say(f"note     {text}" for text in b.notes)
        total = study.search.trials
        if before := _finished(b.counts):
            self.say([f"resuming: {before:,} of {total:,} trials are finished"])
        if b.asked < total:
            more = f"{total:,} trials have begun, more than the {b.asked:,} asked for"
            self.say([f"note     {more}; they will be finished"])
        if sum(b.counts.values()) <= _ESTIMATED:
            self.say([f"left     {estimate_text(b.left())}"])
        _keep_memory_flat()
        self._started, self._cpu = age(), b.machine.device == "cpu"
        self._display = Display(self._err, study.train.metric or "").__enter__()
        self._catch_signals(b.stop)

    def warns(self, text: str) -> None:
        self._err.print(f"warning: {text}", soft_wrap=True)

    def progresses(self, progress: Progress) -> None:
        if self._display is not None:
            self._display.update(progress)

    def ends(self, ending: Ending) -> None:
        self._close()
        self._ended = age()
        total, counts = ending.study.search.trials, ending.counts
        self.say(
            [f"{_finished(counts):,} of {total:,} trials ({counts_text(counts)}), stored in {ending.url}"]
        )
        if ending.enough:
            self.say([f"enough   {ending.enough}: no more trials begin"])

    def retrains(self, done: int, total: int) -> None:
        self._advance("retraining on fresh seeds", done, total)

    def repeats(self, done: int, total: int) -> None:
        self._advance("repeats", done, total)

    def says(self, text: str) -> None:
        self.say([text])

    def say(self, lines: Iterable[str]) -> None:
        """Lines on stderr, which a terminal may fold, in place of what was shown of reading or retraining."""
        self._stack.close()
        self._shown.clear()
        for line in lines:
            self._err.print(line, soft_wrap=not self._err.is_terminal)

    def say_profile(self, profile: Profile) -> None:
        """Where the time went."""
        self.say(profile_lines(profile, self._started, self._ended, age(), self._cpu))

    @property
    def resume_command(self) -> str:
        """The command line that resumes this run: the one that was typed, without a password."""
        from hpsearch.stored import shown_url

        if sys.argv[1:2] != ["run"]:
            return shlex.join(["hpsearch", "run", self._study]) + storage_words(self._storage)
        words = sys.argv[1:]
        if self._storage is not None:
            words = [word.replace(self._storage, shown_url(self._storage)) for word in words]
        return shlex.join(["hpsearch", *words])

    def _advance(self, what: str, done: int, total: int) -> None:
        if what not in self._shown:
            self._shown[what] = self._stack.enter_context(reading(what, self._err))
        self._shown[what](done, total)

    def _close(self) -> None:
        """Leave terminal and signals as they were."""
        self._stack.close()
        if self._display is not None:
            self._display.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _catch_signals(self, stop: StopFlag) -> None:
        """Ctrl-C, or SIGTERM, stops at the next rung; the second one at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            assert self._display is not None
            if stop.asked:
                # Threads may be in the middle of a tile; nothing of it is stored, and nothing need be.
                self._display.close()
                print(f"stopped at once; to resume:  {self.resume_command}", file=sys.stderr, flush=True)
                os._exit(INTERRUPTED)
            stop.ask()
            self._display.stopping()

        self._handlers = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}


def _finished(counts: Mapping[State, int]) -> int:
    return sum(count for state, count in counts.items() if state.finished)


def _keep_memory_flat() -> None:
    """Give large arrays back to the system as soon as they are free, where the C library is glibc.

    It would serve ever larger ones from its heaps, where small things that stay pin the holes between them:
    70 kB a trial in the end, although nothing of a finished trial's weights is kept.
    """
    import ctypes

    mmap_threshold, bytes_ = -3, 128 << 10  # M_MMAP_THRESHOLD
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(mmap_threshold, bytes_)
