"""Bad data get one clear message: what was expected, what was found, where, and what to do."""

from __future__ import annotations

import datetime
import gzip
import lzma
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hpsearch.data import load_dataset
from hpsearch.errors import DataError, HpsearchError, StudyFileError
from hpsearch.study.file import load_study
from hpsearch.study.schema import DataSection, SplitSection

GOOD = "x,colour,y\n" + "".join(f"{i},{'red' if i % 3 else 'blue'},{'ab'[i % 2]}\n" for i in range(30))


def message(folder: Path, source: str, seed: int = 0, **keys: Any) -> str:
    keys = {"target": "y"} | keys
    with pytest.raises(HpsearchError) as caught:
        load_dataset(DataSection(source=source, **keys), seed, folder)
    text = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in text
    return text


def rows(values: list[Any], **columns: Any) -> str:
    frame: pd.DataFrame = pd.DataFrame({"x": range(len(values)), "y": values, **columns})
    return frame.to_csv(index=False)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ("t.csv: the file is empty",)),
        (b"\n\n", ("t.csv: the file is empty",)),
        (b"x,y\n", ("t.csv: expected rows; found only the names of columns",)),
        (GOOD + "1,red\n", ("t.csv:32: expected 3 values", "found 2")),
        (GOOD.replace("\n4,", "\n4,4,"), ("t.csv:6: expected 3 values", "found 4")),
        ("\n" + GOOD + '\n"two\nlines",red,a\n1\n', ("t.csv:36: expected 3 values", "found 1")),
        (GOOD + '"never closed,red,a\n', ("t.csv:32: not readable as a table", "check the quotes")),
        (GOOD.encode() + b"1,r\xe9d,a\n", ("t.csv:32:4: expected UTF-8 text; found the byte 0xe9",)),
        (GOOD.encode("utf-16"), ("expected UTF-8 text", "UTF-16")),
        (GOOD.encode("utf-16-le"), ("t.csv:1:2: expected UTF-8 text", "0x00")),
        (GOOD + "\r1,red", ("t.csv:33: expected 3 values", "found 2")),
        ("x,y,x\n1,2,3\n", ("t.csv:1: every column needs a name of its own", '"x"')),
        ("y\na\nb\n" * 9, ('no column is left to predict "y" from',)),
        (rows(["a", "b"] * 4), ("expected at least 10 rows with a target; found 8",)),
        (rows(["a"] * 30), ('expected at least two values in column "y"; found only a',)),
        (rows([None] * 30), ('expected at least two values in column "y"; found no value',)),
        (rows(["a", "b"] * 20 + ["rare"]), ('class "rare" of column "y" has 1 row; expected at least 3',)),
        (rows([f"c{i % 12}" for i in range(48)]), ("part of 10 rows cannot hold all 12 classes", "raise")),
        (rows(["a", "b"] * 20, z=[1e308, 1] * 20), ('column "z": 1e+308 is too large to standardise',)),
        (
            rows([1.5, "2.5", "about 3", *np.arange(30) / 7]),
            ('t.csv:4: column "y": "about 3" stands among numbers', 'missing = ["about 3"]'),
        ),
        (rows([0.5, 1e308, -1e308] * 20), ('column "y": found values too large to standardise',)),
        (rows([3.5, *[1.5] * 10, 2.5] * 5, x=[4] * 60), ("every feature is constant",)),
    ],
)
def test_content_that_cannot_be_used(tmp_path: Path, content: str | bytes, expected: tuple[str, ...]) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    text = message(tmp_path, "t.csv")
    assert all(part in text for part in expected), text


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (
            [f"{i % 12 + 1}.3.2024 10:15" for i in range(60)],
            '"1.3.2024 10:15" has its day or its month first',
        ),
        ([*(f"2024-01-{i % 28 + 1:02}" for i in range(59)), "then"], '"then" is no date as "2024-01-01"'),
        ([*range(100, 159), "about 3"], '"about 3" stands among numbers'),
        ([*np.arange(58) / 4, "1,5", "2,5"], '"1,5" stands among numbers'),
        (
            ["2", "3", "4"] * 19 + ["1,5"] * 3,
            '"1,5" has a decimal comma where other columns have decimal points',
        ),
        ([f"{i},{i % 7}00" for i in range(1, 61)], '"1,100" is 1.1 or 1,100; nothing else tells which'),
    ],
)
def test_columns_that_are_neither_numbers_nor_categories(
    tmp_path: Path, column: list[Any], expected: str
) -> None:
    (tmp_path / "t.csv").write_text(
        rows(["a", "b"] * 30, when=column, z=np.arange(60) / 8 if "2" in column else 1)
    )
    text = message(tmp_path, "t.csv")
    assert re.search(r't\.csv:\d+: column "when": ', text)
    assert expected in text
    assert "or say under [data.columns]: when = " in text


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (datetime.time(10, 15), "time64"),
        (datetime.timedelta(1), "duration"),
        ([1, 2], "list"),
        (b"\xff", "binary"),
    ],
)
def test_parquet_columns_of_other_kinds(tmp_path: Path, value: Any, found: str) -> None:
    pd.DataFrame({"x": range(30), "odd": [value] * 30, "y": ["a", "b"] * 15}).to_parquet(
        tmp_path / "t.parquet"
    )
    text = message(tmp_path, "t.parquet")
    assert 'column "odd": expected numbers or ' in text
    assert f"found {found}" in text


@pytest.mark.parametrize("days", [5, 28])
def test_a_target_of_dates(tmp_path: Path, days: int) -> None:
    """Few of them could pass for classes."""
    dates = [datetime.date(2024, 1, i % days + 1) for i in range(90)]
    frame = pd.DataFrame({"x": range(90), "y": dates})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "date.parquet")
    frame.assign(y=pd.to_datetime(frame["y"])).to_parquet(tmp_path / "time.parquet")
    for name in ("t.csv", "date.parquet", "time.parquet"):
        text = message(tmp_path, name)
        assert (
            f'{name}: column "y": expected numbers or class names; found dates such as "2024-01-01"' in text
        )
        assert "turn them into numbers" in text


def test_targets_that_are_not_positive(tmp_path: Path) -> None:
    values = [*np.arange(30) / 7, -1.5, None, -4.25, 2]
    (tmp_path / "t.csv").write_text(rows(values))
    text = message(tmp_path, "t.csv", task="positive_regression")
    assert 'data.task: "positive_regression" needs numbers from 0 up; found 2 negative in column "y"' in text
    assert 'the smallest -4.25 in row 33; use task = "regression"' in text
    (tmp_path / "t.csv").write_text(rows(["a", "b"] * 15))
    text = message(tmp_path, "t.csv", task="positive_regression")
    assert '"positive_regression" needs numbers; found "a", "b"' in text
    (tmp_path / "t.csv").write_text(rows([0] * 30))
    assert "found only 0" in message(tmp_path, "t.csv", task="positive_regression")
    (tmp_path / "t.csv").write_text(rows([0] * 20 + [1.5] * 5, part=["train"] * 20 + ["valid"] * 5))
    split = SplitSection(column="part")
    text = message(tmp_path, "t.csv", task="positive_regression", split=split)
    assert "the training set has only 0" in text
    (tmp_path / "t.csv").write_text(rows([1e308] * 29 + [0.5]))
    assert "too large to scale" in message(tmp_path, "t.csv", task="positive_regression")


def test_broken_files(tmp_path: Path) -> None:
    whole = gzip.compress(GOOD.encode())
    (tmp_path / "cut.csv.gz").write_bytes(whole[:-20])
    (tmp_path / "plain.csv.gz").write_text(GOOD)
    (tmp_path / "flipped.csv.gz").write_bytes(whole[:20] + bytes([whole[20] ^ 255]) + whole[21:])
    (tmp_path / "cut.csv.xz").write_bytes(lzma.compress(GOOD.encode())[:-9])
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + b"\0" * 40 + b"PAR1")
    (tmp_path / "empty.parquet").write_bytes(b"")
    assert "not a gzip file, as its name says" in message(tmp_path, "plain.csv.gz")
    for name, kind in (("cut", "gzip"), ("flipped", "gzip")):
        assert f"not a whole {kind} file" in message(tmp_path, f"{name}.csv.gz")
    assert "not a whole xz file" in message(tmp_path, "cut.csv.xz")
    assert "not a readable Parquet file" in message(tmp_path, "t.parquet")
    assert "the file is empty" in message(tmp_path, "empty.parquet")


def test_parquet_with_years_out_of_range(tmp_path: Path) -> None:
    days = pa.array([2**31 - 1] * 30, pa.date32())
    pq.write_table(pa.table({"when": days, "y": ["a", "b"] * 15}), tmp_path / "t.parquet")
    assert 'column "when": a date outside the years 1 to 9999' in message(tmp_path, "t.parquet")


def test_parquet_with_a_name_twice(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array([1, 2]), pa.array([3, 4])], names=["x", "x"]), tmp_path / "t.parquet")
    assert "every column needs a name of its own" in message(tmp_path, "t.parquet", target="x")


@pytest.mark.parametrize(
    ("source", "keys", "expected"),
    [
        (
            "digitz",
            {},
            ('unknown built-in source "digitz"; did you mean "digits"?', "spiral", ".parquet", "no folder"),
        ),
        ("goood.csv", {}, ("goood.csv: no such file", 'did you mean "good.csv"?')),
        ("nowhere/good.csv", {}, ("good.csv: no such file",)),
        ("good.csv/good.csv", {}, ("no such file",)),
        ("x" * 300 + ".csv", {}, ("cannot be read",)),
        ("folder", {"target": None}, ("folder: expected images", "found no file")),
        (
            "sheet.xlsx",
            {},
            ("sheet.xlsx: expected a name that ends in .csv", "or a folder or .zip of images"),
        ),
        ("good.csv", {"target": None}, ("data.target: is missing", '"x", "colour", "y"')),
        (
            "good.csv",
            {"target": "color"},
            ('no column "color"; did you mean "colour"?', '"x", "colour", "y"'),
        ),
        (
            "good.csv",
            {"task": "regression"},
            ("data.task", '"regression" needs numbers', '"a", "b"', '"binary"'),
        ),
        ("good.csv", {"task": "binary", "target": "x"}, ("data.task", "two classes", "found 30")),
        ("good.csv", {"rows": 20}, ("data.rows: is for xor, spiral, paws only",)),
        ("iris", {"target": None, "noise": 0.1}, ("data.noise: is for xor, spiral, paws only",)),
        ("iris", {"target": "species"}, ('"iris" knows its target; leave the key out',)),
        ("iris", {"target": None, "task": "binary"}, ('"binary" needs two classes', "setosa")),
        (
            "good.csv",
            {"split": SplitSection(column="colours")},
            ("data.split.column", 'did you mean "colour"?'),
        ),
        ("good.csv", {"split": SplitSection(column="y")}, ('"y" is the target',)),
        (
            "good.csv",
            {"split": SplitSection(column="colour")},
            ("expected train, valid or test in every row", '"blue", "red" in 30'),
        ),
        ("good.csv", {"split": SplitSection(valid=0.5, test=0.45)}, ("30 rows leave 1 for training",)),
        ("parts.csv", {"split": SplitSection(column="part")}, ('column "part" has no row marked valid',)),
        (
            "flat.csv",
            {"split": SplitSection(column="part")},
            ('expected column "y" to vary; it is constant in the training set',),
        ),
        (
            "gap.csv",
            {"split": SplitSection(column="part")},
            ('"c" of column "y" is not in the training set',),
        ),
    ],
)
def test_keys_that_do_not_fit(
    tmp_path: Path, source: str, keys: dict[str, Any], expected: tuple[str, ...]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "good.csv").write_text(GOOD)
    (tmp_path / "sheet.xlsx").write_bytes(b"PK")
    (tmp_path / "parts.csv").write_text(rows(["a", "b"] * 10, part=["train"] * 19 + ["test"]))
    marks = ["train"] * 18 + ["valid"] * 3
    (tmp_path / "gap.csv").write_text(rows(["a", "b"] * 9 + ["a", "b", "c"], part=marks))
    marks = ["train"] * 20 + ["valid"] * 3
    (tmp_path / "flat.csv").write_text(rows([0.5] * 20 + [1.5, 2.5, 3.5], part=marks))
    text = message(tmp_path, source, **keys)
    assert all(part in text for part in expected), text


def test_a_complaint_about_a_key_has_its_place_in_the_study_file(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text(GOOD)
    path = tmp_path / "study.toml"
    path.write_text('[data]\nsource = "good.csv"\ntarget = "z"\n[space]\ndepth = 2\n')
    study = load_study(path)
    with pytest.raises(StudyFileError) as caught:
        load_dataset(study.data, study.seed, tmp_path, study.source.complaint)
    assert str(caught.value).startswith(f"{path}:3:1: data.target: ")
    with pytest.raises(DataError):
        load_dataset(study.data, study.seed, tmp_path)
