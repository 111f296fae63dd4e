"""Learning curves of finalists over seeds, and whether training ended too early."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hpsearch.records import FloatArray, valid_place
from hpsearch.results.confirmation import Confirmation
from hpsearch.stats import LEVEL

LAST = 5
"""The last one in so many epochs is looked at, but at least so many epochs."""

BEST = "●"


def still_improving(curves: Sequence[FloatArray], maximize: bool) -> bool:
    """Whether the values [epochs] of a trial still got better in the last fifth of its epochs, beyond noise.

    The least-squares slope there is better than 0 by a one-sided t-test at 5 %: over seeds where there are
    three or more, otherwise over the epochs of the one curve, which by itself takes neighbouring epochs for
    independent and so asks for a gain larger than the spread around the line, too.
    """
    from scipy.special import stdtr  # 0.1 s for those who need it

    ends = [curve[-max(LAST, len(curve) // LAST) :] * (1 if maximize else -1) for curve in curves]
    ends = [end for end in ends if len(end) >= LAST and np.isfinite(end).all()]
    if not ends:
        return False
    slopes = np.array([np.polyfit(np.arange(len(end)), end, 1)[0] for end in ends])
    if len(slopes) > 2:
        error = slopes.std(ddof=1) / np.sqrt(len(slopes))
        if error == 0:
            return bool(slopes[0] > 0)
        return bool(1 - stdtr(len(slopes) - 1, slopes.mean() / error) <= 1 - LEVEL)
    end = ends[0]
    at = np.arange(len(end)) - (len(end) - 1) / 2
    left = end - end.mean() - slopes[0] * at
    spread = float(np.sqrt(left @ left / (len(end) - 2)))
    if slopes[0] * (len(end) - 1) <= 2 * spread or slopes[0] <= 0:
        return False
    return spread == 0 or bool(1 - stdtr(len(end) - 2, slopes[0] * np.sqrt(at @ at) / spread) <= 1 - LEVEL)


def finalist_curves(confirmation: Confirmation) -> pd.DataFrame:
    """The validation metric of the finalists over their seeds, best finalist first.

    Columns: trial, epoch, mean, sd, seeds (that have not diverged by then), best (whether its mean is the
    trial's best), improving (whether the trial was still improving at its end).
    """
    place = valid_place(confirmation.metric)
    frames = []
    for finalist in confirmation.ranked:
        if not finalist.curves:
            continue
        values = np.full((len(finalist.curves), max(map(len, finalist.curves))), np.nan)
        for seed, curve in enumerate(finalist.curves):
            values[seed, : len(curve)] = curve[:, place]
        there = np.isfinite(values)
        count = there.sum(0)
        mean = np.where(there, values, 0).sum(0) / np.maximum(count, 1)
        squares = (np.where(there, values - mean, 0) ** 2).sum(0)
        mean = np.where(count > 0, mean, np.nan)
        sd = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
        best = _best(mean, confirmation.maximize)
        frames.append(
            pd.DataFrame(
                {
                    "trial": finalist.trial,
                    "epoch": np.arange(1, len(mean) + 1),
                    "mean": mean,
                    "sd": sd,
                    "seeds": count,
                    "best": np.arange(len(mean)) == best,
                    "improving": still_improving(list(values[there.all(1)]), confirmation.maximize),
                }
            )
        )
    columns = ["trial", "epoch", "mean", "sd", "seeds", "best", "improving"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _best(mean: FloatArray, maximize: bool) -> int:
    turned = np.where(np.isnan(mean), -np.inf, mean if maximize else -mean)
    return int(turned.argmax())
