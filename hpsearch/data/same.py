"""Whether two data sets hold the same rows, although their files or columns differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Dataset

_NEAR = 1e-4
"""Standard deviations: features are float32, standardised by what may be other training rows."""
_MIXED = 10
"""Changes between neighbours beyond those of sorted targets, from which their order tells rows apart."""
_DISTINCT = 20
"""Numbers that are all the same ones are no chance."""


def same_rows(a: Dataset, b: Dataset, parts: Iterable[str]) -> bool:
    """Whether the parts, of "train", "valid" and "test", hold the same rows in the same order.

    Targets must be the same. Where the data sets have features of the same names, one of these must also be
    the same but for its scale; otherwise the order of the targets must tell rows apart, which that of a file
    sorted by class does not.
    """
    pairs = [(getattr(a, name), getattr(b, name)) for name in parts]
    if not all(np.array_equal(one.y, other.y) for one, other in pairs):
        return False
    places = {name: place for place, name in enumerate(b.features)}
    shared = [(place, places[name]) for place, name in enumerate(a.features) if name in places]
    if shared:
        own, others = (list(each) for each in zip(*shared, strict=True))
        return _any_equal([(one.x[:, own], other.x[:, others]) for one, other in pairs if len(one)])
    return _tell_apart([one.y for one, _ in pairs], bool(a.classes))


def _any_equal(parts: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> bool:
    """Whether a column that varies is the same in all parts, but for its scale."""
    equal: NDArray[np.bool_] | bool = True
    varies: NDArray[np.bool_] | bool = False
    for one, other in parts:
        scaled, again = _scaled(one), _scaled(other)
        equal = equal & (np.abs(scaled - again).max(0) <= _NEAR)
        varies = varies | (scaled != 0).any(0)
    return bool(np.any(equal & varies))


def _scaled(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """[rows, columns] with mean 0 and standard deviation 1; what is constant is 0."""
    centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    spread = centred.std(0)
    scaled: NDArray[np.float64] = np.where(spread > 1e-6, centred / np.where(spread > 1e-6, spread, 1), 0)
    return scaled


def _tell_apart(targets: list[NDArray[Any]], classes: bool) -> bool:
    """Whether the order of the targets is one that other rows would hardly have."""
    if not classes:
        return len(np.unique(np.concatenate(targets))) >= _DISTINCT
    changes = sum(int((np.diff(y) != 0).sum()) - (len(np.unique(y)) - 1) for y in targets if len(y))
    return changes >= _MIXED
