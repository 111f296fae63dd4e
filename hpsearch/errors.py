"""Everything that can be wrong with a user's input or machine, one class a kind.

Each error's text is meant for the user as it is: what was expected, what was found and what to do.
The command line prints it without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

_PORT = r"(?!\s|\d{1,5}(?:[/?][^\s@]*)?(?:\s|$))"
_SECRETS = (
    # A URL's user:password@, also where the URL stands in the wrong place or lacks a slash or its scheme.
    (
        re.compile(rf"(:/{{1,3}}[^\s:/@'\"]{{0,200}}):{_PORT}[^\n@]{{0,1000}}@(?:[^\s@]{{0,1000}}@)*"),
        r"\1:***@",
    ),
    (
        re.compile(r"((?<![^\s:/@'\"])[^\s:/@'\"]{1,200}):[^\s/@][^\s@]{0,1000}@(?:[^\s@]{0,1000}@)*"),
        r"\1:***@",
    ),
    # password = '…', PWD=…;, ?token=…, ?options=password%3D…
    (
        re.compile(
            r"((?:pass\w{0,20}|pwd|token|secret\w{0,20}|api_?key)(?:\s|%20|\+){0,9}(?:=|%3D)(?:\s|%20|\+){0,9})"
            r"(?:'(?:[^'\\\n]|\\.)*'?|\"[^\"\n]*\"?|\{[^}\n]*\}?|[^&;\s]+)",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
)


def without_secrets(text: str) -> str:
    """The text without passwords and tokens of database URLs and connection strings in it.

    All that is said of what a user typed goes through here: a URL may be typed in any place and form.
    """
    for pattern, masked in _SECRETS:
        text = pattern.sub(masked, text)
    return text


class HpsearchError(Exception):
    """Base of all errors that are the user's to mend; the command line exits with 2.

    Its text holds no password.
    """

    exit_code = 2

    def __init__(self, text: str = "") -> None:
        super().__init__(without_secrets(text))


class DataError(HpsearchError):
    """The data cannot be read, or cannot be used for the task.

    Its text is one line whatever the data hold: what no terminal should obey is shown as U+FFFD.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__("".join(each if each.isprintable() else "\ufffd" for each in text))


class StorageError(HpsearchError):
    """The database cannot be opened, read or written."""


class UnknownStudyError(HpsearchError):
    """No study file and no stored study has this name."""


class StudyChangedError(HpsearchError):
    """The study file or its data differ from what the stored study was begun with."""


class StudyBusyError(HpsearchError):
    """Another process is training this study."""


class TrialTooLargeError(HpsearchError):
    """A trial does not fit the memory even when it is trained by itself."""


class NothingToShowError(HpsearchError):
    """The study has no finished trial; the command line exits with 3."""

    exit_code = 3


class RegressionError(HpsearchError):
    """What was compared is worse than is allowed; the command line exits with 4."""

    exit_code = 4


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong in a study file: where (file:line:column or the option), key and text."""

    where: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.text}" if self.key else f"{self.where}: {self.text}"


_MOST_SHOWN = 50
"""Complaints about one file that are shown."""


class StudyFileError(HpsearchError):
    """All complaints about one study file at once."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        self.complaints = tuple(complaints)
        lines = [str(complaint) for complaint in self.complaints[:_MOST_SHOWN]]
        if more := len(self.complaints) - len(lines):
            lines.append(f"… and {more:,} more")
        super().__init__("\n".join(lines))


def plural(count: int, noun: str) -> str:
    """ "1 row", "2,000 trials"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean "…"?` for the known word most like `word`, or an empty string."""
    match = closest(word, known)
    return "" if match is None else f'; did you mean "{match}"?'


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, if any is."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def check_trial(study: str, number: int, count: int, option: str = "trial") -> None:
    """Check that a study of `count` trials has the one of that number. option: how it was asked for.

    Raises:
        HpsearchError: it has not.
    """
    if not 0 <= number < count:
        there = f"a trial from 0 to {count - 1}" if count else "a study with trials"
        raise HpsearchError(f"study {study}: expected {there}; found {option} {number}")
