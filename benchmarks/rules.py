"""Stopping rules against each other, at equal numbers of trained epochs, on the curves of LCBench."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.landscapes import EPOCHS, lcbench, task_names
from benchmarks.measure import Part, Row
from benchmarks.quality import search, study_of
from benchmarks.standing import critical_difference, interval, ranks, spread
from hpsearch.records import FloatArray
from hpsearch.search.sampler import make_draw

WHOLE = (16, 64, 256)
"""Budgets: epochs of so many whole trials."""

HOW = """\
Stopping: the slots of the default study (`tpe`, cohorts of 64) filled as `hpsearch run` fills them, with
the curves of {landscapes} tasks of LCBench, {seeds} seeds each; the regret left when as many epochs are
trained as so many whole trials of {epochs} take. Ranks differ where more than {difference:.1f} apart.

{table}"""


@dataclass(frozen=True)
class Rule:
    """A stopping rule as a study file has it."""

    stopping: str
    factor: int = 3
    min_epochs: int | None = None

    def __str__(self) -> str:
        if self.stopping not in ("halving", "hyperband"):
            return self.stopping
        first = "" if self.min_epochs is None else f", min_epochs {self.min_epochs}"
        return f"{self.stopping}, factor {self.factor}{first}"


RULES = [
    Rule("none"),
    Rule("halving"),
    Rule("halving", 2),
    Rule("halving", 4),
    Rule("halving", 3, 2),
    Rule("hyperband"),
    Rule("median"),
    Rule("patience"),
]


def _search(rule: Rule, name: str, seed: int) -> FloatArray:
    """[budgets] regret left."""
    landscape = lcbench(name, whole=True)
    study = study_of(
        landscape,
        sampler="tpe",
        stopping=rule.stopping,
        factor=rule.factor,
        min_epochs=rule.min_epochs,
    )
    found = search(make_draw(study), landscape, study, seed, epochs=EPOCHS * WHOLE[-1])
    ends = np.searchsorted(found.epochs, EPOCHS * np.array(WHOLE), side="right") - 1
    left: FloatArray = found.regret[ends]
    return left


def rules(tasks: int, seeds: int) -> Part:
    """The rules' regret at equal epochs."""
    where = task_names(tasks)
    jobs = [(rule, name, seed) for rule in RULES for name in where for seed in range(seeds)]
    found = np.array(spread(_search, jobs)).reshape(len(RULES), len(where), seeds, len(WHOLE))
    ranked = [ranks(dict(zip(RULES, found[..., at], strict=True))) for at in range(len(WHOLE))]
    lines = ["| stopping |" + "".join(f" left after {EPOCHS} × {whole} epochs | rank |" for whole in WHOLE)]
    lines.append("|---|" + "---|---|" * len(WHOLE))
    for place, rule in enumerate(RULES):
        cells = (f" {interval(found[place, ..., at])} | {ranked[at][rule]:.1f} |" for at in range(len(WHOLE)))
        lines.append(f"| {rule} |{''.join(cells)}")
    middle = WHOLE.index(64)
    rows = [
        Row(
            f"regret left after {EPOCHS} × {WHOLE[middle]} epochs, tpe and halving",
            interval(found[1, ..., middle]),
            str(RULES[at]),
            interval(found[at, ..., middle]),
        )
        for at, rule in enumerate(RULES)
        if rule.stopping not in ("halving", "patience")
    ]
    difference = critical_difference(len(RULES), len(where))
    how = HOW.format(
        landscapes=len(where), seeds=seeds, epochs=EPOCHS, difference=difference, table="\n".join(lines)
    )
    return Part("Stopping rules", rows, how)
