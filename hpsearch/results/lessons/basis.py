"""On which trials and values the lessons of a study rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import VALID_LOSS, Curves, FloatArray, IntArray, State, valid_place
from hpsearch.results.frames import Report

REACHED = 0.9
"""So many of the trials must have come to the epoch at which they are compared, or have diverged."""


@dataclass(frozen=True)
class Basis:
    """Trials that can be compared, each by its best value of the same epochs.

    Of a study with early stopping the complete trials are a selection, in which a hyper-parameter that
    decided who went on hardly varies any more, and the values of the others are of shorter training. So the
    trials are compared at the latest epoch that nine in ten have reached; those that diverged, at any epoch,
    count as worse than all others.

    epoch: up to which values count; None where there are no curves, and complete trials' values are taken.
    most: epochs that a trial may get. rows: [n] places in the report's trials. values: [n] the best value of
    the metric up to that epoch, NaN of those that diverged. losses: [n] of validation, where that was.
    maximize: whether more is better. metric: its name.
    """

    epoch: int | None
    most: int
    rows: IntArray
    values: FloatArray
    losses: FloatArray
    maximize: bool
    metric: str = ""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def diverged(self) -> int:
        """Trials without a value."""
        return int(np.isnan(self.values).sum())

    @cached_property
    def scores(self) -> FloatArray:
        """[n] normal scores (van der Waerden 1952) of the trials, more is better.

        By rank, since a metric's own scale is arbitrary (accuracies crowd below 1, errors have no upper
        end) and a trial that diverged has none. Equal values are told apart by the lower loss.
        """
        if not len(self):
            return np.empty(0)
        from scipy.special import ndtri  # 0.1 s for those who need it

        turned = self.values if self.maximize else -self.values
        value = np.where(np.isnan(turned), -np.inf, turned)
        loss = np.where(np.isnan(turned) | np.isnan(self.losses), np.inf, self.losses)
        order = np.lexsort((-loss, value))
        value, loss = value[order], loss[order]
        group = np.cumsum(np.append(False, (value[1:] != value[:-1]) | (loss[1:] != loss[:-1])))
        middle = np.bincount(group, np.arange(len(order)) + 0.5) / np.bincount(group)
        scores = np.empty(len(order))
        scores[order] = ndtri(middle[group] / len(order))
        return scores

    @property
    def sentence(self) -> str:
        """The basis in words: "256 trials, each after 3 of at most 27 epochs; …"."""
        if self.epoch is None:
            said = plural(len(self), "complete or diverged trial")
        else:
            of = f"{self.epoch} of at most " if self.epoch < self.most else ""
            said = f"{plural(len(self), 'trial')}, each after {of}{plural(self.most, 'epoch')}"
        if self.diverged:
            said += f"; {self.diverged} that diverged {'counts' if self.diverged == 1 else 'count'} as worst"
        return said


def basis_of(report: Report) -> Basis:
    """The basis of a report; without a trial where nothing is trained."""
    frame, maximize = report.trials, report.record.direction == "maximize"
    most = int(report.record.document["train"]["epochs"])
    failed = (frame["state"] == str(State.FAILED)).to_numpy()
    numbers, epochs = frame["trial"].to_numpy(np.int64), frame["epochs"].to_numpy(np.int64)
    curves = Curves.join(report.curves)
    known = failed | (np.isin(numbers, curves.numbers) & (epochs > 0))
    if not (known & ~failed).any():
        rows = np.flatnonzero(failed | frame["rank"].notna().to_numpy())
        values = np.where(failed, np.nan, frame["value"].to_numpy(np.float64))[rows]
        losses = frame["loss"].to_numpy(np.float64)[rows]
        return Basis(None, most, rows, values, losses, maximize, report.record.metric)
    reached = np.sort(epochs[known & ~failed])
    epoch = int(reached[int((1 - REACHED) * len(reached))])
    rows = np.flatnonzero(failed | (known & (epochs >= epoch)))
    metric = valid_place(report.record.metric)
    values, losses = _best_until(curves, numbers[rows], epoch, metric, maximize)
    values[failed[rows]] = np.nan
    return Basis(epoch, most, rows, values, losses, maximize, report.record.metric)


def _best_until(
    curves: Curves, numbers: IntArray, epoch: int, metric: int, maximize: bool
) -> tuple[FloatArray, FloatArray]:
    """[trials] best values of a column up to an epoch, and the validation losses there; NaN of trials whose
    curve is shorter.
    """
    places = np.searchsorted(curves.numbers, numbers).clip(0, len(curves) - 1)
    there = (curves.numbers[places] == numbers) & (curves.epochs[places] >= epoch)
    values, losses = np.full(len(numbers), np.nan), np.full(len(numbers), np.nan)
    begins = (np.cumsum(curves.epochs) - curves.epochs)[places[there]]
    lines = begins[:, None] + np.arange(epoch)
    found = curves.main[lines, metric]
    best = np.where(np.isnan(found), -np.inf, found if maximize else -found).argmax(1)
    values[there] = found[np.arange(len(found)), best]
    losses[there] = curves.main[begins + best, VALID_LOSS]
    return values, losses
