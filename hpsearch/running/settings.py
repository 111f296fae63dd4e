"""A study's settings as its document has them: which may change while it is stored, and what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_MAY_CHANGE = ("search.trials", "search.time_limit", "search.epoch_limit", "search.give_up", "compare")
"""What only says how far a study goes and what is told of it; all else would make its trials incomparable."""


def may_change(key: str) -> bool:
    """Whether a setting may differ between two runs of a study; key: such as "search.trials"."""
    return any(key == allowed or key.startswith(f"{allowed}.") for allowed in _MAY_CHANGE)


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as it reads back from JSON, where a tuple is a list."""
    read: dict[str, Any] = json.loads(json.dumps(document))
    return read


def changes(stored: Any, written: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of each difference between two documents."""
    if isinstance(stored, dict) and isinstance(written, dict):
        for name in [*stored, *(name for name in written if name not in stored)]:
            yield from changes(stored.get(name), written.get(name), _below(key, name))
    elif stored != written:
        yield key, f"{key}: stored {json.dumps(stored)}, now {json.dumps(written)}"


def deciding(document: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """What of a document may not change, without keys that say nothing: a newer hpsearch has more of them."""
    kept = {}
    for name, value in document.items():
        inner = _below(key, name)
        if may_change(inner):
            continue
        value = deciding(value, inner) if isinstance(value, dict) else value
        if value not in (None, {}, []):
            kept[name] = value
    return kept


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
