"""The picture of a study's learning curves."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from hpsearch.errors import plural
from hpsearch.records import FloatArray
from hpsearch.report.frames import PARAM, Report
from hpsearch.report.grids import best_few, thinned_epochs, valid_name
from hpsearch.report.text import is_share, metric_text, parameter_text, plain

_HIGHLIGHTED = 5
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # told apart by colour-blind readers
_SIZE = (9.0, 5.4)
_DPI = 150
_MOST_PARAMETERS = 6


def curves_png(report: Report) -> bytes:
    """Validation curves of all trials, the best few highlighted and named, as a PNG."""
    figure = new_figure(*_SIZE)
    axes = figure.add_subplot()
    best = best_few(report)[:_HIGHLIGHTED]
    curves = {number: report.valid_metric(number) for number in report.curves}
    others = [curve for number, curve in curves.items() if number not in best]
    _draw_faint(axes, others)
    # The best is drawn last, on top of the others.
    for place in reversed(range(len(best))):
        curve = curves[best[place]]
        axes.plot(
            *_points(curve).T,
            color=COLOURS[place],
            linewidth=2.4 if place == 0 else 1.6,
            marker="o" if len(curve) == 1 else None,
            label=_label(report, best[place]),
            zorder=10 - place,
        )
    _scale(axes, report, list(curves.values()))
    _name(figure, axes, report, len(others))
    return png_bytes(figure)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, that needs no screen."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def quiet(axes: Axes, grid: Literal["both", "x"] = "both") -> None:
    """Pale lines behind what is drawn, and no frame above and on the right."""
    axes.grid(axis=grid, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG."""
    target = BytesIO()
    # Without the software's version the same report gives the same bytes.
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def inert(text: str) -> str:
    """Text that matplotlib draws as it is: a dollar sign would begin a formula."""
    return plain(text).replace("$", r"\$")


def _points(curve: FloatArray) -> FloatArray:
    """[epochs, 2] epoch and value; the line has a gap where a value is not finite."""
    values = np.where(np.isfinite(curve), curve, np.nan)
    return np.column_stack([np.arange(1.0, len(curve) + 1), values])


def _draw_faint(axes: Axes, curves: list[FloatArray]) -> None:
    lines = LineCollection(
        [_points(curve) for curve in curves],
        colors="#808080",
        linewidths=0.7,
        alpha=float(np.clip(25 / max(len(curves), 1), 0.15, 0.5)),
        zorder=1,
    )
    axes.add_collection(lines, autolim=False)


def _scale(axes: Axes, report: Report, curves: list[FloatArray]) -> None:
    """Epochs logarithmic, since most happens early; values so that outliers don't flatten the rest."""
    last = max((len(curve) for curve in curves), default=1)
    axes.set_xscale("log")
    axes.set_xlim(0.95, max(last, 2) * 1.05)
    axes.set_xticks(thinned_epochs(last, 8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda epoch, _: f"{epoch:g}"))
    values = np.concatenate([np.empty(0), *curves])
    values = values[np.isfinite(values)]
    if len(values):
        maximize = report.record.direction == "maximize"
        low, high = np.quantile(values, (0.2, 1.0) if maximize else (0.0, 0.8))
        margin = 0.05 * (high - low) or 0.05 * (abs(high) or 1.0)
        axes.set_ylim(low - margin, high + margin)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: metric_tick(report.record.metric, value)))


def metric_tick(metric: str, value: float) -> str:
    """A value of the metric on an axis: whole percents, or as it is."""
    if is_share(metric):
        return metric_text(metric, value).replace(".0%", "%")
    return f"{value:g}"


def _name(figure: Figure, axes: Axes, report: Report, others: int) -> None:
    record = report.record
    axes.set_title(plain(record.name), loc="left", fontweight="bold")
    note = f"{valid_name(report)} by epoch" + (f"; {plural(others, 'other trial')} in grey" if others else "")
    axes.set_title(note, loc="right", fontsize="medium", color="#505050")
    axes.set_xlabel("epoch")
    quiet(axes)
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    # Below the axes, where it hides no curve.
    figure.legend(handles[::-1], labels[::-1], loc="outside lower left", fontsize="small", frameon=False)


def _label(report: Report, number: int) -> str:
    row = report.row(number)
    names = report.parameters[:_MOST_PARAMETERS]
    parameters = " · ".join(f"{name} {parameter_text(row[PARAM + name])}" for name in names)
    return inert(f"{metric_text(report.record.metric, row['value'])}  #{number}   {parameters}")
