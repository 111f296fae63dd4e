"""What baselines say: the network beside them, in a sentence, as a table and as JSON."""

from __future__ import annotations

from typing import Any

from hpsearch.records import BOOSTING, GUESSES, Baseline
from hpsearch.reporting.grids import Column, Grid, valid_name
from hpsearch.results.frames import Report
from hpsearch.results.reference import (
    RARE,
    Reference,
    accuracy_of,
    balanced_accuracy_of,
    rare_classes,
    reference_of,
    unbalanced,
)
from hpsearch.text import MISSING, interval_text, json_value, listed, metric_text, plain, seconds_text

_MOST_NAMES = 6


def baselines_sentence(report: Report) -> str | None:
    """Was a network worth it? One sentence without a full stop; None where there are no baselines."""
    found = reference_of(report)
    if found is None:
        return None
    metric = report.record.metric
    unit = "" if metric == "accuracy" else f"{metric} "
    name = found.baseline.name
    left = name if name in GUESSES else f"{name}, untuned"
    left += f": {unit}{metric_text(metric, found.other)}"
    score = metric_text(metric, found.score)
    if not found.confirmed:
        sign = 1.0 if report.record.direction == "maximize" else -1.0
        still = ", and still no better" if sign * (found.score - found.other) <= 0 else ""
        return (
            f"{left}; the best network: {score} on validation, the best of all trials{still}; not confirmed"
        )
    if found.low is not None and found.high is not None:
        score += f" ({interval_text(metric, found.low, found.high)})"
    return f"{left}; the best network: {score}: {_verdict(found, metric)}"


def _verdict(found: Reference, metric: str) -> str:
    short = "boosting" if found.baseline.name == BOOSTING else f"the {found.baseline.name}"
    if found.baseline.name in GUESSES and found.verdict != "network":
        return f"no better than {_guessing(found.baseline)}"
    said = {
        "baseline": f"{short} is better here",
        "network": "the network is better here",
        "even": "too close to call",
    }[found.verdict or "even"]
    if found.beats_guess is False and found.guess is not None and found.guess is not found.baseline:
        value = metric_text(metric, found.guess.on(found.part))
        said += f", and the network is no better than {_guessing(found.guess)} ({value})"
    return said


def _guessing(guess: Baseline) -> str:
    return "guessing the majority class" if guess.name == GUESSES[0] else "predicting the mean"


def baselines_grid(report: Report) -> Grid:
    """One row a baseline, and the best network above them; of unbalanced classes both accuracies."""
    metric, extra = report.record.metric, _extra(report)
    notes = any(each.note for each in report.baselines)
    columns = [Column("model", numeric=False), Column(valid_name(report)), Column(f"test {metric}")]
    columns += [Column(f"test {name}") for name, _ in extra]
    columns += [Column("seconds"), *([Column("note", numeric=False)] if notes else [])]
    rows = [row for row in [_network_row(report, extra, len(columns))] if row]
    for each in report.baselines:
        counted = [
            metric_text("accuracy", of(each.counts)) if each.counts.sum() else MISSING for _, of in extra
        ]
        cells = [each.name, metric_text(metric, each.valid), metric_text(metric, each.test), *counted]
        cells += [seconds_text(each.seconds), *([plain(each.note)] if notes else [])]
        rows.append(tuple(cells))
    return Grid(tuple(columns), tuple(rows))


def _extra(report: Report) -> list[tuple[str, Any]]:
    """Of unbalanced classes, the names and functions of both accuracies that the metric is not."""
    if not unbalanced(report):
        return []
    both = (("accuracy", accuracy_of), ("balanced accuracy", balanced_accuracy_of))
    return [each for each in both if each[0].replace(" ", "_") != report.record.metric]


def _network_row(report: Report, extra: list[tuple[str, Any]], width: int) -> tuple[str, ...] | None:
    found = reference_of(report)
    if found is None:
        return None
    metric, row = report.record.metric, report.row(found.trial)
    test = found.score if found.confirmed and found.part == "test" else None
    cells = [f"network, trial {found.trial}", metric_text(metric, row["value"]), metric_text(metric, test)]
    counts = report.confirmation.best.counts if report.confirmation and test is not None else None
    cells += [
        metric_text("accuracy", of(counts)) if counts is not None and counts.size else "" for _, of in extra
    ]
    return (*cells, *[""] * (width - len(cells)))


def baselines_remarks(report: Report) -> list[str]:
    """What the reader must know of these numbers."""
    lines = [
        "Baselines have scikit-learn's default settings and are trained on the same training rows; the best "
        "is chosen by validation. The network is called better or worse only where seeds and the choice of "
        "test rows do not explain the difference."
    ]
    if report.record.metric in ("f1", "auc"):
        lines[0] = lines[0].replace("seeds and the choice of test rows do", "seeds do")
    if any(each.decided is not None for each in report.baselines):
        lines.append(
            "Test scores are at a threshold chosen on validation for each model, as for the network; "
            "validation scores are at 0.5, as in the search."
        )
    if rare := rare_classes(report):
        shown = [f"{plain(name)} ({count})" for name, count in rare[:_MOST_NAMES]]
        more = [f"{len(rare) - _MOST_NAMES} more"] if len(rare) > _MOST_NAMES else []
        lines.append(
            f"Too rare to judge, with fewer than {RARE} test rows: class{'es' if len(rare) > 1 else ''} "
            f"{listed([*shown, *more])}."
        )
    return lines


def baselines_document(report: Report) -> list[dict[str, Any]]:
    """As JSON-able values."""
    names = ("name", "valid", "test", "seconds", "note")
    return [
        {
            **{name: json_value(getattr(each, name)) for name in names},
            **({} if each.decided is None else {"threshold": json_value(each.threshold)}),
        }
        for each in report.baselines
    ]
