"""Where the best trials lie in the space: one sentence a searched hyper-parameter."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hpsearch.errors import plural
from hpsearch.records import FloatArray
from hpsearch.results.advice.evidence import BEST, ENOUGH, Evidence, counted
from hpsearch.results.advice.ranges import edge_of, span
from hpsearch.results.frames import PARAM
from hpsearch.study.space import Range
from hpsearch.text import is_share, metric_text, parameter_text, significant

_FEWEST_EQUAL = 3
"""A spread of fewer values would say nothing."""


def places(evidence: Evidence) -> dict[str, str]:
    """Sentences about the best ten, by hyper-parameter; of those that are of use to any of them."""
    found = {}
    for name, entry in evidence.study.space.searched.items():
        if isinstance(entry, Range):
            values = evidence.numbers(evidence.best, name)
            values = values[values == values]
            if len(values):
                found[name] = _range_line(evidence, name, entry, values)
        elif chosen := evidence.best[PARAM + name].dropna().tolist():
            found[name] = _choice_line(name, chosen)
    return found


def too_few_to_say(evidence: Evidence) -> str:
    """What to do for an answer: as many trials as make enough, at the share so far."""
    complete, judged, trials = len(evidence.report.ranked), len(evidence.judged), len(evidence.report.trials)
    needed, so_far = (BEST, complete) if judged >= ENOUGH else (ENOUGH, complete)
    few = f"{plural(complete, 'complete trial')} {'is' if complete == 1 else 'are'} too few"
    line = f"{few} to say where the best values lie; {needed} are needed"
    if not so_far:
        return f"{line}."
    more = -(-trials * needed // so_far)
    return f"{line}, which about --trials {-(-more // 10) * 10} would bring."


def spread_lines(evidence: Evidence) -> list[str]:
    """How far apart trials end that differ by their initial weights alone."""
    values = evidence.report.ranked["value"]
    if len(values) < _FEWEST_EQUAL:
        return []
    metric = evidence.metric
    mean, low, high = (metric_text(metric, each) for each in (values.mean(), values.min(), values.max()))
    sd = 100 * values.std() if is_share(metric) else values.std()
    spread = f"{sd:.2f} points" if is_share(metric) else significant(sd, 3)
    return [
        f"{plural(len(values), 'trial')} that differ by their initial weights alone: {metric} {mean} on "
        f"average, standard deviation {spread}, from {low} to {high}."
    ]


def _choice_line(name: str, values: list[Any]) -> str:
    counts = ", ".join(f"{count} × {parameter_text(value)}" for value, count in Counter(values).most_common())
    ten = "ten" if len(values) == BEST else f"ten, where it matters ({len(values)}),"
    return f"{name}: the best {ten} have {counts}."


def _range_line(evidence: Evidence, name: str, entry: Range, values: FloatArray) -> str:
    edge = edge_of(evidence, name)
    if edge is not None:
        return f"{name}: {edge.where}, which is as far as it goes."
    lie = f"{name}: the best {counted(len(values))} lie {span(entry, values)}"
    touched = values.min() == entry.low or values.max() == entry.high
    return f"{lie}, most of them inside the range." if touched else f"{lie}, inside the range."
