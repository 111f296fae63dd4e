"""All trials as columns for the page's table, small enough for ten thousand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hpsearch.records import State
from hpsearch.reporting.json_csv import report_rows
from hpsearch.results.frames import PARAM, Report
from hpsearch.text import STATE_WORDS, is_share, missing, parameter_text, plain

_DIGITS = 5


def trials_table(report: Report) -> dict[str, Any]:
    """{"rows": count, "columns": […]}: columns have a head and a kind, "words" or how numbers are shown.

    Numbers stand as they are, null where there is none; words as places in the list of those that occur.
    """
    frame, metric = report_rows(report), report.record.metric
    shown = "percent" if is_share(metric) else "four"
    columns = [_numbers("rank", "whole", frame["rank"]), _numbers("trial", "whole", frame["trial"])]
    if "confirmed" in frame:
        columns.append(_numbers("confirmed", shown, frame["confirmed"]))
    columns.append(_numbers(metric, shown, frame["value"]))
    for name in dict.fromkeys(["loss", *report.objectives]):
        if name != metric:
            columns.append(_numbers(name, "whole" if name == "parameters" else "three", frame[name]))
    columns.append(_numbers("epochs", "whole", frame["epochs"]))
    columns.append(_numbers("best epoch", "whole", frame["best_epoch"]))
    columns += [_parameter(name, frame[PARAM + name]) for name in report.parameters]
    columns.append(_words("state", [STATE_WORDS[State(state)] for state in frame["state"].tolist()]))
    columns.append(_words("why", ["" if missing(text) else plain(text) for text in frame["reason"].tolist()]))
    return {"rows": len(frame), "columns": columns}


def _parameter(name: str, column: pd.Series[Any]) -> dict[str, Any]:
    if column.dtype.kind in "iu" or isinstance(column.dtype, pd.Int64Dtype):
        return _numbers(name, "whole", column)
    if column.dtype.kind == "f":
        return _numbers(name, "three", column)
    return _words(name, ["" if missing(value) else parameter_text(value) for value in column.tolist()])


def _numbers(head: str, kind: str, column: pd.Series[Any]) -> dict[str, Any]:
    array = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind == "whole":
        values: list[Any] = [int(value) if np.isfinite(value) else None for value in array.tolist()]
    else:
        values = [float(f"{v:.{_DIGITS}g}") if np.isfinite(v) else None for v in array.tolist()]
    return {"head": head, "kind": kind, "values": values}


def _words(head: str, texts: Sequence[str]) -> dict[str, Any]:
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return {"head": head, "kind": "words", "words": list(places), "values": [places[text] for text in texts]}
