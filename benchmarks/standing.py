"""What comparisons over landscapes and seeds share: workers, intervals and mean ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from benchmarks.measure import CORES
from hpsearch.records import FloatArray

Key = TypeVar("Key", bound=Hashable)
Scores = dict[int, FloatArray]
"""By budget [landscapes, seeds, …]."""


def spread(work: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> list[Any]:
    """What `work` returns for each job, in order; in processes of their own, a thread each."""
    with get_context("spawn").Pool(CORES, _one_thread) as pool:
        return pool.starmap(work, jobs, chunksize=1)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    threadpool_limits(1)


def interval(values: FloatArray) -> str:
    """The mean of all values with its 95 % interval."""
    flat = values.ravel()
    found = stats.bootstrap((flat,), np.mean, method="percentile", random_state=0, n_resamples=2000)
    low, high = found.confidence_interval
    return f"{flat.mean():.3f} ({low:.3f} … {high:.3f})"


def ranks(left: Mapping[Key, FloatArray]) -> dict[Key, float]:
    """Of each method the mean over landscapes of its rank by its mean over seeds; 1 is the least."""
    means = np.array([values.mean(axis=1) for values in left.values()])  # [methods, landscapes]
    return dict(zip(left, stats.rankdata(means, axis=0).mean(axis=1).tolist(), strict=True))


def critical_difference(methods: int, landscapes: int) -> float:
    """Mean ranks that are further apart differ at 5 % by Nemenyi's test (Demšar 2006)."""
    q = float(stats.studentized_range.ppf(0.95, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * landscapes))
