"""What the pictures that matplotlib draws have in common."""

from __future__ import annotations

from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hpsearch.text import plain

_DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, that needs no screen."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG."""
    target = BytesIO()
    # Without the software's version the same report gives the same bytes.
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def inert(text: str) -> str:
    """Text that matplotlib draws as it is: a dollar sign would begin a formula."""
    return plain(text).replace("$", r"\$")
