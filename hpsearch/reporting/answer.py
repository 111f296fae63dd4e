"""A study's answer in a few lines: what was found, how sure that is, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from hpsearch.errors import plural
from hpsearch.records import State
from hpsearch.reporting.baselines import baselines_sentence
from hpsearch.reporting.comparison import conclusion
from hpsearch.reporting.finalists import uses_sentence
from hpsearch.reporting.grids import valid_name
from hpsearch.results.advice import Advice
from hpsearch.results.confirmation import Confirmation
from hpsearch.results.frames import Report
from hpsearch.text import (
    counts_text,
    interval_text,
    is_share,
    listed,
    metric_text,
    parameter_text,
    plain,
    seconds_text,
    significant,
)

_MOST_NAMES = 6
_MOST_TIED = 3
_TWO_LINES = 138
_FEWEST_EQUAL = 3
"""A spread of fewer values would say nothing."""
_PARTS = (("train", "train"), ("valid", "validation"), ("test", "test"))

Rows = list[tuple[str, str]]
"""A word that says what a line is about, and the line."""


def asked(report: Report) -> Rows:
    """What was read, and what was searched in it."""
    return [*_read(report), ("searched", _searched(report))]


def found(report: Report) -> Rows:
    """The answer to the study's question, the winner and its hyper-parameters, what it ties with."""
    return list(_found(report))


def advised(report: Report, advice: Sequence[Advice]) -> Rows:
    """Advice, each in two lines."""
    return [("advice", _said(report, each)) for each in advice]


def _said(report: Report, each: Advice) -> str:
    """Where it takes more than two lines, why is in the report."""
    remedy = f"; try {each.written}" if each.remedy else ""
    said = f"{each.text}{remedy}"
    if len(said) <= _TWO_LINES:
        return said
    why = f"hpsearch report {plain(quote(report.record.name))} --section advice"
    about = f": {each.parameter}" if each.parameter else ""
    return f"{each.kind}{remedy or about}; why: {why}"


def _read(report: Report) -> Iterator[tuple[str, str]]:
    summary = report.record.data_summary
    rows = summary.get("rows")
    if not isinstance(rows, dict):
        return
    counts = {name: rows.get(key) for key, name in _PARTS if isinstance(rows.get(key), int)}
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    features, classes = summary.get("features"), summary.get("classes")
    size = f" × {features:,} features" if isinstance(features, int) else ""
    target = f" → {len(classes)} classes" if isinstance(classes, list) and classes else ""
    total = sum(count or 0 for count in counts.values())
    name = plain(str(summary.get("name") or ""))
    yield "read", f"{name}: {total:,} rows{size}{target}; {' · '.join(parts)}"


def _searched(report: Report) -> str:
    record, names = report.record, report.parameters
    many = len(names) - _MOST_NAMES
    shown = [*names[:_MOST_NAMES], f"{many} more"] if many > 0 else names
    varied = f"of {listed(shown)}" if names else "of one configuration"
    cost = f" in {seconds_text(record.seconds)}" if record.seconds > 0 else ""
    trials = f"{plural(len(report.trials), 'trial')} {varied}: {counts_text(report.counts)}"
    return f"{trials}; {plural(report.epochs, 'epoch')}{cost}"


def _found(report: Report) -> Iterator[tuple[str, str]]:
    if report.comparison is not None:
        yield "answer", conclusion(report.comparison)
    c = report.confirmation
    if c is not None and c.best.estimate is None:
        count = plural(len(c.finalists), "finalist")
        yield "best", f"none of {count} can be relied on: each diverged with most of {c.seeds} fresh seeds"
    elif report.best is None:
        yield "best", "no trial is complete, so there is no winner"
    else:
        yield "best", _confirmed(c) if c is not None else _unconfirmed(report)
        if report.parameters:
            yield "with", _settings(report, report.best)
        if c is not None and len(c.tied) > 1:
            yield "ties", _ties(c)
        if c is not None and len(c.uses) > 1:
            yield "looks", uses_sentence(c).rstrip(".")
    if not report.parameters:
        yield from _spread(report)
    if (said := baselines_sentence(report)) is not None:
        yield "baseline", said


def _confirmed(c: Confirmation) -> str:
    own = c.best.estimate
    assert own is not None
    score = f"trial {c.best.trial}: {c.part} {c.metric} {metric_text(c.metric, own.mean)}"
    seeds = plural(c.seeds, "fresh seed")
    inside = "the same" if own.low is None else interval_text(c.metric, own.low, own.high)
    over = f"{score} ({inside} over {seeds})"
    others = len(c.finalists) - 1
    if c.above:
        return f"{over}, first by validation; {plural(len(c.above), 'other finalist')} scored clearly better"
    return f"{over}, better than {plural(others, 'other finalist')}" if len(c.tied) == 1 and others else over


def _unconfirmed(report: Report) -> str:
    best = report.row(int(report.ranked["trial"].iloc[0]))
    complete = report.counts[State.COMPLETE]
    flattered = f", the best of {complete:,}, so luck flatters it" if complete > 1 else ""
    value = metric_text(report.record.metric, best["value"])
    return f"trial {best['trial']}: {valid_name(report)} {value}{flattered}; not confirmed on fresh seeds"


def _settings(report: Report, trial: int) -> str:
    """The searched hyper-parameters that the trial has."""
    params = report.params(report.row(trial))
    return " · ".join(f"{name} {parameter_text(value)}" for name, value in params.items())


def _spread(report: Report) -> Iterator[tuple[str, str]]:
    """How far apart trials end that differ only in their initial weights."""
    values, metric = report.ranked["value"], report.record.metric
    if len(values) < _FEWEST_EQUAL:
        return
    mean, low, high = (metric_text(metric, each) for each in (values.mean(), values.min(), values.max()))
    sd = f"{100 * values.std():.2f} points" if is_share(metric) else significant(values.std(), 3)
    yield (
        "spread",
        f"{plural(len(values), 'trial')} that differ only in their initial weights: {valid_name(report)} "
        f"{mean} on average, standard deviation {sd}, from {low} to {high}",
    )


def _ties(c: Confirmation) -> str:
    others = [str(each.trial) for each in c.tied if each is not c.best]
    many = len(others) - _MOST_TIED
    names = [*others[:_MOST_TIED], f"{many} more"] if many > 0 else others
    word = "trial" if len(others) == 1 else "trials"
    return f"{word} {listed(names)}: indistinguishable from it on {c.part}"
