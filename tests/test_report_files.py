"""The files of a report."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest

from hpsearch.errors import HpsearchError
from hpsearch.files import write_files
from hpsearch.reporting.write import parquet_bytes, write_report
from hpsearch.results.frames import curves_frame
from tests.report_study import example
from tests.studies import finished_report
from tests.test_report_pareto import TWO, several

NAMES = [
    "charts",
    "curves.csv",
    "curves.parquet",
    "curves.png",
    "pareto.png",
    "report.html",
    "report.json",
    "report.md",
    "report.tex",
    "report.txt",
    "trials.csv",
    "trials.parquet",
]


def test_all_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    report = finished_report(*several(TWO))
    directory = tmp_path / "a" / "b"
    directory.mkdir(parents=True)
    (directory / "report.txt").write_text("an older one")
    written = write_report(report, directory)
    assert sorted(path.name for path in directory.iterdir()) == NAMES
    assert sorted(written) == sorted(path for path in directory.rglob("*") if path.is_file())
    assert (directory / "pareto.png").read_bytes() == (directory / "charts" / "pareto.png").read_bytes()
    assert "](pareto.png)" in (directory / "report.md").read_text(encoding="utf-8")
    pictures = {path.stem for path in (directory / "charts").iterdir()}
    assert {"curves", "parallel", "isolation-learning_rate"} <= pictures
    assert {path.suffix for path in (directory / "charts").iterdir()} == {".png", ".svg"}
    assert len(pictures) * 2 == len(list((directory / "charts").iterdir()))
    text = (directory / "report.txt").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert len(json.loads((directory / "report.json").read_text())["trials"]) == len(report.trials)
    assert len((directory / "trials.csv").read_text().splitlines()) == 1 + len(report.trials)
    for name, frame in (("trials", report.trials), ("curves", curves_frame(report.record, report.curves))):
        pd.testing.assert_frame_equal(
            pd.read_parquet(directory / f"{name}.parquet"), frame, check_dtype=False
        )


def test_a_column_of_words_and_numbers_can_be_parquet() -> None:
    frame = pd.DataFrame(
        {"batch_size": pd.Series([16, "all", None], dtype="object"), "value": [0.5, 0.25, 1.0]}
    )
    found = pd.read_parquet(BytesIO(parquet_bytes(frame)))
    assert found["batch_size"].tolist()[:2] == ["16", "all"]
    assert found["batch_size"].isna().tolist() == [False, False, True]
    assert found["value"].tolist() == [0.5, 0.25, 1.0]


def test_a_file_in_the_folder_s_place_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    for directory in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(HpsearchError, match=r"taken.*--out"):
            write_report(finished_report(*example(30)), directory)
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(HpsearchError, match="expected a file to write; found a folder"):
        write_files({tmp_path / "taken": b"x"})
    with pytest.raises(HpsearchError, match="cannot be written"):
        write_files({tmp_path / "missing" / "file": b"x"})
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
