"""How well a run knows how long it will take: what it said was left, over what was left.

`python -m benchmarks.time_left [--cpu] STUDY [KEY=VALUE …]` runs a study file to its end, in a folder that is
deleted, and prints the two at each tenth of the way. What is compared is the geometric middle of the range
that is shown; the last column says whether the truth lay inside of the range.

--cpu: one worker, and all clocks count this process's seconds of the processor. So what else the machine does
changes nothing, and the figures are those of a quiet machine with one core.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Sequence

import hpsearch
from hpsearch.records import Progress
from hpsearch.running import loop, pool
from hpsearch.study.file import load_study

TENTHS = 10


def told(study: str, overrides: Sequence[str], workers: int | None) -> list[Progress]:
    """All that a run says until training ends."""
    said: list[Progress] = []
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/left.db"
        loaded = load_study(study, list(overrides))
        hpsearch.run(loaded, storage=url, confirm=False, watch=said.append, workers=workers)
    return said


def table(said: Sequence[Progress]) -> list[str]:
    """One line a tenth of the way, from the first progress at or after it that says what is left."""
    end = said[-1].seconds
    lines = ["way    left, truly   said                ratio   inside"]
    for tenth in range(TENTHS):
        at = max(tenth / TENTHS, 0.02) * end
        found = next((each for each in said if each.seconds >= at and each.left), None)
        if found is None or found.left is None or found.seconds >= end:
            continue
        true, (low, high) = end - found.seconds, found.left
        ratio, inside = math.sqrt(low * high) / true, "yes" if low <= true <= high else "no"
        span = f"{low:7.1f} … {high:5.1f} s"
        lines.append(f"{found.seconds / end:4.0%}   {true:8.1f} s   {span}   {ratio:5.2f}   {inside}")
    return lines


if __name__ == "__main__":
    words = sys.argv[1:]
    if quiet := words[0] == "--cpu":
        words = words[1:]
        for module in (loop, pool):
            vars(module)["monotonic"] = time.process_time
    said = told(words[0], words[1:], 1 if quiet else None)
    print(f"{said[-1].total} trials, {said[-1].epochs} epochs in {said[-1].seconds:.0f} s")
    print("\n".join(table(said)))
