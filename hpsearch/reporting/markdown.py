"""Reports as Markdown, with GitHub's tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hpsearch.reporting.blocks import (
    Block,
    Charts,
    Code,
    Format,
    Image,
    Lead,
    Pairs,
    Remarks,
    Section,
    Sentence,
    Steps,
    Table,
    Title,
    Tone,
    begun,
)
from hpsearch.reporting.grids import Grid
from hpsearch.reporting.sections import Source, chosen
from hpsearch.results.frames import Report
from hpsearch.results.lessons import Lessons

_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>|#~"})


def report_markdown(
    report: Report,
    top: int = 10,
    pictures: Collection[str] = (),
    found: Lessons | None = None,
    only: Collection[str] = (),
) -> str:
    """The report as Markdown; `pictures` are the names of image files beside it. found: its lessons.

    only: keys of the wanted sections, all when empty.
    """
    shown = chosen(Source(report, top, found, images=dict.fromkeys(pictures, b"")), only, Format.MARKDOWN)
    return sections_markdown(shown, pictures)


def sections_markdown(shown: Iterable[Section], files: Collection[str] = ()) -> str:
    """Sections as Markdown. files: names of the image files that lie beside it."""
    lines: list[str] = []
    for section in shown:
        blocks = [part for block in section.blocks(Format.MARKDOWN) for part in _lines(block, files)]
        title = section.title(Format.MARKDOWN)
        lines += [f"## {escaped(title)}", ""] if blocks and title else []
        lines += blocks
    return "\n".join(lines)


def _lines(block: Block, files: Collection[str]) -> list[str]:
    """A block's lines and an empty one; none of what Markdown cannot show."""
    match block:
        case Lead():
            about = block.lines[0].removeprefix(block.name).strip()
            return [f"# {escaped(block.name)}", "", "  \n".join(map(escaped, [about, *block.lines[1:]])), ""]
        case Title():
            return [f"### {escaped(block.text)}", ""]
        case Sentence():
            text = escaped(block.text)
            return [f"**{text}**" if block.tone is Tone.VERDICT else text, ""]
        case Remarks():
            return _bullets(block.lines)
        case Table():
            caption = escaped(begun(block.caption))
            head = [f"### {caption}" if block.titled else f"{caption}.", ""] if caption else []
            return [
                *head,
                *markdown_table(block.grid),
                "",
                *([escaped(block.more), ""] if block.more else []),
            ]
        case Charts() | Image():
            return [f"![{escaped(block.caption)}]({block.file})", ""] if block.file in files else []
        case Pairs():
            return _bullets(f"{what} {said}" for what, said in block.rows)
        case Steps():
            return _bullets(step.line for step in block.steps)
        case Code():
            return [f"```\n{block.text}\n```", ""]
    return []


def _bullets(lines: Iterable[str]) -> list[str]:
    return [*(f"- {escaped(line)}" for line in lines), ""]


def markdown_table(grid: Grid) -> list[str]:
    """The grid as lines of a table of GitHub's Markdown."""
    heads = [escaped(column.head) for column in grid.columns]
    rule = ["--:" if column.numeric else ":--" for column in grid.columns]
    rows = [[escaped(cell) for cell in row] for row in grid.rows]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return text.translate(_SPECIAL)
