"""What a confirmation says, in words, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import EVEN
from hpsearch.reporting.grids import Column, Grid, thinned_epochs
from hpsearch.results.confirmation import (
    BEST,
    LAST,
    VALIDATION,
    Confirmation,
    Finalist,
    confirmed_frame,
    finalist_curves,
)
from hpsearch.stats import LEVEL, chance_of_best
from hpsearch.text import (
    MISSING,
    interval_text,
    is_share,
    json_value,
    listed,
    metric_text,
    missing,
    parameter_text,
    signed_texts,
    significant,
    threshold_text,
)

NO_TEST = (
    "There is no test set: the scores are from the validation set, on which the trials were chosen, too, "
    "and flatter."
)
_CLAIMED = 5
"""Of fewer finalists the chance that they hold the best is not told: by simulation it would be too high."""

_NAMED = 3
"""Of tied trials, so many are named."""


def rank_text(low: int, high: int) -> str:
    """A rank that may be any of some: "1" or "1–3"."""
    return str(low) if low == high else f"{low}–{high}"


def drop_text(metric: str, value: float) -> str:
    """By how much a score falls short of another; of shares in points."""
    return MISSING if missing(value) else signed_texts(metric, value)[0].removeprefix("+")


def finalists_title(c: Confirmation) -> str:
    """What was done."""
    count = len(c.finalists)
    best = f"the best {count} of {c.complete:,}" if count < c.complete else f"all {count}"
    seeds = f"{c.seeds} fresh seeds" + (", rows resplit" if c.resampled else "")
    return f"confirmed: {best} complete trials, each on {seeds}, scored on {plural(c.rows, f'{c.part} row')}"


def finalists_grid(c: Confirmation) -> Grid:
    """One row a finalist, the one to use first: rank, score, distance to the first, validation on the fresh
    seeds, and what it was selected at.
    """
    frame = confirmed_frame(c)
    names = [str(name) for name in frame.columns if str(name).startswith("param_")]
    columns = [
        Column("rank"),
        Column("trial"),
        *map(Column, (c.metric, "95 % interval")),
        *(Column(name.removeprefix("param_"), not isinstance(frame[name].iloc[0], str)) for name in names),
        *map(Column, ("to the first", "its interval", "validation", "selected at")),
    ]
    chosen = "threshold" in frame
    columns += [Column("threshold")] if chosen else []
    columns += [Column("diverged")] if frame["diverged"].any() else []
    rows = []
    for row in frame.to_dict("records"):
        to_first = [row[name] for name in ("difference", "difference_low", "difference_high")]
        known = [value for value in to_first if not missing(value)]
        difference, *ends = signed_texts(c.metric, *known) or [""]
        cells = [
            rank_text(row["rank_low"], row["rank_high"]),
            str(row["trial"]),
            metric_text(c.metric, row["mean"]),
            MISSING if missing(row["mean"]) else interval_text(c.metric, row["low"], row["high"]),
            *(parameter_text(row[name]) for name in names),
            difference,
            " … ".join(ends) or ("the same" if difference else ""),
            metric_text(c.metric, row["again"]),
            metric_text(c.metric, row["selected"]),
        ]
        cells += [threshold_text(row["threshold"])] if chosen else []
        cells += [f"{row['diverged']} of {c.seeds}"] if frame["diverged"].any() else []
        rows.append(tuple(cells))
    return Grid(tuple(columns), tuple(rows))


def verdict(c: Confirmation) -> str:
    """Which trial to use, how good it is, and which cannot be told apart from it."""
    best, tied = c.best, c.tied
    if best.estimate is None:
        return (
            f"Every finalist diverged with most of the {c.seeds} fresh seeds: none of them can be relied on."
        )
    found = f"{c.metric} {metric_text(c.metric, best.estimate.mean)}"
    if best.estimate.low is not None and best.estimate.high is not None:
        found += f" ({interval_text(c.metric, best.estimate.low, best.estimate.high)})"
    if len(c.finalists) == 1:
        return f"Trial {best.trial} has {found} on {c.part} rows."
    by = "in the search" if c.part == VALIDATION else "by validation on fresh seeds"
    if len(tied) == 1:
        others = "the other one" if len(c.finalists) == 2 else f"the other {len(c.finalists) - 1}"
        if c.above:
            return f"Trial {best.trial}, the first {by}, has {found} on {c.part} rows. {_above(c)}"
        return f"Trial {best.trial} is better than {others}: {found} on {c.part} rows."
    low, high = c.ranking.ranks[c.order[0]]
    said = (
        f"Trials {_named(tied)} cannot be told apart (rank {rank_text(low, high)}); "
        f"{best.trial}, the first {by}, has {found} on {c.part} rows. "
    )
    return said + (_above(c) if c.above else "Choose among them by what else counts, such as size.")


def _named(finalists: Sequence[Finalist]) -> str:
    names = [str(each.trial) for each in finalists[:_NAMED]]
    if len(finalists) > _NAMED:
        names = [*names[:-1], f"{len(finalists) - _NAMED + 1} more"]
    return listed(names)


def _above(c: Confirmation) -> str:
    """That some score better than the one to use, and what it would mean to take one of them instead."""
    trials, score = ("Trial", "scores") if len(c.above) == 1 else ("Trials", "score")
    return (
        f"{trials} {_named(c.above)} {score} clearly better there; a trial chosen for its score on these "
        f"{c.part} rows is flattered by it."
    )


def shrinkage_sentence(c: Confirmation) -> str | None:
    """How much of what the trials promised on validation was luck, and of what."""
    frame = confirmed_frame(c).dropna(subset=["mean", "again"])
    if frame.empty or c.part == VALIDATION:
        return None
    selected, again, mean = (float(frame[name].mean()) for name in ("selected", "again", "mean"))
    sign = 1.0 if c.maximize else -1.0
    unit = " points" if is_share(c.metric) else ""
    chosen = "threshold" in frame
    fresh = _as_in_the_search(c, frame["trial"].tolist()) if chosen else again
    seed, rows = sign * (selected - fresh), sign * (again - mean)
    levels = [metric_text(c.metric, value) for value in (selected, fresh, mean)]
    sure = "flatter" if rows > 0 else "are harder,"
    moved = f", {metric_text(c.metric, again)} with thresholds chosen there" if chosen else ""
    return (
        f"Selected at {levels[0]} validation {c.metric}; retrained on fresh seeds they average {levels[1]} "
        f"({drop_text(c.metric, seed)}{unit} were luck){moved}, and {levels[2]} on the {c.part} "
        f"set (the validation rows, on which they were chosen, {sure} by "
        f"{drop_text(c.metric, abs(rows))}{unit})."
    )


def _as_in_the_search(c: Confirmation, trials: Sequence[int]) -> float:
    """The mean validation metric of these finalists on the fresh seeds, at the search's threshold of 0.5."""
    own = [each.validation(c.metric) for each in c.finalists if each.trial in trials]
    return float(np.mean([np.nanmean(values) for values in own]))


def threshold_sentence(c: Confirmation) -> str | None:
    """At which threshold the first finalist decides, where it was chosen; the others' are in the table."""
    if not c.best.decided.size:
        return None
    if c.best.threshold == EVEN:
        return f"No threshold was better on validation than 0.5 for trial {c.best.trial}."
    others = "; each finalist has its own" if len(c.finalists) > 1 else ""
    return (
        f"Threshold {threshold_text(c.best.threshold)} chosen on validation: trial {c.best.trial} predicts "
        f"the second class where its probability is above that{others}. The search ranks at 0.5."
    )


def chance_sentence(c: Confirmation) -> str | None:
    """How likely the truly best trial is among the finalists."""
    noise = selection_noise(c)
    if not _CLAIMED <= len(c.finalists) < c.complete or len(c.values) != c.complete or noise is None:
        return None
    chance = chance_of_best(np.array(c.values), len(c.finalists), noise, c.maximize)
    shown = "more than 99 %" if chance > 0.99 else f"about {100 * chance:.0f} %"
    return (
        f"With {shown} probability the {len(c.finalists)} include the best by validation of the "
        f"{c.complete:,} complete trials, or one as good (within half the spread between seeds)."
    )


def selection_noise(c: Confirmation) -> float | None:
    """The standard deviation between seeds of a finalist's validation metric, pooled; None if unknown."""
    groups = [each.validation(c.metric) for each in c.finalists]
    residuals = [own[~np.isnan(own)] - own[~np.isnan(own)].mean() for own in groups if len(own)]
    freedom = sum(len(own) - 1 for own in residuals if len(own) > 1)
    if not freedom:
        return None
    return float(np.sqrt(sum(float(own @ own) for own in residuals if len(own) > 1) / freedom))


def uses_sentence(c: Confirmation) -> str:
    """How often the part that is scored has been looked at."""
    rows = f"the {c.part} set"
    if len(c.uses) <= 1:
        return f"This is the first look at {rows}."
    kinds = dict.fromkeys(use.purpose for use in c.uses)
    counts = (plural(sum(use.purpose == kind for use in c.uses), kind) for kind in kinds)
    return (
        f"This study has looked at {rows} {len(c.uses)} times ({', '.join(counts)}): "
        "each look makes the best look better than it is."
    )


def finalists_warnings(c: Confirmation) -> list[str]:
    """How much of what was selected was luck, and what makes the scores flatter."""
    found = [threshold_sentence(c), shrinkage_sentence(c), NO_TEST if c.part == VALIDATION else None]
    return [line for line in (*found, uses_sentence(c) if len(c.uses) > 1 else None) if line]


def finalists_methods(c: Confirmation) -> list[str]:
    """What the numbers cover, and how they are made."""
    lines = [line for line in [chance_sentence(c)] if line]
    if c.part != VALIDATION and len(c.finalists) > 1:
        lines.append(
            "The first is chosen by validation on the fresh seeds, not by its score, so the choice does not "
            "flatter its score."
        )
    divided = ", and other splits into training and validation" if c.resampled else " on this split"
    lines.append(
        f"Intervals cover other initial weights and row orders{divided}; other {c.part} rows would vary "
        f"more. {c.ranking.method}"
    )
    return [*lines, *([uses_sentence(c)] if len(c.uses) <= 1 else [])]


def confirmation_document(c: Confirmation) -> dict[str, Any]:
    """The confirmation as JSON-able values; differences are in the metric's own unit."""
    frame = confirmed_frame(c)
    own = [str(name) for name in frame.columns if not str(name).startswith("param_")]
    scores = {each.trial: each.scores.tolist() for each in c.finalists}
    rows = [
        {**{name: row[name] for name in own}, "scores": scores[row["trial"]]}
        for row in frame.to_dict("records")
    ]
    document: dict[str, Any] = json_value(
        {
            "metric": c.metric,
            "part": c.part,
            "rows": c.rows,
            "seeds": c.seeds,
            "resampled": c.resampled,
            "complete": c.complete,
            "level": LEVEL,
            "method": c.ranking.method,
            "verdict": verdict(c),
            "recommended": c.best.trial,
            "uses": [
                {
                    "purpose": use.purpose,
                    "trials": use.trials,
                    "seeds": use.seeds,
                    "when": None if use.when is None else use.when.isoformat(),
                }
                for use in c.uses
            ],
            "finalists": rows,
        }
    )
    return document


def finalists_curves_grid(confirmation: Confirmation, epochs: int = 9) -> Grid:
    """Mean ± standard deviation over seeds: epochs down (so many at most), finalists across, best first.

    ● marks each one's best epoch.
    """
    frame, metric = finalist_curves(confirmation), confirmation.metric
    trials = [int(trial) for trial in frame["trial"].unique()]
    last = int(frame["epoch"].max()) if len(frame) else 0
    shown = sorted({*thinned_epochs(last, epochs), *(int(epoch) for epoch in frame["epoch"][frame["best"]])})
    cells = {
        (row["trial"], row["epoch"]): _cell(metric, row["mean"], row["sd"])
        + (f" {BEST}" if row["best"] else "  ")
        for row in frame.to_dict("records")
    }
    rows = [(str(epoch), *(cells.get((trial, epoch), "") for trial in trials)) for epoch in shown]
    return Grid((Column("epoch"), *(Column(f"#{trial}") for trial in trials)), tuple(rows))


def _cell(metric: str, mean: float, sd: float) -> str:
    text = metric_text(metric, mean)
    if np.isnan(sd):
        return text
    return f"{text} ±{100 * sd:.1f}" if is_share(metric) else f"{text} ±{significant(sd, 2)}"


def improving_line(confirmation: Confirmation, epochs: int) -> str:
    """Which finalists were still improving when their training ended, "" if none.

    Those that are trained for less than the study's `epochs` end where going on brought no more in the
    search; and of few epochs the last fifth would be nearly all.
    """
    frame = finalist_curves(confirmation)
    whole = [each.trial for each in confirmation.finalists if each.epochs >= max(epochs, 3 * LAST)]
    improving = frame["improving"].astype(bool) & frame["trial"].isin(whole)
    found = [f"#{trial}" for trial in frame["trial"][improving].unique()]
    return f"still improving in the last fifth of their epochs: {', '.join(found)}" if found else ""
