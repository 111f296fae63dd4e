"""What each effort of `hpsearch init` finds, and what each dimension of its space is worth.

Both read tables of a folder (`TABLE.tsv.gz` with a column `target`, at most 4,000 rows of each) and keep 40 %
of the rows as the test set, so that a score says more. Points are percent; of an error, percent of the best.

`python -m benchmarks.effort efforts FOLDER [TABLE…] [--seeds N…]` runs the study of each effort, with one
worker, and prints the test score of the trial that it recommends, the mean over fresh seeds. Seconds are the
processor's. Efforts have the same rows, so their differences are paired.

`python -m benchmarks.effort dimensions FOLDER [TABLE…] [--longer N]` trains 384 random networks a table for
all epochs (N times as many): learning rate and depth are always random, each other dimension with a chance of
a half, and as in the quick study otherwise. Of 48 of them with a random value of a dimension, and of 48
without, the best by validation is scored on the test set; the gain is the mean difference over 1,000 draws
of the 48.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpsearch import api
from hpsearch.records import VALID_METRIC, FloatArray
from hpsearch.retrain.fresh_seeds import Candidate, train_fresh
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import prepare
from hpsearch.study.effort import Effort
from hpsearch.study.file import load_study
from hpsearch.text import is_share

_ROWS, _NETWORKS, _CHOSEN, _DRAWS = 4_000, 384, 48, 1_000
_SPLIT = "data.split={valid=0.2,test=0.4}"

Random = np.random.Generator


@contextmanager
def table_of(folder: Path, name: str) -> Iterator[Path]:
    """The table as CSV."""
    frame = pd.read_csv(folder / f"{name}.tsv.gz", sep="\t")
    if len(frame) > _ROWS:
        frame = frame.sample(_ROWS, random_state=0)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "t.csv"
        frame.to_csv(path, index=False)
        yield path


def study_file(table: Path, effort: Effort) -> Path:
    """What `init` writes."""
    return api.init(
        str(table), target="target", out=table.with_name(f"{effort}.toml"), effort=str(effort)
    ).path


# -- efforts -------------------------------------------------------------------------------------


def recommended(file: Path, seed: int) -> tuple[float, str, float]:
    """(test score, more is better; metric; the processor's seconds) of the trial that a study recommends."""
    study = load_study(file, [_SPLIT, f"study.seed={seed}", f"study.name=s{seed}"])
    storage, began = f"sqlite:///{file.with_suffix('.db')}", time.process_time()
    api.run(study, storage=storage, workers=1)
    found = api.confirm(study.name, storage=storage)  # is read
    score = study.sign * float(np.mean(found.finalists[found.order[0]].scores))
    return score, found.metric, time.process_time() - began


def efforts(folder: Path, tables: list[str], seeds: list[int]) -> None:
    """A row a table and seed."""
    print(f"| table, seed | {' | '.join(Effort)} | seconds |\n|---|---|---|---|---|")
    scores, seconds = [], []
    for seed in seeds:
        for name in tables:
            with table_of(folder, name) as table:
                found = [recommended(study_file(table, effort), seed) for effort in Effort]
            unit = _unit(found[0][1], found[0][0])
            scores.append([unit * score for score, _, _ in found])
            seconds.append([took for _, _, took in found])
            shown = " | ".join(f"{score:.2f}" for score in scores[-1])
            print(f"| {name}, {seed} | {shown} | {_seconds(seconds[-1])} |", flush=True)
    gains = np.array(scores) - np.array(scores)[:, :1]
    print(f"| gain | {' | '.join(map(_mean, gains.T))} | {_seconds(np.mean(seconds, axis=0))} |")


def _seconds(values: Any) -> str:
    return ", ".join(f"{value:.0f}" for value in values)


# -- dimensions ----------------------------------------------------------------------------------


def _log(random: Random, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _adamw(random: Random) -> dict[str, Any]:
    return {"optimizer": "adamw", "learning_rate": _log(random, 1e-4, 0.1)} if random.random() < 0.5 else {}


DIMENSIONS: dict[str, Callable[[Random], dict[str, Any]]] = {
    "width": lambda random: {"width": round(_log(random, 16, 256))},
    "weight_decay": lambda random: {"weight_decay": _log(random, 1e-6, 1e-2)},
    "batch_size": lambda random: {"batch_size": int(random.choice([16, 32, 64, 128]))},
    "activation": lambda random: {"activation": str(random.choice(["relu", "tanh", "silu"]))},
    "optimizer": _adamw,
    "momentum": lambda random: {"momentum": random.uniform(0.5, 0.98)},
    "schedule": lambda _: {"schedule": "constant"},
    "dropout": lambda random: {"dropout": random.uniform(0, 0.5)},
}


def gains(table: Path, longer: int, names: list[str]) -> list[float]:
    """What each dimension is worth on a table, in points."""
    file = study_file(table, Effort.QUICK)
    epochs = longer * load_study(file).train.epochs
    study, dataset = prepare(load_study(file, [_SPLIT, f"train.epochs={epochs}"]))
    random = np.random.default_rng(0)
    free = random.random((_NETWORKS, len(names))) < 0.5
    candidates = []
    for number, chosen in enumerate(free):
        own = {"learning_rate": _log(random, 1e-4, 1), "depth": int(random.integers(1, 5))}
        made = study.space.configuration(own)
        for name in np.array(names)[chosen]:
            made = replace(made, **DIMENSIONS[name](random))
        candidates.append(Candidate(made, epochs, number))
    trained = train_fresh(study, dataset, candidates, 1, machine=Machine.of("cpu", 1))
    whole = np.array([len(each.curves[0]) == epochs for each in trained])
    last = np.array([study.sign * each.curves[0][-1, VALID_METRIC] for each in trained])
    valid = np.where(whole & np.isfinite(last), last, -np.inf)
    test = np.array([study.sign * each.scores[0] for each in trained])
    unit = _unit(study.train.metric or "", float(test[valid.argmax()]))
    return [
        unit * (_best(valid, test, chosen, random) - _best(valid, test, ~chosen, random)) for chosen in free.T
    ]


def _best(valid: FloatArray, test: FloatArray, among: Any, random: Random) -> float:
    """Test score of the best by validation of some networks, on average."""
    drawn = random.choice(np.flatnonzero(among), (_DRAWS, _CHOSEN))
    return float(np.mean(test[drawn[np.arange(_DRAWS), valid[drawn].argmax(axis=1)]]))


def dimensions(folder: Path, tables: list[str], longer: int, names: list[str]) -> None:
    """A row a table."""
    print(f"| table | {' | '.join(names)} |\n{'|---' * (1 + len(names))}|")
    found = []
    for name in tables:
        with table_of(folder, name) as table:
            found.append(gains(table, longer, names))
        print(f"| {name} | {' | '.join(f'{gain:+.2f}' for gain in found[-1])} |", flush=True)
    print(f"| mean | {' | '.join(map(_mean, np.array(found).T))} |")


# -- both ----------------------------------------------------------------------------------------


def _unit(metric: str, whole: float) -> float:
    return 100 if is_share(metric) else 100 / abs(whole)


def _mean(values: FloatArray) -> str:
    """With its standard error over tables and seeds."""
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():+.2f} ± {error:.2f}"


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("part", choices=["efforts", "dimensions"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("tables", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--longer", type=int, default=1)
    parser.add_argument("--names", nargs="+", choices=DIMENSIONS, default=list(DIMENSIONS))
    asked = parser.parse_args()
    there = sorted(path.name.removesuffix(".tsv.gz") for path in asked.folder.glob("*.tsv.gz"))
    tables = asked.tables or there
    if asked.part == "efforts":
        efforts(asked.folder, tables, asked.seeds)
    else:
        dimensions(asked.folder, tables, asked.longer, asked.names)


if __name__ == "__main__":
    main()
