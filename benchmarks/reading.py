"""What reading a table costs against pandas.read_csv, in one process, and the memory of each (Linux).

A million rows of 30 columns: 20 of decimals, 5 of whole numbers, 5 of names. hpsearch tells kinds by all
values, hashes the content and, for `hpsearch data`, counts what is distinct.

    python -m benchmarks.reading
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from hpsearch.data.describe import describe
from hpsearch.data.prepare import prepare_dataset, read_whole, refusal
from hpsearch.study.schema import DataSection

ROWS = 1_000_000


def write(path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{i}": random.normal(size=ROWS).round(4) for i in range(20)})
    for i in range(5):
        frame[f"k{i}"] = random.integers(0, 1000, ROWS)
    for i in range(4):
        frame[f"c{i}"] = np.array(["red", "green", "blue", "black"])[random.integers(0, 4, ROWS)]
    frame["y"] = np.array(["yes", "no"])[random.integers(0, 2, ROWS)]
    frame.to_csv(path, index=False)


def peak(task: Callable[[Path], object], path: Path) -> float:
    """Megabytes that a task adds to those of a fresh process with the same imports."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (task, path))


def _peak(task: Callable[[Path], object], path: Path) -> float:
    before = _high_water()
    task(path)
    return _high_water() - before


def _high_water() -> float:
    """Megabytes of this process at its peak; `ru_maxrss` would be that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.partition("VmHWM:")[2].split()[0]) / 1e3


def section(path: Path) -> DataSection:
    return DataSection.model_validate({"source": str(path), "target": "y"})


def by_pandas(path: Path) -> object:
    return pd.read_csv(path)


def reading(path: Path) -> object:
    return read_whole(section(path), 0, Path(), refusal(None))


def describing(path: Path) -> object:
    return describe(section(path))


def preparing(path: Path) -> object:
    return prepare_dataset(section(path), 0, Path(), None)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write(path)
        floats = ROWS * 30 * 4 / 1e6
        print(f"{path.stat().st_size / 1e6:,.0f} MB of text; {floats:,.0f} MB as float32")
        base = 0.0
        for name, task in (
            ("pandas.read_csv", by_pandas),
            ("read", reading),
            ("hpsearch data", describing),
            ("prepared to train on", preparing),
        ):
            times = []
            for _ in range(3):
                begun = time.perf_counter()
                task(path)
                times.append(time.perf_counter() - begun)
            base = base or min(times)
            used = peak(task, path)
            print(
                f"{name:<22}{min(times):6.2f} s   {min(times) / base:4.1f} × pandas   "
                f"{used:6,.0f} MB more at its peak, {used / floats:4.1f} × float32"
            )


if __name__ == "__main__":
    sys.exit(main())
