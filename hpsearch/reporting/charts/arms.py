"""A comparison: each arm's scores by seed, and its difference to the baseline."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.errors import plural
from hpsearch.reporting.charts.spec import Chart, Spec, domain_of, metric_axis, tip_format, values
from hpsearch.reporting.comparison import comparison_grid, conclusion
from hpsearch.reporting.theme import var
from hpsearch.results.contrast import Contrast
from hpsearch.stats import BETTER, EQUAL, UNCLEAR, WORSE
from hpsearch.text import is_share, plain

COMPARISON, DIFFERENCES = "comparison", "comparison-differences"
_LINE, _MARGINS = 42, 10


def comparison_charts(c: Contrast) -> list[Chart]:
    """Scores with means and intervals; and differences to the baseline, where there are any."""
    names = [row[0] for row in comparison_grid(c).rows]
    height = _MARGINS + _LINE * len(names)
    y = {
        "field": "s",
        "type": "nominal",
        "sort": names,
        "title": None,
        "axis": {"ticks": False, "domain": False},
    }
    charts = []
    if any(len(arm.scores) for arm in c.arms):
        charts.append(_scores(c, names, y, height))
    if c.compared:
        charts.append(_differences(c, names, y, height))
    return charts


def _scores(c: Contrast, names: list[str], y: Spec, height: int) -> Chart:
    means, seeds = [], []
    for name, arm in zip(names, c.arms, strict=True):
        seeds += [{"s": name, "v": value} for value in arm.scores]
        if arm.estimate is not None:
            found = arm.estimate
            means.append({"s": name, "mean": found.mean, "lo": found.low, "hi": found.high})
    domain = domain_of(np.concatenate([arm.scores for arm in c.arms]))
    tips = [("mean", "mean"), ("lo", "95 % from"), ("hi", "to")]
    tooltip = _tooltip(tips, tip_format(c.metric), "arm")
    return Chart(
        COMPARISON,
        f"Comparison: {plain(c.subject)}",
        conclusion(c),
        {
            "data": values(means),
            "encoding": {
                "y": y,
                "x": {
                    "type": "quantitative",
                    "field": "mean",
                    "scale": {"domain": list(domain), "zero": False, "nice": False},
                    "axis": metric_axis(c.metric, domain, title=f"{c.part} {c.metric}"),
                },
            },
            "layer": [
                {
                    "data": values(seeds),
                    "mark": {
                        "type": "tick",
                        "thickness": 1.5,
                        "size": 16,
                        "color": var("faint"),
                        "opacity": 0.9,
                    },
                    "encoding": {"x": {"field": "v", "type": "quantitative"}},
                },
                *_estimates({"color": {"value": var("c0")}}, tooltip),
            ],
        },
        height,
        note=f"{plural(c.seeds, 'seed')}, one tick each, with mean and 95 % interval.",
    )


def _differences(c: Contrast, names: list[str], y: Spec, height: int) -> Chart:
    shown = dict(zip((arm.name for arm in c.arms), names, strict=True))
    factor, unit = (100.0, "points") if is_share(c.metric) else (1.0, c.metric)
    rows: list[dict[str, Any]] = [
        {
            "s": shown[arm.name],
            "mean": factor * each.mean,
            "lo": None if each.low is None else factor * each.low,
            "hi": None if each.high is None else factor * each.high,
            "w": each.verdict,
        }
        for arm, each in c.compared
    ]
    verdicts = [BETTER, EQUAL, WORSE, UNCLEAR]
    colour = {
        "field": "w",
        "type": "nominal",
        "scale": {"domain": verdicts, "range": [var("c2"), var("faint"), var("c1"), var("c3")]},
        "legend": {"values": [word for word in verdicts if any(row["w"] == word for row in rows)]},
    }
    tips = [("mean", "difference"), ("lo", "from"), ("hi", "to")]
    tooltip = [*_tooltip(tips, ".3~g", "arm"), {"field": "w", "type": "nominal", "title": "verdict"}]
    baseline = plain(shown[c.baseline.name])
    return Chart(
        DIFFERENCES,
        f"Difference to {baseline}",
        conclusion(c),
        {
            "data": values(rows),
            "encoding": {
                "y": {**y, "scale": {"domain": names}},
                "x": {
                    "type": "quantitative",
                    "field": "mean",
                    "axis": {"title": f"{unit} against {baseline}", "format": "+~g"},
                },
            },
            "layer": [
                {
                    "data": {"values": [{}]},
                    "mark": {"type": "rule", "color": var("muted")},
                    "encoding": {"x": {"datum": 0}, "y": {"value": 0}, "y2": {"value": height}},
                },
                *_estimates({"color": colour}, tooltip),
            ],
        },
        height,
        note=f"{unit[0].upper()}{unit[1:]} against {baseline}; intervals hold for all comparisons together.",
    )


def _tooltip(tips: list[tuple[str, str]], form: str, name: str) -> list[Spec]:
    return [
        {"field": "s", "type": "nominal", "title": name},
        *({"field": f, "type": "quantitative", "title": title, "format": form} for f, title in tips),
    ]


def _estimates(colour: Spec, tooltip: list[Spec]) -> list[Spec]:
    """Mean and interval of each row: fields mean, lo, hi."""
    interval = {"x": {"field": "lo", "type": "quantitative"}, "x2": {"field": "hi"}}
    return [
        {"mark": {"type": "rule", "strokeWidth": 3}, "encoding": {**interval, **colour, "tooltip": tooltip}},
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
            "encoding": {**colour, "tooltip": tooltip},
        },
    ]
