"""A JSON document that somebody else may have written, read value by value; complaints say where."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpsearch.errors import HpsearchError

_MOST_SHOWN = 60


@dataclass(frozen=True)
class Node:
    """A value of a file's document. remedy: the last sentence of complaints. where: keys that lead to it."""

    file: Path
    value: Any
    remedy: str
    where: str = ""

    def __getitem__(self, key: str) -> Node:
        """The value of a key.

        Raises:
            HpsearchError: it is not there, or this is no object.
        """
        if not isinstance(self.value, dict) or key not in self.value:
            raise HpsearchError(f"{self.file}: {self._at(key)} is missing. {self.remedy}")
        return Node(self.file, self.value[key], self.remedy, self._at(key))

    def error(self, expected: str) -> HpsearchError:
        """The complaint that this is not what was expected."""
        shown = json.dumps(self.value)
        shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"
        at = f"{self.where}: " if self.where else ""
        return HpsearchError(f"{self.file}: {at}expected {expected}; found {shown}. {self.remedy}")

    def items(self) -> list[Node]:
        """The values of a list."""
        if not isinstance(self.value, list):
            raise self.error("a list")
        return [
            Node(self.file, value, self.remedy, f"{self.where}[{place}]")
            for place, value in enumerate(self.value)
        ]

    def mapping(self) -> dict[str, Any]:
        """An object as it is."""
        if not isinstance(self.value, dict):
            raise self.error("an object")
        return self.value

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str) or not _encodable(self.value):
            raise self.error("a text")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(item.text() for item in self.items())

    def one_of(self, words: Sequence[str]) -> str:
        """One of these words."""
        if self.value not in list(map(str, words)):
            raise self.error(f"one of {', '.join(words)}")
        return str(self.value)

    def boolean(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.error("true or false")
        return self.value

    def whole(self, least: int) -> int:
        """A whole number that is not below `least`."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < least:
            raise self.error(f"a whole number from {least} up")
        return self.value

    def number(self, above: float = -math.inf) -> float:
        """A finite number above `above`."""
        is_number = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        if not is_number or not above < self.value < math.inf:
            raise self.error("a number" if above == -math.inf else f"a number above {above:g}")
        try:
            return float(self.value)
        except OverflowError:
            raise self.error("a number of double precision") from None

    def _at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key


def _encodable(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which JSON can write and no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
