"""How noisy a trial's gradients are: table, chart and documents of what the engine measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from hpsearch.errors import plural
from hpsearch.reporting.blocks import TERMINAL, Block, Lead, Section, Table
from hpsearch.reporting.grids import Column, Grid
from hpsearch.reporting.tables import sections_view
from hpsearch.text import json_value, plain, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import RenderableType

VARIANCE_FORMAT = "hpsearch.variance/1"
BATCH_SIZE, MOMENTUM = "batch_size", "momentum"
_BAR = 16
_MORE_COLOURS = ("#56b4e9", "#000000")
"""After the usual ones: as many epochs can be told apart."""
_LINES: tuple[tuple[Literal["-", "--", ":"], str], ...] = (
    ("-", "the law without replacement, as training draws"),
    ("--", "the law for independent draws: σ²/B and V·(1−ρ)/(1+ρ)"),
    (":", "one row's variance, one mini-batch's: never exceeded"),
)


@dataclass(frozen=True)
class Variance:
    """What was measured of one trial.

    rows: N, of the training set. parameters: numbers in a gradient. batch_size: rows of the trial's own
    mini-batches, of which velocities are made. notes: what the reader should know.
    frame: one row a measured value, with the columns epoch; varied ("batch_size" or "momentum"); batch_size;
    momentum; draws; variance, the mean of ‖… − g‖² over the draws; standard_error; independent, the law for
    independent rows or mini-batches; exact, the law for those that training draws; bound, which no convex
    combination exceeds: one row's variance, or one mini-batch's; gradient, ‖g‖².
    """

    study: str
    trial: int
    rows: int
    parameters: int
    batch_size: int
    notes: tuple[str, ...]
    frame: pd.DataFrame


def variance_document(found: Variance) -> dict[str, Any]:
    """The measurement as `hpsearch.variance/1`."""
    return {
        "format": VARIANCE_FORMAT,
        "study": found.study,
        "trial": found.trial,
        "training_rows": found.rows,
        "parameters": found.parameters,
        "batch_size": found.batch_size,
        "notes": list(found.notes),
        "columns": list(found.frame.columns),
        "rows": json_value(found.frame.astype(object).to_numpy().tolist()),
    }


def variance_view(found: Variance, width: int) -> RenderableType:
    """For each epoch a table of the batch sizes and one of the momenta, with bars on a logarithmic scale."""

    def blocks() -> Iterator[Block]:
        name = f"{plain(found.study)} #{found.trial}"
        sizes = f"{found.rows:,} training rows, {found.parameters:,} parameters"
        yield Lead(name, [f"{name}   variance of the gradient: {sizes}", *found.notes])
        for epoch in found.frame["epoch"].unique():
            when = f"after epoch {epoch}" if epoch else "initial weights"
            for varied, frame in _parts(found):
                values = frame[frame["epoch"] == epoch]
                yield Table(_grid(varied, values), f"{when}   {_caption(found, varied, values)}")

    return sections_view([Section("variance", "Variance of the gradient", blocks, untitled=TERMINAL)], width)


def variance_png(found: Variance) -> bytes:
    """Variance by batch size and by momentum, logarithmic both ways, with the laws as lines, as a PNG."""
    from matplotlib.lines import Line2D

    from hpsearch.reporting.figure import inert, new_figure, png_bytes

    parts = list(_parts(found))
    figure = new_figure(5.2 * len(parts) + 0.6, 5.0)
    for axes, (varied, frame) in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        _draw(axes, varied, frame)
        _name(axes, varied, found)
    title = inert(f"{found.study} #{found.trial}: variance of the gradient")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    measured, _ = figure.axes[0].get_legend_handles_labels()
    laws = [Line2D([], [], color="#505050", linestyle=style, label=name) for style, name in _LINES]
    figure.legend(
        handles=[*laws, *measured], loc="outside lower left", ncols=2, fontsize="small", frameon=False
    )
    return png_bytes(figure)


def _parts(found: Variance) -> Iterator[tuple[str, pd.DataFrame]]:
    for varied in (BATCH_SIZE, MOMENTUM):
        frame = found.frame[found.frame["varied"] == varied]
        if len(frame):
            yield varied, frame


def _caption(found: Variance, varied: str, values: pd.DataFrame) -> str:
    """What the table of one epoch shows, with what its values never exceed."""
    bound, gradient = (significant(values[name].iloc[0], 3) for name in ("bound", "gradient"))
    if varied == BATCH_SIZE:
        return f"E‖g_B − g‖² of mini-batches; one row's is σ² = {bound} (Jensen's bound), ‖g‖² = {gradient}"
    one = f"one mini-batch's ({plural(found.batch_size, 'row')}) is V = {bound} (Jensen's bound)"
    return f"E‖v − g‖² of the velocity v = (1−ρ) Σ ρᵏ g_(t−k); {one}"


def _grid(varied: str, frame: pd.DataFrame) -> Grid:
    heads = {
        BATCH_SIZE: ("σ²/B", "without_replacement"),
        MOMENTUM: ("V·(1−ρ)/(1+ρ)", "without_replacement"),
    }
    columns = [Column(varied), Column("measured"), Column("±"), *map(Column, heads[varied])]
    columns += [Column("draws"), Column("", numeric=False)]
    positive = [value for value in frame["variance"] if value > 0]
    rows = []
    for row in frame.to_dict("records"):
        values = ("variance", "standard_error", "independent", "exact")
        cells = [significant(row[name], 2 if name == "standard_error" else 3) for name in values]
        bar = _bar(row["variance"], positive)
        rows.append((f"{row[varied]:g}", *cells, f"{row['draws']:,}", bar))
    return Grid(tuple(columns), tuple(rows))


def _bar(value: float, positive: Sequence[float]) -> str:
    """A bar as long as the logarithm says, from one block for the least positive value; nothing for 0."""
    if not value > 0:
        return ""
    low, high = math.log(min(positive)), math.log(max(positive))
    share = (math.log(value) - low) / (high - low) if high > low else 1.0
    return "█" * (1 + round(share * (_BAR - 1)))


def _draw(axes: Axes, varied: str, frame: pd.DataFrame) -> None:
    """One colour an epoch: measured values with two standard errors each way, laws as lines."""
    from hpsearch.reporting.theme import COLOURS

    colours = (*COLOURS, *_MORE_COLOURS)
    for place, (epoch, values) in enumerate(frame.sort_values(varied).groupby("epoch")):
        colour = colours[place % len(colours)]
        shown = values[values["variance"] > 0]
        axes.errorbar(
            _along(varied, shown),
            shown["variance"],
            yerr=2 * shown["standard_error"],
            fmt="o",
            markersize=5,
            capsize=3,
            color=colour,
            label=f"measured at epoch {epoch}, ± 2 standard errors",
        )
        for name, style in (("exact", "-"), ("independent", "--"), ("bound", ":")):
            line = values[values[name] > 0]
            axes.plot(_along(varied, line), line[name], color=colour, linestyle=style, linewidth=1.2)


def _along(varied: str, frame: pd.DataFrame) -> pd.Series:
    """Places on the axis: mini-batches that the velocity remembers, 1/(1−ρ), where momentum varies."""
    return frame[BATCH_SIZE] if varied == BATCH_SIZE else 1 / (1 - frame[MOMENTUM])


def _name(axes: Axes, varied: str, found: Variance) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log", base=2 if varied == BATCH_SIZE else 10)
    axes.set_yscale("log")
    frame = found.frame[found.frame["varied"] == varied]
    ticks = sorted(set(zip(_along(varied, frame), frame[varied], strict=True)))
    ticks = ticks[:: -(-len(ticks) // 8)]
    axes.set_xticks([place for place, _ in ticks], [f"{value:g}" for _, value in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    if varied == BATCH_SIZE:
        axes.set_xlabel("batch size B")
        axes.set_ylabel("E‖g_B − g‖²")
    else:
        axes.set_xlabel("momentum ρ, spaced by log 1/(1−ρ)")
        axes.set_ylabel("E‖v − g‖²,  v = (1−ρ) Σ ρᵏ g_(t−k)")
        axes.set_title(f"velocity, {found.batch_size} rows a mini-batch", fontsize="medium")
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
