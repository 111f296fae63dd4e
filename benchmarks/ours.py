"""hpsearch from Python, watched: when its stored trials reach a validation accuracy.

`python -m benchmarks.ours DATABASE SEED BEGAN TARGET LEAST MOST` is one process. It prints JSON, in seconds
since BEGAN: when the target was `reached` (or null), when it `ended`, and `series`, the best value so far at
each improvement. It ends once the target is reached, but not before LEAST seconds, and after MOST anyway.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import suppress

import hpsearch
from benchmarks.digits import digits
from hpsearch.records import Progress

TRIALS = 4096
"""More than there is time for."""

SAME = 1e-9
"""Accuracies that differ by less are the same count of right answers."""


class _EnoughError(Exception):
    """Ends a run from within; what is stored stays."""


class Watcher:
    """Looks up the best value that is stored, whenever hpsearch tells of its progress.

    Progress itself knows complete trials only; a trial's stored value is the best of its epochs so far.
    """

    def __init__(self, database: str, began: float, target: float, least: float, most: float) -> None:
        self._database, self._began = database, began
        self._target, self._least, self._most = target, least, most
        self.series: list[tuple[float, float]] = []
        self.reached: float | None = None
        self.ended = 0.0

    def __call__(self, progress: Progress) -> None:
        best, now = self._best(), time.time() - self._began
        self.ended = now
        if best is not None and (not self.series or best > self.series[-1][1]):
            self.series.append((now, best))
            if self.reached is None and best > self._target - SAME:
                self.reached = now
        if now >= self._most or (self.reached is not None and now >= self._least):
            raise _EnoughError

    def _best(self) -> float | None:
        connection = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        try:
            (best,) = connection.execute("SELECT max(CAST(value AS REAL)) FROM hpsearch_trials").fetchone()
        finally:
            connection.close()
        return None if best is None else float(best)


def main() -> None:
    database, seed, *numbers = sys.argv[1:]
    watcher = Watcher(database, *map(float, numbers))
    study = digits(int(seed), f"search.trials={TRIALS}")
    with suppress(_EnoughError):
        hpsearch.run(study, storage=f"sqlite:///{database}", watch=watcher, confirm=False)
    said = {"reached": watcher.reached, "ended": watcher.ended, "series": watcher.series}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
