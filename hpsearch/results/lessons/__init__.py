"""What a study taught: which hyper-parameters matter, which way, how they interact, and its answer.

Numbers first, as plain values and frames; `blocks` has them as tables of text.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.results.frames import Report
from hpsearch.results.lessons.additive import Basis, basis_of, factors, fit
from hpsearch.results.lessons.effects import (
    Importance,
    Interaction,
    Isolation,
    importances,
    interactions,
    isolations,
)
from hpsearch.results.lessons.roles import Verdict, verdicts


@dataclass(frozen=True)
class Lessons:
    """What a study taught.

    basis: the trials and values behind importances, medians and interactions. importances: the largest first.
    isolations: in the study file's order. interactions: the clear ones, often none. verdicts: on scientific
    hyper-parameters.
    """

    basis: Basis
    importances: tuple[Importance, ...]
    isolations: tuple[Isolation, ...]
    interactions: tuple[Interaction, ...]
    verdicts: tuple[Verdict, ...]


def lessons(report: Report) -> Lessons:
    """What the trials of a report teach, the same each time; empty where nothing is searched."""
    basis = basis_of(report)
    every = factors(report)
    model = fit(factors(report, basis.rows), basis.scores)
    seed = int(report.record.document["study"]["seed"])
    return Lessons(
        basis,
        importances(model, report.parameters, len(basis), seed),
        isolations(report, every, basis),
        interactions(model, report, every, basis),
        verdicts(report, every),
    )


__all__ = [
    "Basis",
    "Importance",
    "Interaction",
    "Isolation",
    "Lessons",
    "Verdict",
    "basis_of",
    "lessons",
]
