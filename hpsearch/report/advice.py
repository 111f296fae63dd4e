"""Where the best trials lie in the space: one sentence a searched hyper-parameter."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from hpsearch.errors import plural
from hpsearch.records import Curves
from hpsearch.report.frames import PARAM, Report, space_of
from hpsearch.report.layers import MANY_DEAD, REMEDIES
from hpsearch.report.text import is_share, metric_text, parameter_text, significant, toml_value
from hpsearch.study.hyperparameters import HYPER_PARAMETERS
from hpsearch.study.space import Choice, Range

_BEST = 10
_ENOUGH = 20
_MOST_LINES = 5
_FEW_DEAD = 3
"""Trials on either side of which nothing is said."""
_EDGE = 0.1
"""The share of a range, at each end, that counts as its edge."""


def advice_lines(report: Report) -> list[str]:
    """Sentences about the best ten trials, those at the edge of a range first.

    Of fewer than 20 complete trials ten would be no choice.
    """
    dead = dead_units_lines(report)
    searched = space_of(report.record).searched
    if not searched:
        return [*dead, *_spread_lines(report)]
    if len(report.ranked) < _ENOUGH:
        return [*dead, _too_few(report)]
    best = report.ranked.head(_BEST)
    at_edge: list[str] = []
    others: list[str] = []
    for name, entry in searched.items():
        values = best[PARAM + name].dropna().tolist()
        if not values:  # of no use to any of them
            continue
        if isinstance(entry, Choice):
            others.append(_choice_line(name, values))
            continue
        edge = _edge(entry, values)
        (at_edge if edge else others).append(_range_line(name, entry, values, edge))
    return [*dead, *at_edge, *others][:_MOST_LINES]


def _too_few(report: Report) -> str:
    """What to do for an answer: as many trials as make enough complete ones, at the share so far."""
    complete, trials = len(report.ranked), len(report.trials)
    few = f"{plural(complete, 'complete trial')} {'is' if complete == 1 else 'are'} too few"
    line = f"{few} to say where the best values lie; {_ENOUGH} are needed"
    if not complete:
        return f"{line}."
    more = -(-trials * _ENOUGH // complete)
    return f"{line}, which about --trials {-(-more // 10) * 10} would bring."


def _spread_lines(report: Report) -> list[str]:
    """How far apart trials end that differ by their initial weights alone."""
    values = report.ranked["value"]
    if len(values) < _FEW_DEAD:
        return []
    metric = report.record.metric
    mean, low, high = (metric_text(metric, each) for each in (values.mean(), values.min(), values.max()))
    sd = 100 * values.std() if is_share(metric) else values.std()
    spread = f"{sd:.2f} points" if is_share(metric) else significant(sd, 3)
    return [
        f"{plural(len(values), 'trial')} that differ by their initial weights alone: {metric} {mean} on "
        f"average, standard deviation {spread}, from {low} to {high}."
    ]


def dead_units_lines(report: Report) -> list[str]:
    """Whether dead units explain bad trials: those with many of them are worse than the others.

    Compared by the rank-sum test (Mann & Whitney 1947), one-sided at 1 %, so that it is rarely said in vain.
    """
    curves = Curves.join(report.curves)
    judged = report.trials[report.trials["value"].notna()]
    many = judged["trial"].isin(curves.numbers[curves.last_dead() >= MANY_DEAD])
    dead, alive = judged["value"][many], judged["value"][~many]
    if len(dead) < _FEW_DEAD or len(alive) < _FEW_DEAD:
        return []
    from scipy.stats import mannwhitneyu  # 0.3 s for those who need it

    maximize = report.record.direction == "maximize"
    if mannwhitneyu(dead, alive, alternative="less" if maximize else "greater").pvalue > 0.01:
        return []
    metric = report.record.metric
    values = (metric_text(metric, group.median()) for group in (dead, alive))
    return [
        f"dead units: {len(dead)} of {len(judged)} trials ended with half of a layer's units or more at 0 on "
        f"the whole validation part; their median {metric} is {' against '.join(values)}; {REMEDIES}."
    ]


def _choice_line(name: str, values: list[Any]) -> str:
    counts = ", ".join(f"{count} × {parameter_text(value)}" for value, count in Counter(values).most_common())
    ten = "ten" if len(values) == _BEST else f"ten, where it matters ({len(values)}),"
    return f"{name}: the best {ten} have {counts}."


def _edge(entry: Range, values: list[float]) -> str | None:
    """ "low" or "high" when half of the values lie in that edge of the range."""
    places = [(_scaled(entry, v) - _scaled(entry, entry.low)) / _span(entry) for v in values]
    if sum(place <= _EDGE for place in places) * 2 >= len(places):
        return "low"
    if sum(place >= 1 - _EDGE for place in places) * 2 >= len(places):
        return "high"
    return None


def _range_line(name: str, entry: Range, values: list[float], edge: str | None) -> str:
    lie = f"{name}: the best ten lie in {min(values):.2g}…{max(values):.2g}"
    if edge is None:
        touched = [end for end, bound in (("low", entry.low), ("high", entry.high)) if bound in values]
        return f"{lie}, most of them inside the range." if touched else f"{lie}, inside the range."
    wider = _wider(name, entry, edge)
    if wider is None:
        return f"{lie}, at the {edge} edge, which is as far as it goes."
    return f"{lie}, at the {edge} edge; try {name} = {toml_value(wider.document())}"


def _wider(name: str, entry: Range, edge: str) -> Range | None:
    """The range with one edge moved out: a decade if log, half its size if not; None at the last value."""
    outward = -1 if edge == "low" else 1
    bound = entry.low if edge == "low" else entry.high
    half = (entry.high - entry.low) / 2
    if entry.step:
        half = max(1, round(half / entry.step)) * entry.step
    moved = bound * 10.0**outward if entry.log else bound + outward * half
    moved = round(moved) if entry.integer else float(f"{moved:.6g}")
    parameter = HYPER_PARAMETERS[name]
    excluded = parameter.above if edge == "low" else parameter.below
    if excluded is not None and (moved - excluded) * outward >= 0:
        moved = (bound + excluded) / 2
    if parameter.low is not None:
        moved = max(moved, parameter.low)
    if parameter.high is not None:
        moved = min(moved, parameter.high)
    if moved == bound:
        return None
    low, high = (moved, entry.high) if edge == "low" else (entry.low, moved)
    return Range(low, high, entry.log, entry.step, entry.integer)


def _scaled(entry: Range, value: float) -> float:
    return math.log(value) if entry.log else value


def _span(entry: Range) -> float:
    return _scaled(entry, entry.high) - _scaled(entry, entry.low)
