"""What the shell completes: stored studies, study files, trials, columns.

Completion never complains: whatever goes wrong, nothing is proposed. It writes nothing, and creates no file.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from itertools import chain
from typing import Any

VARIABLE = "_HPSEARCH_COMPLETE"
"""Set by the shell's completion function, as typer writes it."""
_BREAKS = frozenset(":=")
"""Where bash, and no other shell, ends a word."""
_SPECIAL = re.compile(r"([^\w@%+=:,./~-])")

Found = Iterator[tuple[str, str]]


def _completing(find: Callable[[dict[str, Any], str], Iterable[tuple[str, str]]]) -> Callable[..., Any]:
    """A typer completion of what `find` finds, given what was typed before and the beginning of the word."""

    def complete(ctx: Any, args: list[str], incomplete: str) -> list[tuple[str, str]]:
        found: dict[str, str] = {}
        with suppress(Exception):
            for value, about in find(_params(ctx), incomplete):
                if value.startswith(incomplete):
                    found.setdefault(value, unmarked(about))
        return list(found.items())

    return complete


def _params(ctx: Any) -> dict[str, Any]:
    """What was typed so far, by parameter.

    An option that still lacks its value has ended the parsing before the arguments were looked at.
    """
    words = _words()
    if not words[-1].startswith("-") or "=" in words[-1]:
        return dict(ctx.params)
    args = words[2:-1]  # without program, command and that option
    with ctx.command.make_context(ctx.info_name, args, parent=ctx.parent, resilient_parsing=True) as whole:
        return dict(whole.params)


def _words() -> list[str]:
    """The words before the one that is being typed."""
    if "COMP_WORDS" in os.environ:
        return _split(os.environ["COMP_WORDS"])[: int(os.environ["COMP_CWORD"])]
    line = os.environ.get("_TYPER_COMPLETE_ARGS", "")
    words = _split(line)
    return words if line.endswith(" ") else words[:-1]


def _split(line: str) -> list[str]:
    words = shlex.shlex(line, posix=True)
    words.whitespace_split, words.commenters = True, ""
    found: list[str] = []
    with suppress(ValueError):  # a quote that is still open
        found.extend(words)
    return found


def _studies(params: dict[str, Any], incomplete: str) -> Found:
    from hpsearch.extras import candidates

    yield from _each(candidates.studies(params.get("storage")), candidates.study_files(incomplete))


def _studies_to_run(params: dict[str, Any], incomplete: str) -> Found:
    from hpsearch.extras import candidates

    yield from _studies(params, incomplete)
    yield from _each(candidates.shipped_studies())


def _trials(params: dict[str, Any], incomplete: str) -> Found:
    from hpsearch.extras import candidates

    yield from candidates.trials(params.get("storage"), params["study"])


def _subjects(params: dict[str, Any], incomplete: str) -> Found:
    """Studies, and behind a study's colon its trials."""
    from hpsearch.extras import candidates

    study, colon, _ = incomplete.rpartition(":")
    if colon:
        found = candidates.trials(params.get("storage"), study)
        yield from ((f"{study}:{number}", about) for number, about in found)
    else:
        yield from _studies(params, incomplete)


def _columns(params: dict[str, Any], incomplete: str) -> Found:
    from hpsearch.extras import candidates

    yield from candidates.columns(params.get("source") or params["name"])


def _each(*sources: Iterator[tuple[str, str]]) -> Found:
    """All that the sources give; one that fails gives nothing."""
    for source in sources:
        with suppress(Exception):
            yield from chain(source)


studies = _completing(_studies)
studies_to_run = _completing(_studies_to_run)
subjects = _completing(_subjects)
trials = _completing(_trials)
columns = _completing(_columns)


def unmarked(text: str) -> str:
    """A description with its brackets: typer takes [onnx] for markup where a shell shows descriptions."""
    if os.environ.get(VARIABLE, "").endswith("bash"):
        return text
    from rich.markup import escape

    return escape(text)


def complete(app: Callable[..., Any]) -> int:
    """Answer the shell on stdout; returns the exit code that it asks for."""
    strip = _glue_words() if os.environ[VARIABLE] == "complete_bash" else None
    answer, code = StringIO(), 0
    with redirect_stdout(answer), redirect_stderr(StringIO()):
        try:
            app(prog_name="hpsearch", standalone_mode=False)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except Exception:
            return 0
    for line in filter(None, answer.getvalue().splitlines()):
        print(line if strip is None else _SPECIAL.sub(r"\\\1", line[strip:]))
    return code


def _glue_words() -> int:
    """Undo that bash splits words at colons and equal signs; returns how much of the last word it keeps."""
    at = int(os.environ["COMP_CWORD"])
    words = os.environ["COMP_WORDS"].split("\n")[: at + 1]
    words += [""] * (at + 1 - len(words))
    whole: list[str] = []
    before = ""
    for word in words:
        is_break = bool(word) and set(word) <= _BREAKS
        if whole and (is_break or (before and set(before) <= _BREAKS)):
            whole[-1] += word
        else:
            whole.append(word)
        before = word
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(whole), str(len(whole) - 1)
    last = whole[-1].partition("=")[2] if whole[-1].startswith("-") and "=" in whole[-1] else whole[-1]
    own = "" if set(words[-1]) <= _BREAKS else words[-1]
    return len(last) - len(own)


def main(app: Callable[..., Any]) -> None:
    """End the process with the shell's answer, if a shell asks."""
    if os.environ.get(VARIABLE, "").startswith("complete_"):
        sys.exit(complete(app))
