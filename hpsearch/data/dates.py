"""Dates: in which order a column writes them, and the numbers that a network gets of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hpsearch.data.columns import DATE_PARTS, ISO

_DATED = (
    r"\d{4}([-/.])\d{1,2}(\1\d{1,2})?([ T]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}([-/])\d{1,2}\4\d{2}(\d{2})?([ T]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}\.\d{1,2}\.\d{4}( \d{1,2}:\d{2}.*)?|\d{2}\.\d{2}\.\d{2}( \d{1,2}:\d{2}.*)?"
    r"|(?i:(\d{1,2}[-/. ]\s?)?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?[-/ ]"
    r"(\d{1,2},? )?\d{2,4}( \d.*)?)"
    r"|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?"
)
_MAY_BE_DATED = r"^(?:\p{Nd}{1,4}[-/.: ]|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))"
"""For Arrow, which has no references to groups: `_DATED` fits no text that this does not."""
_LEAST = 0.5
"""Share of a column's values that must look like dates; the others are complained of."""
_TRIED = 50
"""Values by which formats are sorted out before all are tried."""


def _formats() -> list[str]:
    days = [ISO]
    for mark in "-/.":
        orders = ("%Y{0}%m{0}%d", "%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%d{0}%m{0}%y", "%m{0}%d{0}%y", "%Y{0}%m")
        days += [order.format(mark) for order in orders]
    for month in ("%b", "%B"):
        for mark in "-/ ":
            days += [
                f"%d{mark}{month}{mark}%Y",
                f"%d{mark}{month}{mark}%y",
                f"{month}{mark}%Y",
                f"{month}{mark}%y",
            ]
        days += [f"%d. {month} %Y", f"{month} %d, %Y", f"{month} %d %Y"]
    clocks = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M%p", "%I:%M:%S %p", "%I:%M:%S%p")
    ends = ("", "T%H:%M:%S", *(f" {clock}" for clock in clocks))
    return [ISO, *(day + end for day in days[1:] for end in ends), *clocks]


def is_time(form: str) -> bool:
    """Whether a format has a time and no day."""
    return form != ISO and not any(f"%{part}" in form for part in "YymdbB")


def looks_dated(texts: pa.Array, counts: NDArray[np.int64]) -> bool:
    """Whether nearly all of some different texts, each there so often, have the shape of dates."""
    if not len(texts):
        return False
    if not _objects(texts[:_TRIED]).str.contains(r"\d").mean() >= _LEAST:
        return False
    likely = pc.match_substring_regex(texts, _MAY_BE_DATED)
    own = counts[likely.to_numpy(zero_copy_only=False)]
    if own.sum() < _LEAST * counts.sum():
        return False
    some = _objects(texts.filter(likely))
    fits = some.str.fullmatch(_DATED).to_numpy(bool)
    if own[fits].sum() < _LEAST * counts.sum():
        return False
    return any(parsed(some[fits].iloc[:_TRIED], each).notna().mean() >= _LEAST for each in _formats())


def _objects(texts: pa.Array) -> pd.Series[Any]:
    return pd.Series(texts.to_pylist(), dtype=object)


def formats_of(texts: pd.Series[Any], asked: str | None = None) -> list[str]:
    """The formats in which most of some texts are dates: one, or several that give other dates.

    asked: the format of `[data.columns]`.
    """
    if asked is not None:
        return [asked]
    few = [each for each in _formats() if parsed(texts.iloc[:_TRIED], each).notna().mean() >= _LEAST]
    read = [(each, parsed(texts, each)) for each in few or [ISO]]
    most = max(int(dates.notna().sum()) for _, dates in read)
    found: list[tuple[str, pd.Series[Any]]] = []
    for each, dates in read:
        if dates.notna().sum() == most and not any(dates.equals(other) for _, other in found):
            found.append((each, dates))
    return [each for each, _ in found]


def parsed(texts: pd.Series[Any], form: str) -> pd.Series[Any]:
    """Dates without a time zone, in UTC if they have one; NaT for what is none."""
    return pd.to_datetime(texts, format=form, errors="coerce", utc=True).dt.tz_localize(None)


def features_of(dates: pd.Series[Any]) -> dict[str, NDArray[np.float64]]:
    """Of each of `DATE_PARTS`, [rows] numbers, NaN where there is no date."""
    clock = dates.dt
    hours = clock.hour + clock.minute / 60 + clock.second / 3600
    days = (dates - pd.Timestamp(0)) / pd.Timedelta(days=1)
    columns = (clock.year, clock.month, clock.day_of_week, hours, days.floordiv(1))
    return {part: column.to_numpy(np.float64) for part, column in zip(DATE_PARTS, columns, strict=True)}
