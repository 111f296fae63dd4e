"""Colours and type of the charts: one set of names, with values for light and for dark paper."""

from __future__ import annotations

import re
from typing import Any

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
"""Told apart by colour-blind readers (Okabe & Ito 2008, "Color Universal Design")."""
_ON_DARK = ("#56b4e9", "#f58a4b", "#2fc39a", "#e3a3c8", "#f0b840")
"""The same hues, lighter, so that they stand out from dark paper by 3 : 1 at least."""

LIGHT = {
    "paper": "#ffffff",
    "raised": "#f6f7f8",
    "ink": "#1b1e23",
    "muted": "#565d68",
    "line": "#dfe2e6",
    "faint": "#8b929c",
    "link": "#00598c",
    **{f"c{place}": colour for place, colour in enumerate(COLOURS)},
}
DARK = {
    "paper": "#15171b",
    "raised": "#1e2127",
    "ink": "#e6e8eb",
    "muted": "#a3abb6",
    "line": "#343941",
    "faint": "#7d8590",
    "link": "#7cc4f2",
    **{f"c{place}": colour for place, colour in enumerate(_ON_DARK)},
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
_VARIABLE = re.compile(r"var\(--(\w+)\)")


def var(name: str) -> str:
    """The colour of that name as CSS has it, so that a chart follows the page from light to dark."""
    return f"var(--{name})"


def series(place: int) -> str:
    """The colour of the place-th of a few lines."""
    return var(f"c{place % len(COLOURS)}")


def config(font: str = FONT) -> dict[str, Any]:
    """Vega-Lite's configuration for all charts."""
    quiet = {
        "labelColor": var("muted"),
        "titleColor": var("muted"),
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelFont": font,
        "titleFont": font,
    }
    return {
        "background": None,
        "aria": False,
        "font": font,
        "view": {"stroke": None},
        "axis": {
            **quiet,
            "gridColor": var("line"),
            "domainColor": var("faint"),
            "tickColor": var("faint"),
            "titlePadding": 8,
            "labelOverlap": True,
            "labelLimit": 220,
        },
        "legend": {**quiet, "orient": "bottom", "title": None, "labelLimit": 720, "symbolStrokeWidth": 2},
        "title": {
            "anchor": "start",
            "color": var("ink"),
            "subtitleColor": var("muted"),
            "font": font,
            "subtitleFont": font,
            "fontSize": 15,
            "subtitleFontSize": 12,
            "offset": 12,
        },
        "text": {"color": var("ink"), "font": font, "fontSize": 12},
    }


def on_paper(value: Any) -> Any:
    """A specification with the colours of light paper in place of their names, for where there is no CSS."""
    if isinstance(value, dict):
        return {key: on_paper(item) for key, item in value.items()}
    if isinstance(value, list):
        return [on_paper(item) for item in value]
    if isinstance(value, str) and (found := _VARIABLE.fullmatch(value)):
        return LIGHT[found[1]]
    return value
