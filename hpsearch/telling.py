"""How work says, while it goes on, how far it is. Nothing that is computed depends on it.

Whoever trains a tile calls `tell` once, with a function that looks at its counters. A pool that listens calls
this function from another thread now and then; where nobody listens it is never called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from hpsearch.records import FloatArray


@dataclass(frozen=True)
class Inside:
    """How far a trial is in a tile that trains.

    epochs: since the tile began, with the part of the one in progress, step by step.
    metrics: [whole epochs] of validation; NaN where it is not known yet.
    """

    epochs: float
    metrics: FloatArray


Look = Callable[[], Mapping[int, Inside]]
"""How far each trial of a tile is, by its number; may be called from any thread, at any time."""

_here = threading.local()


@contextmanager
def listening(hear: Callable[[Look], None]) -> Iterator[None]:
    """Within, `hear` gets the looks that this thread tells."""
    _here.hear = hear
    try:
        yield
    finally:
        del _here.hear


def tell(look: Look) -> None:
    """Work begins in this thread, and `look()` says how far it is."""
    hear = getattr(_here, "hear", None)
    if hear is not None:
        hear(look)
