"""Samplers against each other on landscapes: how good their points are, and what asking for them costs.

`python -m benchmarks.samplers --seeds 10 --tasks 12 --long` does more of it than `make bench` and prints it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import asking, rules
from benchmarks.landscapes import TABLES, landscape, names
from benchmarks.measure import NONE, Part, Row, installed
from benchmarks.quality import STOCK, run
from benchmarks.standing import Scores, critical_difference, interval, ranks, spread
from hpsearch.records import FloatArray

BUDGETS = (64, 256, 1024)
SEEDS, TASKS = 2, 6
"""In `make bench`, which has three minutes for it."""

HOW = """\
Whole searches without training: what a trial comes out as is looked up in complete tables of trained
configurations (HPOBench's networks, FCNet's of HPOLib, NAS-Bench-201) or comes from YAHPO's surrogate of
LCBench. {landscapes} landscapes, {seeds} seeds of the study each, no stopping. The regret left is how far the
best trial so far is from the best there is, where the median of random points is 1; its mean, with 95 %
intervals (bootstrap over landscapes and seeds). The area is the mean regret left over all trials of the
budget. Rank: the mean over landscapes, 1 is the best of {methods}; two differ where their ranks are more
than {difference:.1f} apart (Nemenyi, 5 %).

{table}"""


@dataclass(frozen=True)
class Method:
    """A sampler that is asked for `cohort` trials at once, up to a number of trials."""

    sampler: str
    cohort: int
    trials: int = BUDGETS[-1]

    def __str__(self) -> str:
        return f"{self.sampler}, {'one by one' if self.cohort == 1 else f'cohorts of {self.cohort}'}"


DEFAULT, SEQUENTIAL = Method("tpe", 64), Method(STOCK, 1, 256)

QUICK = [
    *(Method(name, 64) for name in ("random", "qmc", "cmaes", "nsga2")),
    Method("tpe", 8),
    DEFAULT,
    Method("gp", 64, 256),
    SEQUENTIAL,
    Method(STOCK, 64, 256),
]

LONG = [
    *(Method(name, cohort) for name in ("random", "qmc") for cohort in (64,)),
    *(Method(name, cohort) for name in ("tpe", "cmaes", "nsga2") for cohort in (1, 8, 64)),
    *(Method("gp", cohort, trials) for cohort, trials in ((1, 64), (8, 256), (64, 1024))),
    *(Method(STOCK, cohort) for cohort in (1, 8, 64)),
]
"""What takes an hour on two cores."""


def compare(methods: Sequence[Method], tasks: int, seeds: int) -> dict[Method, Scores]:
    """Of each method the regret left and the area, [landscapes, seeds] by budget."""
    where = names(tasks)
    jobs = [(method, name, seed) for method in methods for name in where for seed in range(seeds)]
    found = np.array(spread(_search, jobs)).reshape(len(methods), len(where), seeds, 2, len(BUDGETS))
    return {
        method: {b: found[at, :, :, :, i] for i, b in enumerate(BUDGETS) if b <= method.trials}
        for at, method in enumerate(methods)
    }


def _search(method: Method, name: str, seed: int) -> FloatArray:
    """[2, budgets] regret left and area."""
    regret = run(method.sampler, landscape(name), seed, method.trials, method.cohort).regret
    left = [(regret[b - 1], regret[:b].mean()) if b <= method.trials else (np.nan, np.nan) for b in BUDGETS]
    return np.array(left).T


def table(scores: dict[Method, Scores]) -> str:
    """Markdown: a row a method, and of each budget regret left, area and rank."""
    budgets = sorted({budget for known in scores.values() for budget in known})
    lines = ["| sampler |" + "".join(f" left after {b:,} | area | rank |" for b in budgets)]
    lines.append("|---|" + "---|" * (3 * len(budgets)))
    ranked = {b: ranks({m: known[b][..., 0] for m, known in scores.items() if b in known}) for b in budgets}
    for method, known in scores.items():
        cells = ""
        for b in budgets:
            if b in known:
                left, area = known[b][..., 0], known[b][..., 1].mean()
                cells += f" {interval(left)} | {area:.3f} | {ranked[b][method]:.1f} |"
            else:
                cells += f" {NONE} |" * 3
        lines.append(f"| {method} |{cells}")
    return "\n".join(lines)


def quality(methods: Sequence[Method], tasks: int, seeds: int) -> Part:
    """The default sampler against Optuna's, and the table of all."""
    scores = compare(methods, tasks, seeds)
    rows = []
    others = [m for m in scores if m.sampler == STOCK and m.cohort in (1, 64)]
    for ours in (m for m in scores if m.sampler == "tpe"):
        for other in others:
            b = max(set(scores[ours]) & set(scores[other]))
            rows.append(
                Row(
                    f"regret left after {b:,} trials, {ours}",
                    interval(scores[ours][b][..., 0]),
                    str(other),
                    interval(scores[other][b][..., 0]),
                )
            )
    places = len(names(tasks))
    how = HOW.format(
        landscapes=places,
        seeds=seeds,
        methods=len(methods),
        difference=critical_difference(len(methods), places),
        table=table(scores),
    )
    return Part("Samplers", rows, how)


def samplers() -> Part:
    """How good the points are, what asking costs, and which stopping rule, as much as three minutes allow."""
    title = "Samplers and stopping rules without training"
    if not TABLES.is_dir():
        return Part(title, [Row("samplers on landscapes", "not measured: the tables are not here")], "")
    parts = [quality(QUICK, TASKS if installed("onnxruntime") else 0, SEEDS), asking.asking()]
    if installed("onnxruntime"):
        parts.append(rules.rules(TASKS, SEEDS))
    else:
        rows = [Row("stopping rules on LCBench's curves", "not measured: onnxruntime is not installed")]
        parts.append(Part("Stopping rules", rows, ""))
    rows = [row for part in parts for row in part.rows]
    return Part(title, rows, "\n\n".join(part.how.strip("\n") for part in parts))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samplers")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=12, help="of LCBench's 34, beside the six tables")
    parser.add_argument("--long", action="store_true", help="every sampler in cohorts of 1, 8 and 64")
    given = parser.parse_args()
    for part in (
        quality(LONG if given.long else QUICK, given.tasks, given.seeds),
        rules.rules(given.tasks, given.seeds),
    ):
        print(part.how, flush=True)


if __name__ == "__main__":
    main()
