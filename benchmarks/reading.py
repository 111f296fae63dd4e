"""What reading a table costs against pandas.read_csv, in one process, and the memory of each (Linux).

A million rows of 30 columns: 20 of decimals, 5 of whole numbers, 5 of names, as CSV, Parquet and JSON lines;
and 200,000 rows of 100 columns: 50 of decimals, 25 of names, 25 of free text. hpsearch tells kinds by all
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
from typing import Any

import numpy as np
import pandas as pd

from hpsearch.data.describe import describe
from hpsearch.data.prepare import prepare_dataset, read_whole, refusal
from hpsearch.study.schema import DataSection

ROWS, TEXT_ROWS = 1_000_000, 200_000
_WORDS = np.array([f"word{number}" for number in range(12)])


def numbers() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{i}": random.normal(size=ROWS).round(4) for i in range(20)})
    for i in range(5):
        frame[f"k{i}"] = random.integers(0, 1000, ROWS)
    for i in range(4):
        frame[f"c{i}"] = np.array(["red", "green", "blue", "black"])[random.integers(0, 4, ROWS)]
    frame["y"] = np.array(["yes", "no"])[random.integers(0, 2, ROWS)]
    return frame


def texts() -> pd.DataFrame:
    random = np.random.default_rng(1)
    columns: dict[str, Any] = {f"x{i}": random.normal(size=TEXT_ROWS) for i in range(50)}
    for i in range(24):
        columns[f"c{i}"] = _WORDS[random.integers(0, 4 + i % 4, TEXT_ROWS)]
    for i in range(25):
        columns[f"t{i}"] = [" ".join(words) for words in _WORDS[random.integers(0, 12, (TEXT_ROWS, 7))]]
    columns["y"] = np.array(["yes", "no"])[random.integers(0, 2, TEXT_ROWS)]
    return pd.DataFrame(columns)


def as_csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False)


def as_parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False)


def as_json(frame: pd.DataFrame, path: Path) -> None:
    frame.to_json(path, orient="records", lines=True)


WRITERS = {".csv": as_csv, ".parquet": as_parquet, ".jsonl": as_json}


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


TASKS = (("read", reading), ("hpsearch data", describing), ("prepared to train on", preparing))


def main() -> None:
    for make, suffixes in ((numbers, (".csv", ".parquet", ".jsonl")), (texts, (".csv",))):
        frame = make()
        floats = frame.size * 4 / 1e6
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"table{suffix}" for suffix in suffixes]
            for path in paths:
                WRITERS[path.suffix](frame, path)
            del frame
            for path in paths:
                compare(path, floats)


def compare(path: Path, floats: float) -> None:
    """Print the time and the memory of each task; of CSV, against pandas in turns. floats: MB as float32."""
    tasks = (("pandas.read_csv", by_pandas), *TASKS) if path.suffix == ".csv" else TASKS
    print(f"{path.name}: {path.stat().st_size / 1e6:,.0f} MB; {floats:,.0f} MB as float32")
    times = {name: float("inf") for name, _ in tasks}
    for _ in range(3):
        for name, task in tasks:
            begun = time.perf_counter()
            task(path)
            times[name] = min(times[name], time.perf_counter() - begun)
    for name, task in tasks:
        used = peak(task, path)
        against = f"{times[name] / times['pandas.read_csv']:4.1f} × pandas" if len(tasks) > len(TASKS) else ""
        print(
            f"{name:<22}{times[name]:6.2f} s   {against:<14}"
            f"{used:6,.0f} MB more at its peak, {used / floats:4.1f} × float32"
        )


if __name__ == "__main__":
    sys.exit(main())
