"""What could be better about a study: evidence in numbers, and a remedy to paste into its file.

A detector is a function of the evidence that yields what it finds; to add one, add it to `_DETECTORS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hpsearch.results.advice.evidence import (
    FEWER_EPOCHS,
    NO_BETTER_THAN_A_GUESS,
    Advice,
    Evidence,
    remedy_command,
)
from hpsearch.results.advice.space import edges, places, spread_lines, too_few_to_say, too_wide, unvisited
from hpsearch.results.advice.training import (
    dead_units,
    divergence,
    fewer_epochs,
    imbalance,
    more_epochs,
    overfitting,
    saturation,
    too_few_trials,
    unstable,
)
from hpsearch.results.frames import Report

__all__ = ["Advice", "Advised", "advice", "advice_lines", "advised", "remedy_command"]

_MOST = 5
_SAY_WHERE = ("edge", "too wide")
"""Kinds of advice that say where the best values of a hyper-parameter lie."""
_DETECTORS = (
    imbalance,
    divergence,
    edges,
    more_epochs,
    dead_units,
    saturation,
    overfitting,
    too_few_trials,
    unstable,
    unvisited,
    too_wide,
    fewer_epochs,
)


def advice(report: Report) -> list[Advice]:
    """At most five, the strongest first; none for a study that is fine."""
    return _advice(Evidence(report))


def advice_lines(report: Report) -> list[str]:
    """The sentences of `advised`."""
    return advised(report).lines


class Advised(NamedTuple):
    """What should be done.

    found: the advice, the strongest first. lines: as sentences, "text; try remedy", at most five with what
    follows. command: tries the first remedy that is a setting rather than a command.
    """

    found: list[Advice]
    lines: list[str]
    command: str | None


def advised(report: Report) -> Advised:
    """The advice, as sentences too, and a command.

    If there is room, sentences about the best ten trials follow, for hyper-parameters not covered yet; of
    fewer than 20 trials ten would be no selection.
    """
    evidence = Evidence(report)
    found = _advice(evidence)
    settings = (each.remedy for each in found if each.written != each.remedy)
    return Advised(found, _lines(evidence, found)[:_MOST], remedy_command(report, next(settings, None)))


def _lines(evidence: Evidence, found: Sequence[Advice]) -> list[str]:
    lines = [each.text + (f"; try {each.written}" if each.remedy else ".") for each in found]
    if not evidence.study.space.searched:
        return [*lines, *spread_lines(evidence)]
    if not evidence.chosen:
        return [*lines, too_few_to_say(evidence)]
    told = {each.parameter for each in found if each.kind in _SAY_WHERE}
    return [*lines, *(line for name, line in places(evidence).items() if name not in told)]


def _advice(evidence: Evidence) -> list[Advice]:
    found = [each for detector in _DETECTORS for each in detector(evidence)]
    if any(each.kind == NO_BETTER_THAN_A_GUESS for each in found):
        found = [each for each in found if each.kind != FEWER_EPOCHS]
    return sorted(found, key=lambda each: -each.strength)[:_MOST]
