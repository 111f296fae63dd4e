"""Reports for the terminal, as rich renderables that fit a given width without cutting a number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from io import StringIO
from shlex import quote
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from hpsearch.errors import plural
from hpsearch.reporting.blocks import (
    Block,
    Code,
    Format,
    Lead,
    Pairs,
    Remarks,
    Section,
    Sentence,
    Step,
    Steps,
    Table,
    Title,
    Tone,
)
from hpsearch.reporting.grids import Grid, curves_grid, trial_curve_grid, valid_name
from hpsearch.reporting.sections import Source, answer_section, chosen, confirmed_section
from hpsearch.results.confirmation import Confirmation
from hpsearch.results.frames import Report
from hpsearch.results.lessons import Lessons
from hpsearch.text import plain

_GAP = 2
_LONGEST_TEXT = 32
_KEPT_COLUMNS = 3
_ALL_EPOCHS = 40
_STYLES = {Tone.VERDICT: "bold", Tone.QUIET: "dim"}


def report_view(
    report: Report,
    width: int,
    top: int = 10,
    storage: str = "",
    found: Lessons | None = None,
    only: Collection[str] = (),
    explain: bool = False,
) -> RenderableType:
    """The report for the terminal.

    Args:
        width: columns of the terminal, at least 40. top: rows of the ranked table, 0 for all.
        storage: words that the commands to type next need, such as " --storage sqlite:///x.db".
        found: the report's lessons, where they are known already.
        only: keys of the wanted sections, all when empty. explain: tell how the numbers are made, too.
    """
    source = Source(report, top, found, storage, explain=explain)
    return sections_view(chosen(source, only, Format.TERMINAL), width)


def answer_view(report: Report, width: int, storage: str = "") -> RenderableType:
    """What was found, in few lines; the arguments are those of `report_view`."""
    return sections_view([answer_section(Source(report, storage=storage))], width)


def finalists_view(c: Confirmation, width: int) -> RenderableType:
    """The confirmation for the terminal, at most `width` columns."""
    return sections_view([confirmed_section(c)], width)


def sections_view(shown: Iterable[Section], width: int) -> RenderableType:
    """Sections for the terminal, at most `width` columns, with an empty line between each two.

    A table with a caption is set apart, too, from what is above it.
    """
    groups: list[RenderableType] = []
    for section in shown:
        blocks, title = section.blocks(Format.TERMINAL), section.title(Format.TERMINAL)
        lines: list[RenderableType] = _caption(title) if blocks and title else []
        said = False
        for block in blocks:
            if said and isinstance(block, Table) and block.caption:
                groups, lines = [*groups, Group(*lines)], []
            parts = _lines(block, width)
            lines, said = lines + parts, said or bool(parts)
        groups += [Group(*lines)] if lines else []
    return spaced(groups)


def _lines(block: Block, width: int) -> list[RenderableType]:
    """A block for the terminal; of what a terminal cannot show, nothing."""
    match block:
        case Lead():
            first = Text(block.lines[0])
            first.stylize("bold", 0, len(block.name))
            return [first, *map(Text, block.lines[1:])]
        case Title():
            return _caption(block.text)
        case Sentence():
            return [Text(block.text, style=_STYLES.get(block.tone, ""))]
        case Remarks():
            return [Text(line, style="dim") for line in block.lines]
        case Table():
            bold = 0 if block.best_first else None
            table = (
                fitted(block.grid, width, block.all_with, bold)
                if block.all_with
                else [_first_columns(block.grid, width)]
            )
            return [*(_caption(block.caption) if block.caption else []), *table, *_dim(block.more)]
        case Pairs():
            return [Padding(two_columns(block.rows, "right"), (0, 0, 0, 1))]
        case Steps():
            return [Text(part) for step in block.steps for part in _unbroken(step, width)]
        case Code():
            return [Text(block.text)]
    return []


def _caption(text: str) -> list[RenderableType]:
    return [Text(f" {text}", style="dim")]


def _unbroken(step: Step, width: int) -> list[str]:
    """A step with its piece of a study file in a line of its own, where it would be broken otherwise."""
    if cell_len(step.line) <= width or not step.piece:
        return [step.line]
    return [f"{step.text}; try", f"  {step.piece}"]


def curves_view(report: Report, numbers: Sequence[int], width: int) -> RenderableType:
    """Learning curves: every epoch and column of a single trial, the ranked metric of several."""
    name = plain(report.record.name)
    if len(numbers) == 1:
        head = Text(f"{name}   trial {numbers[0]}")
        return spaced([head, Group(*fitted(trial_curve_grid(report, numbers[0]), width))])
    head = Text(f"{name}   {valid_name(report)} by epoch")
    table = _first_columns(curves_grid(report, numbers, _ALL_EPOCHS), width)
    everything = f"hpsearch curves {quote(report.record.name)} --format csv"
    return spaced([head, table, Text(f"every trial, epoch and column: {plain(everything)}", style="dim")])


def plain_text(view: RenderableType, width: int) -> str:
    """The view as lines of plain text, no wider than `width`, without blanks at their ends."""
    console = Console(
        file=StringIO(),
        width=width,
        color_system=None,
        force_terminal=False,
        highlight=False,
        markup=False,  # or [compare] and other words in brackets would vanish
        emoji=False,
    )
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
    hidden = f"{plural(len(left_out), 'column')} hidden ({', '.join(left_out)})"
    return [table, *_dim(f"{hidden}; widen the terminal or use {all_with}")]


def _table(grid: Grid, heads: Sequence[str], gap: int = _GAP, bold_row: int | None = None) -> RichTable:
    table = RichTable(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
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


def _first_columns(grid: Grid, width: int) -> RenderableType:
    """The grid with as many of its columns as fit, the first ones."""
    heads = [column.head for column in grid.columns]
    while len(heads) > 2 and _width(grid, heads) > width:
        heads.pop()
    return _table(grid, heads)


def two_columns(rows: Iterable[tuple[str, str]], justify: Literal["left", "right"] = "left") -> RichTable:
    """Words, and beside each what there is to say of it; control characters are shown, not obeyed."""
    table = RichTable.grid(padding=(0, _GAP, 0, 0))
    table.add_column(justify=justify, no_wrap=True)
    table.add_column(overflow="fold")
    for what, said in rows:
        table.add_row(Text(plain(what)), Text(plain(said)))
    return table


def _dim(line: str | None) -> list[RenderableType]:
    return [] if line is None else [Padding(Text(line, style="dim"), (0, 0, 0, 1))]


def spaced(blocks: Sequence[RenderableType]) -> RenderableType:
    """The blocks with an empty line between each two."""
    lines: list[RenderableType] = []
    for block in blocks:
        lines += [Text(), block] if lines else [block]
    return Group(*lines)
