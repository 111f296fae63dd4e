"""Tables as LaTeX, for papers; they need the package booktabs."""

from __future__ import annotations

from collections.abc import Iterable

from hpsearch.reporting.blocks import Format, Section, Table
from hpsearch.reporting.grids import Grid
from hpsearch.reporting.sections import Source, sections
from hpsearch.results.frames import Report
from hpsearch.text import plain

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # Ligatures and active characters of some languages, and brackets that would begin an option of \\.
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "−": r"$-$",
    "…": r"\dots{}",
    "–": "--",
    "×": r"$\times$",
    "→": r"$\to$",
    "·": r"$\cdot$",
}
_TABLE = str.maketrans(_SPECIAL)


def report_latex(report: Report, top: int = 10) -> str:
    r"""The confirmed ranking, where there is one, and the first `top` trials (0: all), as LaTeX tables.

    Everything is escaped. To be \input into a document with \usepackage{booktabs} and, for quotes,
    \usepackage{textcomp}.
    """
    return sections_latex(sections(Source(report, top)), report.record.name)


def sections_latex(shown: Iterable[Section], name: str) -> str:
    """The sections' tables as LaTeX; name: of the study, with which captions begin."""
    return "\n".join(
        _table(block.grid, f"{plain(name)}: {block.caption or section.heading}.")
        for section in shown
        for block in section.blocks(Format.LATEX)
        if isinstance(block, Table)
    )


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it is; control characters and what no font has are written as escapes."""
    shown = "".join(c if c in _SPECIAL or c.isascii() or c.isalpha() else ascii(c)[1:-1] for c in plain(text))
    return shown.translate(_TABLE)


def _table(grid: Grid, caption: str) -> str:
    columns = "".join("r" if column.numeric else "l" for column in grid.columns)
    rows = [" & ".join(map(latex_text, row)) + r" \\" for row in grid.rows]
    heads = " & ".join(latex_text(column.head) for column in grid.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        rf"{heads} \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
