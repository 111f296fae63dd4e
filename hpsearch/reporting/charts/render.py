"""Charts as files: SVG by Vega itself, and PNG from that."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hpsearch.reporting.charts.spec import SCHEMA, UNSEEN, Chart, Spec
from hpsearch.reporting.theme import LIGHT, config, on_paper

_WIDTH = 640
_FONT = "Liberation Sans, Arial, sans-serif"
_SCALE = 2.0
"""Pixels of a PNG a point of the SVG."""
_PADDING = 14
_IDENTIFIER = re.compile(r'((?:id="|url\(#)(?:clip|gradient_))(\d+)')


def chart_svg(charts: Chart | Sequence[Chart], title: str = "") -> str:
    """The chart on white paper, or several beside each other; title: over it.

    The same chart gives the same bytes. Nothing is fetched from anywhere.
    """
    import vl_convert  # 0.6 s for its first chart

    several = [charts] if isinstance(charts, Chart) else list(charts)
    parts = [_sized(each, _WIDTH // len(several)) for each in several]
    whole: Spec = parts[0] if len(parts) == 1 else {"hconcat": parts, "spacing": 30}
    whole |= {"title": title or several[0].title}
    whole |= {
        "$schema": SCHEMA,
        "padding": _PADDING,
        "config": {**config(_FONT), "background": LIGHT["paper"]},
    }
    svg: str = vl_convert.vegalite_to_svg(on_paper(whole), allowed_base_urls=[])
    return _renumbered(svg)


def _renumbered(svg: str) -> str:
    """With identifiers that count from 0: Vega goes on where the chart before this one ended."""
    numbers: dict[str, int] = {}
    return _IDENTIFIER.sub(lambda found: f"{found[1]}{numbers.setdefault(found[2], len(numbers))}", svg)


def png_of(svg: str) -> bytes:
    """The picture of an SVG, twice as many pixels across as it has points."""
    import vl_convert

    png: bytes = vl_convert.svg_to_png(svg, scale=_SCALE)
    return png


def _sized(chart: Chart, width: int) -> Spec:
    seen = [layer for layer in chart.spec["layer"] if not layer.get("name", "").startswith(UNSEEN.format(""))]
    return {**chart.spec, "layer": seen, "width": max(width, chart.least), "height": chart.height}
