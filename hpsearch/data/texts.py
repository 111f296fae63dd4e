"""The texts of a column as values: how numbers and names are written, and what training decided of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hpsearch.data import dates
from hpsearch.data.columns import MISSING, Reading
from hpsearch.data.delimited import stripped
from hpsearch.data.raw import class_name
from hpsearch.errors import DataError

# Written as words, because a formatter would give each a line.
MISSING_MARKS = frozenset(
    "? NA N/A n/a <NA> #N/A #NA NaN nan -NaN -nan NULL null None \\N 1.#IND 1.#QNAN -1.#IND -1.#QNAN "  # noqa: SIM905
    "1.#INF -1.#INF".split()
)
"""Texts that stand for no value, beside nothing at all."""
NO_NUMBERS = MISSING_MARKS | frozenset(
    "n.a. N.A. na Na n.d. N.D. NaT none NONE nil NIL unknown Unknown UNKNOWN missing Missing MISSING "  # noqa: SIM905
    "undefined #DIV/0! #REF! #VALUE! #NAME? #NUM! #NULL!".split()
)
"""Texts that stand for no value among numbers and dates."""
_UNIT = re.compile(
    r"(?:([+-]?)([$€£¥₹]|USD|EUR|GBP|CHF))?\s*([+-]?[\d.,'’ \u00a0\u202f]*\d[.,]?)\s*"
    r"([^\d\s.,:;/_+-][^\d:]{0,11}|\+)?"
)
_SPACE = r"[\s\x0b\x1c-\x1f\x{85}\p{Z}]*"
_MAY_BE_IN_UNIT = (
    r"^[+-]?(?:[$€£¥₹]|USD|EUR|GBP|CHF)?" + _SPACE + r"[+-]?[\p{Nd}.,'’ \x{a0}\x{202f}]*\p{Nd}[.,]?" + _SPACE
) + r"(?:[^\p{Nd}:]{1,12})?$"
"""For Arrow, which knows other classes of characters than Python: `_UNIT` fits no text that this does not."""
_CURRENCY = "[$€£¥₹]?"
IN_PARENTHESES = rf"^({_CURRENCY})\s*\(\s*({_CURRENCY})\s*(\d[\d.,'’ ]*\s*[%€£$]?)\s*\)$"
"""A negative number as accountants write it."""
_SPELLINGS = (
    ("\u2212\u2013", "^[\u2212\u2013]", "-"),
    ("(", IN_PARENTHESES, r"\1\2-\3"),
    ("-", r"^(\d[\d.,]*[.,]\d+)-$", r"-\1"),  # SAP's
    ("Dd", r"^([+-]?(?:\d+\.\d*|\.\d+))[dD]([+-]?\d+)$", r"\1e\2"),  # Fortran's
)
"""Characters without which there is nothing to do, a regular expression, what it becomes."""
POWER_OF = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
POWERS = "k, M, G"
"""The unit of a column whose numbers end in powers of a thousand."""


class Notation(NamedTuple):
    """How numbers are written: the decimal mark, what may stand between thousands, a regular expression."""

    decimal: str
    group: str
    pattern: str


def notation_of(decimal: str, group: str) -> Notation:
    mark = re.escape(decimal)
    plain = rf"(\d+({mark}\d*)?|{mark}\d+)([eE][+-]?\d+)?"
    grouped = rf"|[1-9]\d{{0,2}}([{group}]\d{{3}})+({mark}\d*)?" if group else ""
    if group == ",":
        grouped += rf"|[1-9]\d?(,\d{{2}})+,\d{{3}}({mark}\d*)?"  # lakhs and crores, as in India
    return Notation(decimal, group, rf"^[+-]?({plain}{grouped}|(?i:inf|infinity))$")


BLANKS = " \u00a0\u202f"
NOTATIONS = [notation_of(*each) for each in ((".", ""), (",", ""), (".", ","), (",", "."))]
NOTATIONS += [notation_of(decimal, group) for group in (BLANKS, "'’") for decimal in (".", ",")]
POINT, COMMA, POINT_GROUPS, COMMA_GROUPS = NOTATIONS[:4]
THOUSANDS = r"^[+-]?[1-9]\d{0,2}(\.\d{3})+$"
PADDED, LONG = r"^[+-]?0\d+$", r"^[+-]?\d{16,}$"
MOST_EXACT = 2.0**53
"""Up to this all whole numbers are floats."""
GROUP_NAMES = {",": "commas", ".": "points", BLANKS: "blanks", "'’": "apostrophes"}


@dataclass
class Numbers:
    """A column whose texts are all numbers with a decimal point, but for marks of missing values.

    values: [rows] float64, NaN where nothing is. named: they are whole, and begin with 0 or are too long to
    be exact. dotted: some have a point; proves: of these, some have none that may stand between thousands.
    """

    values: NDArray[np.float64]
    named: bool
    dotted: bool
    proves: bool


@dataclass(frozen=True)
class Table:
    """A table as it was read: texts that were written, or Arrow's types where the file has types.

    place: "data.csv:12" of a row, from 0, for messages. categories: columns that the file itself calls so.
    bare: no text is empty or has blanks around it. digest: sha256 of the content. numbers, few: columns of
    plain numbers and of few different texts, as far as they are known without their texts.
    """

    columns: Mapping[str, pa.ChunkedArray]
    place: Callable[[int], str]
    rows: int
    categories: frozenset[str] = frozenset()
    bare: bool = False
    digest: str = ""
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    few: Mapping[str, Distinct] = field(default_factory=dict)

    def texts(self, name: str) -> pa.ChunkedArray:
        """A column's texts without blanks around them; null where nothing is left."""
        return self.columns[name] if self.bare else stripped(self.columns[name])

    def distinct(self, name: str) -> Distinct:
        """A column's different texts, without blanks around them."""
        return self.few[name] if name in self.few else distinct(self.texts(name))


def numbers_of(text: pa.ChunkedArray, reading: Reading) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """[rows] float64 of texts, NaN where nothing is; and where a text is no number as `reading` has it."""
    if reading.unit:
        found = distinct(as_typed(without(text, reading.missing)))
        words = [*found.values.to_pylist(), None]  # the last is for rows where nothing is
        numbers = np.array([np.nan if word is None else unit_number(word, reading) for word in words])
        gone = {None, *MISSING_MARKS, *reading.missing}
        strange = np.array([word not in gone for word in words], bool) & np.isnan(numbers)
        return numbers[found.codes], strange[found.codes]
    plain = as_typed(without(text, reading.missing))
    marks = pa.array(sorted({*MISSING_MARKS, *reading.missing}), pa.string())
    fits = pc.match_substring_regex(plain, notation_of(reading.decimal, reading.group).pattern)
    gone = pc.or_kleene(pc.is_null(plain), pc.is_in(plain, value_set=marks))
    bad = truths(pc.and_(pc.invert(fits.fill_null(False)), pc.invert(gone.fill_null(True))))
    plain = pc.if_else(fits.fill_null(False), plain, None)
    for mark in reading.group:
        plain = pc.replace_substring(plain, mark, "")
    numbers = pc.cast(pc.replace_substring(plain, reading.decimal, "."), pa.float64())
    return numbers.to_numpy(), bad


def number_column(table: Table, name: str, reading: Reading) -> NDArray[np.float64]:
    """[rows] numbers of a column that `reading` was inferred for, NaN where nothing is.

    Raises:
        DataError: a text that is no number in that notation.
    """
    column = table.columns[name]
    kind = column.type
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    elif is_text(column):
        text = table.texts(name)
        if reading.kind == "boolean":
            lower = pc.utf8_lower(text)
            text = pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", text))
        numbers, bad = numbers_of(text, reading)
        if bad.any():
            row = int(bad.argmax())
            how = " with a decimal comma" * (reading.decimal == ",")
            how += f' in "{reading.unit}"' if reading.unit and reading.unit != POWERS else ""
            raise DataError(
                f'{table.place(row)}: column "{name}": expected a number{how}, as in training; found '
                f'"{text[row].as_py()}"; mend it or leave it empty'
            )
        return numbers
    elif not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    ):
        raise DataError(
            f'{table.place(-1)}: column "{name}": expected numbers, as in training; found {kind}; convert it'
        )
    return typed_numbers(column, reading.missing)


def without_unit(table: Table, name: str, reading: Reading) -> int:
    """How many numbers of a column lack the unit that they had in training."""
    column = table.columns[name]
    if reading.unit in ("", "+", POWERS, *POWER_OF):
        return 0
    if not is_text(column):
        return int(len(column) - column.null_count)
    found = distinct(as_typed(without(table.texts(name), {*MISSING_MARKS, *reading.missing})))
    parts = map(in_unit, found.values.to_pylist())
    return found.where(np.array([each is not None and not each.unit for each in parts], bool)).rows


def typed_numbers(column: pa.ChunkedArray, missing: Collection[str] = ()) -> NDArray[np.float64]:
    """[rows] float64 of a column of numbers, NaN where nothing is, or one of the marks `missing`."""
    found: NDArray[np.float64] = pc.cast(column, pa.float64()).to_numpy()
    marks = [number for mark in missing if (number := _number(mark)) is not None]
    return np.where(np.isin(found, marks), np.nan, found) if marks else found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def date_column(table: Table, name: str, reading: Reading) -> pd.Series[Any]:
    """[rows] datetime64 of a column that `reading` was inferred for, NaT where nothing is.

    Raises:
        DataError: a text that is no date in that order.
    """
    column = table.columns[name]
    if not is_text(column):
        return dates.parsed(column.to_pandas(), reading.format)
    text = without(table.texts(name), {*MISSING_MARKS, *reading.missing})
    found = dates.parsed(objects(text), reading.format)
    bad = found.isna().to_numpy() & truths(pc.is_valid(text))
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f'{table.place(row)}: column "{name}": expected a date as in training ({reading.format}); found '
            f'"{text[row].as_py()}"; mend it or leave it empty'
        )
    return found


def name_column(table: Table, name: str, reading: Reading, blank: str = MISSING) -> NDArray[np.object_]:
    """[rows] texts of a column that `reading` was inferred for, `blank` where nothing is."""
    column = table.columns[name]
    if pa.types.is_floating(column.type):  # whole numbers, among which some are missing
        values = [
            None if value is None or value != value else class_name(value) for value in column.to_pylist()
        ]
        column = pa.chunked_array([pa.array(values, pa.string())])
    elif pa.types.is_boolean(column.type):
        column = pc.if_else(column, "True", "False")
    elif not is_text(column):
        column = pc.cast(column, pa.string())
    marks = {*reading.missing, *(() if reading.exact else MISSING_MARKS)}
    return np.asarray(without(spelt(stripped(column)), marks).fill_null(blank).to_numpy(), object)


def arrow_column(name: str, values: pd.Series[Any]) -> pa.ChunkedArray:
    """A frame's column as Arrow's: objects that are no plain values as what they are written as.

    Raises:
        DataError: values of several kinds, or of one that no file has.
    """
    try:
        found = pa.chunked_array([pa.array(values, from_pandas=True)])
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        try:
            found = pa.chunked_array(
                [pa.array([None if pd.isna(v) else str(v) for v in values], pa.string())]
            )
        except (ValueError, TypeError, UnicodeError):
            raise DataError(
                f'{name}: column "{values.name}": expected numbers or text; convert the column'
            ) from None
    return decoded(found)


# -- values --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Distinct:
    """The different texts of a column: how often each is there, and the row where it is first.

    codes: [rows] the place of each row's text, −1 where nothing is.
    """

    values: pa.Array
    counts: NDArray[np.int64]
    first: NDArray[np.int64]
    codes: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    def where(self, mask: NDArray[np.bool_]) -> Distinct:
        kept = self.values.filter(pa.array(mask))
        return replace(self, values=kept, counts=self.counts[mask], first=self.first[mask])

    def without(self, marks: Collection[str]) -> Distinct:
        return self.where(~truths(pc.is_in(self.values, value_set=pa.array(sorted(marks), pa.string()))))

    def share(self, mask: NDArray[np.bool_]) -> float:
        return float(self.counts[mask].sum()) / max(self.rows, 1)


def distinct(column: pa.ChunkedArray) -> Distinct:
    encoded = pa.chunked_array([column.combine_chunks()]).dictionary_encode().chunk(0)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    rows = np.flatnonzero(codes >= 0)
    first = np.zeros(len(encoded.dictionary), np.int64)
    first[codes[rows[::-1]]] = rows[::-1]
    return Distinct(encoded.dictionary, np.bincount(codes[rows], minlength=len(first)), first, codes)


def categories(values: Distinct, kept: Distinct) -> pd.Series[Any]:
    """[rows] texts of `values` that are among `kept`, as categories in the order of the rows."""
    is_kept = truths(pc.is_in(values.values, value_set=kept.values))
    places = np.append(np.where(is_kept, np.cumsum(is_kept) - 1, -1), -1)
    names = pd.Index(kept.values.to_pylist(), dtype=object)
    return pd.Series(pd.Categorical.from_codes(places[values.codes], names))


def truths(values: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    found = values.fill_null(False)
    return np.asarray(found.to_numpy() if isinstance(found, pa.ChunkedArray) else found.to_numpy(False), bool)


def matches(values: pa.Array | pa.ChunkedArray, pattern: str) -> NDArray[np.bool_]:
    return truths(pc.match_substring_regex(values, pattern))


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dictionaries and bytes as the texts that they stand for."""
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_string_view)
    if any(fits(column.type) for fits in binary):
        with suppress(pa.ArrowInvalid):
            column = pc.cast(column, pa.string())
    return column


def without(text: pa.ChunkedArray, marks: Collection[str]) -> pa.ChunkedArray:
    """Texts, null where they are one of some marks."""
    if not marks:
        return text
    return pc.if_else(pc.is_in(text, value_set=pa.array(sorted(marks), pa.string())), None, text)


def as_typed(values: Any) -> Any:
    """Texts with numbers as a keyboard has them: −5.0, (5.0) and 5.0- become -5.0; 1.5D+3 becomes 1.5e+3."""
    for marks, pattern, spelling in _SPELLINGS:
        if any(pc.any(pc.match_substring(values, mark)).as_py() for mark in marks):
            values = pc.replace_substring_regex(values, pattern, spelling)
    return values


def spelt(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names in one Unicode form, without characters of no width around them."""
    if pc.all(pc.string_is_ascii(text)).as_py() in (None, True):
        return text
    return pc.utf8_normalize(pc.utf8_trim(text, "\u200b\u200c\u200d\u2060\ufeff \u00a0"), "NFC")


def plain_numbers(text: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """[rows] numbers, NaN where nothing is; None if not all texts are numbers with a decimal point."""
    try:
        found: NDArray[np.float64] = pc.cast(text, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return found


def is_text(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


class InUnit(NamedTuple):
    """A number as it is written in a unit: what stands before it, and behind."""

    number: str
    before: str
    after: str

    @property
    def unit(self) -> str:
        return self.before + self.after


def maybe_in_unit(values: Distinct) -> Distinct:
    """Those texts that `in_unit` may part; to ask it for each would make Python strings of free text."""
    return values.where(matches(values.values, _MAY_BE_IN_UNIT))


def in_unit(value: str) -> InUnit | None:
    """The number in a text and its unit, "" if there is none; None if it is not so written."""
    found = _UNIT.fullmatch(value)
    if found is None:
        return None
    return InUnit((found[1] or "") + found[3].strip(), found[2] or "", (found[4] or "").strip())


def unit_number(value: str, reading: Reading) -> float:
    found = in_unit(value)
    if found is None or (reading.unit != POWERS and found.unit not in ("", reading.unit)):
        return np.nan
    number = found.number
    for mark in reading.group:
        number = number.replace(mark, "")
    try:
        return float(number.replace(reading.decimal, ".")) * (
            POWER_OF[found.after] if reading.unit == POWERS and found.after else 1.0
        )
    except (ValueError, KeyError):
        return np.nan


def objects(text: pa.ChunkedArray) -> pd.Series[Any]:
    """Texts as objects, None where nothing is."""
    return pd.Series(text.to_numpy(), dtype=object)
