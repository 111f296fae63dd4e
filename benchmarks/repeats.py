"""Do verdicts survive another study seed? `python -m benchmarks.repeats PART [FOLDER]`.

correction: how often two learners that are equally good on average over data sets are told apart on one of
them, with the interval for splits that overlap and with the plain one. Seconds.

twins: how often arms of widths 24 and 25 are told apart, on small tables. A quarter of an hour.

guide: the studies of studies/guide: how often each has its most frequent verdict. Half an hour.

Repeats of a study are independent given its table, and a study of another seed has other ones. So a study of
each part is repeated many times, and each run of REPEATS of them is what a study of another seed finds. They
are stored in FOLDER (build/repeats by default): stopped, the same command goes on.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from statsmodels.stats.proportion import proportion_confint

import hpsearch
from hpsearch.defaults import REPEATS
from hpsearch.records import FloatArray
from hpsearch.results.contrast import Contrast
from hpsearch.stats import EQUAL, difference

ROOT = Path(__file__).parents[1]
TABLES = ("iris", "wine", "breast_cancer", "digits", "diabetes", "xor", "paws", "penguins")
GROUPS, GUIDE_GROUPS = 25, 2
"""Studies of other seeds, of each table and of each study of the guide."""

_DRAWN = 2_000
"""Sets of REPEATS that are drawn from all repeats of a study of the guide."""

_TWINS = """
[study]
name = "twins-{name}"
[data]
source = "{source}"
{target}
[space]
width = [24, 25]
learning_rate = {{ low = {low}, high = {high}, log = true }}
momentum = 0.9
batch_size = 16
depth = 2
[train]
epochs = 9
[search]
sampler = "random"
trials = 16
stopping = "none"
[compare]
by = "width"
baseline = 24
"""


def repeated(path: Path, storage: str, count: int) -> Contrast:
    """The comparison of a study over so many repeats."""
    study = hpsearch.load_study(path, [f"compare.repeats={count}"])
    found = hpsearch.run(study, storage=storage, workers=1, confirm=False).numbers.comparison
    assert found is not None
    assert found.repeated is not None
    return found.repeated


def part_of(over: Contrast, chosen: FloatArray | range) -> Contrast:
    """Some of the repeats."""
    arms = tuple(replace(arm, scores=arm.scores[np.asarray(chosen)]) for arm in over.arms)
    return replace(over, arms=arms, seeds=len(chosen))


def studies(over: Contrast) -> Iterator[Contrast]:
    """Those that studies of other seeds would have."""
    for first in range(0, over.seeds - REPEATS + 1, REPEATS):
        yield part_of(over, range(first, first + REPEATS))


def rate(count: int, total: int) -> str:
    """ "7 of 200 (3.5 %, 1.4 … 7.1)"."""
    low, high = proportion_confint(count, total, method="beta")
    return f"{count} of {total} ({100 * count / total:.1f} %, {100 * low:.1f} … {100 * high:.1f})"


def twins(folder: Path) -> None:
    """Arms that are next to identical."""
    told, plain, all_of = 0, 0, 0
    for name in TABLES:
        numbers = name in ("diabetes", "penguins")
        table = name == "penguins"
        text = _TWINS.format(
            name=name,
            source=ROOT / "studies/data/penguins.csv" if table else name,
            target='target = "body_mass_g"' if table else "",
            low=1e-3 if numbers else 1e-2,
            high=0.1 if numbers else 1.0,
        )
        path = folder / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        over = repeated(path, f"sqlite:///{folder / 'twins.db'}", GROUPS * REPEATS)
        found = list(studies(over))
        apart = sum(each.finding != EQUAL for each in found)
        t = sum(plain_p(each) < 0.05 for each in found)
        print(
            f"{name}: told apart {rate(apart, len(found))}; by a plain t-test {rate(t, len(found))}",
            flush=True,
        )
        told, plain, all_of = told + apart, plain + t, all_of + len(found)
    print(f"all: told apart {rate(told, all_of)}; by a plain t-test {rate(plain, all_of)}")


def plain_p(over: Contrast) -> float:
    """As if the repeats' rows did not overlap."""
    found = difference(over.baseline.scores, over.arms[-1].scores, over.maximize, paired=True)
    return 1.0 if found is None else found.p


def guide(folder: Path) -> None:
    """The guide's verdicts under other study seeds."""
    random = np.random.default_rng(0)
    for path in sorted((ROOT / "studies/guide").glob("*.toml")):
        over = repeated(path, f"sqlite:///{folder / 'guide.db'}", GUIDE_GROUPS * REPEATS)
        drawn = [part_of(over, random.choice(over.seeds, REPEATS, replace=False)) for _ in range(_DRAWN)]
        for place, arm in enumerate(over.arms):
            if place == over.base:
                continue
            whole = over.differences[place]
            assert whole is not None
            apart = Counter(verdict(each, place) for each in studies(over))
            often = ", ".join(
                f"{said} {100 * n / _DRAWN:.1f} %"
                for said, n in Counter(verdict(each, place) for each in drawn).most_common()
            )
            size = f"{path.stem}: {arm.name} {whole.mean:+.4f}, sd {whole.sd:.4f}"
            print(f"{size}: {dict(apart)}; drawn: {often}", flush=True)


def verdict(over: Contrast, place: int) -> str:
    """On one of the arms."""
    found = over.differences[place]
    return "not compared" if found is None else found.verdict


def correction(_: Path) -> None:
    """Learners of equal worth: each sees half of the features, which tell equally much of the target."""
    random = np.random.default_rng(0)
    for rows, test in ((300, 0.2), (300, 0.4), (1_000, 0.2), (1_000, 0.4)):
        told = np.zeros(2, int)
        total = 1_000
        for _data_set in range(total):
            base, arm = equal_learners(random, rows, round(test * rows))
            for at, overlap in enumerate((test / (1 - test), 0.0)):
                found = difference(base, arm, True, paired=True, overlap=overlap)
                told[at] += found is not None and found.p < 0.05
        share = f"{100 * test:.0f} % of {rows:,} rows scored"
        print(
            f"{share}: told apart {rate(told[0], total)}; by a plain t-test {rate(told[1], total)}",
            flush=True,
        )


def equal_learners(random: np.random.Generator, rows: int, test: int) -> tuple[FloatArray, FloatArray]:
    """[repeats] accuracies of least squares on either half of the features of one new table."""
    x = random.standard_normal((rows, 2, 8))
    y = np.where(x.sum((1, 2)) + 3 * random.standard_normal(rows) > 0, 1.0, -1.0)
    scores = np.empty((2, REPEATS))
    for at in range(REPEATS):
        order = random.permutation(rows)
        kept, trained = order[:test], order[test:]
        for half in range(2):
            weights = np.linalg.lstsq(x[trained, half], y[trained], rcond=None)[0]
            scores[half, at] = np.mean((x[kept, half] @ weights > 0) == (y[kept] > 0))
    return scores[0], scores[1]


PARTS = {part.__name__: part for part in (correction, twins, guide)}


def main(part: str = "", folder: str = "build/repeats") -> None:
    """One of the parts."""
    if part not in PARTS:
        sys.exit(f"expected one of {', '.join(PARTS)}; found {part or 'nothing'}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    PARTS[part](Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
