"""Learning curves: all trials faintly, the best by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import TRAIN_LOSS, TRAIN_METRIC, VALID_LOSS, VALID_METRIC, FloatArray
from hpsearch.reporting.charts.spec import (
    UNSEEN,
    Chart,
    Spec,
    Switch,
    domain_of,
    layer,
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
from hpsearch.reporting.grids import best_few, thinned_epochs, valid_name
from hpsearch.reporting.theme import series, var
from hpsearch.results.frames import PARAM, Report
from hpsearch.text import metric_text, parameter_text, plain

_HIGHLIGHTED = 5
_OTHERS, _THINNED = 160, 20
"""Trials in grey, and epochs of each."""
WHOLE = 200
"""Epochs of a highlighted curve."""
_MOST_PARAMETERS = 6
HEIGHT = 340
LOG_EPOCHS = Switch("log epochs", True, ((("encoding", "x", "scale", "type"), "linear", "log"),))


def curves_chart(report: Report, long: bool = False) -> Chart | None:
    """Validation curves, the best few highlighted; None without any value.

    long: name the hyper-parameters of the best, too, for a picture that stands alone.
    """
    best = _highlighted(report)
    numbers = [int(n) for n in report.trials["trial"] if n in report.curves and len(report.curves[n])]
    if not numbers:
        return None
    others = sample([number for number in numbers if number not in best], _OTHERS)
    names = [_label(report, number, long) for number in best]
    metric, maximize = report.record.metric, report.record.direction == "maximize"
    places = (VALID_LOSS, VALID_LOSS) if metric == "loss" else (VALID_METRIC, VALID_LOSS)
    shown = np.concatenate([report.curves[number][:, list(places)] for number in [*best, *others]])
    if not np.isfinite(shown).any():
        return None
    domain = domain_of(shown[:, 0], (0.2, 1.0) if maximize else (0.0, 0.8))
    losses = domain_of(shown[:, 1], (0.0, 0.8))
    last = max(len(report.curves[number]) for number in [*best, *others])
    rest = len(numbers) - len(best)
    sampled = f", {len(others)} of them drawn" if len(others) < rest else ""
    grey = f"; {plural(rest, 'other trial')} in grey{sampled}" if rest else ""
    return Chart(
        "curves",
        "Learning curves",
        _alt(report, best, last) + grey + ".",
        {
            "data": values(_best_rows(report, best, names)),
            "encoding": {"x": epochs_axis(last), "y": values_axis(valid_name(report), metric, domain)},
            "layer": [
                _faint_layer(report, others),
                *(_best_layers(names, metric, long) if best else []),
            ],
        },
        HEIGHT,
        note=f"{valid_name(report)[0].upper()}{valid_name(report)[1:]} by epoch{grey}.",
        switches=_switches(report, domain, losses, shown) if best else (),
    )


def _highlighted(report: Report) -> list[int]:
    """The best few, before them the confirmed best if it is one of them."""
    best = best_few(report)
    first = [number for number in best if number == report.best]
    return [*first, *(number for number in best if number not in first)][:_HIGHLIGHTED]


def values_axis(title: str, metric: str, domain: tuple[float, float]) -> Spec:
    """Values of the metric, the field v, within the domain."""
    return quantity("v", scale=within(domain, type="linear"), axis=metric_axis(metric, domain, title=title))


def epochs_axis(last: int) -> Spec:
    """Epochs, at first on a logarithmic scale: most happens early."""
    axis = {"title": "epoch", "values": thinned_epochs(last, 8), "format": "d", "grid": False}
    return quantity("e", scale=within((1, max(last, 2)), type="log"), axis=axis)


def _faint_layer(report: Report, others: list[int]) -> Spec:
    """All of them as one path with gaps: drawn one by one, 160 clipped lines take ten seconds as a PNG."""
    rows: list[dict[str, Any]] = []
    for number in others:
        metric, losses = report.valid_metric(number), report.curves[number][:, VALID_LOSS]
        epochs = thinned_epochs(len(metric), _THINNED)
        rows += [{"e": epoch, "v": metric[epoch - 1], "l": losses[epoch - 1]} for epoch in epochs]
        rows.append({"e": 1, "v": None, "l": None})
    mark = {
        "type": "line",
        "clip": True,
        "strokeWidth": 0.8,
        "strokeOpacity": float(np.clip(40 / max(len(others), 1), 0.35, 0.7)),
        "color": var("faint"),
        "invalid": "break-paths-show-domains",
    }
    return layer(mark, rows, order={"value": None})


def _best_rows(report: Report, best: list[int], names: list[str]) -> Iterator[dict[str, Any]]:
    own = report.record.metric == "loss"
    for place, (number, name) in enumerate(zip(best, names, strict=True)):
        curve = report.curves[number]
        for epoch in thinned_epochs(len(curve), WHOLE):
            row = curve[epoch - 1]
            yield {
                "t": number,
                "k": place,
                "s": name,
                "e": epoch,
                "v": row[VALID_LOSS if own else VALID_METRIC],
                "tv": row[TRAIN_LOSS if own else TRAIN_METRIC],
                "l": row[VALID_LOSS],
                "tl": row[TRAIN_LOSS],
            }


def _best_layers(names: list[str], metric: str, long: bool) -> list[Spec]:
    """Lines of the validation set, dashed ones of the training set (at first unseen), points to hover."""
    colours = [series(place) for place in range(len(names))]
    colour = word(
        "s",
        scale={"domain": names, "range": colours},
        legend={"symbolType": "stroke", **({"columns": 1} if long else {})},
    )
    line = {"type": "line", "clip": True, "strokeJoin": "round"}
    dashed = {**line, "strokeDash": [4, 3], "strokeWidth": 1.3, "opacity": 0}
    dot = {"type": "point", "filled": True, "size": 60, "clip": True}
    wide = {"condition": {"test": {"field": "k", "equal": 0}, "value": 3}, "value": 1.8}
    near = {"type": "point", "on": "pointerover", "nearest": True, "clear": "pointerout"}
    hovered = {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0}
    tips = [("t", "trial", "d"), ("e", "epoch", "d")]
    if metric != "loss":
        tips += [("v", f"valid {metric}", tip_format(metric)), ("tv", f"train {metric}", tip_format(metric))]
    tips += [("l", "valid loss", ".4~g"), ("tl", "train loss", ".4~g")]
    return [
        layer(line, color=colour, strokeWidth=wide),
        {"name": UNSEEN.format("training"), **layer(dashed, color=colour, y=quantity("tv"))},
        {
            "name": UNSEEN.format("hover"),
            "params": [{"name": "near", "select": near}],
            **layer(dot, color=colour, opacity=hovered, tooltip=tooltip(*tips)),
        },
    ]


def _switches(
    report: Report, domain: tuple[float, float], losses: tuple[float, float], shown: FloatArray
) -> tuple[Switch, ...]:
    """Log axes, the loss in place of the metric, and the training set; see `curves_chart`'s layers."""
    metric, y = report.record.metric, ("encoding", "y")
    found = [LOG_EPOCHS]
    positive = shown[np.isfinite(shown)]
    if len(positive) and positive.min() > 0 and min(domain[0], losses[0]) > 0:
        found.append(Switch("log values", False, (((*y, "scale", "type"), "linear", "log"),)))
    found.append(Switch("training curves", False, ((("layer", 2, "mark", "opacity"), 0, 1),)))
    if metric != "loss":
        found.append(
            Switch(
                "loss",
                False,
                (
                    ((*y, "field"), "v", "l"),
                    ((*y, "scale", "domain"), list(domain), list(losses)),
                    ((*y, "axis", "title"), valid_name(report), "validation loss"),
                    ((*y, "axis", "format"), number_format(metric, domain), ",~f"),
                    (("layer", 2, "encoding", "y", "field"), "tv", "tl"),
                ),
            )
        )
    return tuple(found)


def _label(report: Report, number: int, long: bool) -> str:
    row, metric = report.row(number), report.record.metric
    short = f"#{number}  {metric_text(metric, row['value'])}"
    if not long:
        return short
    names = report.parameters[:_MOST_PARAMETERS]
    parameters = " · ".join(f"{name} {parameter_text(row[PARAM + name])}" for name in names)
    return plain(f"{short}   {parameters}".rstrip())


def _alt(report: Report, best: list[int], last: int) -> str:
    metric = report.record.metric
    if not best:
        return f"Learning curves over {plural(last, 'epoch')}, of trials that have no value"
    parts = []
    for number in best:
        row = report.row(number)
        parts.append(f"trial {number} {metric_text(metric, row['value'])} at epoch {row['best_epoch']}")
    return f"{valid_name(report)} over {plural(last, 'epoch')}: best {', '.join(parts)}"
