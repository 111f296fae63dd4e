"""A process of its own whose peak of resident memory is measured; it is printed last, on stderr, in bytes.

`python -m benchmarks.peak hpsearch run …` is the command line; `python -m benchmarks.peak lanes 64` trains so
many lanes in one tile.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from hpsearch.study.hyperparameters import Configuration

SMALL = Configuration(learning_rate=0.05, batch_size=32, depth=3, width=64)
"""64-64-64-10."""


def train(count: int) -> None:
    """An epoch of a tile of `count` lanes of 64-64-64-10."""
    from benchmarks.timing import lanes, random_problem
    from hpsearch.train import train_lanes

    train_lanes(random_problem(2048, 64, 10), lanes(count, SMALL), 1)


def peak() -> int:
    """Bytes; of this process alone: its own program's, which is why the parent's count is not asked."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    what, *words = sys.argv[1:]
    try:
        if what == "lanes":
            train(int(words[0]))
        else:
            from hpsearch.cli.app import main as command

            sys.argv = [what, *words]
            command()
    finally:
        print(peak(), file=sys.stderr)


if __name__ == "__main__":
    main()
