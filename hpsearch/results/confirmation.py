"""Finalists on fresh seeds: what of the best trials' scores was luck, and which of them really differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pandas as pd

from hpsearch.results.retrained import Retrained
from hpsearch.stats import Ranking, rank_arms


@dataclass(frozen=True)
class Finalist(Retrained):
    """One of the best trials by validation, trained again on fresh seeds for the epochs after which it was
    best.

    selected: the validation metric for which it was chosen.
    """

    trial: int
    epochs: int
    selected: float = math.nan


@dataclass(frozen=True)
class Use:
    """One look at the part that is scored: for what, of how many trials on how many seeds, and when.

    when: None of a look at it that was taken over with a fork.
    """

    purpose: str
    trials: int
    seeds: int
    when: datetime | None = None


@dataclass(frozen=True)
class Confirmation:
    """The finalists of a study, each trained on the same fresh seeds and scored once.

    part: "test", or "validation" where there is no test set; rows: of it. resampled: with each seed the rows
    of training and validation were divided anew. complete: trials from which the finalists were chosen, the
    first by validation. finalists: in that order. uses: all looks at the part so far. values: the validation
    metric of every complete trial, as far as there are any now. study: its name.
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
        """Of the finalists by their scores; places are theirs."""
        return rank_arms(np.array([finalist.scores for finalist in self.finalists]), self.maximize)

    @property
    def ranked(self) -> list[Finalist]:
        """The finalists, best score first."""
        return [self.finalists[place] for place in self.ranking.order]

    @property
    def best(self) -> Finalist:
        """The one with the best mean score."""
        return self.ranked[0]

    @property
    def tied(self) -> list[Finalist]:
        """The best one and all that cannot be told apart from it, best first."""
        ranks = self.ranking.ranks
        return [self.finalists[place] for place in self.ranking.order if ranks[place][0] == 1]


def confirmed_frame(confirmation: Confirmation) -> pd.DataFrame:
    """One row a finalist, best first.

    Columns: rank_low, rank_high: what its rank may be, with 95 % confidence for all together. trial.
    selected: the validation metric for which it was chosen. again: the same on fresh seeds, on average. mean,
    sd, low, high: of the scores, with a 95 % interval. shrinkage: by how much the score falls short of
    `selected`. difference, difference_low, difference_high, p: to the best one, corrected for all
    comparisons. seeds, diverged, epochs, param_….
    """
    rows = []
    for place in confirmation.ranking.order:
        each = confirmation.finalists[place]
        found, to_best = each.estimate, confirmation.ranking.to_best[place]
        again = each.validation(confirmation.metric)
        again = again[~np.isnan(again)]
        sign = 1.0 if confirmation.maximize else -1.0
        low, high = confirmation.ranking.ranks[place]
        rows.append(
            {
                "rank_low": low,
                "rank_high": high,
                "trial": each.trial,
                "selected": each.selected,
                "again": again.mean() if len(again) else np.nan,
                "mean": np.nan if found is None else found.mean,
                "sd": np.nan if found is None else found.sd,
                "low": np.nan if found is None or found.low is None else found.low,
                "high": np.nan if found is None or found.high is None else found.high,
                "shrinkage": np.nan if found is None else sign * (each.selected - found.mean),
                "difference": np.nan if to_best is None else to_best.mean,
                "difference_low": np.nan if to_best is None or to_best.low is None else to_best.low,
                "difference_high": np.nan if to_best is None or to_best.high is None else to_best.high,
                "p": np.nan if to_best is None else to_best.p,
                "seeds": len(each.scores) - each.diverged,
                "diverged": each.diverged,
                "epochs": each.epochs,
                **{f"param_{name}": value for name, value in each.params.items()},
            }
        )
    return pd.DataFrame(rows)
