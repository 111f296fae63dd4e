"""Predictions for programs and people: as CSV, JSON or Parquet, and how good they are."""

from __future__ import annotations

import math
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import plural
from hpsearch.model.model import Model
from hpsearch.records import EVEN
from hpsearch.reporting.json_csv import csv_text, json_text
from hpsearch.text import json_value, metric_text, plain

if TYPE_CHECKING:
    from pandas import DataFrame

    from hpsearch.data.new_rows import Rows

PREDICTIONS_FORMAT = "hpsearch.predictions/1"


def predictions_bytes(model: Model, frame: DataFrame, format_: str) -> bytes:
    """Predictions in the format "csv", "json" or "parquet".

    Names and texts of a CSV file are such that no terminal and no spreadsheet obeys them; JSON is ASCII.
    """
    if format_ == "csv":
        return csv_text(frame.rename(columns=plain)).encode()
    if format_ == "parquet":
        buffer = BytesIO()
        frame.to_parquet(buffer, index=False)
        return buffer.getvalue()
    return json_text(
        {
            "format": PREDICTIONS_FORMAT,
            "task": str(model.task),
            "target": model.target,
            "classes": list(model.classes),
            **({} if model.threshold == EVEN else {"threshold": model.threshold}),
            "model": json_value(model.about.get("trial")),
            "columns": list(frame.columns),
            "rows": json_value(frame.astype(object).to_numpy().tolist()),
        }
    ).encode()


def score_text(model: Model, rows: Rows, outputs: NDArray[np.float32]) -> str | None:
    """How good raw outputs [n, O] are by the study's metric; None where no target is known."""
    found = model.score(rows, outputs)
    if found is None:
        return None
    value, count = found
    subject = plural(count, "row") if not rows.files else plural(count, "image")
    known = f'{subject} with a known "{model.target}"'
    if math.isnan(value):
        return f"{model.metric}: not defined on {known}"
    left = len(rows.x) - count
    others = f"; {left:,} more have no target that the model knows" if left else ""
    return (
        f"{model.metric} {metric_text(model.metric, value)} on {known}{others}; any rows it was trained on "
        "flatter the score"
    )
