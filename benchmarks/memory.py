"""How much memory a study and a lane take."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.digits import ROOT, STUDY
from benchmarks.measure import Part, Row
from benchmarks.peak import SMALL
from hpsearch.train.lanes import layer_shapes

FEW, MANY = 100, 1000
NARROW, WIDE = 64, 576
"""Lanes of the tiles that are compared: enough of them that nothing else shows."""

HOW = f"""\
The peak of resident memory (`VmHWM` of Linux) of a process of `hpsearch run studies/digits.toml`, its
report included, with {MANY:,} and with {FEW} trials. Bytes a lane: the difference between the peaks of two
processes that train {NARROW} and {WIDE} lanes of 64-64-64-10 in one tile, by the lane. Between two rungs a
lane is its weights and momenta, 8 bytes a weight; while it trains there are the trainer's copy of both, the
kernel's own in panels, and the first layer's outputs and gradients for a mini-batch."""


def peak(*words: str) -> int:
    """Bytes at the peak of a process of `benchmarks.peak`."""
    command = [sys.executable, "-m", "benchmarks.peak", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return int(done.stderr.strip().splitlines()[-1])


def memory() -> Part:
    """Peak of 1,000 trials against 100, and bytes a lane."""
    runs = f"`hpsearch run`, {MANY:,} trials: peak of resident memory, MB"
    work = "64-64-64-10, a lane in training: kB"
    if not Path("/proc/self/status").exists():
        unknown = "not measured: needs Linux"
        return Part("Memory", [Row(runs, unknown, wanted="≤ 1.1"), Row(work, unknown)], HOW)
    with tempfile.TemporaryDirectory() as folder:
        few, many = (
            peak("hpsearch", "run", str(STUDY), "--trials", str(n), "--storage", f"sqlite:///{folder}/{n}.db")
            for n in (FEW, MANY)
        )
    lane = (peak("lanes", str(WIDE)) - peak("lanes", str(NARROW))) / (WIDE - NARROW)
    weights = sum(inputs * outputs + outputs for inputs, outputs in layer_shapes(64, SMALL, 10))
    kept = 8 * weights
    rows = [
        Row(runs, f"{many / 1e6:.0f}", f"{FEW} trials", f"{few / 1e6:.0f}", f"{many / few:.2f}", "≤ 1.1"),
        Row(work, f"{lane / 1e3:.0f}", "between two rungs", f"{kept / 1e3:.0f}", f"{lane / kept:.1f}"),
    ]
    return Part("Memory", rows, HOW)
