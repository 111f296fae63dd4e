"""Reports as Markdown, with GitHub's tables."""

from __future__ import annotations

from collections.abc import Collection

from hpsearch.errors import plural
from hpsearch.records import State
from hpsearch.reporting.comparison import comparison_grid, conclusion, remarks
from hpsearch.reporting.finalists import (
    finalists_curves_grid,
    finalists_grid,
    finalists_remarks,
    finalists_title,
    improving_line,
    verdict,
)
from hpsearch.reporting.grids import (
    Grid,
    best_few,
    curves_grid,
    failed_lines,
    front_grid,
    front_more_line,
    front_sentence,
    front_title,
    more_line,
    ranked_grid,
    summary_lines,
    valid_name,
)
from hpsearch.reporting.lessons import lessons_blocks
from hpsearch.results.advice import advice_lines
from hpsearch.results.confirmation import Confirmation
from hpsearch.results.contrast import Contrast
from hpsearch.results.frames import Report
from hpsearch.results.lessons import Lessons, lessons
from hpsearch.text import plain

CURVES, PARETO, COMPARISON = "curves.png", "pareto.png", "comparison.png"
BOUNDARY, PICTURES, WRONG = "boundary.png", "pictures.png", "wrong.png"
CAPTIONS = {
    CURVES: "Learning curves of the best trials",
    PARETO: "All complete trials by the study's objectives, and the Pareto front",
    COMPARISON: "Scores by seed, with means and intervals",
    BOUNDARY: "Decision boundary",
    PICTURES: "Training pictures",
    WRONG: "Validation pictures that the best trial gets most wrong",
}
_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>|#~"})


def report_markdown(
    report: Report, top: int = 10, pictures: Collection[str] = (), found: Lessons | None = None
) -> str:
    """The report as Markdown; `pictures` are the names of picture files beside it. found: its lessons."""
    head, *others = summary_lines(report)
    about = head.removeprefix(plain(report.record.name)).strip()
    lines = [f"# {escaped(plain(report.record.name))}", "", f"{escaped(about)}  "]
    lines += ["  \n".join(escaped(line) for line in others), ""]
    if report.confirmation is not None:
        lines += _confirmed(report.confirmation)
    if len(report.front):
        lines += _front(report, top, pictures)
    grid = ranked_grid(report, top)
    if grid.rows:
        heading = "Ranked trials" if report.confirmation is None else "Ranked by validation"
        lines += [f"## {heading}", "", *markdown_table(grid), ""]
        more = more_line(report, top)
        lines += [escaped(more), ""] if more else []
    lines += _curves(report, pictures)
    lines += _taught(found or lessons(report), report.record.metric)
    failures = failed_lines(report, top)
    if failures:
        lines += [f"## {plural(report.counts[State.FAILED], 'trial')} diverged", ""]
        lines += [f"- {escaped(trial)} {escaped(reason)}" for trial, reason in failures]
        lines += [""]
    if report.comparison is not None:
        lines += _compared(report.comparison, pictures)
    lines += [part for note in report.notes for part in (escaped(plain(note)), "")]
    for name in (BOUNDARY, PICTURES, WRONG):
        lines += [f"## {CAPTIONS[name]}", "", *_picture(name, pictures)] if name in pictures else []
    advice = advice_lines(report)
    if advice:
        lines += ["## Advice", "", *(f"- {escaped(line)}" for line in advice), ""]
    return "\n".join(lines)


def _curves(report: Report, pictures: Collection[str]) -> list[str]:
    c, numbers = report.confirmation, best_few(report)
    if not numbers:
        return []
    lines = [f"## Learning curves: {escaped(valid_name(report))}", "", *_picture(CURVES, pictures)]
    if c is None or not c.finalists[0].curves:
        return [*lines, *markdown_table(curves_grid(report, numbers)), ""]
    improving = improving_line(c, int(report.record.document["train"]["epochs"]))
    told = f"Mean ± standard deviation over {c.seeds} fresh seeds; ● best epoch"
    told += f"; {improving}" if improving else ""
    return [*lines, escaped(f"{told}."), "", *markdown_table(finalists_curves_grid(c)), ""]


def _taught(found: Lessons, metric: str) -> list[str]:
    blocks = lessons_blocks(found, metric, every=True)
    lines = ["## What matters", ""] if blocks else []
    for title, grid, said in blocks:
        lines += [f"### {escaped(title[0].upper() + title[1:])}", ""]
        lines += [] if grid is None else [*markdown_table(grid), ""]
        lines += [part for line in said for part in (escaped(line), "")]
    return lines


def _confirmed(confirmation: Confirmation) -> list[str]:
    title = finalists_title(confirmation)
    return [
        "## Confirmed ranking",
        "",
        f"**{escaped(verdict(confirmation))}**",
        "",
        escaped(title[0].upper() + title[1:]) + ".",
        "",
        *markdown_table(finalists_grid(confirmation)),
        "",
        *(f"- {escaped(line)}" for line in finalists_remarks(confirmation)),
        "",
    ]


def _front(report: Report, top: int, pictures: Collection[str]) -> list[str]:
    more = front_more_line(report, top)
    return [
        f"## {escaped(front_title(report))}",
        "",
        escaped(front_sentence(report)),
        "",
        *markdown_table(front_grid(report, top)),
        "",
        *([escaped(more), ""] if more else []),
        *_picture(PARETO, pictures),
    ]


def _compared(comparison: Contrast, pictures: Collection[str]) -> list[str]:
    notes = [f"- {escaped(line)}" for line in remarks(comparison)]
    return [
        f"## Comparison: {escaped(plain(comparison.subject))}",
        "",
        f"**{escaped(conclusion(comparison))}**",
        "",
        *markdown_table(comparison_grid(comparison)),
        "",
        *_picture(COMPARISON, pictures),
        *notes,
        "",
    ]


def _picture(name: str, pictures: Collection[str]) -> list[str]:
    return [f"![{CAPTIONS[name]}]({name})", ""] if name in pictures else []


def markdown_table(grid: Grid) -> list[str]:
    """The grid as lines of a table of GitHub's Markdown."""
    heads = [escaped(column.head) for column in grid.columns]
    rule = ["--:" if column.numeric else ":--" for column in grid.columns]
    rows = [[escaped(cell) for cell in row] for row in grid.rows]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return text.translate(_SPECIAL)
