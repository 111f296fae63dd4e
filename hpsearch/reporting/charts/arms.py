"""A comparison: each arm's scores by seed, and its difference to the baseline."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.errors import plural
from hpsearch.reporting.charts.spec import (
    Chart,
    domain_of,
    layer,
    lines_axis,
    mean_layers,
    metric_axis,
    quantity,
    seed_layer,
    tip_format,
    tooltip,
    values,
    within,
    word,
)
from hpsearch.reporting.comparison import comparison_grid, conclusion
from hpsearch.reporting.theme import var
from hpsearch.results.contrast import Contrast
from hpsearch.stats import BETTER, EQUAL, UNCLEAR, WORSE
from hpsearch.text import is_share, plain

_LINE, _MARGINS = 42, 10


def comparison_charts(c: Contrast) -> list[Chart]:
    """Scores with means and intervals; and differences to the baseline, where there are any."""
    names = [row[0] for row in comparison_grid(c).rows]
    height = _MARGINS + _LINE * len(names)
    scored = any(len(arm.scores) for arm in c.arms)
    return [
        *([_scores(c, names, height)] if scored else []),
        *([_differences(c, names, height)] if c.compared else []),
    ]


def _scores(c: Contrast, names: list[str], height: int) -> Chart:
    means, seeds = [], []
    for name, arm in zip(names, c.arms, strict=True):
        seeds += [{"s": name, "v": value} for value in arm.scores]
        if arm.estimate is not None:
            found = arm.estimate
            means.append({"s": name, "mean": found.mean, "low": found.low, "high": found.high})
    domain = domain_of(np.concatenate([arm.scores for arm in c.arms]))
    form = tip_format(c.metric)
    tips = tooltip(("s", "arm", ""), ("mean", "mean", form), ("low", "95 % from", form), ("high", "to", form))
    axis = metric_axis(c.metric, domain, title=f"{c.part} {c.metric}")
    return Chart(
        "comparison",
        f"Comparison: {plain(c.subject)}",
        conclusion(c),
        {
            "data": values(means),
            "encoding": {
                "y": lines_axis("s", names),
                "x": quantity("mean", scale=within(domain, zero=False), axis=axis),
            },
            "layer": [
                seed_layer(seeds, 16, {"value": var("faint")}),
                *mean_layers({"value": var("c0")}, tips),
            ],
        },
        height,
        note=f"{plural(c.seeds, 'seed')}, one tick each, with mean and 95 % interval.",
    )


def _differences(c: Contrast, names: list[str], height: int) -> Chart:
    shown = dict(zip((arm.name for arm in c.arms), names, strict=True))
    factor, unit = (100.0, "points") if is_share(c.metric) else (1.0, c.metric)
    rows: list[dict[str, Any]] = [
        {
            "s": shown[arm.name],
            "mean": factor * each.mean,
            "low": None if each.low is None else factor * each.low,
            "high": None if each.high is None else factor * each.high,
            "w": each.verdict,
        }
        for arm, each in c.compared
    ]
    verdicts = [BETTER, EQUAL, WORSE, UNCLEAR]
    colour = word(
        "w",
        scale={"domain": verdicts, "range": [var("c2"), var("faint"), var("c1"), var("c3")]},
        legend={"values": [verdict for verdict in verdicts if any(row["w"] == verdict for row in rows)]},
    )
    tips = tooltip(
        ("s", "arm", ""),
        ("mean", "difference", ".3~g"),
        ("low", "from", ".3~g"),
        ("high", "to", ".3~g"),
        ("w", "verdict", ""),
    )
    baseline = plain(shown[c.baseline.name])
    zero = {"x": {"datum": 0}, "y": {"value": 0}, "y2": {"value": height}}
    axis = {"title": f"{unit} against {baseline}", "format": "+~g"}
    return Chart(
        "comparison-differences",
        f"Difference to {baseline}",
        conclusion(c),
        {
            "data": values(rows),
            "encoding": {
                "y": {**lines_axis("s", names), "scale": {"domain": names}},
                "x": quantity("mean", axis=axis),
            },
            "layer": [
                layer({"type": "rule", "color": var("muted")}, [{}], **zero),
                *mean_layers(colour, tips),
            ],
        },
        height,
        note=f"{unit[0].upper()}{unit[1:]} against {baseline}; intervals hold for all comparisons together.",
    )
