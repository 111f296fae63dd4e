"""Configurations on fresh seeds, and finalists: what of their scores was luck, and which really differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpsearch.records import EVEN, VALID_LOSS, FloatArray, IntArray, valid_place
from hpsearch.stats import LEVEL, Estimate, Pair, Ranking, Scored, rank_arms

TEST, VALIDATION = "test", "validation"
"""Splits that are scored."""


@dataclass(frozen=True)
class Retrained(Scored):
    """A configuration on each of some fresh seeds.

    trial: whose it is. epochs: after which it was scored. scores, losses: [seeds] on the scored split, NaN
    where it diverged. curves: one per seed, [epochs, columns] as in records.Segment, on training and
    validation, up to the last epoch that was trained or the one in which it diverged. params: the searched
    ones. What it says of the scored rows, empty where that is not stored: counts: [classes, classes] rows by
    true, then by predicted class, over all seeds; pairs: of a regression [rows, 2] the target and what the
    first seed predicts, in the target's unit, of the first rows; shares: [rows] what each of the first rows
    adds to the metric (train.metrics.contributions), on average. threshold: the probability of the second
    class above which the scored rows were decided for it; decided: [seeds] validation metric with it, empty
    where none was chosen.
    """

    trial: int | None
    epochs: int | None
    scores: FloatArray
    losses: FloatArray = field(default_factory=lambda: np.empty(0))
    curves: tuple[FloatArray, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    counts: IntArray = field(default_factory=lambda: np.zeros((0, 0), np.int64), kw_only=True)
    pairs: NDArray[np.floating[Any]] = field(default_factory=lambda: np.empty((0, 2)), kw_only=True)
    shares: NDArray[np.floating[Any]] = field(default_factory=lambda: np.empty(0), kw_only=True)
    threshold: float = field(default=EVEN, kw_only=True)
    decided: FloatArray = field(default_factory=lambda: np.empty(0), kw_only=True)

    def validation(self, metric: str) -> FloatArray:
        """[seeds] validation metric after the scored epoch, as in the search; NaN where it diverged."""
        return self._validation(valid_place(metric))

    def _validation(self, place: int) -> FloatArray:
        at = (self.epochs or 0) - 1
        values = np.array([curve[min(at, len(curve) - 1), place] for curve in self.curves])
        return np.where(np.isnan(self.scores), np.nan, values) if len(values) else values

    def promise(self, metric: str) -> tuple[float, float]:
        """The mean validation metric, with the threshold of the scores, and loss of the seeds with a score,
        after the scored epoch; NaN without any.
        """
        values = self.decided if self.decided.size else self.validation(metric)
        losses = self._validation(VALID_LOSS)
        there = ~np.isnan(values)
        return (
            (float(values[there].mean()), float(losses[there].mean()))
            if there.any()
            else (math.nan, math.nan)
        )

    def learning(self, metric: str) -> FloatArray:
        """[epochs] mean validation metric, up to the scored epoch, of the seeds that got there."""
        place, last = valid_place(metric), self.epochs or 0
        whole = [curve[:last, place] for curve in self.curves if len(curve) >= last]
        means: FloatArray = np.mean(whole, axis=0) if whole else np.full(self.epochs or 0, np.nan)
        return means


@dataclass(frozen=True)
class Finalist(Retrained):
    """One of the best trials by validation, retrained on fresh seeds.

    selected: the validation metric that selected it.
    """

    trial: int
    epochs: int
    selected: float = math.nan


@dataclass(frozen=True)
class Use:
    """One look at the scored split: why, with how many trials and seeds, and when (None: a fork's parent)."""

    purpose: str
    trials: int
    seeds: int
    when: datetime | None = None


@dataclass(frozen=True)
class Confirmation:
    """The finalists of a study, each trained on the same fresh seeds and scored once.

    part: the scored split, "test", or "validation" where there is no test set; rows: in it. resampled: each
    seed redrew the training and validation split. complete: trials among which the finalists are the best by
    validation. finalists: in that order. uses: all looks at the scored split so far. values: the validation
    metric of every complete trial now. study: its name.
    """

    metric: str
    maximize: bool
    part: str
    rows: int
    seeds: int
    resampled: bool
    complete: int
    finalists: tuple[Finalist, ...]
    uses: tuple[Use, ...] = ()
    values: tuple[float, ...] = ()
    study: str = ""

    @cached_property
    def ranking(self) -> Ranking:
        """Of the finalists by their scores."""
        return rank_arms(np.array([finalist.scores for finalist in self.finalists]), self.maximize)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Places of the finalists, first the one to use. No score has a say in it, so the score of the first
        is no best of several: it is what another test set of this size would give, too.

        By the mean validation metric on the fresh seeds, then by the loss; those that diverged more often
        come later. Where validation is what is scored, by the trials' own values, from other seeds.
        """
        sign = -1.0 if self.maximize else 1.0

        def key(place: int) -> tuple[float, ...]:
            each = self.finalists[place]
            metric, loss = (math.nan, math.nan) if self.part == VALIDATION else each.promise(self.metric)
            return each.diverged, *(math.inf if math.isnan(v) else v for v in (sign * metric, loss)), place

        return tuple(sorted(range(len(self.finalists)), key=key))

    @property
    def ranked(self) -> list[Finalist]:
        """The finalists in the order of preference, see `order`."""
        return [self.finalists[place] for place in self.order]

    @property
    def best(self) -> Finalist:
        """The one to use."""
        return self.ranked[0]

    @property
    def tied(self) -> list[Finalist]:
        """The one to use, and all whose scores cannot be told apart from its own."""
        return [self.best, *self._others(lambda pair: not pair.clear)]

    @property
    def above(self) -> list[Finalist]:
        """Those with clearly better scores than the one to use."""
        return self._others(lambda pair: pair.clear and (pair.mean > 0) == self.maximize)

    def _others(self, chosen: Callable[[Pair], bool]) -> list[Finalist]:
        pairs = self.ranking.against(self.order[0])
        return [self.finalists[at] for at in self.order if (pair := pairs[at]) is not None and chosen(pair)]


def confirmed_frame(confirmation: Confirmation) -> pd.DataFrame:
    """One row per finalist, the one to use first.

    Columns: rank_low, rank_high: bounds of its rank by score, with 95 % confidence for all together. trial.
    selected: the validation metric that selected it. again: the same on fresh seeds, on average: what it
    promises. mean, sd, low, high: of the scores, with a 95 % interval. shrinkage: by how much the score falls
    short of `selected`. difference, difference_low, difference_high, p: to the first one, corrected for all
    comparisons. seeds, diverged, epochs. threshold: where any was chosen on validation. param_….
    """
    rows = []
    chosen = any(each.decided.size for each in confirmation.finalists)
    to_first = confirmation.ranking.against(confirmation.order[0])
    for place in confirmation.order:
        each = confirmation.finalists[place]
        found, difference = each.estimate, to_first[place]
        sign = 1.0 if confirmation.maximize else -1.0
        low, high = confirmation.ranking.ranks[place]
        rows.append(
            {
                "rank_low": low,
                "rank_high": high,
                "trial": each.trial,
                "selected": each.selected,
                "again": each.promise(confirmation.metric)[0],
                **{name: _known(found, name) for name in ("mean", "sd", "low", "high")},
                "shrinkage": sign * (each.selected - _known(found, "mean")),
                "difference": _known(difference, "mean"),
                "difference_low": _known(difference, "low"),
                "difference_high": _known(difference, "high"),
                "p": _known(difference, "p"),
                "seeds": len(each.scores) - each.diverged,
                "diverged": each.diverged,
                "epochs": each.epochs,
                **({"threshold": each.threshold} if chosen else {}),
                **{f"param_{name}": value for name, value in each.params.items()},
            }
        )
    return pd.DataFrame(rows)


def _known(of: Estimate | Pair | None, name: str) -> float:
    """A field of an estimate or pair; NaN where either is None."""
    value: float | None = getattr(of, name, None)
    return np.nan if value is None else value


LAST = 5
"""Looks at the last fifth of the epochs, but at least at five."""

BEST = "●"


def still_improving(curves: Sequence[FloatArray], maximize: bool) -> bool:
    """Whether the values [epochs] of a trial still improved in the last fifth of its epochs, beyond noise.

    The least-squares slope there is better than 0 by a one-sided t-test at 5 %: over seeds where there are
    three or more, otherwise over the epochs of the one curve. That takes neighbouring epochs for independent,
    so the gain must also exceed the spread around the line.
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
    """The validation metric of the finalists over their seeds, the one to use first.

    Columns: trial, epoch, mean, sd, seeds (not diverged by then), best (the epoch of the best mean),
    improving (whether the trial was still improving at its end).
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
        best = int(np.where(count > 0, mean if confirmation.maximize else -mean, -np.inf).argmax())
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
