"""Reports as Markdown, with GitHub's tables."""

from __future__ import annotations

from hpsearch.records import State
from hpsearch.report.advice import advice_lines
from hpsearch.report.frames import Report
from hpsearch.report.grids import (
    Grid,
    best_few,
    curves_grid,
    failed_lines,
    more_line,
    ranked_grid,
    summary_lines,
    valid_name,
)
from hpsearch.report.text import plain, plural

_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>|#~"})


def report_markdown(report: Report, top: int = 10, image: str | None = None) -> str:
    """The report as Markdown; `image` is the address of the picture of the curves, if there is one."""
    head, *others = summary_lines(report)
    about = head.removeprefix(plain(report.record.name)).strip()
    lines = [f"# {_escaped(plain(report.record.name))}", "", f"{_escaped(about)}  "]
    lines += ["  \n".join(_escaped(line) for line in others), ""]
    grid = ranked_grid(report, top)
    if grid.rows:
        lines += ["## Ranked trials", "", *_table(grid), ""]
        more = more_line(report, top)
        lines += [_escaped(more), ""] if more else []
    numbers = best_few(report)
    if numbers:
        lines += [f"## Learning curves: {_escaped(valid_name(report))}", ""]
        lines += [f"![Learning curves of the best trials]({image})", ""] if image else []
        lines += [*_table(curves_grid(report, numbers)), ""]
    failures = failed_lines(report, top)
    if failures:
        lines += [f"## {plural(report.counts[State.FAILED], 'trial')} diverged", ""]
        lines += [f"- {_escaped(trial)} {_escaped(reason)}" for trial, reason in failures]
        lines += [""]
    advice = advice_lines(report)
    if advice:
        lines += ["## Where the best lie", "", *(f"- {_escaped(line)}" for line in advice), ""]
    return "\n".join(lines)


def _table(grid: Grid) -> list[str]:
    heads = [_escaped(column.head) for column in grid.columns]
    rule = ["--:" if column.numeric else ":--" for column in grid.columns]
    rows = [[_escaped(cell) for cell in row] for row in grid.rows]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def _escaped(text: str) -> str:
    return text.translate(_SPECIAL)
