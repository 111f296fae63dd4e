"""Input that is broken at random, from a seed, and what the command line says of it, in this process."""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.cli.app import main

COUNT = int(os.environ.get("HPSEARCH_FUZZ", "120"))
"""Broken versions of each kind of input."""


def mutants(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    """So many damaged versions: bytes changed, cut out or put in, and ends cut off."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        mutant = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            at = int(random.integers(len(mutant)))
            match random.integers(5):
                case 0 | 1:
                    mutant[at] = random.integers(256)
                case 2:
                    mutant[at] ^= 1 << int(random.integers(8))
                case 3:
                    del mutant[at : at + int(random.integers(1, 9))]
                case _:
                    mutant[at:at] = random.bytes(int(random.integers(1, 9)))
        end = int(random.integers(len(mutant))) if random.random() < 0.1 else len(mutant)
        yield bytes(mutant[:end])


def changed(value: Any, random: np.random.Generator) -> Any:
    """A copy of a JSON value in which one value, at any depth, is another, or is gone."""
    if isinstance(value, (dict, list)) and value and random.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[random.integers(len(keys))]
        copy: Any = {**value} if isinstance(value, dict) else [*value]
        if random.random() < 0.15:
            del copy[key]
        else:
            copy[key] = changed(value[key], random)
        return copy
    if random.random() < 0.5:
        return OTHERS[random.integers(len(OTHERS))]
    if isinstance(value, (int, float)):
        return (value + 1, -value, value * 10**9, value / 3, str(value))[random.integers(5)]
    if isinstance(value, str):
        return (value[:-1], value * 2, [value])[random.integers(3)]
    return [value, value]


OTHERS: list[Any] = [
    *(None, True, -1, 0, 3, 2**31, 2**64, 0.5, 1e308, math.nan, math.inf, "", "a", "1", "NaN", "\x1b[31m"),
    *(
        "complete",
        "9999-12-31T23:59:59",
        "0001-01-01T00:00:00+14:00",
        "a" * 5000,
        [],
        [[]],
        [1],
        {},
        {"a": 1},
    ),
]
"""What may stand where something else is expected."""


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    words: Sequence[str]
    code: int
    out: str
    err: str


def said(words: Sequence[str], folder: Path) -> Said:
    """What a command says in a folder. Python's own warnings are part of what it says."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
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
    out.seek(0)
    return Said(words, code, out.read(), err.getvalue())
