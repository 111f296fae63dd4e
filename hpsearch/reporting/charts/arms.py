"""Curves of a comparison's arms: each at its own learning rate, and all at the same one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import State, valid_place
from hpsearch.reporting.charts.curves import HEIGHT, LOG_EPOCHS, WHOLE, epochs_axis, values_axis
from hpsearch.reporting.charts.spec import Chart, domain_of, layer, tip_format, tooltip, values, word
from hpsearch.reporting.comparison import trials_by_arm
from hpsearch.reporting.grids import thinned_epochs, valid_name
from hpsearch.reporting.theme import series
from hpsearch.results.contrast import Contrast
from hpsearch.results.frames import PARAM, Report
from hpsearch.text import listed, metric_text, missing, parameter_text

_RATE = "learning_rate"
_NEAR = math.log(1.5)
"""Learning rates that differ by less are called equal."""


def arm_charts(report: Report, c: Contrast) -> list[Chart]:
    """Each arm's best trial; and, where learning rates are tuned, trials of all arms at about the same one.

    At its own learning rate an arm shows what it is worth; at an equal one, what the hyper-parameter does.
    """
    tuned = {arm.name: arm.trial for arm in c.arms if arm.trial is not None}
    rates = _rates(report)
    own = {name: rates[trial] for name, trial in tuned.items() if trial in rates}
    found = [_chart(report, "arms", "Arms, each at its best", tuned, f"each arm's best trial{_at(own)}")]
    if own and _RATE not in c.by:
        slowest = min(own, key=lambda name: own[name])
        equal = _nearest(report, rates, own[slowest])
        there = {name: equal[name] for name in tuned if name in equal}
        left = [name for name in tuned if name not in there]
        without = f"; {listed(left)} has no trial near it" if left else ""
        at = _at({name: rates[trial] for name, trial in there.items()})
        note = f"trials near the {_RATE} that is best for {slowest}{at}{without}"
        if len(there) > 1:
            found.append(_chart(report, "arms-equal", "Arms at an equal learning rate", there, note))
    return [chart for chart in found if chart is not None]


def _at(rates: Mapping[str, float]) -> str:
    """ ": learning_rate 0.1 of relu, 0.2 of tanh"."""
    parts = [f"{parameter_text(rate)} of {name}" for name, rate in rates.items()]
    return f": {_RATE} {', '.join(parts)}" if parts else ""


def _rates(report: Report) -> dict[int, float]:
    """The learning rates of complete trials that have curves, where these are searched."""
    if PARAM + _RATE not in report.trials:
        return {}
    complete = report.trials[report.trials["state"] == str(State.COMPLETE)]
    pairs = zip(complete["trial"].tolist(), complete[PARAM + _RATE].tolist(), strict=True)
    return {int(n): float(rate) for n, rate in pairs if not missing(rate) and int(n) in report.curves}


def _nearest(report: Report, rates: Mapping[int, float], wanted: float) -> dict[str, int]:
    """Of each arm the trial whose learning rate is nearest to the wanted one, if it is near."""
    best = dict[str, int]()
    for name, numbers in trials_by_arm(report).items():
        near = {n: abs(math.log(rates[n] / wanted)) for n in numbers if n in rates}
        if near and min(near.values()) <= _NEAR:
            best[name] = min(near, key=lambda n: near[n])
    return best


def _chart(
    report: Report,
    name: str,
    title: str,
    trials: Mapping[str, int],
    note: str,
) -> Chart | None:
    """The curves of some trials by the names of their arms."""
    metric, place = report.record.metric, valid_place(report.record.metric)
    curves = {arm: report.curves[n][:, place] for arm, n in trials.items() if n in report.curves}
    shown = np.concatenate([np.empty(0), *curves.values()])
    if not np.isfinite(shown).any():
        return None
    rows = [
        {"s": arm, "t": trials[arm], "e": epoch, "v": curve[epoch - 1]}
        for arm, curve in curves.items()
        for epoch in thinned_epochs(len(curve), WHOLE)
    ]
    domain = domain_of(shown, (0.05, 1.0) if report.record.direction == "maximize" else (0.0, 0.95))
    last = max(map(len, curves.values()))
    scale = {"domain": list(curves), "range": [series(at) for at in range(len(curves))]}
    colour = word("s", scale=scale, legend={"symbolType": "stroke", "columns": 1})
    tips = tooltip(
        ("s", "arm", ""),
        ("t", "trial", "d"),
        ("e", "epoch", "d"),
        ("v", valid_name(report), tip_format(metric)),
    )
    ends = ", ".join(f"{arm} {metric_text(metric, curve[-1])}" for arm, curve in curves.items())
    return Chart(
        name,
        title,
        f"{valid_name(report)} over {plural(last, 'epoch')}; in the end {ends}.",
        {
            "data": values(rows),
            "encoding": {
                "x": epochs_axis(last),
                "y": values_axis(valid_name(report), metric, domain),
                "color": colour,
            },
            "layer": [
                layer({"type": "line", "clip": True, "strokeWidth": 2}),
                layer(
                    {"type": "point", "filled": True, "size": 30, "opacity": 0, "clip": True}, tooltip=tips
                ),
            ],
        },
        HEIGHT,
        note=f"{note[0].upper()}{note[1:]}.",
        switches=(LOG_EPOCHS,),
    )
