"""`python -m benchmarks`: run everything, print the table and write docs/benchmarks.md and its chart.

`python -m benchmarks PART…` runs some parts and prints their rows only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from benchmarks import page
from benchmarks.fashion import fashion
from benchmarks.lanes import kinds, lecture, small
from benchmarks.live import live
from benchmarks.measure import HEADER, Part, markdown
from benchmarks.memory import memory
from benchmarks.overhead import overhead, start
from benchmarks.reports import reports
from benchmarks.samplers import samplers
from benchmarks.scale import scale
from benchmarks.search import search
from benchmarks.target import target

PARTS: dict[str, Callable[[], Part]] = {
    part.__name__: part
    for part in (
        start,
        search,
        target,
        small,
        kinds,
        lecture,
        fashion,
        live,
        memory,
        overhead,
        scale,
        samplers,
        reports,
    )
}


def chosen(names: Sequence[str]) -> list[Callable[[], Part]]:
    """The parts of these names, all without any.

    Raises:
        SystemExit: there is no such part.
    """
    if unknown := [name for name in names if name not in PARTS]:
        sys.exit(f"no such part: {', '.join(unknown)} (there are {', '.join(PARTS)})")
    return [PARTS[name] for name in names or PARTS]


def main(names: Sequence[str]) -> None:
    parts = []
    print(HEADER, flush=True)
    for measure in chosen(names):
        parts.append(measure())
        for row in parts[-1].rows:
            print(markdown(row), flush=True)
    if not names:
        page.write(parts)


if __name__ == "__main__":
    main(sys.argv[1:])
