"""What a study taught, drawn: importances, each hyper-parameter by itself, and pairs that interact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import State
from hpsearch.reporting.charts.spec import (
    BARE,
    Chart,
    Spec,
    domain_of,
    layer,
    lines_axis,
    metric_axis,
    number_format,
    quantity,
    sample,
    tip_format,
    tooltip,
    values,
    within,
    word,
)
from hpsearch.reporting.theme import var
from hpsearch.results.lessons import Interaction, Isolation, Lessons
from hpsearch.text import metric_text

_MOST_ISOLATIONS, _MOST_INTERACTIONS = 12, 4
_POINTS = 120
_LINE, _MARGINS = 28, 10
_PANEL = 220
_CELL = 34
_LEVEL_LETTERS = 30
"""Below a narrow chart, so many letters stand beside each other."""


def importances_chart(found: Lessons) -> Chart | None:
    """A bar a hyper-parameter with its interval; None where there are too few trials to say."""
    known = [each for each in found.importances if each.share is not None]
    if not known:
        return None
    rows = [
        {"n": each.name, "v": each.share, "lo": each.low, "hi": each.high, "w": each.verdict}
        for each in known
    ]
    names, verdicts = [each.name for each in known], list(dict.fromkeys(each.verdict for each in known))
    colours = [
        var("c0") if any(e.matters for e in known if e.verdict == v) else var("faint") for v in verdicts
    ]
    parts = [f"{each.name} {each.share:.0%} ({each.low:.0%} to {each.high:.0%})" for each in known]
    tips = tooltip(
        ("n", "hyper-parameter", ""),
        ("v", "share", ".0%"),
        ("lo", "95 % from", ".0%"),
        ("hi", "to", ".0%"),
        ("w", "verdict", ""),
    )
    axis = {"title": "share of the differences between trials", "format": ".0%", "tickCount": 5}
    colour = word("w", scale={"domain": verdicts, "range": colours})
    bar = {"type": "bar", "height": {"band": 0.55}}
    interval = {"type": "rule", "strokeWidth": 1.8, "color": var("ink")}
    return Chart(
        "importances",
        "Importances",
        f"Importances of hyper-parameters with 95 % intervals: {', '.join(parts)}.",
        {
            "data": values(rows),
            "encoding": {"y": lines_axis("n", names), "x": quantity("v", axis=axis)},
            "layer": [
                layer(bar, color=colour, tooltip=tips),
                layer(interval, x=quantity("lo"), x2={"field": "hi"}),
            ],
        },
        _MARGINS + _LINE * len(rows),
    )


def isolation_charts(found: Lessons) -> list[Chart]:
    """One a hyper-parameter, the most important first: its trials, and of each bucket best and quartiles."""
    order = {each.name: place for place, each in enumerate(found.importances)}
    usable = [each for each in found.isolations if np.isfinite(each.buckets["best"]).sum() > 1]
    usable.sort(key=lambda each: order.get(each.name, len(order)))
    if not usable:
        return []
    shown = [each.buckets[["best", "lower", "upper"]].to_numpy(np.float64).ravel() for each in usable]
    domain = domain_of(np.concatenate(shown))
    return [_isolation(each, found, domain) for each in usable[:_MOST_ISOLATIONS]]


def _isolation(found: Isolation, lessons: Lessons, domain: tuple[float, float]) -> Chart:
    metric = lessons.basis.metric
    buckets = found.buckets.to_dict("records")
    continuous = bool(found.buckets["low"].notna().all())
    rows = [
        {
            "b": row["bucket"],
            "a": row["low"] if continuous else None,
            "z": row["high"] if continuous else None,
            "best": row["best"],
            "lo": row["lower"],
            "mid": row["median"],
            "hi": row["upper"],
            "n": row["trials"],
            "d": row["diverged"],
        }
        for row in buckets
    ]
    axis = metric_axis(metric, domain, title=None, tickCount=4)
    said = [
        f"{row['bucket']}: best {metric_text(metric, row['best'])}, median "
        f"{metric_text(metric, row['median'])}, {plural(row['trials'], 'trial')}"
        for row in buckets
        if row["trials"]
    ]
    return Chart(
        f"isolation-{found.name}",
        found.name,
        f"{metric} by {found.name}. {'; '.join(said)}.",
        {
            "data": values(rows),
            "encoding": {
                "x": _places(found) if continuous else _levels([str(row["bucket"]) for row in buckets]),
                "y": quantity("mid", scale=within(domain, zero=False), axis=axis),
            },
            "layer": [
                *(_point_layers(found, metric, domain) if continuous else []),
                *_bucket_layers(found, metric, continuous),
            ],
        },
        _PANEL,
        note=found.remark,
    )


def _places(found: Isolation) -> Spec:
    """The axis of a range: as the range is spaced."""
    ends = float(found.buckets["low"].min()), float(found.buckets["high"].max())
    scale = within(ends, type="log" if found.log else "linear")
    return quantity("a", scale=scale, axis={"title": None, "grid": False, "format": "~g", "tickCount": 4})


def _levels(labels: list[str]) -> Spec:
    """The axis of a few values, in their order."""
    return word("b", sort=labels, title=None, axis=_words_axis(labels))


def _words_axis(labels: Sequence[str]) -> Spec:
    """Labels below a chart, slanted where they are long."""
    slanted = sum(map(len, labels)) > _LEVEL_LETTERS
    return {"labelAngle": -35 if slanted else 0, "ticks": False, "labelPadding": 6, "labelOverlap": False}


def _bucket_layers(found: Isolation, metric: str, continuous: bool) -> list[Spec]:
    """Quartiles, median and best value of each bucket.

    On the axis of a range they lie from end to end of their bucket, other values have a band of their own.
    """
    form = tip_format(metric)
    tips = tooltip(
        ("b", found.name, ""),
        ("best", "best", form),
        ("hi", "upper quartile", form),
        ("mid", "median", form),
        ("lo", "lower quartile", form),
        ("n", "trials", "d"),
        ("d", "diverged", "d"),
    )
    bar: Spec = {"type": "bar", "width": {"band": 0.55}}
    median: Spec = {"type": "tick", "width": {"band": 0.55}, "thickness": 2.5, "orient": "horizontal"}
    wide: Spec = {}
    middle: Spec = {}
    rows = None
    if continuous:
        low, high = found.buckets[["low", "high"]].to_numpy(np.float64).T
        middles = np.sqrt(low * high) if found.log else (low + high) / 2
        pairs = zip(middles.tolist(), found.buckets["best"].tolist(), strict=True)
        rows = [{"c": at, "best": best} for at, best in pairs]
        bar, median = {"type": "rect"}, {"type": "rule", "strokeWidth": 2.5}
        wide, middle = {"x": quantity("a"), "x2": {"field": "z"}}, {"x": quantity("c")}
    dot = {"type": "point", "filled": True, "size": 55, "opacity": 1, "color": var("c1")}
    quartiles: Spec = {"y": quantity("lo"), "y2": {"field": "hi"}}
    return [
        layer({**bar, "color": var("c0"), "fillOpacity": 0.25}, **wide, **quartiles, tooltip=tips),
        layer({**median, "color": var("c0")}, **wide, tooltip=tips),
        layer(dot, rows, **middle, y=quantity("best")),
    ]


def _point_layers(found: Isolation, metric: str, domain: tuple[float, float]) -> list[Spec]:
    """Each trial at its value, a sample of very many; those that diverged as crosses at the bottom."""
    places = sample(range(len(found.points)), _POINTS)
    points = found.points.iloc[places].to_dict("records")
    diverged = str(State.FAILED)
    rows: list[dict[str, Any]] = [
        {"t": row["trial"], "x": row["at"], "y": row["basis"]}
        for row in points
        if row["state"] != diverged and domain[0] <= row["basis"] <= domain[1]
    ]
    lost = [{"t": row["trial"], "x": row["at"], "y": domain[0]} for row in points if row["state"] == diverged]
    at: Spec = {"x": quantity("x"), "y": quantity("y")}
    tips = tooltip(("t", "trial", "d"), ("x", found.name, ".3~g"), ("y", metric, tip_format(metric)))
    dot = {"type": "point", "filled": True, "size": 12, "opacity": 1, "fillOpacity": 0.45}
    cross = {"type": "point", "shape": "cross", "size": 45, "filled": True, "color": var("c3"), "opacity": 1}
    return [
        layer({**dot, "color": var("faint")}, rows, **at, tooltip=tips),
        layer(cross, lost, **at, tooltip=tips[:2]),
    ]


def interaction_charts(found: Lessons) -> list[Chart]:
    """One a pair that interacts, the strongest few: the median of each two buckets."""
    return [_interaction(each, found) for each in found.interactions[:_MOST_INTERACTIONS]]


def _interaction(found: Interaction, lessons: Lessons) -> Chart:
    metric, maximize, cells = lessons.basis.metric, lessons.basis.maximize, found.cells
    known = cells[np.isfinite(cells["median"])]
    rows = [
        {"a": row["first"], "b": row["second"], "v": row["median"], "n": row["trials"]}
        for row in known.to_dict("records")
    ]
    across = cells.drop_duplicates("first_place").sort_values("first_place")["first"].tolist()
    up = cells.drop_duplicates("second_place").sort_values("second_place")["second"].tolist()[::-1]
    medians = known["median"].to_numpy(np.float64)
    domain = domain_of(medians, (0.1, 1.0) if maximize else (0.0, 0.9))
    tips = tooltip(
        ("a", found.first, ""),
        ("b", found.second, ""),
        ("v", f"median {metric}", tip_format(metric)),
        ("n", "trials", "d"),
    )
    legend = {"title": f"median {metric}", "format": number_format(metric, domain), "orient": "bottom"}
    scale = {"scheme": "viridis", "domain": list(domain), "clamp": True, "reverse": not maximize}
    colour = quantity("v", scale=scale, legend=legend)
    low, high = (metric_text(metric, float(end)) for end in (medians.min(), medians.max()))
    return Chart(
        f"interaction-{found.first}-{found.second}",
        f"{found.first} × {found.second}",
        f"Median {metric} by {found.first} and {found.second}, from {low} to {high}: {found.sentence}.",
        {
            "data": values(rows),
            "encoding": {
                "x": word("a", scale={"domain": across}, title=found.first, axis=_words_axis(across)),
                "y": word("b", scale={"domain": up}, title=found.second, axis=BARE),
            },
            "layer": [layer({"type": "rect"}, color=colour, tooltip=tips)],
        },
        _CELL * len(up) + 20,
        note=f"{found.sentence} ({found.share:.0%} beyond each alone). Empty: fewer than 3 trials.",
    )
