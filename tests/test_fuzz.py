"""Broken study files, arguments, databases, dumps and models end in one line, quickly, and leave nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fuzzing import COUNT, mutants, said

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


def check(words: list[str], folder: Path) -> None:
    begun = time.monotonic()
    done = said(words, folder)
    told = done.out + done.err
    assert done.code in (0, 1, 2, 3, 4), (words, told)
    assert "Traceback" not in told, (words, told)
    assert "unexpectedly" not in told, (words, told)
    assert "secret" not in told, (words, told)
    assert time.monotonic() - begun < 60, words


BROKEN = {
    "study": ("s.toml", [["run", "s.toml", "--dry-run", "--storage", "sqlite:///new.db"]]),
    "database": ("hpsearch.db", [["list"], ["report", "s"], ["curves", "s"], ["doctor"]]),
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
