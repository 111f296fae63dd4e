"""What a table's columns are: inferred from all their values, and changed by `[data.columns]`.

The rule: (1) a column is numbers if all its values are, in one notation: decimal point or comma, thousands
apart or not, one unit. (2) It is dates if all values are, in one order of day, month and year. (3) All else
are names, also whole numbers that begin with 0 or are too long to be exact. (4) Names with too many different
texts are no features, nor are columns that number the rows. (5) What could be read in two ways, and a text
among numbers, is refused with its place and the line that settles it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hpsearch.data import dates
from hpsearch.data.columns import ISO, Column, Reading, Told
from hpsearch.data.raw import alike, listed
from hpsearch.data.texts import (
    COMMA,
    COMMA_GROUPS,
    GROUP_NAMES,
    IN_PARENTHESES,
    LONG,
    MISSING_MARKS,
    MOST_EXACT,
    NO_NUMBERS,
    NOTATIONS,
    PADDED,
    POINT,
    POINT_GROUPS,
    POWER_OF,
    POWERS,
    THOUSANDS,
    Distinct,
    InUnit,
    Notation,
    Numbers,
    Table,
    as_typed,
    categories,
    distinct,
    in_unit,
    is_text,
    matches,
    maybe_in_unit,
    numbers_of,
    objects,
    plain_numbers,
    spelt,
    truths,
    typed_numbers,
    unit_number,
    without,
)
from hpsearch.errors import DataError, plural
from hpsearch.text import toml_key, toml_value

WORDS = frozenset({"None"})
"""Marks that are names in a target of names: the class that has none of the others."""
FEW_CATEGORIES = 50
MOST_CATEGORIES = 1000
FEW_CODES = 30
"""Different whole numbers among which a text makes all of them names."""
FEWEST_ROWS = 10
"""Rows from which a column whose values all differ may name them."""

_EXAMPLES = 3
_FIRST = 1000
_NO_TEXTS = pa.chunked_array([], pa.string())
_NINES = frozenset(sign * (10.0**digits - 1) for digits in range(2, 9) for sign in (1, -1)) - {99.0}
_FAR = 5
"""Times by which a row of nines is larger than all other numbers."""
_ID = re.compile(
    r"unnamed(: ?|_)?\d*(\.\d+)?|index|idx|ids?|uuid|guid|key|no\.?|nr\.?|rownum|"
    r"(row|record)([_ ]?(id|no|nr|num|number|names?|index))?|.*[_ .-](ids?|uuid|guid|idx)|.*[a-z]I[Dd]"
)


@dataclass(frozen=True)
class Asked:
    """What `[data.columns]` says of one column; None where it says nothing."""

    kind: str | None = None
    decimal: str | None = None
    missing: tuple[str, ...] | None = None
    format: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the column may be numbers with a decimal point, without marks of missing values."""
        return self.kind in (None, "number") and self.decimal in (None, ".") and self.missing is None


def read_columns(
    table: Table,
    asked: Mapping[str, Asked],
    target: str | None = None,
    classes: bool = False,
    kept: Collection[str | None] = (),
) -> tuple[tuple[Column, ...], pd.DataFrame]:
    """All columns but those that are ignored, and the values of those that are not left out.

    Values are float64, integers, bool, datetime64, or texts as categories, in the order of the rows.

    target: the column that is predicted, which is used whatever it is. classes: the user said that it is
    classes; they are then named as they were written. kept: columns whose values are wanted in any case.

    Raises:
        DataError: a value that fits no reading, or several; it names the place and the way out.
    """
    marks = _Marks(table)

    def read(name: str) -> _Found:
        own = asked.get(name, Asked("category") if name in table.categories else Asked())
        is_target = name == target
        reader = _Reader(name, table, own, marks, is_target, is_target and classes, name in kept)
        column, values = reader.read()
        return column, None if values is None else _compact(values)

    wanted = [name for name in table.columns if name and asked.get(name, Asked()).kind != "ignore"]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = list(threads.map(read, wanted))
    values = {column.name: own for column, own in found if own is not None}
    # With an index of its own, pandas would copy all.
    frame = pd.DataFrame(values, index=None if values else range(table.rows), copy=False)
    return tuple(column for column, _ in found), frame


def _compact(values: pd.Series[Any]) -> pd.Series[Any]:
    """Whole numbers in as few bytes as they need."""
    if values.dtype != np.int64:
        return values
    low, high = values.min(), values.max()
    fits = (
        each
        for each in (np.int8, np.int16, np.int32)
        if np.iinfo(each).min <= low and high <= np.iinfo(each).max
    )
    return values.astype(next(fits, np.int64))


def is_id(name: str) -> bool:
    """Whether a column's name says that it names or numbers the rows."""
    return any(_ID.fullmatch(each) for each in (name, name.lower()))


class _Marks:
    """Which decimal marks the columns of a table prove; each is looked at when it is first asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._proven: dict[str, set[str]] = {}

    def others(self, name: str) -> set[str]:
        """Of all columns but one."""
        found: set[str] = set()
        for other in self._table.columns:
            if other == name:
                continue
            if (numbers := self._table.numbers.get(other)) is not None:
                found |= {"."} if numbers.proves else set()
            elif other in self._table.few or is_text(self._table.columns[other]):
                if other not in self._proven:
                    found_there = self._table.distinct(other)
                    values = replace(found_there, values=as_typed(found_there.values))
                    self._proven[other] = _proven(values.without(NO_NUMBERS))
                found |= self._proven[other]
        return found


def _proven(values: Distinct) -> set[str]:
    """The decimal mark without which most of a column's values cannot be read as numbers, if there is one."""
    shares = [values.share(matches(values.values, each.pattern)) for each in NOTATIONS]
    decimals = {each.decimal for each, share in zip(NOTATIONS, shares, strict=True) if share == max(shares)}
    proves = max(shares) >= 0.5 and len(decimals) == 1 and matches(values.values, "[.,]").any()
    return decimals if proves else set()


# -- one column ----------------------------------------------------------------------------------

_Found = tuple[Column, "pd.Series[Any] | None"]


class _Reader:
    """Decides what one column is."""

    def __init__(
        self,
        name: str,
        table: Table,
        asked: Asked,
        marks: _Marks,
        is_target: bool = False,
        classes: bool = False,
        kept: bool = False,
    ) -> None:
        self.name, self.table, self.asked, self.marks = name, table, asked, marks
        self.is_target, self.classes, self.kept = is_target, classes, kept
        self.notes: list[str] = []
        self.doubt: str | None = None
        self.instead: str | None = None
        self.bracketed: Distinct | None = None

    def read(self) -> _Found:
        numbers = self.table.numbers.get(self.name)
        if numbers is not None and self._are_settled(numbers):
            return self._of_numbers(_NO_TEXTS, numbers.values, self._reading())
        return self._read()

    def _are_settled(self, numbers: Numbers) -> bool:
        """Whether a column is what its numbers say, whatever its texts are."""
        if self.classes or (numbers.named and self.asked.kind is None):
            return False
        odd = numbers.dotted and not numbers.proves and self.asked.decimal is None
        return not (odd and "," in self.marks.others(self.name))

    def _read(self) -> _Found:
        column = self.table.columns[self.name]
        if not is_text(column):
            return self._typed(column)
        text = self.table.texts(self.name)
        kind = self.asked.kind
        if self.asked.missing is not None:
            text = without(text, self.asked.missing)
        if kind in ("category", "boolean"):
            return self._names(text)
        few = self.table.few.get(self.name) if self.asked.missing is None else None
        numbers = None
        if self.asked.decimal != "," and kind != "date" and few is None:
            numbers = plain_numbers(text)
        if numbers is not None and not self._odd_points(text):
            return self._of_numbers(text, numbers, self._reading())
        found = distinct(text) if few is None else few
        typed = replace(found, values=as_typed(found.values))
        bracketed = found.where(matches(found.values, IN_PARENTHESES))
        if len(bracketed) and bracketed.rows == found.without(MISSING_MARKS).rows and kind != "number":
            return self._names(text, found)  # (1), (2), (3) name something
        self.bracketed = bracketed
        return self._searched(text, typed, found)

    def _reading(self, notation: Notation = POINT) -> Reading:
        return Reading("number", notation.decimal, notation.group, missing=self.asked.missing or ())

    def _searched(self, text: pa.ChunkedArray, values: Distinct, written: Distinct) -> _Found:
        """Numbers, dates or names, in this order; written: the values with their own minus signs."""
        present = values.without(MISSING_MARKS)
        kind = self.asked.kind
        if not len(present) and self.is_target:
            return self._names(text)
        if kind == "date":
            return self._dated(text, present)
        notation, fits = self._notation(present)
        if kind == "number" or present.share(fits) >= 0.5 or not len(present):
            return self._number(text, notation, present, fits)
        if (unit := self._unit(present)) is not None:
            return self._with_unit(text, present, unit)
        told = present.without(NO_NUMBERS)
        if dates.looks_dated(told.values, told.counts):
            return self._dated(text, present)
        return self._names(text, written)

    # -- numbers -------------------------------------------------------------------------------------

    def _notation(self, values: Distinct) -> tuple[Notation, NDArray[np.bool_]]:
        """The notation in which most values are numbers, and which of them are."""
        allowed = [each for each in NOTATIONS if self.asked.decimal in (None, each.decimal)]
        fits = [matches(values.values, each.pattern) for each in allowed]
        shares = [values.share(fit) for fit in fits]
        best = [each for each, share in zip(allowed, shares, strict=True) if share == max(shares)]
        chosen = best[0]
        if self.asked.decimal is None and max(shares) >= 0.5:
            chosen = self._settled(values.where(fits[allowed.index(chosen)]), best)
        return chosen, fits[allowed.index(chosen)]

    def _settled(self, values: Distinct, best: list[Notation]) -> Notation:
        """One of the notations that fit equally well, by what the other columns prove.

        Raises:
            DataError: they prove nothing, or the contrary.
        """
        mark = "," if best[0] is COMMA else "."
        marked = values.where(matches(values.values, re.escape(mark)))
        if not len(marked):
            return best[0]
        plain, groups = (COMMA, POINT_GROUPS) if mark == "," else (POINT, COMMA_GROUPS)
        if plain in best and groups in best:
            others = self.marks.others(self.name)
            if mark == "." and "," not in others:
                return POINT
            if len(others) == 1:
                return groups if groups.decimal in others else best[0]
            ways: list[Any] = [{"kind": "number", "decimal": decimal} for decimal in (".", ",")]
            small = float(marked.values[0].as_py().replace(",", "."))
            raise self._refusal(
                marked, f"is {small:g} or {small * 1000:,.0f}; nothing else tells which", ways
            )
        if mark == "," and 2 * marked.rows < values.rows and "." in self.marks.others(self.name):
            ways = [{"kind": "number", "decimal": ","}, "category"]
            raise self._refusal(marked, "has a decimal comma where other columns have decimal points", ways)
        return best[0]

    def _odd_points(self, text: pa.ChunkedArray) -> bool:
        """Whether all points may stand between thousands, and another column has decimal commas."""
        if self.asked.decimal is not None:
            return False
        dotted = text
        for some in (text.slice(0, _FIRST), text):  # the first rows settle it for most columns
            values = some.drop_null()
            dotted = values.filter(pc.match_substring(values, "."))
            if not matches(dotted, THOUSANDS).all():
                return False
        return len(dotted) > 0 and "," in self.marks.others(self.name)

    def _number(
        self, text: pa.ChunkedArray, notation: Notation, present: Distinct, fits: NDArray[np.bool_]
    ) -> _Found:
        reading = self._with_missing(self._reading(notation), present, present, fits)
        if reading is None:
            return self._names(text)
        if notation.group:
            self.notes.append(f"{GROUP_NAMES[notation.group]} between thousands")
        if notation.decimal == "," and matches(present.values, ",").any():
            self.notes.append("decimal commas")
        self._note_brackets()
        return self._of_numbers(text, numbers_of(text, reading)[0], reading)

    def _with_missing(
        self, reading: Reading, numbers: Distinct, present: Distinct, fits: NDArray[np.bool_]
    ) -> Reading | None:
        """The reading with what is no number among the marks of missing values; None of a column of names.

        numbers: the texts, of which those that fit are numbers; present: what was written for them.
        """
        if fits.all():
            return reading
        strange = present.where(~fits)
        if self._is_names(numbers.where(fits), strange):
            return None
        return replace(reading, missing=(*reading.missing, *strange.values.to_pylist()))

    def _is_names(self, numbers: Distinct, strange: Distinct) -> bool:
        """Whether texts among numbers make the column one of names; otherwise they are missing values.

        Raises:
            DataError: it is not clear.
        """
        words = strange.without(NO_NUMBERS)
        words = words.where(matches(words.values, r"[\pL\pN]"))
        if self.classes:
            return len(words) > 0
        if not len(words):
            told, place = strange.values.to_pylist(), self.table.place(int(strange.first[0]))
            self.notes.append(
                f"numbers; {plural(strange.rows, 'value')} counted as missing: {listed(told)} ({place})"
            )
            self.doubt = self.doubt or toml_value({"kind": "number", "missing": told[:12]})
            return False
        whole = bool(matches(numbers.values, r"^\d+$").all())
        if (
            self.asked.kind is None
            and not self.is_target
            and whole
            and max(len(numbers), len(words)) <= FEW_CODES
        ):
            self.notes.append(f"categories, because {self._first(words)} is no number")
            self.doubt = self.doubt or toml_value("category")
            return True
        ways: list[Any] = [{"kind": "number", "missing": words.values.to_pylist()[:12]}, "category"]
        raise self._refusal(words, "stands among numbers", ways)

    def _note_brackets(self) -> None:
        if self.bracketed:
            self.notes.append(f"numbers in parentheses are negative: {self._first(self.bracketed)}")
            self.doubt = self.doubt or toml_value("number")

    def _unit(self, values: Distinct) -> str | None:
        """What stands behind, or before, most of the numbers; None if it is not always the same."""
        found: dict[InUnit, int] = {}
        some = maybe_in_unit(values)
        if 2 * some.rows < values.rows:
            return None
        for value, count in zip(some.values.to_pylist(), some.counts.tolist(), strict=True):
            if (parts := in_unit(value)) is not None and parts.unit:
                parts = parts._replace(number="")
                found[parts] = found.get(parts, 0) + count
        if 2 * sum(found.values()) < values.rows:
            return None
        units = [parts.unit for parts in found]
        if len(units) == 1:
            return units[0]
        if {parts.after for parts in found} <= {"", *POWER_OF} and len(
            {parts.before for parts in found}
        ) == 1:
            return POWERS
        if len(units) < len(values) and not self.is_target:
            self.notes.append(f"names, although they look like numbers in several units: {listed(units)}")
            self.doubt = self.doubt or toml_value("category")
        return None

    def _with_unit(self, text: pa.ChunkedArray, present: Distinct, unit: str) -> _Found:
        parted = [in_unit(value) for value in present.values.to_pylist()]
        bare = [
            value if parts is None else parts.number
            for value, parts in zip(present.values.to_pylist(), parted, strict=True)
        ]
        numbers = replace(present, values=pa.array(bare, pa.string()))
        notation, _ = self._notation(numbers)
        by_unit = replace(self._reading(notation), unit=unit)
        fits = np.array([not np.isnan(unit_number(v, by_unit)) for v in present.values.to_pylist()])
        reading = self._with_missing(by_unit, numbers, present, fits)
        if reading is None:
            return self._names(text)
        self.notes.append(f'numbers, without their unit "{unit}"')
        without_unit = present.where(
            fits & np.array([parts is not None and not parts.unit for parts in parted])
        )
        if len(without_unit) and unit not in (POWERS, *POWER_OF, "+"):
            self.notes.append(
                f'{plural(without_unit.rows, "number")} without a unit among those in "{unit}": '
                f"{self._first(without_unit)}"
            )
        self._note_brackets()
        self.doubt = self.doubt or toml_value("number")
        return self._of_numbers(text, numbers_of(text, reading)[0], reading)

    def _of_numbers(self, text: pa.ChunkedArray, numbers: NDArray[np.float64], reading: Reading) -> _Found:
        known = numbers[np.isfinite(numbers)]
        if not len(known):
            return self._column("empty", pd.Series(numbers, copy=False), reading, "it has no value")
        if not self.is_target and len(known) < len(numbers) and (infinite := int(np.isinf(numbers).sum())):
            self.notes.append(f"{plural(infinite, 'infinite value')} counted as missing")
        whole = bool((known == np.floor(known)).all())
        if self.classes and not whole and len(written := distinct(text)) > len(np.unique(known)):
            self.notes.append("classes as they are written, because several stand for the same number")
            return self._names(text, written)
        if whole and not reading.unit and self.asked.kind is None:
            # Few begin with 0, and a regular expression takes ten times as long.
            zeros = text.filter(pc.or_(pc.starts_with(text, "0"), pc.starts_with(text, "-0")))
            padded = bool(matches(zeros, PADDED).any())
            if padded or (np.abs(known).max() >= MOST_EXACT and bool(matches(text, LONG).any())):
                why = "begin with 0" if padded else "are too long to be exact"
                self.notes.append(f"names, because its whole numbers {why}")
                self.doubt = self.doubt or toml_value("category")
                return self._names(text)
        return self._values(pd.Series(numbers, copy=False), whole and len(known) == len(numbers), reading)

    def _values(self, values: pd.Series[Any], whole: bool, reading: Reading) -> _Found:
        """A column of numbers: [rows] float64 or int64."""
        if whole and values.abs().max() < MOST_EXACT:
            values = values.astype(np.int64)
        low, high, rows = values.min(), values.max(), len(values)
        if low == high:
            return self._column("constant", values, reading, "it has one value")
        if (
            whole
            and self.asked.kind is None
            and not self.is_target
            and rows >= FEWEST_ROWS
            and high - low >= rows - 1
            and (is_id(self.name) or high - low == rows - 1)
            and values.is_unique
        ):
            if is_id(self.name):
                return self._column("id", values, reading, "it names the rows, a different value in each")
            if high - low == rows - 1 and (values.is_monotonic_increasing or values.is_monotonic_decreasing):
                self.notes.append("numbers that count the rows")
                self.instead = toml_value("ignore")
        if whole and self.asked.kind is None and not self.is_target and self.instead is None:
            self._look_at(values)
        if self.asked.kind is None and self.instead is None:
            self._look_for_marks(values.to_numpy(), float(low), float(high))
        return self._column("number", values, reading)

    def _look_for_marks(self, values: NDArray[Any], low: float, high: float) -> None:
        """Say which number probably stands for a missing one: the only one below 0, or a row of nines."""
        for mark in (low, high):
            if (mark == low and low >= 0) or (mark == high and high not in _NINES):
                continue
            for some in (values[:_FIRST], values):  # the first rows settle it for most columns
                near = some < 0 if mark == low else some * _FAR > high
                if (near & (some != mark)).any():
                    break
            else:
                self._note_mark(values, mark)

    def _note_mark(self, values: NDArray[Any], mark: float) -> None:
        rows = np.flatnonzero(values == mark)
        if mark in _NINES or (mark % 1 == 0 and len(rows) >= 2 and len(np.unique(values)) > FEW_CODES):
            text = self.table.columns[self.name][int(rows[0])].as_py()
            text = text.strip() if isinstance(text, str) else f"{mark:g}"
            self.notes.append(f'"{text}" ({plural(len(rows), "row")}) may stand for a missing number')
            self.instead = toml_value({"kind": "number", "missing": [text]})

    def _look_at(self, values: pd.Series[Any]) -> None:
        """Say where whole numbers look like dates, or the name says that they name something."""
        if values.min() >= 19_000_101 and values.max() <= 21_001_231:
            if pd.to_datetime(values.astype(str), format="%Y%m%d", errors="coerce").notna().all():
                self.notes.append(f"numbers that look like dates, such as {values.iloc[0]}")
                self.instead = toml_value({"kind": "date", "format": "%Y%m%d"})
        elif is_id(self.name) and values.nunique() > FEW_CODES:
            self.notes.append("numbers, although the name says that they name something")
            self.instead = toml_value("ignore")

    # -- dates and names -----------------------------------------------------------------------------

    def _dated(self, text: pa.ChunkedArray, present: Distinct) -> _Found:
        written = present.values.to_pandas().astype(object)
        found = dates.formats_of(written, self.asked.format)
        if len(found) > 1:
            ways: list[Any] = [{"kind": "date", "format": each} for each in found]
            raise self._refusal(present, "has its day or its month first; nothing tells which", ways)
        marks: list[str] = []
        parsed = dates.parsed(written, found[0])
        if (strange := parsed.isna().to_numpy(bool)).any():
            marks = self._no_dates(present.where(strange), found[0], str(written[~strange].iloc[0]))
        own = dates.parsed(objects(without(text, marks)), found[0])
        reading = Reading("date", format=found[0], missing=(*(self.asked.missing or ()), *marks))
        what = "times" if dates.is_time(found[0]) else "dates"
        self.notes.append(f'{what} such as "{written[~strange].iloc[0]}" ({found[0]})')
        self.doubt = self.doubt or toml_value({"kind": "date", "format": found[0]})
        return self._column("date", own, reading)

    def _no_dates(self, strange: Distinct, form: str, date: str) -> list[str]:
        """Marks among dates that count as missing, such as - and 0000-00-00.

        Raises:
            DataError: other texts are among them.
        """
        words = strange.without(NO_NUMBERS)
        words = words.where(matches(words.values, r"[\pL1-9]"))
        marks: list[str] = strange.values.to_pylist()
        way = {"kind": "date", "format": form, "missing": marks[:12]}
        if len(words):
            raise self._refusal(words, f'is no date as "{date}"', [way, "category"])
        self.notes.append(f"{plural(strange.rows, 'value')} counted as missing: {listed(marks)}")
        self.doubt = self.doubt or toml_value(way)
        return marks

    def _names(self, text: pa.ChunkedArray, written: Distinct | None = None) -> _Found:
        """Texts as they were written, marks of missing values left out."""
        values = distinct(text) if written is None else written
        if (same := spelt(text)) is not text:
            values = distinct(same)
        present = values if self.asked.missing is not None else values.without(MISSING_MARKS)
        if self.is_target and self.asked.missing is None:
            present = values.without(MISSING_MARKS - WORDS if len(present) else ())
            self._note_words(values)
        lower = {value.lower() for value in present.values.to_pylist()} if len(present) <= 4 else set()
        if len(lower) and lower <= {"true", "false"} and self.asked.kind != "category":
            return self._truths(text, len(present) == len(values))
        self._note_spelling(present.values.to_pylist() if len(present) <= MOST_CATEGORIES else ())
        rows = len(values.codes)
        reading = Reading("category", missing=self.asked.missing or (), exact=self.asked.missing is not None)
        if not len(present):
            nothing = pd.Series(np.full(rows, np.nan))
            return self._column("empty", nothing, Reading("number"), "it has no value")
        if len(present) == 1:
            column = categories(values, present)
            return self._column("constant", column, reading, "it has one value")
        if not self.is_target:
            self._check_count(present)
        most = max(FEW_CATEGORIES, min(rows // 2, MOST_CATEGORIES))
        named = len(present) == present.rows == rows >= FEWEST_ROWS
        if self.asked.kind is None and named and (is_id(self.name)):
            why = "it names the rows, a different value in each"
            return self._left_out("id", values, present, reading, why)
        if len(present) > most and self.asked.kind is None:
            self.doubt = self.doubt or toml_value("ignore")
            found = f"{len(present):,} different texts in {plural(rows, 'row')}"
            spoken = not named or bool(matches(present.values, r"\s").any())
            return self._left_out("text" if spoken else "id", values, present, reading, f"it has {found}")
        return self._column("category", categories(values, present), reading)

    def _left_out(self, kind: str, values: Distinct, present: Distinct, reading: Reading, why: str) -> _Found:
        """A column of texts whose values nobody needs; but the target is used whatever it is."""
        if self.is_target or self.kept:
            return self._column(kind, categories(values, present), reading, why)
        missing, few = len(values.codes) - present.rows, tuple(present.values[:_EXAMPLES].to_pylist())
        column, _ = self._column(kind, None, reading, why)
        return replace(column, told=Told(missing, len(present), few)), None

    def _note_spelling(self, names: Collection[str]) -> None:
        """Say which names differ in case, blanks or a last point alone."""
        twice = alike(names) if len(names) <= MOST_CATEGORIES else []
        if twice and {name.casefold() for name in names} != {"true", "false"}:
            self.notes.append(
                f"names that differ in case, blanks or points alone are different: {listed(twice)}"
            )

    def _check_count(self, present: Distinct) -> None:
        """Refuse more different values than the kind that was asked for may have."""
        most = {"boolean": 2, "category": MOST_CATEGORIES}.get(self.asked.kind or "", len(present))
        if len(present) > most:
            raise DataError(
                f'{self.table.place(-1)}: column "{self.name}": expected at most {most:,} different '
                f"values of a {self.asked.kind}; found {len(present):,}, the first "
                f"{listed(present.values[:3].to_pylist())}; say another kind under [data.columns]"
            )

    def _note_words(self, values: Distinct) -> None:
        """Say which words of a target count as missing, and which one, that often means so, is a class."""
        for word, count in zip(values.values.to_pylist(), values.counts.tolist(), strict=True):
            if word in WORDS:
                self.notes.append(
                    f'"{word}" ({plural(count, "row")}) is a class; if it stands for nothing, '
                    f"say {toml_key(self.name)} = {toml_value({'missing': [word]})}"
                )
            elif word in MISSING_MARKS:
                self.notes.append(
                    f'"{word}" ({plural(count, "row")}) counts as missing; if it is a class, '
                    f"say {toml_key(self.name)} = {toml_value({'kind': 'category', 'missing': []})}"
                )

    def _truths(self, text: pa.ChunkedArray, complete: bool) -> _Found:
        lower = pc.utf8_lower(text)
        names = pc.if_else(
            pc.equal(lower, "true"), "True", pc.if_else(pc.equal(lower, "false"), "False", None)
        )
        if complete and not names.null_count:
            return self._column("boolean", pd.Series(truths(pc.equal(names, "True"))), Reading("boolean"))
        found = distinct(names)
        return self._column("boolean", categories(found, found), Reading("category"))

    def _typed(self, column: pa.ChunkedArray) -> _Found:
        """A column whose file says what it is."""
        kind = column.type
        if pa.types.is_boolean(kind):
            values = column.to_pandas()
            texts = values.map(str, na_action="ignore") if column.null_count else values
            return self._column("boolean", texts, Reading("category" if column.null_count else "boolean"))
        if pa.types.is_temporal(kind) and not pa.types.is_duration(kind) and not pa.types.is_time(kind):
            return self._column(
                "date",
                dates.parsed(column.to_pandas(), ISO),
                Reading("date"),
            )
        if self.asked.missing and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            numbers = typed_numbers(column, self.asked.missing)
            return self._of_numbers(pc.cast(column, pa.string()), numbers, self._reading())
        if pa.types.is_integer(kind) and self.asked.kind != "category":
            ends = pc.min_max(column)
            top = max(abs(ends[end].as_py() or 0) for end in ("min", "max"))
            if column.null_count and top > MOST_EXACT:
                return self._names(pc.cast(column, pa.string()))
            values = column.to_pandas()
            return (
                self._values(values, not column.null_count, Reading("number"))
                if len(values.dropna())
                else self._column("empty", values, Reading("number"), "it has no value")
            )
        if pa.types.is_integer(kind):
            return self._names(pc.cast(column, pa.string()))
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
            numbers = pc.cast(column, pa.float64()).to_numpy()
            texts = _NO_TEXTS if pa.types.is_floating(kind) else pc.cast(column, pa.string())
            return self._of_numbers(texts, numbers, Reading("number"))
        raise DataError(
            f'{self.table.place(-1)}: column "{self.name}": expected numbers or text; found {kind}; '
            f'convert the column, or say under [data.columns]: {toml_key(self.name)} = "ignore"'
        )

    # -- words ---------------------------------------------------------------------------------------

    def _column(
        self, kind: str, values: pd.Series[Any] | None, reading: Reading, unused: str | None = None
    ) -> _Found:
        if unused and (self.is_target or self.asked.kind is not None):
            unused = None
        return Column(self.name, kind, reading, unused, tuple(self.notes), self.doubt, self.instead), values

    def _first(self, values: Distinct) -> str:
        """The first of some values, and where it stands."""
        return f'"{values.values[0].as_py()}" ({self.table.place(int(values.first[0]))})'

    def _refusal(self, values: Distinct, text: str, ways: Sequence[Any]) -> DataError:
        """The complaint about the first of some values; one of the lines for `[data.columns]` settles it."""
        more = f", and {values.rows - 1:,} more like it" if values.rows > 1 else ""
        place = self.table.place(int(values.first[0]))
        lines = " or ".join(f"{toml_key(self.name)} = {toml_value(way)}" for way in ways)
        return DataError(
            f'{place}: column "{self.name}": "{values.values[0].as_py()}" {text}{more}; '
            f"mend it, or say under [data.columns]: {lines}"
        )
