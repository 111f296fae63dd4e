"""What `hpsearch --help` shows: every command in its group, on one screen of 80 × 24."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

from hpsearch.cli.completion import unmarked

GROUPS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Study",
        (
            ("init", "write a study file"),
            ("data", "show what is read from data"),
            ("run", "train or resume a study"),
            ("enqueue", "try a point next"),
        ),
    ),
    (
        "Results",
        (
            ("report", "ranks, curves, what matters"),
            ("curves", "losses, metrics by epoch"),
            ("confirm", "best trials on fresh seeds"),
            ("compare", "is study B better than A?"),
            ("variance", "how noisy are gradients?"),
            ("replay", "retrain, compare every bit"),
        ),
    ),
    (
        "Models",
        (
            ("export", "write a trial as a model"),
            ("predict", "predict with that model"),
        ),
    ),
    (
        "Storage",
        (
            ("list", "list stored studies"),
            ("show", "show a study or a trial"),
            ("delete", "delete a study"),
            ("compact", "shrink the database"),
            ("dump", "write a study to files"),
            ("load", "store a dumped study"),
            ("doctor", "check machine and storage"),
        ),
    ),
)
"""Groups from top to bottom, two columns of two; commands by name, each with a few words."""

_COLUMNS = 2
_GAP = 2


class Command(TyperCommand):
    """A command, whose options a shell completes with their help."""

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The options, with brackets in their help."""
        items = super().shell_complete(ctx, incomplete)
        for item in items:
            item.help = item.help and unmarked(item.help)
        return items


class Commands(TyperGroup):
    """The command `hpsearch`, whose help fits one screen."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The commands, side by side where there is room, and the few options in a line."""
        formatter.write("\n")
        formatter.write("".join(f"{line}\n" for line in _table(formatter.width)))
        names = ["/".join(sorted(param.opts, key=len)) for param in self.get_params(ctx)]
        formatter.write("\n")
        formatter.write_text(f"Options: {'  '.join(names)}")


def _table(width: int) -> list[str]:
    """The groups in lines of at most `width` columns, if that is possible."""
    blocks = [_block(title, commands) for title, commands in GROUPS]
    half = len(blocks) // _COLUMNS
    left, right = _stacked(blocks[:half]), _stacked(blocks[half:])
    margin = max(map(len, left)) + _GAP
    if margin + max(map(len, right)) > width:
        return _stacked(blocks)
    rows = max(len(left), len(right))
    left, right = ([*lines, *[""] * (rows - len(lines))] for lines in (left, right))
    return [f"{a:<{margin}}{b}".rstrip() for a, b in zip(left, right, strict=True)]


def _block(title: str, commands: Sequence[tuple[str, str]]) -> list[str]:
    room = max(len(name) for name, _ in commands)
    return [f"{title}:", *(f"  {name:<{room}}  {words}" for name, words in commands)]


def _stacked(blocks: Sequence[list[str]]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        lines += [*([""] if lines else []), *block]
    return lines
