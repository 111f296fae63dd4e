"""The forest plot of a confirmation: each finalist's mean with its interval, and what it had promised."""

from __future__ import annotations

import numpy as np

from hpsearch.reporting.charts.spec import Chart, Spec, domain_of, metric_axis, tip_format, values
from hpsearch.reporting.finalists import rank_text
from hpsearch.reporting.theme import var
from hpsearch.results.confirmation import Confirmation, confirmed_frame
from hpsearch.text import interval_text, metric_text

CONFIRMED = "confirmed"
_LINE, _MARGINS = 30, 10


def confirmed_chart(c: Confirmation) -> Chart | None:
    """One line a finalist, best first; None if every one diverged too often for a mean."""
    frame = confirmed_frame(c).dropna(subset=["mean"])
    if frame.empty:
        return None
    scores = {each.trial: each.scores for each in c.finalists}
    rows, seeds, parts = [], [], []
    for row in frame.to_dict("records"):
        name = f"{rank_text(row['rank_low'], row['rank_high'])}   #{row['trial']}"
        rows.append({"s": name, **{key: row[key] for key in ("mean", "low", "high", "selected")}})
        seeds += [{"s": name, "v": value} for value in scores[row["trial"]]]
        interval = interval_text(c.metric, row["low"], row["high"])
        parts.append(f"trial {row['trial']} {metric_text(c.metric, row['mean'])} ({interval})")
    shown = np.array([value for row in rows for key, value in row.items() if key != "s"], dtype=np.float64)
    domain = domain_of(np.concatenate([shown, [each["v"] for each in seeds]]))
    names = [row["s"] for row in rows]
    kinds = (f"{c.part}, mean with 95 % interval", f"{c.part}, each seed", "validation, when selected")
    return Chart(
        CONFIRMED,
        "Confirmed ranking",
        f"{c.part} {c.metric} on {c.seeds} fresh seeds with 95 % intervals: {', '.join(parts)}.",
        {
            "data": values(rows),
            "encoding": {
                "y": {
                    "field": "s",
                    "type": "nominal",
                    "sort": names,
                    "title": "rank and trial",
                    "axis": {"ticks": False, "domain": False},
                },
                "x": {
                    "type": "quantitative",
                    "field": "mean",
                    "scale": {"domain": list(domain), "zero": False, "nice": False},
                    "axis": metric_axis(c.metric, domain),
                },
            },
            "layer": [*_layers(c.metric, kinds, seeds)],
        },
        _MARGINS + _LINE * len(rows),
    )


def _layers(metric: str, kinds: tuple[str, str, str], seeds: list[Spec]) -> list[Spec]:
    mean, seed, promised = kinds
    form = tip_format(metric)
    legend = {"domain": list(kinds), "range": [var("c0"), var("faint"), var("c1")]}
    tips = [("mean", "mean"), ("low", "95 % from"), ("high", "to"), ("selected", "selected at")]
    tooltip = [
        {"field": "s", "type": "nominal", "title": "rank and trial"},
        *({"field": f, "type": "quantitative", "title": title, "format": form} for f, title in tips),
    ]

    def kind(name: str) -> Spec:
        return {"datum": name, "type": "nominal", "scale": legend}

    return [
        {
            "data": values(seeds),
            "mark": {"type": "tick", "thickness": 1.5, "size": 12, "opacity": 0.9},
            "encoding": {"x": {"field": "v", "type": "quantitative"}, "color": kind(seed)},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": {
                "x": {"field": "low", "type": "quantitative"},
                "x2": {"field": "high"},
                "color": kind(mean),
                "tooltip": tooltip,
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
            "encoding": {"color": kind(mean), "tooltip": tooltip},
        },
        {
            "mark": {"type": "point", "filled": False, "size": 70, "shape": "diamond", "opacity": 1},
            "encoding": {
                "x": {"field": "selected", "type": "quantitative"},
                "color": kind(promised),
                "tooltip": tooltip,
            },
        },
    ]
