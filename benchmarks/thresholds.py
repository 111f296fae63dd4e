"""What a threshold chosen on validation is worth on the test set.

`python -m benchmarks.thresholds FOLDER [--rows N] [--trials N] [--seeds N…]` runs the study that `hpsearch
init` writes for three unbalanced tables of pmlb (adult, phoneme, wine_quality_white with quality from 7
on against the rest), by balanced accuracy and by F1. It prints the mean test score of the best eight on five
fresh seeds, of the first by validation, and of the refitted model that `export` writes, each at 0.5 → at the
chosen threshold.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from hpsearch import api
from hpsearch.defaults import CONFIRM_SEEDS, TOP
from hpsearch.records import EVEN
from hpsearch.results.confirmation import TEST, Confirmation, Finalist
from hpsearch.retrain.fresh_seeds import candidate_of, complete_trials, train_fresh
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import prepare
from hpsearch.store import Database
from hpsearch.study.file import load_study
from hpsearch.train.metrics import score
from hpsearch.train.thresholds import shifted

_TABLES = {
    "adult": ("adult", lambda target: target == 0),
    "phoneme": ("phoneme", lambda target: target == 1),
    "wine": ("wine_quality_white", lambda target: target >= 7),
}


def measure(folder: Path, table: str, metric: str, seed: int, rows: int, trials: int) -> list[float]:
    """[6] percent: the eight, the first and the exported one, each at 0.5 and at the chosen threshold."""
    name, second = _TABLES[table]
    frame = pd.read_csv(folder / f"{name}.tsv.gz", sep="\t")
    frame["target"] = np.where(second(frame["target"]), "yes", "no")
    with tempfile.TemporaryDirectory() as place:
        frame.sample(min(rows, len(frame)), random_state=0).to_csv(Path(place) / "t.csv", index=False)
        file, storage = Path(place) / "t.toml", f"sqlite:///{place}/t.db"
        api.init(str(Path(place) / "t.csv"), target="target", out=file)
        wanted = (f"study.seed={seed}", f"search.trials={trials}", f"train.metric={metric}")
        study = load_study(file, (*wanted, "study.baselines=false"))
        api.run(study, storage=storage, workers=1)
        model = api.export(study.name, out=Path(place) / "m", storage=storage).model
        study, dataset = prepare(study)
        with Database.open(storage) as database:
            store = database.study(study.name)
            best = complete_trials(store, store.trials(), "measure")[:TOP]
    found = []
    for thresholds in (False, True):
        candidates = [candidate_of(study, each) for each in best]
        own = train_fresh(
            study, dataset, candidates, CONFIRM_SEEDS, machine=Machine.of("cpu", 1), thresholds=thresholds
        )
        finalists = tuple(
            Finalist(**{**vars(each), "trial": trial.number}) for each, trial in zip(own, best, strict=True)
        )
        c = Confirmation(metric, True, TEST, len(dataset.test), CONFIRM_SEEDS, False, len(best), finalists)
        means = [float(np.nanmean(each.scores)) for each in finalists]
        outputs = shifted(model.outputs(dataset.test.x), model.threshold if thresholds else EVEN)
        exported = score(metric, outputs, dataset.test.y) or 0.0
        found.append((float(np.mean(means)), means[c.order[0]], exported))
    return [100 * value for both in zip(*found, strict=True) for value in both]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    asked = parser.parse_args()
    print("| metric, table, seed | the eight | the first | exported |\n|---|---|---|---|")
    for metric in ("balanced_accuracy", "f1"):
        rows = []
        for seed in asked.seeds:
            for table in _TABLES:
                rows.append(measure(asked.folder, table, metric, seed, asked.rows, asked.trials))
                _print(f"{metric}, {table}, {seed}", rows[-1])
        _print(f"{metric}, mean", np.mean(rows, axis=0).tolist())


def _print(name: str, values: list[float]) -> None:
    pairs = " | ".join(f"{a:.1f} → {b:.1f}" for a, b in zip(values[::2], values[1::2], strict=True))
    print(f"| {name} | {pairs} |", flush=True)


if __name__ == "__main__":
    main()
