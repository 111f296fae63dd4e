"""docs/benchmarks.md: the table, the chart and how each row is measured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.chart import draw
from benchmarks.digits import ROOT
from benchmarks.measure import HEADER, Part, machine, markdown

DOCS = ROOT / "docs"
HEAD = """\
<!-- written by `make bench` -->

# Benchmarks

Both sides of each row in one run of `make bench`, one after the other on an otherwise idle machine.
Start-up counts where it says so. {machine}, {date}.
"""


def text(parts: Sequence[Part], chart: str) -> str:
    """The page as Markdown; `chart` is the picture's name beside it."""
    pieces = [HEAD.format(machine=machine(), date=datetime.now(UTC).date()), HEADER]
    pieces += [markdown(row) for part in parts for row in part.rows]
    pieces += ["", f"![How many times as fast, and what was found when]({chart})"]
    pieces += ["", "## How each is measured"]
    for part in parts:
        pieces += ["", f"### {part.title}", "", part.how.strip("\n")]
    return "\n".join(pieces) + "\n"


def write(parts: Sequence[Part], folder: Path = DOCS) -> None:
    """Write the page and its chart."""
    draw(parts, folder / "benchmarks.png")
    (folder / "benchmarks.md").write_text(text(parts, "benchmarks.png"), encoding="utf-8")
