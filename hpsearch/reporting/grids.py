"""What a report shows, as grids of text: the terminal's tables and Markdown are both made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpsearch.errors import plural
from hpsearch.records import DEAD, TRAIN_LOSS, VALID_LOSS, State
from hpsearch.results.frames import PARAM, Report, count_states, curve_columns
from hpsearch.study.hyperparameters import HYPER_PARAMETERS
from hpsearch.text import (
    MISSING,
    STATE_WORDS,
    counts_text,
    listed,
    metric_text,
    missing,
    parameter_text,
    plain,
    seconds_text,
    significant,
    sparkline,
)

BEST_FEW = 8
SHOWN_FAILURES = 5
FRONT_FEW = 15
_LOWEST = {"parameters": "smallest network", "loss": "lowest loss"}
_SHOWN_EPOCHS = 9
_SPARKLINE = 8


@dataclass(frozen=True)
class Column:
    """A column's head, and whether it holds numbers (aligned right)."""

    head: str
    numeric: bool = True


@dataclass(frozen=True)
class Grid:
    """A table of text: every row has one cell a column."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


def summary_lines(report: Report) -> list[str]:
    """What was studied, how far it is, the best value and what it cost."""
    record = report.record
    better = "higher" if record.direction == "maximize" else "lower"
    trials = f"{plural(len(report.trials), 'trial')}: {counts_text(report.counts)}"
    best = "no trial is complete"
    if len(report.ranked):
        row = report.ranked.iloc[0]
        value = metric_text(record.metric, row["value"])
        best = f"best {value} (trial {row['trial']}, epoch {row['best_epoch']})"
    c = report.confirmation
    if c is not None and c.best.estimate is not None:
        first = f"first on fresh seeds: {c.part} {c.metric} {metric_text(c.metric, c.best.estimate.mean)}"
        best = f"{first} (trial {c.best.trial})   {best.replace('best', 'best by validation')}"
    cost = f"trained {plural(report.epochs, 'epoch')}"
    if report.epochs_per_second is not None:
        cost += f" in {seconds_text(record.seconds)} ({report.epochs_per_second:,.0f} epochs/s)"
    head = f"{plain(record.name)}   {record.task}, ranked by {valid_name(report)}, {better} is better"
    return [head, trials, f"{best}   {cost}"]


def valid_name(report: Report) -> str:
    """The ranked quantity in words: "validation accuracy"."""
    return f"validation {report.record.metric}"


def ranked_grid(report: Report, top: int) -> Grid:
    """The first `top` trials in order, all when 0; failed ones are not among them."""
    shown = _shown(report, top)
    names = dict.fromkeys(name for name in ("loss", *report.objectives) if name != report.record.metric)
    return _trials_grid(report, shown, [*names, "epochs"], states=bool(shown["rank"].isna().any()))


def front_grid(report: Report, top: int) -> Grid:
    """The Pareto front, best metric first; see `shown_front`."""
    return _trials_grid(report, shown_front(report, top), report.objectives)


def shown_front(report: Report, top: int) -> pd.DataFrame:
    """Of the Pareto front the first of those that are equal, both ends and what lies evenly between.

    At most `top` or a few, whichever is more; the whole front when `top` is 0.
    """
    if not top:
        return report.front
    different = _different(report)
    places = np.linspace(0, len(different) - 1, min(len(different), max(FRONT_FEW, top)))
    return different.iloc[places.round().astype(int)]


def front_title(report: Report) -> str:
    """What the Pareto front is of."""
    return f"Pareto front of {listed(_objectives(report))}"


def front_sentence(report: Report) -> str:
    """How many trials are on the Pareto front, in which order, and what that means."""
    metric, *others = _objectives(report)
    complete = plural(report.counts[State.COMPLETE], "complete trial")
    end = f"to the {_LOWEST[others[0]]}" if len(others) == 1 else "on"
    order = f", from the best {metric} {end}" if len(report.front) > 1 else ""
    every = "both" if len(others) == 1 else "all of these"
    return (
        f"{len(report.front):,} of {complete}{order}: no other trial is as good in {every} and better in one."
    )


def front_more_line(report: Report, top: int) -> str | None:
    """What the table of the Pareto front leaves out, or None when it shows all."""
    shown, different = len(shown_front(report, top)), len(_different(report))
    between, equal = different - shown, len(report.front) - different
    parts = [f"{between:,} between these"] if between > 0 else []
    parts += [f"{equal:,} equal to another"] if equal else []
    return f"… and {', '.join(parts)} (--top 0 shows all)" if top and parts else None


def _different(report: Report) -> pd.DataFrame:
    return report.front.drop_duplicates(["value", *report.objectives])


def _objectives(report: Report) -> list[str]:
    return [report.record.metric, *report.objectives]


def _trials_grid(report: Report, shown: pd.DataFrame, names: Sequence[str], states: bool = False) -> Grid:
    """Rank, number and metric of trials, the columns of these names and all searched hyper-parameters."""
    metric = report.record.metric
    columns = [Column("rank"), Column("trial"), Column(metric), *map(Column, names)]
    columns += [Column(name, HYPER_PARAMETERS[name].numeric) for name in report.parameters]
    columns += [Column("state", numeric=False)] if states else []
    rows = []
    for row in shown.to_dict("records"):
        cells = [MISSING if missing(row["rank"]) else str(row["rank"]), str(row["trial"])]
        cells += [metric_text(metric, row["value"])]
        cells += [figure_text(name, row[name]) for name in names]
        cells += [parameter_text(row[PARAM + name]) for name in report.parameters]
        if states:  # why a trial has no rank, or its state
            cells += [STATE_WORDS[State(row["state"])] if missing(row["reason"]) else plain(row["reason"])]
        rows.append(tuple(cells))
    return Grid(tuple(columns), tuple(rows))


def figure_text(name: str, value: Any) -> str:
    """A value of the column of that name: the loss, a further objective or a number of epochs."""
    if missing(value):
        return MISSING
    if name == "loss":
        return significant(value, 3)
    return str(value) if name == "epochs" else f"{value:,.0f}"


def more_line(report: Report, top: int) -> str | None:
    """What the ranked table leaves out, or None when it shows everything but failed trials."""
    shown = _shown(report, top)
    rest = report.trials[~report.trials["trial"].isin(shown["trial"])]
    if (rest["state"] == str(State.FAILED)).all():
        return None
    return f"… and {len(rest):,} more: {counts_text(count_states(rest))} (--top 0 shows all)"


def failed_lines(report: Report, top: int) -> list[tuple[str, str]]:
    """Trial and reason with hyper-parameters of the failed trials: a few, or all when `top` is 0."""
    failed = report.trials[report.trials["state"] == str(State.FAILED)]
    shown = failed if top == 0 else failed.head(SHOWN_FAILURES)
    lines = []
    for row in shown.to_dict("records"):
        parameters = (f"{name} {parameter_text(row[PARAM + name])}" for name in report.parameters)
        lines.append((f"#{row['trial']}", " · ".join((plain(row["reason"]), *parameters))))
    if len(failed) > len(shown):
        lines.append(("…", f"and {len(failed) - len(shown):,} more (--top 0 shows all)"))
    return lines


def best_few(report: Report) -> list[int]:
    """Numbers of the trials whose curves are worth a look: the best few, ranked before stopped ones."""
    usable = report.trials[report.trials["trial"].isin(list(report.curves)) & report.trials["value"].notna()]
    return [int(number) for number in usable["trial"].head(BEST_FEW)]


def curves_grid(report: Report, numbers: Sequence[int], epochs: int = _SHOWN_EPOCHS) -> Grid:
    """The ranked metric on the validation set: epochs down (so many at most), trials across.

    The first row holds sparklines.
    """
    curves = [report.valid_metric(number) for number in numbers]
    columns = [Column("epoch"), *(Column(f"#{number}") for number in numbers)]
    texts = [[metric_text(report.record.metric, value) for value in curve] for curve in curves]
    lines = [sparkline(curve.tolist(), _SPARKLINE) for curve in curves]
    rows = [("", *lines)]
    # The best trial's best epoch is shown, too, or its value would be nowhere in the table.
    last = max(map(len, curves), default=0)
    top = {int(report.row(number)["best_epoch"]) for number in numbers[:1]}
    for epoch in sorted({*thinned_epochs(last, epochs), *top}):
        rows.append((str(epoch), *(text[epoch - 1] if epoch <= len(text) else "" for text in texts)))
    return Grid(tuple(columns), tuple(rows))


def thinned_epochs(last: int, most: int) -> list[int]:
    """At most `most` epochs from 1 to `last`, both included, denser at the beginning."""
    if last <= most:
        return list(range(1, last + 1))
    return sorted({round(float(epoch)) for epoch in np.geomspace(1, last, most)})


def trial_curve_grid(report: Report, number: int) -> Grid:
    """All columns of one trial's curve, epoch by epoch."""
    metric = report.record.metric
    curve = report.curves[number]
    shown = curve_columns(metric, curve.shape[1])
    rows = []
    for epoch, values in enumerate(curve, start=1):
        cells = [curve_text(place, metric, values[place]) for place, _ in shown]
        rows.append((str(epoch), *cells))
    return Grid((Column("epoch"), *(Column(name) for _, name in shown)), tuple(rows))


def curve_text(place: int, metric: str, value: float) -> str:
    """A value of the column at that place of a curve."""
    if place >= DEAD:
        return f"{100 * value:.0f}%"
    return significant(value, 4) if place in (TRAIN_LOSS, VALID_LOSS) else metric_text(metric, value)


def _shown(report: Report, top: int) -> pd.DataFrame:
    kept = report.trials[report.trials["state"] != str(State.FAILED)]
    return kept.head(top) if top else kept
