"""The picture of a decision boundary: what trials take each point of a plane for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hpsearch.records import FloatArray
from hpsearch.reporting.figure import inert, new_figure, png_bytes
from hpsearch.reporting.theme import COLOURS

MOST_CLASSES = len(COLOURS)
"""More could not be told apart."""

_PALE = 0.45
"""How much of a class's colour an area has of which the trial is sure; the rest is white."""
_STEPS = 12
"""Of the shading: with more, the file would be many times as large."""
_PANEL, _HEIGHT = 4.5, 4.8
_INK = "#303030"


@dataclass(frozen=True)
class Panel:
    """What one trial makes of the plane.

    shares: [n, n, classes] probabilities at n × n points, evenly over the plane from its lower left corner,
    line by line.
    """

    title: str
    shares: FloatArray


@dataclass(frozen=True)
class Plane:
    """The plane of a data set's two features.

    axes: their names. extent: left, right, bottom, top. points: [rows, 2] of the training set, of the
    classes labels: [rows].
    """

    axes: tuple[str, str]
    extent: tuple[float, float, float, float]
    points: NDArray[np.floating]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def boundary_png(plane: Plane, panels: list[Panel]) -> bytes:
    """The panels side by side: areas in their class's colour, paler where less sure, and training points."""
    figure = new_figure(_PANEL * len(panels), _HEIGHT)
    grids = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axes, panel in zip(grids, panels, strict=True):
        _draw(axes, plane, panel)
        axes.set_xlabel(inert(plane.axes[0]))
    grids[0].set_ylabel(inert(plane.axes[1]))
    handles = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=inert(name))
        for colour, name in zip(COLOURS, plane.classes, strict=False)
    ]
    handles.append(Line2D([], [], color=_INK, label="decision boundary"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize="small", frameon=False
    )
    return png_bytes(figure)


def _draw(axes: Axes, plane: Plane, panel: Panel) -> None:
    colours = np.array([to_rgb(colour) for colour in COLOURS[: len(plane.classes)]])
    # From white, where no class is more probable than another, to the pale colour of a sure one.
    count = len(plane.classes)
    sure = np.clip((panel.shares - 1 / count) / (1 - 1 / count), 0, 1)[..., None]
    area = 1 - _PALE * (np.round(_STEPS * sure) / _STEPS * (1 - colours)).sum(axis=2)
    axes.imshow(area, origin="lower", extent=plane.extent, aspect="auto", interpolation="nearest")
    across, up = (np.linspace(*ends, panel.shares.shape[0]) for ends in (plane.extent[:2], plane.extent[2:]))
    for place in range(1 if count == 2 else count):
        others = np.delete(panel.shares, place, axis=2).max(axis=2)
        lead = panel.shares[:, :, place] - others
        if lead.min() < 0 < lead.max():
            axes.contour(across, up, lead, levels=[0], colors=_INK, linewidths=1.2)
    for place, colour in enumerate(COLOURS[:count]):
        own = plane.points[plane.labels == place]
        axes.scatter(own[:, 0], own[:, 1], s=13, color=colour, edgecolors="white", linewidths=0.4, zorder=3)
    axes.set_title(inert(panel.title), loc="left", fontsize="medium")
