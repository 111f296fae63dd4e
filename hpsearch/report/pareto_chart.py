"""The picture of a Pareto front: all complete trials by the study's objectives."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from hpsearch.errors import plural
from hpsearch.records import FloatArray
from hpsearch.report.chart import COLOURS, inert, metric_tick, new_figure, png_bytes, quiet
from hpsearch.report.frames import Report
from hpsearch.report.grids import FRONT_FEW, front_title, shown_front, valid_name
from hpsearch.report.pareto import BoolArray

_WIDTH, _HEIGHT = 9.0, 5.4
_MARGIN = 0.06
_INNER = 0.8
"""Of all values, so many are within the axes whatever the rest is."""
_APART = (0.5, 0.17)
"""Inches between names of trials, across and up, below which they would hide each other."""


def pareto_png(report: Report) -> bytes:
    """The metric against each further objective, with the Pareto front highlighted and its trials named.

    With a single further objective a line divides what was reached from what no trial has reached.
    """
    metric, names = report.record.metric, report.objectives
    figure = new_figure(_WIDTH, _HEIGHT)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    panels[0].set_ylim(*_limits(report, "value", report.record.direction == "maximize"))
    panels[0].set_ylabel(valid_name(report))
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: metric_tick(metric, value)))
    for axes, name in zip(panels, names, strict=True):
        quiet(axes)
        _scale(axes, report, name)
        _name(axes, report, name, (_WIDTH / len(names), _HEIGHT))
    drawn = [_draw(axes, report, name) for axes, name in zip(panels, names, strict=True)]
    if len(names) == 1:
        _divide(panels[0], report, names[0])
    panels[0].set_title(inert(report.record.name), loc="left", fontweight="bold")
    panels[-1].set_title(front_title(report), loc="right", fontsize="medium", color="#505050")
    handles, labels = panels[0].get_legend_handles_labels()
    outside = int((~np.all(drawn, axis=0)).sum())
    labels[0] += f", {outside:,} of them outside the axes" if outside else ""
    figure.legend(handles, labels, loc="outside lower left", ncols=2, fontsize="small", frameon=False)
    return png_bytes(figure)


def _scale(axes: Axes, report: Report, name: str) -> None:
    """Sizes logarithmic and all of them; other objectives so that outliers don't flatten the rest."""
    axes.set_xlabel(name)
    if name != "parameters":
        axes.set_xlim(*_limits(report, name, maximize=False))
        return
    sizes = report.ranked[name].dropna()
    axes.set_xscale("log")
    axes.set_xlim(sizes.min() / 1.5, sizes.max() * 1.2)
    wide = sizes.max() > 5 * sizes.min()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else (1, 1.5, 2, 3, 4, 5, 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _draw(axes: Axes, report: Report, name: str) -> BoolArray:
    """Draws a dot for each trial; returns which of those beside the front are within the axes."""
    others, front = report.ranked[~report.ranked["pareto"]], report.front
    grey, blue = _points(others, name), _points(front, name)
    label = plural(len(others), "other complete trial")
    axes.scatter(grey[:, 0], grey[:, 1], s=14, color="#808080", alpha=0.5, linewidths=0, label=label)
    label = f"Pareto front: {plural(len(front), 'trial')}"
    axes.scatter(blue[:, 0], blue[:, 1], s=30, color=COLOURS[0], linewidths=0, zorder=3, label=label)
    low, high = np.transpose([axes.get_xlim(), axes.get_ylim()])
    inside: BoolArray = ((grey >= low) & (grey <= high)).all(axis=1)
    return inside


def _name(axes: Axes, report: Report, name: str, inches: tuple[float, float]) -> None:
    """Numbers of trials of the front, on the side of it where no trial is, as far as there is room.

    inches: about the size of the axes.
    """
    side = -1 if report.record.direction == "minimize" else 1
    front = shown_front(report, FRONT_FEW)
    taken: list[FloatArray] = []
    for number, (x, y) in zip(front["trial"], _points(front, name).tolist(), strict=True):
        place = axes.transAxes.inverted().transform(axes.transData.transform((x, y))) * inches
        if not np.isfinite(place).all() or any((np.abs(place - other) < _APART).all() for other in taken):
            continue
        taken.append(place)
        axes.annotate(
            f"#{number}",
            (x, y),
            xytext=(-4, 4 * side),
            textcoords="offset points",
            ha="right",
            va="bottom" if side > 0 else "top",
            fontsize="small",
            color=COLOURS[0],
        )


def _divide(axes: Axes, report: Report, name: str) -> None:
    """The best metric of all trials that are at most so large, to the right end of the axes."""
    points = _points(report.front.iloc[::-1], name)
    end = (axes.get_xlim()[1], points[-1, 1])
    axes.plot(*np.vstack([points, end]).T, color=COLOURS[0], linewidth=1.2, drawstyle="steps-post", zorder=2)


def _points(trials: pd.DataFrame, name: str) -> FloatArray:
    """[trials, 2] the further objective and the metric."""
    return trials[[name, "value"]].to_numpy(dtype=np.float64, na_value=np.nan)


def _limits(report: Report, name: str, maximize: bool) -> tuple[float, float]:
    """The ends of an axis: the whole front, and all trials but the worst ones, with a margin."""
    values, front = (
        trials[name].to_numpy(dtype=np.float64, na_value=np.nan) for trials in (report.ranked, report.front)
    )
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    kept = np.quantile(values, (1 - _INNER, 1.0) if maximize else (0.0, _INNER))
    shown = np.concatenate([kept, front[np.isfinite(front)]])
    low, high = float(shown.min()), float(shown.max())
    margin = _MARGIN * (high - low) or 0.05 * (abs(high) or 1.0)
    return low - margin, high + margin
