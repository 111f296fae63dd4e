"""What was read from a source, for the terminal and as TOML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hpsearch.errors import plural
from hpsearch.reporting.blocks import Block, Lead, Remarks, Section, Sentence, Table
from hpsearch.reporting.grids import Column, Grid
from hpsearch.text import plain, toml_key

if TYPE_CHECKING:
    from hpsearch.data.describe import ColumnFacts, DataFacts

_MOST_CLASSES = 12
_LONGEST = 40
_MOST_DOUBTS = 12


def data_sections(found: DataFacts) -> list[Section]:
    """What is read, the columns of a table, what was guessed, and the lines that say otherwise."""
    return [
        Section("read", "", lambda: [Lead(plain(found.name), list(_lead(found)))]),
        Section("columns", "", lambda: _table(found)),
        Section("notes", "", lambda: _notes(found)),
    ]


def _lead(found: DataFacts) -> Iterator[str]:
    if found.images is not None:
        height, width, channels = found.images["shape"]
        what = f"{found.rows:,} images of {height} × {width} × {channels}, {found.images['levels']:,} levels"
    else:
        what = f"{plural(found.rows, 'row')}, {plural(len(found.columns), 'column')}"
    yield f"{plain(found.name)}   {what}"
    if found.target is None:
        yield f"no target chosen; {plain(found.likely or '')} is likely"
        return
    goal = f'"{plain(found.target)}" ({found.task})'
    if found.classes:
        pairs = list(zip(found.classes, found.counts, strict=True))
        shown = ", ".join(f"{plain(name)} {count:,}" for name, count in pairs[:_MOST_CLASSES])
        more = f" and {len(pairs) - _MOST_CLASSES:,} more" if len(pairs) > _MOST_CLASSES else ""
        goal += f": {len(pairs):,} classes: {shown}{more}"
    yield f"target {goal}"
    if found.parts is not None:
        train, valid, test = found.parts
        yield f"{train:,} to train · {valid:,} to rank · {test:,} kept back for the test"


def _table(found: DataFacts) -> Iterator[Block]:
    if not found.columns:
        return
    heads = (
        Column("column", False),
        Column("kind", False),
        Column("used", False),
        Column("missing"),
        Column("distinct"),
        Column("values", False),
    )
    rows = tuple(
        (
            _short(column.name),
            column.kind,
            "target" if column.name == found.target else "yes" if column.used else "no",
            f"{column.missing:,}" if column.missing else "",
            f"{column.distinct:,}",
            _values(column),
        )
        for column in found.columns
    )
    yield Table(Grid(heads, rows), all_with="--format json")


def _values(column: ColumnFacts) -> str:
    """The range of numbers; of others the first values."""
    if column.low is not None and column.high is not None and column.kind != "category":
        return f"{column.low:g} … {column.high:g}, mean {column.mean:.4g}"
    more = ", …" if column.distinct > len(column.examples) else ""
    return _short(", ".join(column.examples) + more)


def _short(text: str) -> str:
    text = plain(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _notes(found: DataFacts) -> Iterator[Block]:
    if found.notes:
        yield Remarks(found.notes)
    if doubts := [column for column in found.columns if column.instead or column.doubt]:
        lines = [f"{toml_key(column.name)} = {column.instead or column.doubt}" for column in doubts]
        more = [f"and {len(lines) - _MOST_DOUBTS:,} more; hpsearch init writes them all"]
        shown = "\n".join(lines if len(lines) <= _MOST_DOUBTS else lines[:_MOST_DOUBTS] + more)
        yield Sentence(f"To settle a doubt, say in the study file:\n[data.columns]\n{shown}")


def next_step(found: DataFacts, source: str) -> str:
    """The command to type next."""
    from hpsearch.data.glance import init_command

    return init_command(source, (found.target or found.likely) if found.asks_target else None)
