"""Reading TOML that may be anything: whatever is wrong with it is a complaint, and no input takes long."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpsearch.errors import Complaint, HpsearchError, StudyFileError

MOST_BYTES = 64 << 20
"""Far above a study of 100,000 points to try first."""

_MOST_DEPTH = 64
"""Lists and tables inside each other; and parts of a dotted key, which tomllib reads in quadratic time."""
_KEY_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*"""
_LONG_KEY = re.compile(
    rf"(?:^[ \t]*\[?\[?|[{{,])[ \t]*(?:{_KEY_PART}\.[ \t]*){{{_MOST_DEPTH}}}", re.MULTILINE
)
_MANY_DIGITS = re.compile(r"(?<![\w.])[+-]?\d(?:_?\d){4299,}")
_LARGEST = 2**63 - 1


def read_text(path: Path) -> str:
    """The text of a study file; a byte order mark and Windows' line ends are read as if they weren't there.

    Raises:
        HpsearchError: there is no such file, or it is no text that can be read.
    """
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            raise HpsearchError(f"{path}: expected a study file; found a folder")
        if not stat.S_ISREG(kind):
            raise HpsearchError(
                f"{path}: expected a study file; found a pipe or a device. Write it to a file"
            )
        if os.path.getsize(path) > MOST_BYTES:
            raise HpsearchError(
                f"{path}: expected a study file of at most {MOST_BYTES >> 20} MB; found a larger one"
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise HpsearchError(f"{path}: no such study file; `hpsearch init` writes one") from None
    except (OSError, ValueError) as error:
        raise HpsearchError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"found byte {error.object[error.start]:#04x} at offset {error.start}"
        raise HpsearchError(f"{path}: expected UTF-8 text; {found}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse(text: str, shown: str) -> dict[str, Any]:
    """The tables of a study file. shown: its path, for complaints.

    Raises:
        StudyFileError: it is not TOML, or TOML that no study file needs.
    """

    def wrong(at: int, what: str) -> StudyFileError:
        line, column = 1 + text.count("\n", 0, at), at - text.rfind("\n", 0, at)
        return StudyFileError([Complaint(f"{shown}:{line}:{column}", "", f"not valid TOML: {what}")])

    if long := _LONG_KEY.search(text):
        raise wrong(long.start(), f"expected a key of a few parts; found one of {_MOST_DEPTH} and more")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyFileError([_syntax_complaint(shown, text, str(error))]) from None
    except RecursionError:
        raise wrong(
            0, f"expected at most {_MOST_DEPTH} lists and tables inside each other; found more"
        ) from None
    except ValueError:
        digits = _MANY_DIGITS.search(text)
        raise wrong(digits.start() if digits else 0, f"expected {_WHOLE}; found one of thousands") from None


_WHOLE = "a whole number of at most 19 digits"


def unusable(written: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where a document has values that no study can have, and what is wrong with each.

    Whole numbers of more than 64 bits, text that is not Unicode, too many lists and tables inside each other.
    """
    left: list[tuple[tuple[str, ...], Any]] = [((), written)]
    while left:
        path, value = left.pop()
        if isinstance(value, (Mapping, list)) and len(path) >= _MOST_DEPTH:
            yield path[:2], f"expected at most {_MOST_DEPTH} lists and tables inside each other; found more"
            return
        if isinstance(value, Mapping):
            left += [((*path, str(key)), inner) for key, inner in value.items()]
            if not all(_is_unicode(str(key)) for key in value):
                yield path, "expected keys in valid Unicode; found half of a surrogate pair"
        elif isinstance(value, list):
            left += [((*path, str(at)), inner) for at, inner in enumerate(value)]
        elif isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
            about = f"about {int(value.bit_length() * 0.30103) + 1:,}"
            yield path, f"expected {_WHOLE}, up to {_LARGEST}; found one of {about} digits"
        elif isinstance(value, str) and not _is_unicode(value):
            yield path, "expected valid Unicode; found half of a surrogate pair"


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def _syntax_complaint(path: str, text: str, error: str) -> Complaint:
    message, _, position = error.rpartition(" (at ")
    numbers = [int(word) for word in position.replace(",", " ").replace(")", " ").split() if word.isdigit()]
    if len(numbers) == 2:
        line, column = numbers
    else:
        line, column = max(1, len(text.splitlines())), 1
    return Complaint(f"{path}:{line}:{column}", "", f"not valid TOML: {message[0].lower()}{message[1:]}")
