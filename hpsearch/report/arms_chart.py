"""The picture of a comparison: each arm's scores by seed, and its difference to the baseline."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hpsearch.errors import plural
from hpsearch.report.chart import inert, metric_tick, new_figure, png_bytes, quiet
from hpsearch.report.comparison import BETTER, WORSE, Arm, Comparison, comparison_grid
from hpsearch.report.text import is_share
from hpsearch.stats import Estimate

_VERDICTS = {BETTER: "#009e73", WORSE: "#d55e00"}
_NEUTRAL, _DOTS = "#404040", "#0072b2"
_WIDTH, _ARM_HEIGHT, _MARGINS = 9.0, 0.62, 1.5
_SPREAD = 0.5
"""Of an arm's strip, how much its seeds take."""


def comparison_png(comparison: Comparison) -> bytes:
    """Dots by seed with means and intervals on the left, differences to the baseline on the right."""
    c, count = comparison, len(comparison.arms)
    figure = new_figure(_WIDTH, _MARGINS + _ARM_HEIGHT * count)
    scores, differences = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    names = [row[0] for row in comparison_grid(c).rows]
    for axes in (scores, differences):
        quiet(axes, "x")
        axes.xaxis.set_major_locator(MaxNLocator(5))
    scores.set_yticks(range(count), [inert(name) for name in names])
    scores.set_ylim(count - 0.4, -0.6)
    for place, arm in enumerate(c.arms):
        _draw_scores(scores, place, arm)
    _draw_differences(differences, c)
    scores.xaxis.set_major_formatter(FuncFormatter(lambda value, _: metric_tick(c.metric, value)))
    scores.set_xlabel(f"{c.part} {c.metric}: {plural(c.seeds, 'seed')}, mean and 95 % interval")
    scores.set_title(inert(c.subject), loc="left", fontweight="bold")
    unit = "points" if is_share(c.metric) else c.metric
    differences.set_xlabel(inert(f"{unit} against {c.baseline}, with interval"))
    return png_bytes(figure)


def _draw_scores(axes: Axes, place: int, arm: Arm) -> None:
    offsets = np.linspace(-_SPREAD / 2, _SPREAD / 2, max(len(arm.scores), 1))[: len(arm.scores)]
    axes.scatter(arm.scores, place + offsets, s=16, color=_DOTS, alpha=0.55, linewidths=0, zorder=2)
    if arm.estimate is not None:
        _draw_estimate(axes, place, arm.estimate, _NEUTRAL)
    if arm.diverged:
        note = f"{arm.diverged} of {len(arm.scores)} diverged"
        axes.annotate(
            note, (1, place), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize="small"
        )


def _draw_differences(axes: Axes, comparison: Comparison) -> None:
    factor = 100.0 if is_share(comparison.metric) else 1.0
    places = {arm.name: place for place, arm in enumerate(comparison.arms)}
    axes.axvline(0, color=_NEUTRAL, linewidth=0.9)
    for each in comparison.differences:
        colour = _VERDICTS.get(each.verdict, _NEUTRAL)
        _draw_estimate(axes, places[each.arm], each.estimate, colour, factor)
        axes.annotate(
            each.verdict,
            (1, places[each.arm]),
            xytext=(0, 9),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontsize="small",
            color=colour,
        )
    axes.margins(x=0.3)


def _draw_estimate(axes: Axes, place: int, found: Estimate, colour: str, factor: float = 1.0) -> None:
    axes.plot(factor * found.mean, place, "D", color=colour, markersize=5, zorder=4)
    if found.low is not None and found.high is not None:
        ends = (factor * found.low, factor * found.high)
        axes.plot(ends, (place, place), color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
