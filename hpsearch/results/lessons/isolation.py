"""Each hyper-parameter by itself: its values in buckets, with the best and the spread of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpsearch.errors import plural
from hpsearch.records import FloatArray, State
from hpsearch.results.frames import PARAM, Report
from hpsearch.results.lessons.basis import Basis
from hpsearch.results.lessons.factors import Factor

FEW = 5
"""Trials in a bucket below which its best says little."""


@dataclass(frozen=True)
class Isolation:
    """A hyper-parameter by itself, whatever the others were (an isolation plot: Godbole et al. 2023, "Deep
    Learning Tuning Playbook", "Extracting insight from experiment results").

    log: whether its scale is logarithmic. buckets: one row a bucket, in order: bucket (in words), low, high
    (both None for a value by itself), trials, diverged, share_diverged, best, best_trial (of all epochs),
    median, lower, upper (quartiles of the basis, diverged trials as the worst; NaN where that is one).
    points: of the axis plot, one row a trial that has a use for it: trial, at (its value), value (of all
    epochs), basis (that of the basis; NaN of trials that are not in it), state. remark: whether the best
    bucket has enough trials, "" if so.
    """

    name: str
    log: bool
    buckets: pd.DataFrame
    points: pd.DataFrame
    remark: str = ""


def isolations(report: Report, factors: Sequence[Factor], basis: Basis) -> tuple[Isolation, ...]:
    """Of each searched hyper-parameter, in the study file's order. factors: of all trials of the report."""
    own = np.full(len(report.trials), np.nan)
    own[basis.rows] = basis.values
    judged = np.zeros(len(report.trials), dtype=bool)
    judged[basis.rows] = True
    return tuple(_isolation(report, factor, own, judged, basis.maximize) for factor in factors)


def _isolation(
    report: Report, factor: Factor, own: FloatArray, judged: FloatArray, maximize: bool
) -> Isolation:
    frame = report.trials
    value = frame["value"].to_numpy(np.float64)
    failed = (frame["state"] == str(State.FAILED)).to_numpy()
    rows = []
    for place in range(factor.buckets):
        there = factor.bucket == place
        low, high = (None, None) if factor.levels else factor.bucket_ends(place)
        final = np.where(there & ~failed & np.isfinite(value), value if maximize else -value, -np.inf)
        best = int(final.argmax()) if np.isfinite(final).any() else None
        quartiles = _quartiles(own[there & judged], maximize)
        rows.append(
            {
                "bucket": factor.bucket_text(place),
                "low": low,
                "high": high,
                "trials": int(there.sum()),
                "diverged": int((there & failed).sum()),
                "share_diverged": float(failed[there].mean()) if there.any() else np.nan,
                "best": np.nan if best is None else value[best],
                "best_trial": None if best is None else int(frame["trial"].iloc[best]),
                **dict(zip(("lower", "median", "upper"), quartiles, strict=True)),
            }
        )
    buckets = pd.DataFrame(rows).astype({"best_trial": "Int64"})
    used = factor.bucket >= 0
    points = pd.DataFrame(
        {
            "trial": frame["trial"][used],
            "at": frame[PARAM + factor.name][used],
            "value": frame["value"][used],
            "basis": own[used],
            "state": frame["state"][used],
        }
    ).reset_index(drop=True)
    return Isolation(factor.name, factor.log, buckets, points, _remark(buckets, maximize))


def _quartiles(values: FloatArray, maximize: bool) -> list[float]:
    """Quartiles with diverged trials as the worst, the smallest value first; NaN where that is one."""
    if not len(values):
        return [np.nan] * 3
    worst = -np.inf if maximize else np.inf
    found = np.quantile(np.where(np.isnan(values), worst, values), [0.25, 0.5, 0.75], method="nearest")
    return [float(each) if np.isfinite(each) else np.nan for each in found]


def _remark(buckets: pd.DataFrame, maximize: bool) -> str:
    best = buckets["best"].to_numpy(np.float64) * (1 if maximize else -1)
    if np.isfinite(best).sum() < 2:
        return ""
    place = int(np.where(np.isfinite(best), best, -np.inf).argmax())
    bucket, trials = buckets["bucket"].iloc[place], int(buckets["trials"].iloc[place])
    if trials >= FEW:
        return ""
    return f"the best lies at {bucket}, where there {_are(trials)} only: more there would tell"


def _are(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {plural(count, 'trial')}"
