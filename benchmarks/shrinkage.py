"""How much of what a study promises is left on rows and seeds that it has not seen, before and now.

`python -m benchmarks.shrinkage FOLDER [TABLE…] [--seeds N…]` runs the study that `hpsearch init` writes for
each table of a folder (`TABLE.tsv.gz` with a column `target`, at most 10,000 rows of it), twice a study seed:

before: a constant learning rate, trials ranked by their best epoch, the best eight retrained for the epochs
after which each was best, and the one with the best test score taken. It promises the trials' own values.

now: a cosine schedule, trials ranked by their last epoch, scored after it, and the first by validation on the
fresh seeds taken. It promises that validation metric.

Shrinkage is what the eight promise less what they score on the test set over five fresh seeds, both in the
mean, in points; of an error in the target's unit, in percent of it.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hpsearch import api
from hpsearch.defaults import CONFIRM_SEEDS, TOP
from hpsearch.results.confirmation import Confirmation, Finalist
from hpsearch.retrain.fresh_seeds import Candidate, candidate_of, complete_trials, scored_part, train_fresh
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import prepare
from hpsearch.store import Database
from hpsearch.study.file import load_study
from hpsearch.text import is_share

_ROWS, _TRIALS = 10_000, 96
_BEFORE = ("space.schedule=constant", "train.score=best")
_NOW = ("space.schedule=cosine", "train.score=last")


@dataclass(frozen=True)
class Side:
    """Of the best eight, more is better.

    selected: their values in the search. again: validation on the fresh seeds. tested: test score. taken:
    that of the one that is taken.
    """

    metric: str
    selected: float
    again: float
    tested: float
    taken: float

    def points(self, whole: float) -> Side:
        """In points; of an error in percent of `whole`."""
        unit = 100 if is_share(self.metric) else 100 / abs(whole)
        values = (self.selected, self.again, self.tested, self.taken)
        return Side(self.metric, *(unit * value for value in values))


def side(file: Path, seed: int, overrides: tuple[str, ...], storage: str, machine: Machine) -> Side:
    """Run a study and retrain its best eight: those of `_BEFORE` as they were retrained before."""
    settings = (f"study.seed={seed}", f"study.name=s{seed}", f"search.trials={_TRIALS}", *overrides)
    study = load_study(file, settings)
    before = study.train.score == "best"
    api.run(study, storage=storage, workers=machine.workers, confirm=False)
    study, dataset = prepare(study)
    with Database.open(storage) as database:
        store = database.study(study.name)
        best = complete_trials(store, store.trials(), "measure")[:TOP]
    candidates = [
        Candidate(study.space.configuration(each.params), each.best_epoch or 1, each.number)
        if before
        else candidate_of(study, each)
        for each in best
    ]
    repeats = train_fresh(study, dataset, candidates, CONFIRM_SEEDS, machine=machine)
    finalists = tuple(
        Finalist(**{**vars(own), "trial": each.number, "selected": each.value})
        for own, each in zip(repeats, best, strict=True)
    )
    part, rows = scored_part(dataset)
    metric = study.train.metric or ""
    found = Confirmation(metric, study.sign > 0, part, len(rows), CONFIRM_SEEDS, False, len(best), finalists)
    tested = np.array([np.nanmean(each.scores) for each in finalists])
    taken = found.ranking.order[0] if before else found.order[0]
    again = np.nanmean([each.promise(metric)[0] for each in finalists])
    selected = np.mean([each.selected for each in finalists])
    values = (selected, again, tested.mean(), tested[taken])
    return Side(metric, *(study.sign * float(value) for value in values))


def measure(folder: Path, table: str, seed: int, machine: Machine) -> tuple[Side, Side]:
    """Both sides of a table, with one study seed."""
    frame = pd.read_csv(folder / f"{table}.tsv.gz", sep="\t")
    if len(frame) > _ROWS:
        frame = frame.sample(_ROWS, random_state=0)
    with tempfile.TemporaryDirectory() as place:
        frame.to_csv(Path(place) / "t.csv", index=False)
        file = Path(place) / "t.toml"
        api.init(str(Path(place) / "t.csv"), target="target", out=file)
        before, now = (
            side(file, seed, overrides, f"sqlite:///{place}/{name}.db", machine)
            for name, overrides in (("before", _BEFORE), ("now", _NOW))
        )
    return before.points(before.tested), now.points(before.tested)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tables", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    asked = parser.parse_args()
    there = sorted(path.name.removesuffix(".tsv.gz") for path in asked.folder.glob("*.tsv.gz"))
    machine = Machine.of("cpu", 1)
    print("| table, seed | promised, tested before | promised, tested now | by value | taken before | now |")
    print("|---|---|---|---|---|---|")
    rows = []
    for seed in asked.seeds:
        for table in asked.tables or there:
            before, now = measure(asked.folder, table, seed, machine)
            lost = [before.selected - before.tested, now.again - now.tested, now.selected - now.tested]
            rows.append([*lost, now.tested - before.tested, now.taken - before.taken])
            print(
                f"| {table}, {seed} | {before.selected:.2f} → {before.tested:.2f}: {lost[0]:.2f} "
                f"| {now.again:.2f} → {now.tested:.2f}: {lost[1]:.2f} | {lost[2]:.2f} "
                f"| {before.taken:.2f} | {now.taken:.2f} |",
                flush=True,
            )
    old, new, value, eight, taken = np.mean(rows, axis=0)
    print(f"\nshrinkage {old:.2f} before, {new:.2f} now: {new / old:.2f} of it")
    print(f"by the trials' own values {value:.2f}: {value / old:.2f} of it")
    print(f"test scores: the eight {eight:+.2f} points, the one that is taken {taken:+.2f}")


if __name__ == "__main__":
    main()
