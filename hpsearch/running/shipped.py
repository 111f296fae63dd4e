"""The studies that come with the package, by name."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

_PLACES = (Path(__file__).parents[1] / "studies", Path(__file__).parents[2] / "studies")
"""Inside an installed package, and beside it in a checkout, from where the wheel takes them."""

_SENTENCES = re.compile(r".*[.?!](?=\s|$)")


@dataclass(frozen=True)
class Shipped:
    """A study that comes with the package. about: what it is about, in a line."""

    name: str
    path: Path
    about: str


def shipped() -> list[Shipped]:
    """The studies that come with the package and need no other data, by name."""
    from hpsearch.data.builtin import BUILT_IN  # takes scikit-learn's import

    folder = next((place for place in _PLACES if place.is_dir()), None)
    found = []
    for path in [] if folder is None else sorted(folder.glob("*.toml"), key=lambda path: path.stem):
        text = path.read_text(encoding="utf-8")
        source = tomllib.loads(text)["data"]["source"]
        if source in BUILT_IN or (path.parent / source).exists():
            found.append(Shipped(path.stem, path, _about(text)))
    return found


def shipped_names() -> list[str]:
    """The same studies' names alone, without an import that takes long.

    A built-in source is taken for one by its name, which no file's is like.
    """
    folder = next((place for place in _PLACES if place.is_dir()), None)
    found = []
    for path in [] if folder is None else folder.glob("*.toml"):
        source = tomllib.loads(path.read_text(encoding="utf-8"))["data"]["source"]
        if source.isidentifier() or (path.parent / source).exists():
            found.append(path.stem)
    return sorted(found)


def _about(text: str) -> str:
    """The whole sentences in the first line, which is a comment."""
    line = text.partition("\n")[0].lstrip("# ").strip()
    whole = _SENTENCES.match(line)
    return whole.group() if whole else line
