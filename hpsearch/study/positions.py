"""Where in a TOML text each key stands; `tomllib` itself does not say."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEADER = re.compile(r"^\s*(\[\[?)([^\[\]]+)\]\]?\s*(?:#.*)?$")
# No search begins inside a word or takes anything back, so that long words and blanks take linear time.
_KEY = re.compile(r"""((?<![A-Za-z0-9_.-])[A-Za-z0-9_.-]++|"[^"]*"|'[^']*')\s*+=""")
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*+(?:\"|\\?$)|'[^']*+(?:'|$)|#.*$")


class Positions:
    """Line and column (from 1) of tables and keys, by path such as ("space", "momentum", "low").

    A key of an inline table is found within its table, table n of an array [[x]] is ("x", "n"), counted
    from 0. A path that is not there has the position of
    its longest known beginning.
    """

    def __init__(self, text: str) -> None:
        self._known: dict[tuple[str, ...], tuple[int, int]] = {}
        table: tuple[str, ...] = ()
        open_path: tuple[str, ...] = ()
        depth = 0
        arrays: dict[tuple[str, ...], int] = {}
        for number, line in enumerate(text.split("\n"), start=1):
            header = _HEADER.match(line) if depth == 0 else None
            if header:
                table = _split(header.group(2))
                if header.group(1) == "[[":
                    arrays[table] = arrays.get(table, -1) + 1
                    self._known.setdefault(table, (number, line.index("[") + 1))
                    table = (*table, str(arrays[table]))
                self._known.setdefault(table, (number, line.index("[") + 1))
                continue
            bare = _STRING.sub(lambda match: " " * len(match.group()), line)
            inside, counted = depth, 0
            for match in _KEY.finditer(line):
                if not bare[match.start() : match.end()].rstrip().endswith("="):
                    continue
                inside += _balance(bare[counted : match.start()])
                counted = match.start()
                path = (table if inside == 0 else open_path) + _split(match.group(1))
                if inside == 0:
                    open_path = path
                self._known.setdefault(path, (number, match.start() + 1))
            depth = max(0, depth + _balance(bare))

    def find(self, path: Sequence[str]) -> tuple[int, int] | None:
        """(line, column) of a key, of its table, or None when neither is in the text."""
        for length in range(len(path), 0, -1):
            if position := self._known.get(tuple(path[:length])):
                return position
        return None


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _balance(text: str) -> int:
    return sum(text.count(c) for c in "[{") - sum(text.count(c) for c in "]}")
