"""Reports for the terminal, as rich renderables that fit a given width without cutting a number."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from shlex import quote

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

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
    trial_curve_grid,
    valid_name,
)
from hpsearch.reporting.lessons import brief_blocks, lessons_blocks
from hpsearch.results.advice import advised
from hpsearch.results.confirmation import Confirmation
from hpsearch.results.contrast import Contrast
from hpsearch.results.frames import Report
from hpsearch.results.lessons import Lessons, lessons
from hpsearch.text import plain

_GAP = 2
_LONGEST_TEXT = 32
_KEPT_COLUMNS = 3
_ALL_EPOCHS = 40


def report_view(
    report: Report, width: int, top: int = 10, storage: str = "", found: Lessons | None = None
) -> RenderableType:
    """The whole report: summary, confirmed ranking, Pareto front, ranked table, learning curves of the best,
    failures, comparison, advice, what next.

    Args:
        width: columns of the terminal, at least 40. top: rows of the ranked table, 0 for all.
        storage: words that the commands to type next need, such as " --storage sqlite:///x.db".
        found: the report's lessons, where they are known already.
    """
    blocks: list[RenderableType] = [_summary(report)]
    if report.confirmation is not None:
        blocks.append(finalists_view(report.confirmation, width))
    if len(report.front):
        blocks.append(_front(report, width, top))
    grid = ranked_grid(report, top)
    if grid.rows:
        by = [] if report.confirmation is None else [Text(" by validation", style="dim")]
        blocks.append(Group(*by, *fitted(grid, width, bold_row=0), *_dim(more_line(report, top))))
    blocks += _curves(report, width)
    blocks += _taught(found or lessons(report), report.record.metric, width, every=top == 0)
    failures = failed_lines(report, top)
    if failures:
        blocks.append(_failures(report.counts[State.FAILED], failures))
    if report.comparison is not None:
        blocks += _compared(report.comparison, width)
    if report.notes:
        blocks.append(Group(*(Text(plain(note)) for note in report.notes)))
    advice, command = advised(report)
    if advice:
        tried = [] if command is None else [Text(f"to try the first: {command}{storage}", style="dim")]
        blocks.append(Group(*(Text(part) for line in advice for part in _unbroken(line, width)), *tried))
    return spaced([*blocks, Text(next_line(report, storage), style="dim")])


def finalists_view(c: Confirmation, width: int) -> RenderableType:
    """The confirmation for the terminal, at most `width` columns."""
    caption = Text(f" {finalists_title(c)}", style="dim")
    table = Group(caption, *fitted(finalists_grid(c), width, "--format json", bold_row=0))
    remarks = (Text(line, style="dim") for line in finalists_remarks(c))
    return spaced([table, Group(Text(verdict(c), style="bold"), *remarks)])


def _curves(report: Report, width: int) -> list[RenderableType]:
    """Learning curves of the finalists over their seeds, otherwise of the best few trials."""
    if report.confirmation is not None and report.confirmation.finalists[0].curves:
        c = report.confirmation
        caption = Text(
            f" {valid_name(report)} by epoch, mean ± sd of {c.seeds} seeds; ● best epoch", style="dim"
        )
        table = _first_columns(finalists_curves_grid(c), width)
        return [Group(caption, table, *_dim(improving_line(c, _epochs(report)) or None))]
    numbers = best_few(report)
    if not numbers:
        return []
    caption = Text(f" {valid_name(report)} by epoch", style="dim")
    return [Group(caption, _fitted_curves(report, numbers, width, epochs=9))]


def _epochs(report: Report) -> int:
    """The most that a trial of the study gets."""
    return int(report.record.document["train"]["epochs"])


def _taught(found: Lessons, metric: str, width: int, every: bool) -> list[RenderableType]:
    """What matters, and how. every: also each hyper-parameter by itself, and medians of pairs."""
    blocks: list[RenderableType] = []
    for title, grid, lines in lessons_blocks(found, metric, every) if every else brief_blocks(found, metric):
        table = [] if grid is None else fitted(grid, width, "--format html")
        said = (Text(line) for line in lines)
        blocks.append(Group(Text(f" {title}", style="dim"), *table, *said))
    return blocks


def _unbroken(line: str, width: int) -> list[str]:
    """An advice with its piece of a study file in a line of its own, where it would be broken otherwise."""
    says, _, piece = line.partition("; try ")
    return [line] if cell_len(line) <= width or not piece else [f"{says}; try", f"  {piece}"]


def curves_view(report: Report, numbers: Sequence[int], width: int) -> RenderableType:
    """Learning curves: every epoch and column of a single trial, the ranked metric of several."""
    name = plain(report.record.name)
    if len(numbers) == 1:
        head = Text(f"{name}   trial {numbers[0]}")
        return spaced([head, Group(*fitted(trial_curve_grid(report, numbers[0]), width))])
    head = Text(f"{name}   {valid_name(report)} by epoch")
    table = _fitted_curves(report, numbers, width, _ALL_EPOCHS)
    everything = f"hpsearch curves {quote(report.record.name)} --format csv"
    return spaced([head, table, Text(f"every trial, epoch and column: {plain(everything)}", style="dim")])


def next_line(report: Report, storage: str = "") -> str:
    """Commands that lead on from a report."""
    name = plain(quote(report.record.name))
    best = report.best if report.best is not None else next(iter(best_few(report)), None)
    look = "" if best is None else f"hpsearch show {name} {best}{storage}   ·   "
    return f"next: {look}hpsearch report {name} --out {name}-report{storage}"


def plain_text(view: RenderableType, width: int) -> str:
    """The view as lines of plain text, no wider than `width`, without blanks at their ends."""
    console = Console(file=StringIO(), width=width, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as capture:
        console.print(view)
    return trimmed(capture.get())


def trimmed(text: str) -> str:
    """The text without blanks at the ends of its lines."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def fitted(
    grid: Grid, width: int, all_with: str = "--format csv", bold_row: int | None = None
) -> list[RenderableType]:
    """The grid as a table of at most `width` columns, and a line that names what had to be left out.

    Where room is short, long heads are stacked ("learning_rate" in two lines), then columns move
    together, then the last ones are left out. all_with: the option that shows all, for that line.
    """
    heads, gap = [column.head for column in grid.columns], _GAP
    if _width(grid, heads, gap) > width:
        heads = [head.replace("_", "\n") for head in heads]
    if _width(grid, heads, gap) > width:
        gap = 1
    kept = len(heads)
    while kept > _KEPT_COLUMNS and _width(grid, heads[:kept], gap) > width:
        kept -= 1
    table = _table(grid, heads[:kept], gap, bold_row)
    left_out = [column.head for column in grid.columns[kept:]]
    if not left_out:
        return [table]
    note = f"no room for {', '.join(left_out)}: {all_with} or a wider window shows all"
    return [table, *_dim(note)]


def _table(grid: Grid, heads: Sequence[str], gap: int = _GAP, bold_row: int | None = None) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for index, head in enumerate(heads):
        numeric = grid.columns[index].numeric
        table.add_column(
            Text(f" {head}" if index == 0 and numeric else head),
            justify="right" if numeric else "left",
            vertical="top",
            no_wrap=numeric,
            overflow="fold",
            max_width=None if numeric else _LONGEST_TEXT,
        )
    for number, row in enumerate(grid.rows):
        table.add_row(*map(Text, row[: len(heads)]), style="bold" if number == bold_row else None)
    return table


def _width(grid: Grid, heads: Sequence[str], gap: int = _GAP) -> int:
    """Columns that a table with these heads takes."""
    total = 1 - gap
    for index, head in enumerate(heads):
        longest = max(cell_len(text) for text in (*head.split("\n"), *(row[index] for row in grid.rows)))
        total += gap + (longest if grid.columns[index].numeric else min(longest, _LONGEST_TEXT))
    return total


def _fitted_curves(report: Report, numbers: Sequence[int], width: int, epochs: int) -> RenderableType:
    """Curves of as many of the trials as fit beside each other, the first ones."""
    return _first_columns(curves_grid(report, numbers, epochs), width)


def _first_columns(grid: Grid, width: int) -> RenderableType:
    """The grid with as many of its columns as fit, the first ones."""
    heads = [column.head for column in grid.columns]
    while len(heads) > 2 and _width(grid, heads) > width:
        heads.pop()
    return _table(grid, heads)


def _summary(report: Report) -> RenderableType:
    head, *others = summary_lines(report)
    name = plain(report.record.name)
    first = Text(head)
    first.stylize("bold", 0, len(name))
    return Group(first, *map(Text, others))


def _front(report: Report, width: int, top: int) -> RenderableType:
    caption = Text(f" {front_title(report)}", style="dim")
    table = fitted(front_grid(report, top), width)
    return Group(caption, *table, *_dim(front_more_line(report, top)), Text(front_sentence(report)))


def _compared(comparison: Contrast, width: int) -> list[RenderableType]:
    caption = Text(f" {plain(comparison.subject)}: each one's best trial, trained again", style="dim")
    table = fitted(comparison_grid(comparison), width, "--format json")
    sentence = Text(conclusion(comparison), style="bold")
    return [
        Group(caption, *table),
        Group(sentence, *(Text(line, style="dim") for line in remarks(comparison))),
    ]


def _failures(failed: int, lines: Sequence[tuple[str, str]]) -> RenderableType:
    table = Table.grid(padding=(0, _GAP, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for trial, reason in lines:
        table.add_row(Text(trial), Text(reason))
    return Group(Text(f"{plural(failed, 'trial')} diverged:", style="bold"), Padding(table, (0, 0, 0, 1)))


def _dim(line: str | None) -> list[RenderableType]:
    return [] if line is None else [Padding(Text(line, style="dim"), (0, 0, 0, 1))]


def spaced(blocks: Sequence[RenderableType]) -> RenderableType:
    """The blocks with an empty line between each two."""
    lines: list[RenderableType] = []
    for block in blocks:
        lines += [Text(), block] if lines else [block]
    return Group(*lines)
