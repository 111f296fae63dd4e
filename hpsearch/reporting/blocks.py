"""What a report is made of: sections of blocks, which the renderers of all formats know alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from hpsearch.reporting.charts.spec import Chart
from hpsearch.reporting.grids import Grid
from hpsearch.results.frames import Report
from hpsearch.study.hyperparameters import HYPER_PARAMETERS


class Format(StrEnum):
    """Who shows a section; JSON takes its value."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    PAGE = "page"
    LATEX = "latex"


EVERYWHERE = frozenset(Format)
TERMINAL, MARKDOWN, PAGE, LATEX = (frozenset({each}) for each in Format)
TEXT = TERMINAL | MARKDOWN


class Tone(StrEnum):
    """How a sentence is said."""

    PLAIN = "plain"
    VERDICT = "verdict"
    QUIET = "quiet"
    NOTE = "note"


@dataclass(frozen=True)
class Block:
    """A part of a section. formats: those that show it."""

    formats: frozenset[Format] = field(default=EVERYWHERE, kw_only=True)

    @property
    def kind(self) -> str:
        """Its class in small letters, by which the page's template knows it."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Lead(Block):
    """The report's first lines; the first one begins with the study's name."""

    name: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Title(Block):
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Sentence(Block):
    """One or more sentences: a paragraph."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Remarks(Block):
    """What the reader must know to take the numbers for no more than they are."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Table(Block):
    """A table of text.

    caption: begins with a small letter and has no full stop. titled: it is a heading of its own, where the
    format has those. more: what the table leaves out. best_first: its first row stands out. all_with: the
    option that shows columns for which a terminal has no room; "": they are left out without a word.
    """

    grid: Grid
    caption: str = ""
    titled: bool = False
    more: str | None = None
    best_first: bool = False
    all_with: str = "--format csv"


@dataclass(frozen=True)
class Charts(Block):
    """Charts beside or below each other, which are drawn on the page and as files.

    make: draws them; is given whether they are to stand alone, in files. heading: the level of the heading
    that has a chart's title, 0 for none. panels: the page's class for charts beside each other.
    file: of all of them as one picture, which Markdown shows with the caption.
    """

    make: Callable[[bool], Iterable[Chart]]
    heading: int = 0
    panels: str = ""
    file: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Image(Block):
    """A PNG that was made elsewhere. file: its name beside the report."""

    file: str
    caption: str
    content: bytes


@dataclass(frozen=True)
class Pairs(Block):
    """Words and what is to be said of each. look: the page's class for them. folded: the line that unfolds
    them, "" where they are not folded."""

    rows: Sequence[tuple[str, str]]
    look: str = "facts"
    folded: str = ""


@dataclass(frozen=True)
class Code(Block):
    """Lines of a file. folded: the line that unfolds them."""

    text: str
    folded: str


@dataclass(frozen=True)
class Step:
    """Something to do: why, the piece of a study file or command that does it, and how to type it."""

    text: str
    piece: str | None = None
    command: str | None = None

    @property
    def line(self) -> str:
        """All but the command as one sentence."""
        return f"{self.text}; try {self.piece}" if self.piece else self.text


@dataclass(frozen=True)
class Steps(Block):
    """What to do, the most useful first."""

    steps: Sequence[Step]


@dataclass(frozen=True)
class AllTrials(Block):
    """The page's table of all trials, which sorts and filters."""

    report: Report


@dataclass(frozen=True)
class Later(Block):
    """Blocks that take a while: they are made for the formats that show them alone."""

    make: Callable[[], Iterable[Block]]


@dataclass(frozen=True)
class Section:
    """A part of a report, the same in all formats.

    key: its anchor on the page. make: its blocks, made when a format shows them; a section without any is
    not shown. formats: those that show it; the terminal leaves out a section that is too long for it.
    untitled: those that show its blocks without the heading. json: makes its value in the JSON document,
    under the key json_key; None where it adds nothing there.
    """

    key: str
    heading: str
    make: Callable[[], Iterable[Block]] = tuple
    formats: frozenset[Format] = EVERYWHERE
    untitled: frozenset[Format] = frozenset()
    json: Callable[[], Any] | None = None
    json_key: str = ""

    @cached_property
    def made(self) -> list[Block]:
        """Its blocks, made once for all formats."""
        return list(self.make())

    def blocks(self, shown_by: Format) -> list[Block]:
        """The blocks that a format shows."""
        if shown_by not in self.formats:
            return []
        shown = [block for block in self.made if shown_by in block.formats]
        several = [block.make() if isinstance(block, Later) else [block] for block in shown]
        return [block for blocks in several for block in blocks if shown_by in block.formats]

    def title(self, shown_by: Format) -> str:
        """The heading, or "" where a format shows none."""
        return "" if shown_by in self.untitled else self.heading

    @property
    def entry(self) -> str:
        """The heading as an entry of a table of contents: what stands before its colon."""
        return self.heading.partition(":")[0]


def begun(text: str) -> str:
    """A sentence with a capital letter, unless it begins with the name of a hyper-parameter."""
    named = text.split(" ")[0].rstrip(":,") in HYPER_PARAMETERS
    return text if named else f"{text[:1].upper()}{text[1:]}"
