"""What the finalist to use says of single test rows: a confusion matrix, or predicted against true."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.reporting.grids import Column, Grid
from hpsearch.results.confirmation import Confirmation
from hpsearch.results.reference import accuracy_of, balanced_accuracy_of
from hpsearch.text import json_value, metric_text, plain

_MOST_CLASSES = 12
"""Of more classes, those that are most often confused are listed instead."""
_MOST_PAIRS = 12


def confusion_grid(c: Confirmation, classes: list[str]) -> Grid:
    """Rows by true class, columns by predicted class; of many classes the most frequent confusions."""
    counts, names = c.best.counts, [plain(name) for name in classes]
    if len(names) > _MOST_CLASSES:
        return _most_confused(c, names)
    columns = (Column("true", numeric=False), *map(Column, names), Column("found"))
    rows = []
    for name, row, right in zip(names, counts, np.diag(counts), strict=True):
        found = metric_text("accuracy", right / row.sum()) if row.sum() else ""
        rows.append((name, *(f"{count:,}" if count else "" for count in row), found))
    return Grid(columns, tuple(rows))


def _most_confused(c: Confirmation, names: list[str]) -> Grid:
    counts = c.best.counts
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
    places = [divmod(int(at), len(names)) for at in order]
    rows = [
        (
            names[true],
            names[said],
            f"{wrong[true, said]:,}",
            metric_text("accuracy", wrong[true, said] / counts[true].sum()),
        )
        for true, said in places
        if wrong[true, said]
    ]
    heads = (Column("true", numeric=False), Column("taken for", numeric=False))
    return Grid((*heads, Column("rows"), Column("of the class")), tuple(rows))


def confusion_sentence(c: Confirmation) -> str:
    """Both accuracies, which differ where classes are unbalanced."""
    counts = c.best.counts
    seeds = len(c.best.scores) - c.best.diverged
    return (
        f"Trial {c.best.trial} on the {c.part} set, {seeds} fresh seeds together: accuracy "
        f"{metric_text('accuracy', accuracy_of(counts))}, balanced accuracy "
        f"{metric_text('balanced_accuracy', balanced_accuracy_of(counts))}."
    )


def outcome_document(c: Confirmation, classes: list[str]) -> dict[str, Any]:
    """As JSON-able values."""
    best = c.best
    document: dict[str, Any] = {"trial": best.trial, "part": c.part}
    if best.counts.size:
        return document | {
            "seeds": len(best.scores) - best.diverged,
            "classes": classes,
            "counts": best.counts.tolist(),
            "accuracy": accuracy_of(best.counts),
            "balanced_accuracy": balanced_accuracy_of(best.counts),
        }
    return document | {
        "targets": json_value(best.pairs[:, 0].tolist()),
        "predicted": json_value(best.pairs[:, 1].tolist()),
    }
