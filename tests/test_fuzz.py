"""Broken study files, arguments, databases, dumps and models end in one line, quickly, and leave nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from hpsearch.model.files import checksum_of as model_checksum
from hpsearch.store.ddl import checksum, cohorts, curves, runs, scorings, studies, tallies, trials
from hpsearch.store.transfer import checksum_of as dump_checksum
from tests.fuzzing import COUNT, changed, mutants, said

STUDY = b"""[study]
name = "s"
seed = 3
[data]
source = "t.csv"
target = "y"
split = { valid = 0.2, test = 0.2 }
[data.columns]
x = { kind = "number", missing = ["-"] }
[space]
learning_rate = { low = 1e-3, high = 1.0, log = true }
batch_size = [8, 16]
depth = { low = 1, high = 3, step = 1 }
width = 4
activation = ["relu", "tanh"]
[train]
epochs = 2
[search]
sampler = "random"
trials = 4
stopping = "none"
[[enqueue]]
depth = 2
[[forbidden]]
depth = 3
activation = "tanh"
"""
WORDS = [
    *("run", "report", "show", "list", "init", "data", "curves", "compare", "confirm", "replay", "delete"),
    *("export", "predict", "enqueue", "dump", "load", "doctor", "variance", "compact", "--help", "--dry-run"),
    *("--storage", "sqlite:///x.db", "postgresql://u:secret@h/d", "--set", "space.width=1e999", "--trials"),
    *(
        "0",
        "-1",
        "10" * 30,
        "nan",
        "s",
        "s.toml",
        "t.csv",
        "m",
        "",
        "\x1b[31m",
        "ü",
        "--format",
        "json",
        "--top",
    ),
    *("--out", "--target", "y", "--seeds", "--device", "tpu", "--fork", "a" * 300, "..", "/dev/null", "--"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study, its table, database, dump and model."""
    folder = tmp_path_factory.mktemp("sound")
    rows = "".join(f"{row / 4},{'ab'[row % 2]}\n" for row in range(60))
    (folder / "t.csv").write_text(f"x,y\n{rows}")
    (folder / "s.toml").write_bytes(STUDY)
    for words in (
        ["run", "s.toml", "--no-confirm"],
        ["dump", "s", "s.json"],
        ["export", "s", "--out", "m"],
    ):
        done = said(words, folder)
        assert done.code == 0, done.err
    return folder


def check(words: list[str], folder: Path) -> int:
    """The exit code."""
    begun = time.monotonic()
    done = said(words, folder)
    told = done.out + done.err
    assert done.code in (0, 1, 2, 3, 4), (words, told)
    assert "Traceback" not in told, (words, told)
    assert "unexpectedly" not in told, (words, told)
    assert "secret" not in told, (words, told)
    assert time.monotonic() - begun < 60, words
    return done.code


BROKEN = {
    "study": ("s.toml", [["run", "s.toml", "--dry-run", "--storage", "sqlite:///new.db"]]),
    "database": ("hpsearch.db", [["list"], ["report", "s"], ["show", "s"], ["curves", "s"], ["doctor"]]),
    "dump": ("s.json", [["load", "s.json", "--storage", "sqlite:///loaded.db"]]),
    "model": ("m/model.json", [["predict", "m", "t.csv"]]),
    "weights": ("m/model.safetensors", [["predict", "m", "t.csv"]]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_whatever_is_broken_is_said_in_a_line(place: Path, tmp_path: Path, kind: str) -> None:
    name, commands = BROKEN[kind]
    sound = place / name
    for mutant in mutants(sound.read_bytes(), COUNT, 5):
        folder = tmp_path / "broken"
        shutil.copytree(place, folder)
        (folder / name).write_bytes(mutant)
        before = {path.name for path in folder.iterdir()}
        for words in commands:
            check(words, folder)
        left = {path.name for path in folder.iterdir()} - before
        assert not {
            file for file in left if file not in ("loaded.db", "hpsearch.db-wal", "hpsearch.db-shm")
        }, left
        shutil.rmtree(folder)


SOME = COUNT // 4
"""Each takes several commands."""


def sign(document: dict[str, Any], checksum: Callable[[Any], str]) -> str:
    return json.dumps({**document, "sha256": checksum(document)})


SIGNED: dict[str, tuple[str, Callable[[Any], str], list[list[str]]]] = {
    "model": ("m/model.json", model_checksum, [["predict", "m", "t.csv"]]),
    "dump": (
        "s.json",
        dump_checksum,
        [
            ["load", "s.json", "--storage", "sqlite:///loaded.db"],
            *([verb, "s", "--storage", "sqlite:///loaded.db"] for verb in ("report", "show", "curves")),
            ["doctor", "--storage", "sqlite:///loaded.db"],
        ],
    ),
}


@pytest.mark.parametrize("kind", SIGNED)
def test_a_right_checksum_is_not_believed(place: Path, tmp_path: Path, kind: str) -> None:
    """Whoever edits a file can also make its checksum anew."""
    name, checksum, commands = SIGNED[kind]
    document = json.loads((place / name).read_bytes())
    del document["sha256"]
    random = np.random.default_rng(7)
    for number in range(SOME):
        other = changed(document, random) if number else document
        if not isinstance(other, dict):
            continue
        folder = tmp_path / "signed"
        shutil.copytree(place, folder)
        (folder / name).write_text(sign(other, checksum))
        before = {path.name for path in folder.iterdir()}
        codes = [check(words, folder) for words in commands]
        assert number or not any(codes)  # as it is, it is accepted
        assert {path.name for path in folder.iterdir()} - before <= {"loaded.db"}
        shutil.rmtree(folder)


COLUMNS = [
    (table, column.name)
    for table in (studies, tallies, trials, curves, cohorts, runs, scorings)
    for column in table.columns
    if "checksum" not in column.name and not column.primary_key
]


def test_nor_is_that_of_a_row(place: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    for _ in range(SOME):
        folder = tmp_path / "signed"
        shutil.copytree(place, folder)
        table, name = COLUMNS[random.integers(len(COLUMNS))]
        change_row(folder / "hpsearch.db", table, name, random)
        for words in (["list"], ["report", "s"], ["show", "s"], ["curves", "s"], ["doctor"]):
            check(words, folder)
        shutil.rmtree(folder)


def change_row(file: Path, table: sa.Table, name: str, random: np.random.Generator) -> None:
    """Change a value in a table's first row, and make the row's checksums anew."""
    names = table.columns.keys()
    with sqlite3.connect(file) as connection:
        keys = ", ".join(key.name for key in table.primary_key)
        found = connection.execute(f"SELECT {name} FROM {table.name} ORDER BY {keys} LIMIT 1").fetchone()
        if found is None:  # a study that was not confirmed has no scorings
            return
        (old,) = found
        first = f"({keys}) = (SELECT {keys} FROM {table.name} ORDER BY {keys} LIMIT 1)"
        new = other_value(old, random)
        connection.execute(f"UPDATE {table.name} SET {name} = ? WHERE {first}", (new,))
        row = list(connection.execute(f"SELECT * FROM {table.name} WHERE {first}").fetchone())
        if "created" in names:
            with suppress(TypeError, ValueError):
                row[names.index("created")] = datetime.fromisoformat(row[names.index("created")])
        for at in [at for at, each in enumerate(names) if "checksum" in each]:
            data = row[at - 1] if table is curves and isinstance(row[at - 1], bytes) else b""
            row[at] = checksum(tuple(row[: at - (table is curves)]), data)
            connection.execute(f"UPDATE {table.name} SET {names[at]} = ? WHERE {first}", (row[at],))


def other_value(old: Any, random: np.random.Generator) -> Any:
    """Another value for a cell of a database; JSON and bytes are changed inside."""
    if isinstance(old, bytes):
        return next(mutants(old, 1, int(random.integers(1 << 30))))
    if isinstance(old, str) and old[:1] in ("{", "["):
        return json.dumps(changed(json.loads(old), random))
    new = changed(old, random)
    whole = isinstance(new, int) and not -(2**63) <= new < 2**63
    return str(new) if whole or isinstance(new, (list, dict)) else new


def command_lines() -> Iterator[list[str]]:
    random = np.random.default_rng(6)
    for _ in range(COUNT):
        words = [str(word) for word in random.choice(WORDS, random.integers(1, 6))]
        if not {"run", "confirm", "variance", "compare"} & {*words} or "--dry-run" in words:
            yield words


def test_whatever_is_typed_is_said_in_a_line(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "typed")
    for words in command_lines():
        check(words, tmp_path / "typed")


def test_a_changed_model_is_refused(place: Path, tmp_path: Path) -> None:
    """Whatever was changed, but for blanks: its checksum is over all of it."""
    shutil.copytree(place / "m", tmp_path / "m")
    shutil.copy(place / "t.csv", tmp_path)
    sound = (tmp_path / "m/model.json").read_text()
    at = sound.index('"median": ') + len('"median": ')
    (tmp_path / "m/model.json").write_text(sound[:at] + "1" + sound[at:])
    done = said(["predict", "m", "t.csv"], tmp_path)
    assert done.code == 2
    assert "does not match its checksum" in done.err
