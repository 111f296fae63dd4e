"""How often an end of a range is found to be an edge, where it is one and where it is not.

Studies of digits whose learning rates end below the good ones (1e-5 … 2e-3), and studies whose ranges hold
them, with few and with many hyper-parameters, of 48 and 160 trials.

    python -m benchmarks.edges [SEEDS]
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import hpsearch
from hpsearch.results.advice import advice

MANY = """momentum = { low = 0.0, high = 0.95 }
batch_size = [16, 32, 64, 128]
depth = { low = 1, high = 4 }
activation = ["relu", "tanh", "elu", "sigmoid"]
width = 32"""
FEW = """momentum = { low = 0.0, high = 0.95 }
batch_size = 32
depth = 2
width = 32"""
CASES = {
    "ends below, 48 trials": (1e-5, 2e-3, 48, MANY),
    "ends below, 160 trials": (1e-5, 2e-3, 160, MANY),
    "ends below, 48 trials, few searched": (1e-5, 2e-3, 48, FEW),
    "holds the best, 48 trials": (1e-3, 3.0, 48, MANY),
    "holds the best, 160 trials": (1e-3, 3.0, 160, MANY),
    "holds the best, 48 trials, few searched": (1e-3, 3.0, 48, FEW),
    "wide, 48 trials": (1e-4, 10.0, 48, MANY),
    "wide, 160 trials": (1e-4, 10.0, 160, MANY),
}


def said(folder: Path, seed: int, low: float, high: float, trials: int, more: str) -> list[str]:
    """The hyper-parameters that a study says to have an edge."""
    path = folder / f"edge-{seed}.toml"
    path.write_text(
        f"[study]\nseed = {seed}\n[data]\nsource = 'digits'\n[space]\n"
        f"learning_rate = {{ low = {low}, high = {high}, log = true }}\n{more}\n[train]\nepochs = 27\n"
        f"[search]\ntrials = {trials}\n",
        encoding="utf-8",
    )
    found = hpsearch.run(path, storage=f"sqlite:///{folder / f'{seed}.db'}", confirm=False)
    (folder / f"{seed}.db").unlink()
    return [each.parameter for each in advice(found.numbers) if each.kind == "edge"]


def main(seeds: int = 20) -> None:
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            counts = Counter(each for seed in range(seeds) for each in said(Path(folder), seed, *case))
        others = ", ".join(f"{key} {count}" for key, count in counts.items() if key != "learning_rate")
        print(f"{name:<40} learning_rate {counts['learning_rate']:>3} of {seeds}   {others}")


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
