"""ARFF, the format of Weka and OpenML: a header of columns and their types, then rows as in a CSV file."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hpsearch.errors import DataError, plural

_NUMBERS = ("numeric", "real", "integer")
_TEXTS = ("string", "date")
_ATTRIBUTE = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+)\s*(.*)""", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(.)")


class _Attribute(NamedTuple):
    name: str
    kind: str


def read_arff(path: Path, content: bytes) -> pa.Table:
    """Its columns: numbers as float64, names as a dictionary, texts and dates as they are written.

    `?` is missing. Values may stand in single or double quotes, with a backslash before a quote inside.

    Raises:
        DataError: not such a file, with the line; or one of sparse rows.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        broken = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{broken}: expected UTF-8 text; save the file with UTF-8 encoding") from None
    attributes, start = _header(path, lines)
    rows = []
    for number, line in enumerate(lines[start:], start + 1):
        if not (text := line.strip()) or text.startswith("%"):
            continue
        if text.startswith("{"):
            raise DataError(f"{path}:{number}: sparse ARFF is not read; save the table as CSV")
        values = _values(text)
        if len(values) != len(attributes):
            expected = plural(len(attributes), "value")
            raise DataError(f"{path}:{number}: expected {expected}, one an attribute; found {len(values)}")
        rows.append(values)
    columns = zip(*rows, strict=True) if rows else [()] * len(attributes)
    arrays = [
        _column(path, attribute, list(column)) for attribute, column in zip(attributes, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, names=[attribute.name for attribute in attributes])


def _header(path: Path, lines: list[str]) -> tuple[list[_Attribute], int]:
    """The attributes, and the number of lines before the first row."""
    attributes: list[_Attribute] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.lower() == "@data" and attributes:
            return attributes, number
        if not text or text.startswith("%") or text.lower().startswith("@relation"):
            continue
        found = _ATTRIBUTE.fullmatch(text)
        kind = found[2].split()[0].lower() if found is not None and found[2] else ""
        if found is None or not (kind.startswith("{") or kind in (*_NUMBERS, *_TEXTS)):
            kinds = ", ".join((*_NUMBERS, *_TEXTS))
            raise DataError(
                f"{path}:{number}: expected an ARFF file: @attribute with a name and {kinds} or {{names}}, "
                f'then @data; found "{text[:60]}"; mend it, or save the table as CSV'
            )
        attributes.append(_Attribute(_values(found[1])[0] or "", kind))
    raise DataError(
        f"{path}: expected an ARFF file with @attribute and @data; found no @data; save it as CSV"
    )


def _values(text: str) -> list[str | None]:
    """The values of a row, None where one is missing."""
    if "'" not in text and '"' not in text and "\\" not in text:
        words = text.split("," if "," in text else "\t")
    else:
        words = next(csv.reader([_quoted_once(text)], skipinitialspace=True, escapechar="\\"))
    return [None if (word := value.strip()) == "?" else word for value in words]


def _quoted_once(text: str) -> str:
    """A row whose values in single quotes stand in double ones."""

    def doubled(match: re.Match[str]) -> str:
        return '{}"{}"'.format(match[1], _ESCAPED.sub(r"\1", match[2]).replace('"', '\\"'))

    return re.sub(r"""(^|,)\s*'((?:[^'\\]|\\.)*)'(?=\s*(?:,|$))""", doubled, text)


def _column(path: Path, attribute: _Attribute, values: list[str | None]) -> pa.Array:
    array = pa.array(values, pa.string())
    if attribute.kind in _TEXTS:
        return array
    if attribute.kind not in _NUMBERS:
        return array.dictionary_encode()
    try:
        return pc.cast(array, pa.float64())
    except pa.ArrowInvalid as error:
        raise DataError(
            f'{path}: column "{attribute.name}": expected numbers, as its @attribute says; '
            f"{str(error).partition(chr(10))[0]}; mend it"
        ) from None
