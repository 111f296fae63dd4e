"""Scientific hyper-parameters: the best of each value with the others tuned, and whether values differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpsearch import seeds
from hpsearch.records import FloatArray, IntArray, State
from hpsearch.results.confirmation import Confirmation
from hpsearch.results.frames import Report
from hpsearch.results.lessons.additive import Factor
from hpsearch.stats import EQUAL, LEVEL, UNCLEAR, WORSE, rank_arms
from hpsearch.stats import verdict as verdict_of
from hpsearch.text import listed, metric_text, signed_texts

FRESH, SEARCH = "fresh seeds", "search"
FEWEST = 5
"""Finished trials of a value below which nothing is said about it."""

_SHUFFLES = 400
_MANY = 2000
"""Trials from which fewer shuffles have to do."""


@dataclass(frozen=True)
class Verdict:
    """What the study says about a scientific hyper-parameter (Godbole et al. 2023, "Deep Learning Tuning
    Playbook", "Identifying scientific, nuisance, and fixed hyperparameters").

    values: one row per value, best first: value (in words), trials, complete, best (the best trial's
    validation value), trial (its number), expected, low, high (see below), difference, difference_low,
    difference_high (to the first row, with 95 % confidence together), p, source, verdict (against the first
    row, in the words of stats.contrast).
    source "fresh seeds": the best trial's score on held-out rows, from the confirmation, if the best trials
    of at least two values are finalists. source "search": the expected best of the same number of trials, so
    that a value with more trials has no advantage. sentence: the verdict.
    """

    name: str
    values: pd.DataFrame
    sentence: str


def verdicts(report: Report, factors: Sequence[Factor]) -> tuple[Verdict, ...]:
    """Of each scientific hyper-parameter of the study, in its order. factors: of all trials."""
    scientific = report.record.document["search"].get("scientific", ())
    found = {factor.name: factor for factor in factors}
    return tuple(_verdict(report, found[name]) for name in scientific if name in found)


def _verdict(report: Report, factor: Factor) -> Verdict:
    frame = _values(report, factor)
    usable = frame[frame["expected"].notna()]
    if len(usable) < 2:
        needed = f"{factor.name}: a comparison needs at least {FEWEST} finished trials of each of two values."
        return Verdict(factor.name, frame, needed)
    return Verdict(factor.name, frame, _sentence(report, factor.name, usable))


def _values(report: Report, factor: Factor) -> pd.DataFrame:
    """One row a value; first those with fresh seeds, each group best first."""
    frame, places = report.trials, factor.bucket
    complete = frame["rank"].notna().to_numpy()
    names = ("expected", "low", "high", "difference", "difference_low", "difference_high", "p")
    rows: list[dict[str, Any]] = []
    for place in range(factor.buckets):
        own = frame[(places == place) & complete]
        rows.append(
            {
                "value": factor.bucket_text(place),
                "trials": int((places == place).sum()),
                "complete": len(own),
                "best": own["value"].iloc[0] if len(own) else np.nan,
                "trial": int(own["trial"].iloc[0]) if len(own) else None,
                **dict.fromkeys(names, np.nan),
                "source": SEARCH,
                "verdict": EQUAL,
            }
        )
    if report.confirmation is not None:
        _confirmed(rows, report.confirmation)
    if any(row["source"] == SEARCH for row in rows):
        _searched(report, places, rows)
    made = pd.DataFrame(rows).astype({"trial": "Int64"})
    sign = -1 if report.record.direction == "maximize" else 1
    keys = {"fresh": made["source"] != FRESH, "cost": sign * made["expected"]}
    order = pd.DataFrame(keys).sort_values(["fresh", "cost"], na_position="last", kind="stable").index
    return made.loc[order].reset_index(drop=True)


def _confirmed(rows: list[dict[str, Any]], confirmation: Confirmation) -> None:
    """Fill in what fresh seeds say, if the best trials of at least two values have them."""
    arms = {each.trial: each for each in confirmation.finalists}
    there = [at for at, row in enumerate(rows) if row["trial"] in arms]
    if len(there) < 2:
        return
    own = [arms[rows[at]["trial"]] for at in there]
    ranking = rank_arms(np.array([each.scores for each in own]), confirmation.maximize)
    best = own[ranking.order[0]]
    for arm, at in enumerate(there):
        found, to_best = own[arm].estimate, ranking.to_best[arm]
        if found is not None:
            rows[at] |= {"expected": found.mean, "low": found.low, "high": found.high}
        if to_best is not None:
            ends = {"difference_low": to_best.low, "difference_high": to_best.high}
            more = own[arm].diverged - best.diverged
            said = verdict_of(to_best.mean, to_best.p, confirmation.maximize, more)
            rows[at] |= {"difference": to_best.mean, "p": to_best.p, "verdict": said, **ends}
        rows[at]["source"] = FRESH


def _searched(report: Report, places: IntArray, rows: list[dict[str, Any]]) -> None:
    """Fill in the expected best of equally many trials, and its difference to the best value's, in the rows
    without fresh seeds.
    """
    maximize = report.record.direction == "maximize"
    states = report.trials["state"]
    finished = (states != str(State.RUNNING)).to_numpy()
    value = report.trials["value"].to_numpy(np.float64)
    turned = np.where(
        np.isfinite(value) & (states != str(State.FAILED)).to_numpy(), value if maximize else -value, -np.inf
    )
    counts = np.bincount(places[finished & (places >= 0)], minlength=len(rows))
    enough = [at for at in range(len(rows)) if counts[at] >= FEWEST]
    if len(enough) < 2 or not np.isfinite(turned).any():
        return
    kept = finished & np.isin(places, enough)
    # Trials that diverged are as bad as the worst of the others.
    values = np.maximum(turned[kept], turned[np.isfinite(turned)].min())
    order = np.argsort(values, kind="stable")
    values, groups = values[order], np.searchsorted(enough, places[kept][order])
    several = int(min(counts[at] for at in enough)) // 2
    seed = report.record.document["study"]["seed"]
    best, chances, reach = _compared(values, groups, len(enough), several, seed)
    sign = 1.0 if maximize else -1.0
    first = int(best.argmax())
    random = seeds.generator(seed, "expected best")
    for arm, at in enumerate(enough):
        if rows[at]["source"] == FRESH:
            continue
        low, high = sorted(sign * end for end in _interval(values[groups == arm], several, random))
        rows[at] |= {"expected": sign * best[arm], "low": low, "high": high}
        if arm != first:
            difference = sign * (best[arm] - best[first])
            ends = {"difference_low": difference - reach, "difference_high": difference + reach}
            said = verdict_of(difference, chances[arm], maximize)
            rows[at] |= {"difference": difference, "p": chances[arm], "verdict": said, **ends}


def _compared(
    values: FloatArray, groups: IntArray, count: int, several: int, seed: int
) -> tuple[FloatArray, FloatArray, float]:
    """Of values in rising order and their groups: the expected best of `several` of each group, the
    probability that luck alone puts a group this far behind the best one, and how far it does in 5 %.

    A permutation test (Pitman 1937) of the largest difference between any two groups, so that it holds for
    all pairs together.
    """
    random = seeds.generator(seed, "scientific roles")
    weights = [best_weights(int((groups == group).sum()), several) for group in range(count)]
    best = _expected(values, groups, weights)
    shuffles = _SHUFFLES if len(values) < _MANY else _SHUFFLES // 4
    lucky = np.array(
        [np.ptp(_expected(values, random.permutation(groups), weights)) for _ in range(shuffles)]
    )
    behind = best.max() - best
    chances = (1 + (lucky[:, None] >= behind - 1e-12).sum(0)) / (1 + shuffles)
    return best, chances, float(np.quantile(lucky, LEVEL, method="higher"))


def _expected(values: FloatArray, groups: IntArray, weights: Sequence[FloatArray]) -> FloatArray:
    """[groups] the expected best of each group of values in rising order. weights: see `best_weights`."""
    return np.array([values[groups == group] @ own for group, own in enumerate(weights)])


def best_weights(count: int, several: int) -> FloatArray:
    """[count] for the i-th smallest of `count` values, the share of subsets of `several` in which it is best.

    Their product with the values is the mean over all subsets of their best (Dodge et al. 2019, "Show your
    work", eq. 8, whose draws are with replacement).
    """
    places = np.arange(count, 0, -1.0)
    # From the largest down: the chance that a subset has none of the values above.
    ratio = (count - several - np.arange(count)) / places
    none = np.cumprod(np.concatenate([[1.0], ratio[:-1].clip(0)]))
    weights: FloatArray = (none * several / places)[::-1]
    return weights


def _interval(own: FloatArray, several: int, random: np.random.Generator) -> tuple[float, float]:
    """95 % interval of the expected best, by the bootstrap (Efron 1979)."""
    picked = np.sort(own[random.integers(0, len(own), (200, len(own)))], axis=1)
    low, high = np.quantile(picked @ best_weights(len(own), several), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _sentence(report: Report, name: str, values: pd.DataFrame) -> str:
    metric = report.record.metric
    fresh = values["source"] == FRESH
    rows = values[fresh if fresh.any() else ~fresh].to_dict("records")
    said = f"{name}: {_compared_text(metric, rows)}."
    if fresh.any() and not fresh.all():
        others = values[~fresh].to_dict("records")
        worse = [row["value"] for row in others if row["verdict"] == WORSE]
        same = [row["value"] for row in others if row["verdict"] != WORSE]
        parts = [f"{listed(worse)} worse than the best"] if worse else []
        parts += [f"{listed(same)} indistinguishable from the best"] if same else []
        said += f" By the search alone, without fresh seeds: {'; '.join(parts)}."
    return said


def _compared_text(metric: str, rows: Sequence[dict[Any, Any]]) -> str:
    """Which values clearly differ, the best one first."""
    first, *rest = rows
    clear = [row for row in rest if row["verdict"] == WORSE]
    unclear = [row["value"] for row in rest if row["verdict"] == UNCLEAR]
    same = listed([first["value"], *(row["value"] for row in rest if row["verdict"] == EQUAL)])
    diverged = (
        f"; {listed(unclear)}: {UNCLEAR}, since {first['value']} diverged more often" if unclear else ""
    )
    if not clear:
        return f"{EQUAL} between {same}{diverged}" if same != first["value"] else diverged.removeprefix("; ")
    worse = listed([f"{row['value']} ({_difference(metric, row)})" for row in clear])
    against = f"; {same}: {EQUAL}" if same != first["value"] else ""
    best = f"{first['value']} has {metric} {metric_text(metric, first['expected'])}"
    return f"{best}, better than {worse}{against}{diverged}"


def _difference(metric: str, row: dict[Any, Any]) -> str:
    ends = [row["difference_low"], row["difference_high"]]
    if any(end is None or np.isnan(end) for end in ends):
        return signed_texts(metric, row["difference"])[0]
    mean, low, high = signed_texts(metric, row["difference"], *ends)
    return f"{mean}, {low} … {high}"
