"""Whether a stored study is being trained, is complete, or was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from hpsearch.records import State
from hpsearch.store import Holder
from hpsearch.text import plain, seconds_text


@dataclass(frozen=True)
class Activity:
    """What goes on with a study.

    state: unknown where the process that trains it is on another machine and was not heard of lately.
    finished, total: trials. process: who trains it, or where it may be, in words; "" if nobody does.
    """

    state: Literal["complete", "running", "stopped", "unknown"]
    finished: int
    total: int
    process: str = ""

    def text(self, command: str) -> str:
        """In a line. command: that resumes it."""
        done = f"{self.finished:,} of {self.total:,}"
        if self.state == "complete":
            return "complete"
        if self.state == "running":
            return f"running ({done}; {self.process})"
        if self.state == "unknown":
            return f"perhaps stopped ({done}; {self.process}; if it is gone, resume with  {command})"
        return f"stopped ({done}; resume with  {command})"


def activity(counts: Mapping[State, int], total: int, holder: Holder | None, complete: bool) -> Activity:
    """What goes on with a study.

    Args:
        counts: of its trials by state. total: trials that it asks for. holder: who claims to train it.
        complete: nothing is left to train.
    """
    finished = sum(count for state, count in counts.items() if state.finished)
    total = max(total, sum(counts.values()))
    if holder is not None and holder.lives is not False:
        if holder.lives:
            return Activity("running", finished, total, f"process {holder.pid}")
        silent = (datetime.now(UTC) - holder.heard).total_seconds()
        who = f"process {holder.pid} on {plain(holder.host)} stored something {seconds_text(silent)} ago"
        return Activity("unknown" if holder.stale else "running", finished, total, who)
    return Activity("complete" if complete else "stopped", finished, total)
