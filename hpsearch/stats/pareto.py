"""The Pareto front: the points that no other point beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpsearch.records import FloatArray

BoolArray = NDArray[np.bool_]


def pareto_front(costs: FloatArray) -> BoolArray:
    """[points] whether each is on the front; costs: [points, objectives ≥ 2], all to be minimized.

    A point is on it if no other is at least as good in every objective and better in one; equal points share
    it. Points with a missing value (NaN) are off the front and beat none.
    """
    known = np.flatnonzero(~np.isnan(costs).any(axis=1))
    order = known[np.lexsort(costs[known].T[::-1])]
    points = costs[order]
    first = np.ones(len(points), dtype=bool)
    first[1:] = (points[1:] != points[:-1]).any(axis=1)
    front = np.zeros(len(costs), dtype=bool)
    front[order] = _unbeaten(points[first])[np.cumsum(first) - 1]
    return front


def beaten_by(costs: FloatArray, place: int) -> int | None:
    """The place of the point that beats the one at `place`; None if that is on the front or lacks a value.

    Of several, the front's best in the first objective.
    """
    own = costs[place]
    better = (costs <= own).all(axis=1) & (costs < own).any(axis=1)
    found = np.flatnonzero(better)
    return int(found[np.lexsort(costs[found].T[::-1])[0]]) if len(found) else None


def _unbeaten(points: FloatArray) -> BoolArray:
    """[points] whether each is on the front, for distinct points in lexicographic order.

    Later points never beat earlier ones, so the first remaining point is always on the front.
    """
    front = np.zeros(len(points), dtype=bool)
    if points.shape[1] == 2:
        front[:1] = True
        front[1:] = points[1:, 1] < np.minimum.accumulate(points[:, 1])[:-1]
        return front
    left = np.arange(len(points))
    while len(left):
        front[left[0]] = True
        left = left[(points[left, 1:] < points[left[0], 1:]).any(axis=1)]
    return front
