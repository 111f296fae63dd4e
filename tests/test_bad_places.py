"""Databases and dumps that are none, and what a killed process leaves beside a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.files import unfinished, write_files
from tests.fuzzing import said
from tests.store_study import filled_file
from tests.studies import url


@pytest.mark.parametrize("salvage", [(), ("--salvage", "new.db")])
def test_doctor_on_what_is_no_file(tmp_path: Path, salvage: tuple[str, ...]) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, found in (("folder", "found a folder"), ("pipe", "found a pipe or a device")):
        told = said(("doctor", "--storage", url(tmp_path / name), *salvage), tmp_path)
        assert told.code == (2 if salvage else 1), told
        assert "Traceback" not in told.err
        assert found in told.out.replace("\n", " ") + told.err
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


def test_what_killed_processes_left_is_removed_on_the_next_start(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "x.db").write_bytes(filled_file())
    for ending in ("", "-journal"):
        (tmp_path / f".sal.db.{gone.pid}{ending}").write_bytes(b"half")
    others = (f".sal.db.{os.getppid()}", f".other.db.{gone.pid}", ".sal.db.old")
    for name in others:
        (tmp_path / name).write_bytes(b"not ours")
    told = said(("doctor", "--salvage", "sal.db", "--storage", url(tmp_path / "x.db")), tmp_path)
    assert told.code == 0, told
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "sal.db", "x.db"])


def test_a_file_is_written_beside_its_place(tmp_path: Path) -> None:
    assert unfinished(tmp_path / "a.csv").name == f".a.csv.{os.getpid()}"
    write_files({tmp_path / "a.csv": b"1"})
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_pipe_is_no_dump_and_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "t.csv").write_text("x\n1\n")
    for words in (("load", "pipe"), ("predict", "pipe", "t.csv")):
        told = said(words, tmp_path)
        assert told.code == 2, told
        assert "found a pipe" in told.err


def test_dumps_with_half_a_surrogate_pair_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(filled_file())
    storage = url(tmp_path / "x.db")
    assert said(("dump", "digits", "d.json", "--storage", storage), tmp_path).code == 0
    whole = (tmp_path / "d.json").read_bytes()
    document = json.loads(whole)
    document["runs"] = ["\ud800"]
    (tmp_path / "half.json").write_text(json.dumps(document))
    (tmp_path / "bytes.json").write_bytes(whole.replace(b"digits", b"digi\xed\xa0\x80", 1))
    (tmp_path / "wrong.json").write_bytes(whole.replace(b"digits", b"digi\xff", 1))
    (tmp_path / "unsigned.json").write_text(json.dumps({"format": document["format"]}))
    for name in ("half", "bytes", "wrong", "unsigned"):
        told = said(("load", f"{name}.json", "--storage", url(tmp_path / "new.db")), tmp_path)
        assert told.code == 2, told
        assert len(told.err.splitlines()) == 1
        assert not (tmp_path / "new.db").exists()
