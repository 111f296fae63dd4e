"""docs/benchmarks.png: how many times as fast, and what was found when."""

from __future__ import annotations

import textwrap
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from benchmarks.measure import Part, Row, Series

REACHED, MISSED, PLAIN = "#2a7f62", "#c8553d", "#8a9ba8"
OURS, PEERS = "#2a7f62", ("#3b6fb6", "#c8553d", "#8c5fb0")
_LABEL_WIDTH = 80


def draw(parts: Sequence[Part], file: Path) -> None:
    """Draw both panels and write them to a PNG file."""
    rows = [row for part in parts for row in part.rows if row.faster is not None]
    lines = {name: series for part in parts for name, series in part.lines.items()}
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 1.5 + 0.55 * len(rows) + 4.2), layout="constrained")
        above, below = figure.subplots(2, 1, height_ratios=[0.55 * len(rows) + 0.6, 4])
        ratios(above, rows)
        progress(below, lines)
        figure.savefig(file, dpi=130)


def ratios(axes: Axes, rows: Sequence[Row]) -> None:
    """A bar for each row that has a ratio, with what was wanted as a line across it."""
    nearest, farthest = 1.0, 10.0
    for at, row in enumerate(rows):
        faster, goal = row.faster or 0.0, row.goal or 0.0
        nearest, farthest = min(nearest, faster), max(farthest, faster, goal)
        axes.barh(at, faster, height=0.62, color=_colour(row), zorder=2)
        axes.annotate(row.ratio, (max(faster, goal), at), (5, 0), textcoords="offset points", va="center")
        if goal:
            axes.plot([goal, goal], [at - 0.42, at + 0.42], color="black", linewidth=1.8, zorder=3)
    axes.set_xscale("log")
    axes.set_xlim(0.5 * nearest, 1.6 * farthest)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.grid(axis="x", color="#dddddd", zorder=0)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(
        "hpsearch, times as fast as the other side\nblack: what was wanted; green: reached; red: not",
        loc="left",
    )


def _colour(row: Row) -> str:
    if row.goal is None or row.faster is None:
        return PLAIN
    return REACHED if row.faster >= row.goal else MISSED


def _label(row: Row) -> str:
    lines = row.work, f"against {row.against}"
    return "\n".join(textwrap.fill(line.replace("`", ""), _LABEL_WIDTH) for line in lines)


def progress(axes: Axes, lines: dict[str, list[Series]]) -> None:
    """The best validation accuracy so far by wall time: each seed thin, their median thick."""
    peers = iter(PEERS)
    for name, seeds in lines.items():
        colour = OURS if name == "hpsearch" else next(peers)
        for series in seeds:
            axes.step(*zip(*series, strict=True), where="post", color=colour, linewidth=0.7, alpha=0.4)
        times, best = median_series(seeds)
        label = f"{name} ({'median of ' if len(seeds) > 1 else ''}{len(seeds)} seed{'s' * (len(seeds) > 1)})"
        axes.step(times, best, where="post", color=colour, linewidth=2, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(0.94, 1)
    axes.grid(color="#dddddd")
    axes.set_xlabel("seconds since the start of the process")
    axes.set_title("Digits: best validation accuracy so far", loc="left")
    if lines:
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.14), frameon=False)


def median_series(seeds: Sequence[Series]) -> tuple[list[float], list[float]]:
    """The median over seeds of the best so far, from when all of them have one; a seed keeps its last."""
    begin = max(series[0][0] for series in seeds)
    times = sorted({begin, *(at for series in seeds for at, _ in series if at > begin)})
    clocks = [[at for at, _ in series] for series in seeds]
    best = [
        median(series[bisect_right(clock, at) - 1][1] for series, clock in zip(seeds, clocks, strict=True))
        for at in times
    ]
    return times, best
