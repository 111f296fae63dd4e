"""What could be better about a study: evidence in numbers, and a remedy to paste into its file.

A detector is a function of the evidence that yields what it finds; to add one, add it to `_DETECTORS`.
"""

from __future__ import annotations

from typing import NamedTuple

from hpsearch.results.advice.evidence import (
    FEWER_EPOCHS,
    NO_BETTER_THAN_A_GUESS,
    Advice,
    Evidence,
    remedy_command,
)
from hpsearch.results.advice.space import edges, too_wide, unvisited
from hpsearch.results.advice.training import (
    dead_units,
    divergence,
    fewer_epochs,
    imbalance,
    more_epochs,
    overfitting,
    saturation,
    too_few_trials,
)
from hpsearch.results.frames import Report

__all__ = ["Advice", "Advised", "advice", "advised", "remedy_command"]

_MOST = 5
_DETECTORS = (
    imbalance,
    divergence,
    edges,
    more_epochs,
    dead_units,
    saturation,
    overfitting,
    too_few_trials,
    unvisited,
    too_wide,
    fewer_epochs,
)


_CONCERNS = {
    "dead units": {"activation", "init", "init_scale"},
    "saturation": {"activation", "init", "init_scale", "batch_norm"},
    "overfitting": {"weight_decay", "dropout", "depth", "width", "hidden"},
    "too wide": set(),
    FEWER_EPOCHS: set(),
}
"""Of kinds of advice that change no answer, the hyper-parameters whose questions they belong to."""


def advice(report: Report) -> list[Advice]:
    """At most five, the strongest first; none for a study that is fine."""
    return _advice(Evidence(report))


class Advised(NamedTuple):
    """What should be done.

    found: the advice, the strongest first. command: tries the first remedy that is a setting rather than a
    command.
    """

    found: list[Advice]
    command: str | None


def advised(report: Report) -> Advised:
    """The advice, and a command that tries it."""
    found = advice(report)
    settings = (each.remedy for each in found if each.written != each.remedy)
    return Advised(found, remedy_command(report, next(settings, None)))


def _advice(evidence: Evidence) -> list[Advice]:
    """Of a study that asks a question, what concerns its answer alone."""
    found = [each for detector in _DETECTORS for each in detector(evidence)]
    if any(each.kind == NO_BETTER_THAN_A_GUESS for each in found):
        found = [each for each in found if each.kind != FEWER_EPOCHS]
    if evidence.asked:
        found = [
            each for each in found if each.kind not in _CONCERNS or _CONCERNS[each.kind] & evidence.asked
        ]
    return sorted(found, key=lambda each: -each.strength)[:_MOST]
