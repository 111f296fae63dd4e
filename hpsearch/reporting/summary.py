"""A study in three sentences: what was searched, what won and how sure that is, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from hpsearch.errors import plural
from hpsearch.records import State
from hpsearch.reporting.blocks import begun
from hpsearch.reporting.grids import valid_name
from hpsearch.results.advice import Advice
from hpsearch.results.confirmation import VALIDATION, Confirmation
from hpsearch.results.frames import Report
from hpsearch.text import counts_text, interval_text, listed, metric_text, seconds_text

_MOST_NAMES = 6


def summary(report: Report, found: Sequence[Advice]) -> list[tuple[str, str]]:
    """Three sentences, each with a word that says what it is about."""
    return [("Searched", _searched(report)), ("Won", _won(report)), ("Next", _next(report, found))]


def _searched(report: Report) -> str:
    record, names = report.record, report.parameters
    many = len(names) - _MOST_NAMES
    shown = [*names[:_MOST_NAMES], f"{many} more"] if many > 0 else names
    varied = f"varied {listed(shown)}" if names else "of one configuration"
    rows = record.data_summary.get("rows")
    count = rows.get("train") if isinstance(rows, dict) else None
    data = f" on {record.data_summary['name']}" if record.data_summary.get("name") else ""
    data += f" ({count:,} training rows)" if isinstance(count, int) else ""
    cost = f" in {seconds_text(record.seconds)} of training" if record.seconds > 0 else ""
    return f"{plural(len(report.trials), 'trial')} {varied}{data}{cost}: {counts_text(report.counts)}."


def _won(report: Report) -> str:
    if report.confirmation is not None:
        return _confirmed(report.confirmation)
    if not len(report.ranked):
        return "No trial is complete, so there is no winner."
    best = report.row(int(report.ranked["trial"].iloc[0]))
    value = metric_text(report.record.metric, best["value"])
    complete = report.counts[State.COMPLETE]
    flattered = f", the best of {complete:,}, so luck flatters it" if complete > 1 else ""
    won = f"Trial {best['trial']} has the best {valid_name(report)}, {value}{flattered}"
    return f"{won}; it is not confirmed on fresh seeds."


def _confirmed(c: Confirmation) -> str:
    best, others = c.best, len(c.tied) - 1
    if best.estimate is None:
        finalists = plural(len(c.finalists), "finalist")
        return f"None of {finalists} can be relied on: each diverged with most of {c.seeds} fresh seeds."
    found = best.estimate
    interval = interval_text(c.metric, found.low, found.high)
    score = f"{c.part} {c.metric} {metric_text(c.metric, found.mean)} (95 % interval {interval})"
    by = "" if c.part == VALIDATION else " by validation,"
    if c.above:
        how = f"though {plural(len(c.above), 'other finalist')} scored clearly better there"
    elif not others:
        how = (
            f"better than {plural(len(c.finalists) - 1, 'other finalist')}"
            if len(c.finalists) > 1
            else "the only finalist"
        )
    else:
        how = f"indistinguishable from {plural(others, 'other finalist')}"
    return f"Trial {best.trial} comes out first on {plural(c.seeds, 'fresh seed')}{by} with {score}, {how}."


def _next(report: Report, found: Sequence[Advice]) -> str:
    name = quote(report.record.name)
    if found:
        remedy = f"; try {found[0].written}" if found[0].remedy else ""
        return f"{begun(found[0].text)}{remedy}."
    if report.confirmation is None and len(report.ranked):
        return f"hpsearch confirm {name} retrains the best on fresh seeds and says which really differ."
    more = f"hpsearch run {name} --trials {2 * len(report.trials)}"
    return f"Nothing stands out to change; for more of the same: {more}."
