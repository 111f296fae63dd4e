"""What a study taught, drawn: importances, each hyper-parameter by itself, and pairs that interact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import State
from hpsearch.reporting.charts.spec import (
    Chart,
    Spec,
    domain_of,
    metric_axis,
    number_format,
    sample,
    tip_format,
    values,
)
from hpsearch.reporting.theme import var
from hpsearch.results.lessons import Interaction, Isolation, Lessons
from hpsearch.text import metric_text

IMPORTANCES, ISOLATION, INTERACTION = "importances", "isolation-", "interaction-"
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
    tips = [("v", "share"), ("lo", "95 % from"), ("hi", "to")]
    tooltip = [
        {"field": "n", "type": "nominal", "title": "hyper-parameter"},
        *({"field": f, "type": "quantitative", "title": title, "format": ".0%"} for f, title in tips),
        {"field": "w", "type": "nominal", "title": "verdict"},
    ]
    axis = {"title": "share of the differences between trials", "format": ".0%", "tickCount": 5}
    colour = {"field": "w", "type": "nominal", "scale": {"domain": verdicts, "range": colours}}
    interval = {"x": {"field": "lo", "type": "quantitative"}, "x2": {"field": "hi"}}
    return Chart(
        IMPORTANCES,
        "Importances",
        f"Importances of hyper-parameters with 95 % intervals: {', '.join(parts)}.",
        {
            "data": values(rows),
            "encoding": {
                "y": {"field": "n", "type": "nominal", "sort": names, "title": None, "axis": _bare_axis()},
                "x": {"field": "v", "type": "quantitative", "axis": axis},
            },
            "layer": [
                {
                    "mark": {"type": "bar", "height": {"band": 0.55}},
                    "encoding": {"color": colour, "tooltip": tooltip},
                },
                {"mark": {"type": "rule", "strokeWidth": 1.8, "color": var("ink")}, "encoding": interval},
            ],
        },
        _MARGINS + _LINE * len(rows),
    )


def _bare_axis() -> Spec:
    return {"ticks": False, "domain": False}


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
    y = {
        "field": "mid",
        "type": "quantitative",
        "scale": {"domain": list(domain), "zero": False, "nice": False},
        "axis": metric_axis(metric, domain, title=None, tickCount=4),
    }
    across = _places(found) if continuous else _levels([str(row["bucket"]) for row in buckets])
    said = [
        f"{row['bucket']}: best {metric_text(metric, row['best'])}, median "
        f"{metric_text(metric, row['median'])}, {plural(row['trials'], 'trial')}"
        for row in buckets
        if row["trials"]
    ]
    bars = _on_a_scale(found) if continuous else _in_bands()
    return Chart(
        f"{ISOLATION}{found.name}",
        found.name,
        f"{metric} by {found.name}. {'; '.join(said)}.",
        {
            "data": values(rows),
            "encoding": {"x": across, "y": y},
            "layer": [
                *(_point_layers(found, metric, domain) if continuous else []),
                *_bucket_layers(bars, _isolation_tips(found.name, metric)),
            ],
        },
        _PANEL,
        note=found.remark,
    )


def _places(found: Isolation) -> Spec:
    """The axis of a range: as the range is spaced."""
    ends = [float(found.buckets["low"].min()), float(found.buckets["high"].max())]
    scale = {"type": "log" if found.log else "linear", "domain": ends, "nice": False}
    axis = {"title": None, "grid": False, "format": "~g", "tickCount": 4}
    return {"field": "a", "type": "quantitative", "scale": scale, "axis": axis}


def _levels(labels: list[str]) -> Spec:
    """The axis of a few values, in their order."""
    return {"field": "b", "type": "nominal", "sort": labels, "title": None, "axis": _words_axis(labels)}


def _words_axis(labels: Sequence[str]) -> Spec:
    """Labels below a chart, slanted where they are long."""
    slanted = sum(map(len, labels)) > _LEVEL_LETTERS
    return {"labelAngle": -35 if slanted else 0, "ticks": False, "labelPadding": 6, "labelOverlap": False}


def _isolation_tips(name: str, metric: str) -> list[Spec]:
    form = tip_format(metric)
    tips = [("best", "best", form), ("hi", "upper quartile", form), ("mid", "median", form)]
    tips += [("lo", "lower quartile", form), ("n", "trials", "d"), ("d", "diverged", "d")]
    return [
        {"field": "b", "type": "nominal", "title": name},
        *({"field": f, "type": "quantitative", "title": title, "format": how} for f, title, how in tips),
    ]


def _on_a_scale(found: Isolation) -> dict[str, Spec]:
    """How bars, medians and best values lie on the axis of a range: from end to end of their bucket."""
    low, high = found.buckets[["low", "high"]].to_numpy(np.float64).T
    middle = np.sqrt(low * high) if found.log else (low + high) / 2
    wide = {"x": {"field": "a", "type": "quantitative"}, "x2": {"field": "z"}}
    rows = [
        {"c": at, "best": best}
        for at, best in zip(middle.tolist(), found.buckets["best"].tolist(), strict=True)
    ]
    point = {"data": values(rows), "encoding": {"x": {"field": "c", "type": "quantitative"}}}
    return {
        "bar": {"mark": {"type": "rect"}, "encoding": wide},
        "median": {"mark": {"type": "rule", "strokeWidth": 2.5}, "encoding": wide},
        "best": point,
    }


def _in_bands() -> dict[str, Spec]:
    """The same where every value has a band of its own."""
    return {
        "bar": {"mark": {"type": "bar", "width": {"band": 0.55}}, "encoding": {}},
        "median": {
            "mark": {"type": "tick", "width": {"band": 0.55}, "thickness": 2.5, "orient": "horizontal"},
            "encoding": {},
        },
        "best": {"encoding": {}},
    }


def _bucket_layers(bars: dict[str, Spec], tooltip: list[Spec]) -> list[Spec]:
    quartiles = {"y": {"field": "lo", "type": "quantitative"}, "y2": {"field": "hi"}, "tooltip": tooltip}
    bar, median, best = bars["bar"], bars["median"], bars["best"]
    dot = {"type": "point", "filled": True, "size": 55, "opacity": 1, "color": var("c1")}
    return [
        {
            "mark": {**bar["mark"], "color": var("c0"), "fillOpacity": 0.25},
            "encoding": {**bar["encoding"], **quartiles},
        },
        {
            "mark": {**median["mark"], "color": var("c0")},
            "encoding": {**median["encoding"], "tooltip": tooltip},
        },
        {
            **best,
            "mark": dot,
            "encoding": {**best["encoding"], "y": {"field": "best", "type": "quantitative"}},
        },
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
    at = {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}}
    trial = {"field": "t", "type": "quantitative", "title": "trial", "format": "d"}
    own = {"field": "x", "type": "quantitative", "title": found.name, "format": ".3~g"}
    value = {"field": "y", "type": "quantitative", "title": metric, "format": tip_format(metric)}
    dot = {"type": "point", "filled": True, "size": 12, "opacity": 1, "fillOpacity": 0.45}
    cross = {"type": "point", "shape": "cross", "size": 45, "filled": True, "color": var("c3"), "opacity": 1}
    return [
        {
            "data": values(rows),
            "mark": {**dot, "color": var("faint")},
            "encoding": {**at, "tooltip": [trial, own, value]},
        },
        {"data": values(lost), "mark": cross, "encoding": {**at, "tooltip": [trial, own]}},
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
    tooltip = [
        {"field": "a", "type": "nominal", "title": found.first},
        {"field": "b", "type": "nominal", "title": found.second},
        {"field": "v", "type": "quantitative", "title": f"median {metric}", "format": tip_format(metric)},
        {"field": "n", "type": "quantitative", "title": "trials", "format": "d"},
    ]
    x_axis, y_axis = _words_axis(across), _bare_axis()
    legend = {"title": f"median {metric}", "format": number_format(metric, domain), "orient": "bottom"}
    colour = {
        "field": "v",
        "type": "quantitative",
        "scale": {"scheme": "viridis", "domain": list(domain), "clamp": True, "reverse": not maximize},
        "legend": legend,
    }
    low, high = (metric_text(metric, float(end)) for end in (medians.min(), medians.max()))
    return Chart(
        f"{INTERACTION}{found.first}-{found.second}",
        f"{found.first} × {found.second}",
        f"Median {metric} by {found.first} and {found.second}, from {low} to {high}: {found.sentence}.",
        {
            "data": values(rows),
            "encoding": {
                "x": {
                    "field": "a",
                    "type": "nominal",
                    "scale": {"domain": across},
                    "title": found.first,
                    "axis": x_axis,
                },
                "y": {
                    "field": "b",
                    "type": "nominal",
                    "scale": {"domain": up},
                    "title": found.second,
                    "axis": y_axis,
                },
            },
            "layer": [{"mark": {"type": "rect"}, "encoding": {"color": colour, "tooltip": tooltip}}],
        },
        _CELL * len(up) + 20,
        note=f"{found.sentence} ({found.share:.0%} beyond each alone). Empty: fewer than 3 trials.",
    )
