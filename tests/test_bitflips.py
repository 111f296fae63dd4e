"""Whatever bit of a database is flipped: every number that is shown is the right one, or none is shown.

`HPSEARCH_FLIPS=10000 python -m pytest tests/test_bitflips.py` tries more of them, others for each count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.whole_study import write_whole

FLIPS = int(os.environ.get("HPSEARCH_FLIPS", "500"))
SECONDS_EACH = 2
"""Far more than looking takes; what is longer hangs."""


def test_no_flipped_bit_shows_a_wrong_number(tmp_path: Path) -> None:
    path = tmp_path / "whole.db"
    write_whole(path)
    middle = FLIPS // 2
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.flips", path, str(FLIPS), *map(str, part)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for part in ((0, middle), (middle, FLIPS))
    ]
    counts = {"refused": 0, "the same": 0, "wrong": 0}
    wrong: list[str] = []
    for process in processes:
        said, trouble = process.communicate(timeout=60 + SECONDS_EACH * FLIPS)
        assert process.returncode == 0, trouble
        *lines, last = said.splitlines()
        wrong += lines
        for key, count in json.loads(last).items():
            counts[key] += count
    print(f"{FLIPS} flips, seed {FLIPS}: {counts}; 95 % bound 3/N = {3 / FLIPS:.2g}")
    assert not wrong, "\n".join(wrong)
    assert sum(counts.values()) == FLIPS
    assert counts["refused"] > FLIPS / 20  # the flips do hit what is read
