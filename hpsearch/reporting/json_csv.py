"""Machine-readable reports: JSON documents and CSV whose numbers read back exactly."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from hpsearch.records import StudyRecord
from hpsearch.reporting.comparison import comparison_document
from hpsearch.reporting.finalists import confirmation_document
from hpsearch.reporting.lessons_document import lessons_document
from hpsearch.results.advice import advice, remedy_command
from hpsearch.results.confirmation import confirmed_frame
from hpsearch.results.frames import PARAM, Report, curves_frame
from hpsearch.results.lessons import Lessons, lessons
from hpsearch.text import json_value, plain

REPORT_FORMAT = "hpsearch.report/1"
CURVES_FORMAT = "hpsearch.curves/1"
_FORMULA_STARTS = ("=", "+", "-", "@")


def report_document(report: Report, top: int = 0, found: Lessons | None = None) -> dict[str, Any]:
    """The report as `hpsearch.report/1`; `top` limits the trials, 0 keeps all. found: its lessons."""
    record = report.record
    rows = [_trial(row, record.objectives) for row in report.trials.to_dict("records")]
    best = rows[0] if rows and rows[0]["rank"] == 1 else None
    return {
        "format": REPORT_FORMAT,
        "study": {
            **_study(record),
            "counts": {str(state): count for state, count in report.counts.items()},
            "best": best,
            "epochs": report.epochs,
            "seconds": json_value(record.seconds),
            "epochs_per_second": json_value(report.epochs_per_second),
            "data": {"hash": record.data_hash, **json_value(record.data_summary)},
        },
        **({"confirmation": confirmation_document(report.confirmation)} if report.confirmation else {}),
        **({"comparison": comparison_document(report.comparison)} if report.comparison else {}),
        **({"notes": list(report.notes)} if report.notes else {}),
        "lessons": lessons_document(found or lessons(report)),
        "advice": [{**vars(each), "command": remedy_command(report, each.remedy)} for each in advice(report)],
        "trials": rows[:top] if top else rows,
    }


def curves_document(report: Report) -> dict[str, Any]:
    """The learning curves as `hpsearch.curves/1`."""
    frame = curves_frame(report.record, report.curves)
    rows = frame.astype(object).to_numpy().tolist()
    return {
        "format": CURVES_FORMAT,
        "study": _study(report.record),
        "columns": list(frame.columns),
        "rows": json_value(rows),
    }


def json_text(document: dict[str, Any]) -> str:
    """The document as JSON, one trial or row a line.

    Only ASCII is written, so that no terminal obeys what a name contains.
    """
    parts = []
    for key, value in document.items():
        if isinstance(value, list):
            items = ",".join(f"\n  {json.dumps(item, allow_nan=False)}" for item in value)
            text = f"[{items}]"
        else:
            text = json.dumps(value, allow_nan=False)
        parts.append(f"{json.dumps(key)}: {text}")
    return "{" + ",\n ".join(parts) + "}\n"


def report_rows(report: Report) -> pd.DataFrame:
    """The trials, and of a study that is confirmed the scores of its finalists with their intervals."""
    if report.confirmation is None:
        return report.trials
    names = {"mean": "confirmed", "low": "confirmed_low", "high": "confirmed_high"}
    confirmed = confirmed_frame(report.confirmation)[["trial", *names]].rename(columns=names)
    return report.trials.merge(confirmed, how="left", on="trial")


def csv_text(frame: pd.DataFrame) -> str:
    """The frame as CSV: numbers as they read back exactly, NaN as an empty cell.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    safe = frame.copy()
    for column in frame.columns:
        if isinstance(frame[column].dtype, pd.StringDtype):
            safe[column] = frame[column].map(_defused, na_action="ignore")
    return safe.to_csv(index=False, lineterminator="\n")


def limited(frame: pd.DataFrame, top: int) -> pd.DataFrame:
    """The first `top` rows, or all of them when it is 0."""
    return frame.head(top) if top else frame


def _study(record: StudyRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "task": record.task,
        "metric": record.metric,
        "direction": record.direction,
        **({"objectives": list(record.objectives)} if record.objectives else {}),
    }


def _trial(row: dict[Any, Any], objectives: Sequence[str]) -> dict[str, Any]:
    values = {str(key): json_value(value) for key, value in row.items()}
    own = ("rank", "trial", "state", "value", "loss", "epochs", "best_epoch")
    params = {key.removeprefix(PARAM): value for key, value in values.items() if key.startswith(PARAM)}
    several = {"objectives": _only(values, objectives), "pareto": values["pareto"]} if objectives else {}
    return {**_only(values, own), **several, "params": params, "reason": values["reason"]}


def _only(values: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys}


def _defused(text: str) -> str:
    shown = plain(text)
    return f"'{shown}" if shown.startswith(_FORMULA_STARTS) else shown
