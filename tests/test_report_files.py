"""The files of a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpsearch.errors import HpsearchError
from hpsearch.report.files import write_files
from hpsearch.report.frames import finished_report
from hpsearch.report.write import write_report
from tests.report_study import example

NAMES = ["curves.csv", "curves.png", "report.json", "report.md", "report.txt", "trials.csv"]


def test_all_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    report = finished_report(*example())
    directory = tmp_path / "a" / "b"
    for _ in range(2):
        written = write_report(report, directory)
        assert sorted(path.name for path in directory.iterdir()) == NAMES
        assert sorted(written) == sorted(directory / name for name in NAMES)
    text = (directory / "report.txt").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert len(json.loads((directory / "report.json").read_text())["trials"]) == 120
    assert len((directory / "trials.csv").read_text().splitlines()) == 121


def test_a_file_in_the_folder_s_place_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    for directory in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(HpsearchError, match=r"taken.*--out"):
            write_report(finished_report(*example(30)), directory)
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(HpsearchError, match="cannot be written"):
        write_files({tmp_path / "taken": b"x"})
    with pytest.raises(HpsearchError, match="cannot be written"):
        write_files({tmp_path / "missing" / "file": b"x"})
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
