"""Machine-readable reports: JSON documents and CSV whose numbers read back exactly."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from hpsearch.reporting.blocks import Section
from hpsearch.reporting.documents import study_names
from hpsearch.reporting.sections import Source, sections
from hpsearch.results.confirmation import confirmed_frame
from hpsearch.results.frames import Report, curves_frame
from hpsearch.results.lessons import Lessons
from hpsearch.text import json_value, plain

REPORT_FORMAT = "hpsearch.report/1"
CURVES_FORMAT = "hpsearch.curves/1"
_FORMULA_STARTS = ("=", "+", "-", "@")


def report_document(report: Report, top: int = 0, found: Lessons | None = None) -> dict[str, Any]:
    """The report as `hpsearch.report/1`; `top` limits the trials, 0 keeps all. found: its lessons."""
    return sections_document(sections(Source(report, found=found, limit=top)))


def sections_document(shown: Iterable[Section]) -> dict[str, Any]:
    """The values of the sections that have any, by their keys."""
    values = {section.json_key: section.json() for section in shown if section.json is not None}
    return {"format": REPORT_FORMAT, **values}


def curves_document(report: Report) -> dict[str, Any]:
    """The learning curves as `hpsearch.curves/1`."""
    frame = curve_rows(report)
    rows = frame.astype(object).to_numpy().tolist()
    return {
        "format": CURVES_FORMAT,
        "study": study_names(report.record),
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


def curve_rows(report: Report) -> pd.DataFrame:
    """The learning curves, one row a trial and epoch."""
    return curves_frame(report.record, report.curves)


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


def _defused(text: str) -> str:
    shown = plain(text)
    return f"'{shown}" if shown.startswith(_FORMULA_STARTS) else shown
