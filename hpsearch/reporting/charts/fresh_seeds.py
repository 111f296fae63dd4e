"""Charts of scores on fresh seeds: a confirmation's ranking and curves, a comparison's arms."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import valid_place
from hpsearch.reporting.charts.curves import HEIGHT, LOG_EPOCHS, WHOLE, epochs_axis, values_axis
from hpsearch.reporting.charts.spec import (
    UNSEEN,
    Chart,
    Spec,
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
from hpsearch.reporting.finalists import rank_text
from hpsearch.reporting.grids import thinned_epochs
from hpsearch.reporting.theme import series, var
from hpsearch.results.confirmation import Confirmation, Finalist, confirmed_frame
from hpsearch.results.contrast import Contrast
from hpsearch.stats import BETTER, EQUAL, UNCLEAR, WORSE
from hpsearch.text import interval_text, is_share, metric_text, plain

_LINE, _ARM_LINE, _MARGINS = 30, 42, 10
_BANDS = 3
"""More would hide each other."""


def confirmed_chart(c: Confirmation) -> Chart | None:
    """One line a finalist, the one to use first; None if every one diverged too often for a mean."""
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
    return Chart(
        "confirmed",
        "Confirmed ranking",
        f"{c.part} {c.metric} on {c.seeds} fresh seeds with 95 % intervals: {', '.join(parts)}.",
        {
            "data": values(rows),
            "encoding": {
                "y": lines_axis("s", [row["s"] for row in rows], "rank and trial"),
                "x": quantity("mean", scale=within(domain, zero=False), axis=metric_axis(c.metric, domain)),
            },
            "layer": _layers(c, seeds),
        },
        _MARGINS + _LINE * len(rows),
    )


def _layers(c: Confirmation, seeds: list[Spec]) -> list[Spec]:
    kinds = [f"{c.part}, mean with 95 % interval", f"{c.part}, each seed", "validation, when selected"]
    scale = {"domain": kinds, "range": [var("c0"), var("faint"), var("c1")]}
    mean, seed, selected = ({"datum": kind, "type": "nominal", "scale": scale} for kind in kinds)
    form = tip_format(c.metric)
    tips = tooltip(
        ("s", "rank and trial", ""),
        ("mean", "mean", form),
        ("low", "95 % from", form),
        ("high", "to", form),
        ("selected", "selected at", form),
    )
    diamond = {"type": "point", "filled": False, "size": 70, "shape": "diamond", "opacity": 1}
    return [
        seed_layer(seeds, 12, seed),
        *mean_layers(mean, tips),
        layer(diamond, x=quantity("selected"), color=selected, tooltip=tips),
    ]


def seeds_chart(c: Confirmation) -> Chart | None:
    """Of the best finalists the mean over seeds, epoch by epoch, in a band from the lowest to the highest."""
    place = valid_place(c.metric)
    bands = {f"#{each.trial}": _band(each, place) for each in c.ranked[:_BANDS]}
    bands = {name: band for name, band in bands.items() if band}
    if not bands:
        return None
    rows = [{"s": name, **row} for name, band in bands.items() for row in band]
    ends = np.array([[row["lo"], row["hi"]] for row in rows])
    domain = domain_of(ends, (0.12, 1.0) if c.maximize else (0.0, 0.88))
    colour = word(
        "s",
        scale={"domain": list(bands), "range": [series(place) for place in range(len(bands))]},
        legend={"symbolType": "stroke"},
    )
    spread = ", ".join(
        f"{name} {metric_text(c.metric, band[-1]['lo'])} to {metric_text(c.metric, band[-1]['hi'])}"
        for name, band in bands.items()
    )
    return Chart(
        "seeds",
        "Finalists on fresh seeds",
        f"validation {c.metric} of the best finalists over {c.seeds} seeds; after the last epoch {spread}.",
        {
            "data": values(rows),
            "encoding": {
                "x": epochs_axis(max(row["e"] for row in rows)),
                "y": values_axis(f"validation {c.metric}", c.metric, domain),
                "color": colour,
            },
            "layer": _seeds_layers(tip_format(c.metric)),
        },
        HEIGHT,
        note=f"Mean over {c.seeds} fresh seeds; the band reaches from the lowest to the highest of them.",
        switches=(LOG_EPOCHS,),
    )


def _band(finalist: Finalist, place: int) -> list[dict[str, Any]]:
    """Of every epoch that some seed got to, mean, lowest and highest value of the column at that place."""
    if not finalist.curves:
        return []
    table = np.full((len(finalist.curves), max(map(len, finalist.curves))), np.nan)
    for seed, curve in enumerate(finalist.curves):
        table[seed, : len(curve)] = curve[:, place]
    rows = []
    for epoch in thinned_epochs(table.shape[1], WHOLE):
        own = table[:, epoch - 1][np.isfinite(table[:, epoch - 1])]
        if len(own):
            rows.append({"e": epoch, "v": own.mean(), "lo": own.min(), "hi": own.max()})
    return rows


def _seeds_layers(form: str) -> list[Spec]:
    tips = tooltip(
        ("s", "trial", ""),
        ("e", "epoch", "d"),
        ("v", "mean", form),
        ("lo", "lowest", form),
        ("hi", "highest", form),
    )
    dot = {"type": "point", "filled": True, "size": 60, "opacity": 0, "clip": True}
    return [
        layer({"type": "area", "fillOpacity": 0.18, "clip": True}, y=quantity("lo"), y2={"field": "hi"}),
        {"mark": {"type": "line", "strokeWidth": 2, "clip": True}},
        {"name": UNSEEN.format("hover"), **layer(dot, tooltip=tips)},
    ]


def comparison_charts(c: Contrast) -> list[Chart]:
    """Scores with means and intervals; and differences to the baseline, where there are any."""
    names = [row[0] for row in comparison_grid(c).rows]
    height = _MARGINS + _ARM_LINE * len(names)
    scored = any(len(arm.scores) for arm in c.arms)
    return [
        *([_scores(c, names, height)] if scored else []),
        *([_differences(c, names, height)] if c.compared else []),
    ]


def _scores(c: Contrast, names: list[str], height: int) -> Chart:
    means, seeds = [], []
    for name, arm in zip(names, c.arms, strict=True):
        seeds += [{"s": name, "v": value} for value in arm.scores]
        if (found := c.level(arm)) is not None:
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
        note=f"{plural(c.seeds, c.unit)}, one tick each, with mean and 95 % interval.",
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
    ticks = [
        {"s": shown[arm.name], "v": float(factor * gap)}
        for arm, _ in c.compared
        for gap in (arm.scores - c.baseline.scores if c.repeats else ())
        if np.isfinite(gap)
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
                *([seed_layer(ticks, 16, {"value": var("faint")})] if ticks else []),
                *mean_layers(colour, tips),
            ],
        },
        height,
        note=f"{unit[0].upper()}{unit[1:]} against {baseline}{', one tick a repeat' if ticks else ''}; "
        "intervals hold for all comparisons together.",
    )
