"""Input that is broken at random, from a seed, and what the command line says of it, in this process.

A kind of input is a `Kind`: what is sound, how it is broken, and the commands that read it. Another kind,
such as files of data, is one more entry of `KINDS`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch.cli.app import main


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    words: Sequence[str]
    code: int
    out: str
    err: str


def said(words: Sequence[str], folder: Path) -> Said:
    """What a command says in a folder. Python's own warnings are part of what it says."""
    out, err = io.StringIO(), io.StringIO()
    before, argv, code = Path.cwd(), sys.argv, 0
    os.chdir(folder)
    sys.argv = ["hpsearch", *words]
    stdin, sys.stdin = sys.stdin, io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("always")
            main()
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 1
    finally:
        sys.argv, sys.stdin = argv, stdin
        os.chdir(before)
    return Said(words, code, out.getvalue(), err.getvalue())
