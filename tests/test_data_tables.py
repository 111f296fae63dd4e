"""What a table's columns are taken for, over all their values, and how a study file says otherwise."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.data.dates import features_of
from hpsearch.data.describe import ColumnFacts, DataFacts, describe
from hpsearch.data.kinds import Asked, read_columns
from hpsearch.data.prepare import Prepared, read_and_split, refusal
from hpsearch.data.table_files import read_texts
from hpsearch.data.texts import Table
from hpsearch.errors import DataError, HpsearchError
from hpsearch.study.schema import DataSection

ROWS = 60
LABELS = ["yes" if row % 3 else "no" for row in range(ROWS)]


def infer(values: list[Any], asked: Asked | None = None, **others: list[str]) -> tuple[Any, pd.Series[Any]]:
    """What a column "x" of such texts is taken for, beside other columns."""
    columns = {"x": pa.chunked_array([pa.array(values, pa.string())])}
    columns |= {name: pa.chunked_array([pa.array(own, pa.string())]) for name, own in others.items()}
    table = Table(columns, lambda row: f"t.csv:{row + 2}", len(values))
    found, frame = read_columns(table, {} if asked is None else {"x": asked})
    return found[0], frame["x"] if "x" in frame else pd.Series()


def prepared(path: Path, target: str = "y", **keys: Any) -> Prepared:
    section = DataSection.model_validate({"source": path.name, "target": target, **keys})
    return read_and_split(section, 0, path.parent, refusal(None))


def facts(path: Path, target: str | None = "y", **keys: Any) -> DataFacts:
    return describe(DataSection.model_validate({"source": path.name, "target": target, **keys}), path.parent)


def fact(found: DataFacts, name: str) -> ColumnFacts:
    return next(column for column in found.columns if column.name == name)


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (["0.5", "-1.25", "+3", ".5", "1e-3"], 0.5),
        (["0,5", "-1,25", "3", ",5", "1e-3"], 0.5),
        (["2,497", "967", "1,002.5"], 2497),
        (["1.234,56", "2,5", "7"], 1234.56),
        (["1,003,000", "5,000", "12"], 1_003_000),
        (["1.003.000", "5.000", "12"], 1_003_000),
        (["12 345", "7"], 12345),
        (["12\u202f345,5", "7"], 12345.5),
        (["1'234.50", "7.00"], 1234.5),
        (["\u22125", "7", "\u22120.5"], -5),
        (["$1,200.50", "$3"], 1200.5),
        (["45%", "3.5 %"], 45),
        (["1.234,00 €", "7,50 €"], 1234),
        (["19M", "201k", "3.5M"], 19e6),
        (["1,000+", "1,000,000+", "5+"], 1000),
        (["  5 ", "6"], 5),
        (["(5)", "7", "12.5"], -5),
        (["(1,234.50)", "7,000.00"], -1234.5),
        (["$(5.00)", "($7.00)", "$12.50"], -5),
        (["-$5.00", "$7.00"], -5),
        (["1,234.56-", "7.00"], -1234.56),
        (["12,34,567", "1,00,000", "5,000"], 1_234_567),
        (["1.5D+03", "2.0D-01"], 1500),
    ],
)
def test_numbers_are_read_in_the_notation_that_their_column_proves(values: list[str], first: float) -> None:
    column, read = infer(values)
    assert column.kind == "number"
    assert read.iloc[0] == first
    assert np.isfinite(read).all()


@given(
    st.lists(st.decimals(-(10**6), 10**6, places=2), min_size=2, max_size=20, unique=True),
    st.sampled_from([(".", ""), (",", ""), (".", ","), (",", "."), (",", "\u202f"), (".", "'")]),
)
@settings(max_examples=150, deadline=None)
def test_any_notation_reads_back_what_was_written(numbers: list[Any], notation: tuple[str, str]) -> None:
    """Two digits behind the mark, which no group of thousands has, prove it."""
    decimal, group = notation
    texts = [f"{n:,.2f}".replace(",", "_").replace(".", decimal).replace("_", group) for n in numbers]
    column, read = infer(texts)
    assert column.kind == "number"
    assert read.tolist() == [float(n) for n in numbers]


@pytest.mark.parametrize(
    ("values", "others", "found"),
    [
        (["1,234", "5,678", "12"], {}, '"1,234" is 1.234 or 1,234; nothing else tells which'),
        (["1.234", "5.678"], {"z": ["0,5", "1,5"]}, None),
        (["1.234", "5.678"], {"z": ["0.5", "1.5"]}, None),
        (["1,234", "5,678"], {"z": ["0,5", "1,5"]}, None),
        (["1,234", "5,678"], {"z": ["0.5", "1.5"]}, None),
        (["1,5", "2", "3", "4"], {"z": ["0.5"] * 4}, '"1,5" has a decimal comma where other columns'),
    ],
)
def test_two_readings_are_settled_by_the_other_columns_or_refused(
    values: list[str], others: dict[str, list[str]], found: str | None
) -> None:
    if found is None:
        _, read = infer(values, **others)
        comma = "," in others["z"][0]
        grouped = ("." in values[0]) == comma
        assert read.iloc[0] == (1234 if grouped else 1.234)
    else:
        with pytest.raises(DataError, match=r't.csv:2: column "x": ') as caught:
            infer(values, **others)
        assert found in str(caught.value)
        assert 'or say under [data.columns]: x = { kind = "number", decimal = ' in str(caught.value)


def test_the_study_file_settles_what_could_be_read_in_two_ways() -> None:
    assert infer(["1,234", "5,678"], Asked("number", decimal=","))[1].iloc[0] == 1.234
    assert infer(["1,234", "5,678"], Asked("number", decimal="."))[1].iloc[0] == 1234
    assert infer(["1,234", "5,678"], Asked("category"))[1].tolist() == ["1,234", "5,678"]
    assert infer(["5", "six"], Asked("number", missing=("six",)))[1].isna().tolist() == [False, True]
    with pytest.raises(DataError, match='"six" stands among numbers'):
        infer(["5", "six"], Asked("number"))


@pytest.mark.parametrize("mark", ["-", "--", ".", "n/a", "NA", "unknown", "#DIV/0!", "*"])
def test_marks_among_numbers_count_as_missing(mark: str) -> None:
    column, read = infer([*(str(n / 4) for n in range(ROWS)), mark])
    assert column.kind == "number"
    assert read.isna().sum() == 1
    if mark not in ("n/a", "NA"):  # the usual ones are no guess
        assert mark in column.notes[0]
        assert f"t.csv:{ROWS + 2}" in column.notes[0]
        assert mark in str(column.doubt)


@pytest.mark.parametrize("word", ["1O.5", "about 3", "<0.1", "5-", "2018-01-05", "12:30"])
def test_a_text_among_numbers_is_refused_with_its_place_and_the_way_out(word: str) -> None:
    with pytest.raises(DataError) as caught:
        infer([*(str(n / 4) for n in range(ROWS)), word])
    assert str(caught.value) == (
        f't.csv:{ROWS + 2}: column "x": "{word}" stands among numbers; mend it, or say under [data.columns]: '
        f'x = {{ kind = "number", missing = ["{word}"] }} or x = "category"'
    )


def test_numbers_in_parentheses_alone_are_names() -> None:
    column, read = infer(["(1)", "(2)", "(3)"] * 9)
    assert (column.kind, read.iloc[0]) == ("category", "(1)")
    column, _ = infer(["7", "(5)", "12.5"])
    assert column.notes == ('numbers in parentheses are negative: "(5)" (t.csv:3)',)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (["5 kg", "7500 g", "12 kg"], 'numbers in several units: "kg", "g"'),
        (["EUR 5", "USD 7", "EUR 9"], 'numbers in several units: "EUR", "USD"'),
        (["5%", "7%", "0.05"], '1 number without a unit among those in "%": "0.05" (t.csv:4)'),
        (["1e400", "2", "3.5"], "1 infinite value counted as missing"),
        (["-999", "2.5", "3.5"], '"-999" (1 row) may stand for a missing number'),
        (["9999.0", "2.5", "3.5"], '"9999.0" (1 row) may stand for a missing number'),
        (["-1", *(str(n) for n in range(40)), "-1"], '"-1" (2 rows) may stand for a missing number'),
        (["A  B", "A B", "C"], 'differ in case, blanks or points alone are different: "A  B", "A B"'),
        (["<=50K", "<=50K.", ">50K"], 'alone are different: "<=50K", "<=50K."'),
    ],
)
def test_a_doubt_is_said_with_the_way_to_settle_it(values: list[str], note: str) -> None:
    column, _ = infer(values)
    assert any(note in each for each in column.notes)


@pytest.mark.parametrize("values", [["-1", "0", "1", "2"], ["-99", "-98", "3"], ["999", "998", "5"]])
def test_numbers_that_have_neighbours_stand_for_themselves(values: list[str]) -> None:
    assert infer(values * 9)[0].notes == ()


def test_a_mark_that_is_a_number_is_missing_where_the_study_file_says_so(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [-999.0, *range(ROWS - 1)], "z": [-999, *range(ROWS - 1)], "y": LABELS})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        mark = "-999.0" if name == "t.csv" else "-999"  # as it is written
        columns = {key: {"kind": "number", "missing": [own]} for key, own in (("x", mark), ("z", "-999"))}
        read = prepared(tmp_path / name, columns=columns).raw.frame
        assert read[["x", "z"]].isna().sum().tolist() == [1, 1]


def test_classes_that_stand_for_one_number_stay_apart_if_they_are_asked_for(tmp_path: Path) -> None:
    versions = ["1.1", "1.10", "1.2"] * 20
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{n},{v}\n" for n, v in enumerate(versions)))
    assert facts(tmp_path / "t.csv", task="multiclass").classes == ("1.1", "1.10", "1.2")


def test_one_name_in_two_unicode_forms_is_one_class() -> None:
    _, read = infer(["caf\u00e9", "cafe\u0301", "tea", "\u200btea"])
    assert read.tolist() == ["caf\u00e9", "caf\u00e9", "tea", "tea"]


def test_few_codes_among_which_is_a_word_are_categories() -> None:
    column, read = infer(["1", "2", "3", "K"] * 9)
    assert (column.kind, read.iloc[3]) == ("category", "K")
    assert column.notes == ('categories, because "K" (t.csv:5) is no number',)


@pytest.mark.parametrize(
    ("values", "first", "form"),
    [
        (["2018-01-31", "2019-12-01"], "2018-01-31", "ISO8601"),
        (["2018-01-31 10:30", "2019-12-01 00:00"], "2018-01-31 10:30", "ISO8601"),
        (["2018-01-31T10:30:00Z", "2019-12-01T00:00:00Z"], "2018-01-31 10:30", "ISO8601"),
        (["31/01/2018", "01/02/2018"], "2018-01-31", "%d/%m/%Y"),
        (["1/31/2018", "1/2/2018"], "2018-01-31", "%m/%d/%Y"),
        (["31.1.2018", "1.2.2018"], "2018-01-31", "%d.%m.%Y"),
        (["01-Jan-18", "28-Feb-19"], "2018-01-01", "%d-%b-%y"),
        (["January 7, 2018", "May 1, 2019"], "2018-01-07", "%B %d, %Y"),
        (["Dec-2015", "Jan-2016"], "2015-12-01", "%b-%Y"),
    ],
)
def test_dates_are_read_in_one_order(values: list[str], first: str, form: str) -> None:
    column, read = infer([*values, "", *values])
    assert (column.kind, column.reading.format) == ("date", form)
    assert read.iloc[0] == pd.Timestamp(first)
    assert pd.isna(read.iloc[len(values)])


def test_dates_whose_order_nothing_tells_are_refused_and_can_be_said() -> None:
    dates = ["01/02/2018", "03/04/2018"]
    with pytest.raises(DataError, match='"01/02/2018" has its day or its month first') as caught:
        infer(dates)
    assert 'x = { kind = "date", format = "%d/%m/%Y" }' in str(caught.value)
    assert infer(dates, Asked("date", format="%m/%d/%Y"))[1].iloc[0] == pd.Timestamp("2018-01-02")
    with pytest.raises(DataError, match='"then" is no date as "2018-01-31"'):
        infer([*(f"2018-01-{day}" for day in range(31, 10, -1)), "then"])


@pytest.mark.parametrize("mark", ["-", "NaT", "0000-00-00", "unknown"])
def test_marks_among_dates_count_as_missing(mark: str) -> None:
    column, read = infer(["2018-01-31", mark, "2018-02-01", "2018-03-01"])
    assert read.isna().tolist() == [False, True, False, False]
    assert column.notes[0] == f'1 value counted as missing: "{mark}"'
    assert mark in column.reading.missing


def test_a_day_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DataError, match=r't\.csv:2: column "x": "2018-02-30" is no date as "2018-01-31"'):
        infer(["2018-02-30", "2018-01-31", "2018-02-01"])


@pytest.mark.parametrize(
    ("values", "hours", "form"),
    [
        (["12:30", "08:15", "23:59"], 12.5, "%H:%M"),
        (["1:30:36", "0:45:10"], 1.51, "%H:%M:%S"),
        (["12:30 PM", "8:15 AM"], 12.5, "%I:%M %p"),
        (["12:30am", "8:15pm"], 0.5, "%I:%M%p"),
    ],
)
def test_times_of_day_are_hours(values: list[str], hours: float, form: str) -> None:
    column, read = infer(values)
    assert (column.kind, column.reading.format) == ("date", form)
    assert column.notes == (f'times such as "{values[0]}" ({form})',)
    assert features_of(read)["hour"][0] == pytest.approx(hours)


def test_versions_and_addresses_are_no_dates() -> None:
    assert infer(["1.0.10", "2.1.11", "1.2.3"] * 9)[0].kind == "category"
    assert infer(["10.0.0.1", "10.0.0.2"] * 9)[0].kind == "category"


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (["007", "012", "0131"], "007"),
        (["1577134800018226901", "1577134800018226902", "1577134800018267738"], "1577134800018226901"),
        (["9007199254740993", "9007199254740994"], "9007199254740993"),
    ],
)
def test_whole_numbers_that_a_float_would_spoil_are_names(values: list[str], name: str) -> None:
    column, read = infer(values * 9)
    assert (column.kind, read.iloc[0]) == ("category", name)
    assert "names, because its whole numbers" in column.notes[0]


def write(folder: Path, **columns: Any) -> Path:
    pd.DataFrame(columns).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def test_ids_and_free_text_are_left_out_with_a_note(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=ROWS)
    path = write(
        tmp_path,
        **{"Unnamed: 0": range(ROWS)},
        customer_id=[f"C{n:04}" for n in range(ROWS)],
        remark=[f"a remark, the {n}th" for n in range(ROWS)],
        x=numbers,
        nth=range(ROWS),
        y=LABELS,
    )
    found = prepared(path)
    assert found.columns == ["x", "nth"]
    assert any(note.startswith('"Unnamed: 0", "customer_id": left out: ') for note in found.notes)
    assert '"remark": left out: it has 60 different texts in 60 rows' in found.notes
    assert '"nth": numbers that count the rows' in found.notes
    told = {name: fact(facts(path), name) for name in ("Unnamed: 0", "customer_id", "remark", "x")}
    assert [column.kind for column in told.values()] == ["id", "id", "text", "number"]
    assert [column.used for column in told.values()] == [False, False, False, True]
    assert prepared(path, columns={"remark": "ignore", "nth": "ignore"}).columns == ["x"]
    assert prepared(path, columns={"customer_id": "category"}).columns == ["customer_id", "x", "nth"]


def test_a_word_that_often_means_missing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, x=np.arange(ROWS) / 4, y=["None", "EU", "AS"] * (ROWS // 3))
    assert prepared(path).target.classes == ("AS", "EU", "None")
    assert '"y": "None" (20 rows) is a class; if it stands for nothing' in prepared(path).notes[-1]
    assert prepared(path, columns={"y": {"missing": ["None"]}}).target.classes == ("AS", "EU")
    path = write(tmp_path, x=np.arange(ROWS) / 4, y=["NA", "EU", "AS"] * (ROWS // 3))
    assert prepared(path).target.classes == ("AS", "EU")
    assert '"y": "NA" (20 rows) counts as missing; if it is a class' in prepared(path).notes[0]
    assert prepared(path, columns={"y": {"kind": "category", "missing": []}}).target.classes == (
        "AS",
        "EU",
        "NA",
    )


def test_classes_are_named_as_they_were_written(tmp_path: Path) -> None:
    path = write(tmp_path, x=np.arange(ROWS) / 4, y=["1", "2", "3", "K"] * (ROWS // 4))
    with pytest.raises(DataError, match='"K" stands among numbers'):
        prepared(path)
    assert prepared(path, task="multiclass").target.classes == ("1", "2", "3", "K")
    path = write(tmp_path, x=np.arange(ROWS) / 4, y=["no", "no ", " yes"] * (ROWS // 3))
    assert prepared(path).target.classes == ("no", "yes")


def test_dates_become_numbers_and_frequent_gaps_a_feature(tmp_path: Path) -> None:
    from hpsearch.data import load_dataset

    days = [f"{day % 28 + 1:02}/0{day % 9 + 1}/2018" for day in range(ROWS)]
    gaps = [None if row % 5 == 0 else row / 4 for row in range(ROWS)]
    path = write(tmp_path, when=days, x=gaps, y=LABELS)
    dataset = load_dataset(DataSection.model_validate({"source": path.name, "target": "y"}), 0, tmp_path)
    parts = [f"when ({part})" for part in ("year", "month", "weekday", "hour", "days")]
    assert dataset.features == ("x", *parts, "x (missing)")
    assert dataset.columns is not None
    assert dataset.columns.needed == ("x", "when")
    assert 'a feature says where numbers are missing in "x"' in dataset.notes
    flags = np.concatenate([part.x[:, -1] for part in (dataset.train, dataset.valid, dataset.test)])
    assert (flags > 0).sum() == ROWS / 5


def test_codes_of_categories_are_told_from_numbers(tmp_path: Path) -> None:
    """Against what made them: y follows no order of the codes, but that of the numbers."""
    random = np.random.default_rng(0)
    codes, scores = random.integers(0, 6, 900), random.integers(0, 12, 900)
    odds = np.array([0.9, 0.1, 0.7, 0.2, 0.8, 0.1])[codes] * 0.5 + scores / 24
    path = write(tmp_path, code=codes, score=scores, y=np.where(random.random(900) < odds, "b", "a"))
    found = prepared(path)
    assert found.coded == ["code"]
    assert found.notes[-1].startswith('"code": numbers that look like codes of categories')
    assert fact(facts(path), "code").instead == '"category"'
    assert prepared(path, columns={"code": "number"}).coded == []
    assert prepared(path, columns={"code": "category"}).notes == ()


def test_a_split_column_or_the_target_is_never_taken_for_codes_or_ids(tmp_path: Path) -> None:
    parts = ["train"] * 40 + ["valid"] * 10 + ["test"] * 10
    path = write(tmp_path, part=parts, x=np.arange(ROWS) / 4, id=np.arange(ROWS))
    found = prepared(path, target="id", split={"column": "part"})
    assert found.columns == ["x"]
    assert found.notes == ()


# -- containers ----------------------------------------------------------------------------------

FRAME = pd.DataFrame({"x": np.arange(ROWS) / 4, "colour": ["red", "blue"] * (ROWS // 2), "y": LABELS})


def _zipped(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner/t.csv", content)
        archive.writestr("__MACOSX/t.csv", b"noise")


WRITERS = {
    "t.csv.gz": lambda path, content: path.write_bytes(gzip.compress(content)),
    "gzipped.csv": lambda path, content: path.write_bytes(gzip.compress(content)),
    "t.csv.xz": lambda path, content: path.write_bytes(lzma.compress(content)),
    "t.csv.bz2": lambda path, content: path.write_bytes(bz2.compress(content)),
    "t.csv.zst": lambda path, content: path.write_bytes(pa.compress(content, "zstd", asbytes=True)),
    "t.csv.zip": _zipped,
    "t.zip": _zipped,
    "t.tsv": lambda path, content: path.write_bytes(content.replace(b",", b"\t")),
    "bars.csv": lambda path, content: path.write_bytes(content.replace(b",", b"|")),
    "crlf.csv": lambda path, content: path.write_bytes(content.replace(b"\n", b"\r\n")),
    "bom.csv": lambda path, content: path.write_bytes(b"\xef\xbb\xbf" + content),
    "t.jsonl": lambda path, content: FRAME.to_json(path, orient="records", lines=True),
    "t.parquet": lambda path, content: FRAME.to_parquet(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_container_holds_the_same_table(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, FRAME.to_csv(index=False).encode())
    found = prepared(tmp_path / name).whole.frame
    assert found["x"].tolist() == FRAME["x"].tolist()
    assert found["colour"].tolist() == FRAME["colour"].tolist()
    assert found["y"].tolist() == LABELS


def test_a_folder_of_parquet_parts_and_an_index_with_a_name(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    FRAME.iloc[:20].set_index("x").to_parquet(folder / "a.parquet")
    FRAME.iloc[20:].set_index("x").to_parquet(folder / "b.parquet")
    (folder / "_SUCCESS").touch()
    assert prepared(folder).whole.frame["x"].tolist() == FRAME["x"].tolist()


def test_a_table_beside_texts_in_a_zip_is_read_and_several_are_listed(tmp_path: Path) -> None:
    table = "x,y\n" + "".join(f"{n / 2},{label}\n" for n, label in enumerate(LABELS))
    for name, others in (("a.zip", ["README.md", "names.txt"]), ("b.zip", ["test.csv"])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for each in ("train.csv", *others):
                archive.writestr(each, table)
    assert facts(tmp_path / "a.zip").rows == ROWS
    with pytest.raises(DataError, match=r'found 2 tables: "train.csv", "test.csv"; unpack the one you mean'):
        facts(tmp_path / "b.zip")
    (tmp_path / "folder").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "folder" / name).write_text(table)
    with pytest.raises(DataError, match=r'folder: expected one table.*found "a.csv", "b.csv"; name one'):
        facts(tmp_path / "folder")


def test_pandas_categories_and_numbered_names_in_parquet(tmp_path: Path) -> None:
    pd.DataFrame({0: pd.Categorical([1, 2, 3] * 20), 1: LABELS}).to_parquet(tmp_path / "t.parquet")
    assert fact(facts(tmp_path / "t.parquet", "1"), "0").kind == "category"


def test_what_is_saved_in_place_of_a_table_is_named(tmp_path: Path) -> None:
    for content, found in (
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        ("<!DOCTYPE html>\n<p>404", "a web page"),
        ("sep=;\nx;y\n1;2\n", "Excel's line"),
    ):
        (tmp_path / "t.csv").write_text(content)
        with pytest.raises(DataError, match=f"found {found}"):
            facts(tmp_path / "t.csv", None)


def test_arff_as_weka_and_openml_write_it(tmp_path: Path) -> None:
    head = (
        "% about\n@RELATION r\n@ATTRIBUTE 'the size' REAL\n@attribute c {red, 'dark blue', 'it\\'s'}\n"
        "@attribute day date 'yyyy-MM-dd'\n@attribute s string\n@attribute y {caf\u00e9,tea}\n\n@DATA\n"
    )
    rows = (
        "1.5,red,2018-01-31,'a, b',caf\u00e9\n?, 'dark blue' ,2018-02-01,\"c\",tea\n"
        "2,'it\\'s',2018-02-02,?,tea\n"
    )
    path = tmp_path / "t.arff"
    path.write_text(head + "% rows\n" + rows * 10, encoding="utf-8")
    read = prepared(path).raw.frame
    assert read["the size"].tolist()[::2][:2] == [1.5, 2]
    assert read["c"].tolist()[:3] == ["red", "dark blue", "it's"]
    assert read["day"].iloc[0] == pd.Timestamp("2018-01-31")
    assert read["s"].tolist()[:2] == ["a, b", "c"]
    assert read["s"].isna()[2]
    assert facts(path).classes == ("caf\u00e9", "tea")
    for line, found in (
        ("{0 1.5, 4 tea}", r"t.arff:10: sparse ARFF is not read"),
        ("1,red", r"t.arff:10: expected 5 values, one an attribute; found 2"),
        ("wide,red,2018-01-31,a,tea", 'column "the size": expected numbers, as its @attribute says'),
    ):
        path.write_text(head + line + "\n", encoding="utf-8")
        with pytest.raises(DataError, match=found):
            facts(path)


def test_arff(tmp_path: Path) -> None:
    rows = "".join(f"{row / 4},{'?' if row % 9 == 0 else row % 3},{LABELS[row]}\n" for row in range(ROWS))
    head = "@relation t\n@attribute x numeric\n@attribute code {0,1,2}\n@attribute y {no,yes}\n@data\n"
    (tmp_path / "t.arff").write_text(head + rows)
    found = prepared(tmp_path / "t.arff")
    assert found.whole.frame["x"].tolist() == FRAME["x"].tolist()
    assert found.target.classes == ("no", "yes")
    assert {column.name: column.kind for column in found.whole.schema}["code"] == "category"


def test_exact_integers_survive_missing_ones(tmp_path: Path) -> None:
    y = pa.array([10**18, 10**18 + 1, 10**18 + 2] * 20, pa.int64())
    y = pa.concat_arrays([y, pa.array([None], pa.int64())])
    pq.write_table(pa.table({"x": pa.array(np.arange(61) / 4), "y": y}), tmp_path / "t.parquet")
    classes = prepared(tmp_path / "t.parquet").target.classes
    assert classes == (str(10**18), str(10**18 + 1), str(10**18 + 2))


def test_what_grows_beyond_measure_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"x,y\n" + b"1,a\n" * (17 << 20)))
    with pytest.raises(HpsearchError, match="grows to more than 200 times its size"):
        prepared(tmp_path / "bomb.csv.gz")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.1,3.5,0\n4.9,3.0,1\n", "expected a header line with the names of the columns; found the numbers"),
        ("# a title\nx,y\n1,a\n", "the first line must be the header, with no title or comment above it"),
    ],
)
def test_a_file_without_its_header_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=expected):
        facts(tmp_path / "t.csv", None)


def test_what_is_read_without_a_target_and_the_likely_one(tmp_path: Path) -> None:
    FRAME.rename(columns={"colour": "Label"}).to_csv(tmp_path / "t.csv", index=False)
    found = facts(tmp_path / "t.csv", None)
    assert (found.target, found.likely, found.rows) == (None, "Label", ROWS)
    document = found.document()
    assert document["format"] == "hpsearch.data/1"
    assert document["columns"][0] == {
        "name": "x",
        "kind": "number",
        "used": True,
        "reason": None,
        "missing": 0,
        "distinct": ROWS,
        "examples": ["0", "0.25", "0.5"],
        "min": 0.0,
        "max": 14.75,
        "mean": pytest.approx(7.375),
    }


def test_unknown_columns_and_kinds_are_complained_about(tmp_path: Path) -> None:
    path = write(tmp_path, x=np.arange(ROWS) / 4, y=LABELS)
    with pytest.raises(HpsearchError, match='there is no column "X"'):
        prepared(path, columns={"X": "ignore"})
    with pytest.raises(HpsearchError, match='"y" is the target; it cannot be ignored'):
        prepared(path, columns={"y": "ignore"})


def test_a_study_that_was_read_otherwise_is_not_resumed(tmp_path: Path) -> None:
    """As one that was begun before ids were left out: its trials saw other features."""
    import hpsearch
    from hpsearch.errors import StudyChangedError
    from hpsearch.store import Database

    write(tmp_path, x=np.arange(ROWS) / 4, y=LABELS)
    text = '[data]\nsource = "t.csv"\ntarget = "y"\n[train]\nepochs = 2\n[search]\ntrials = 2\n'
    (tmp_path / "s.toml").write_text(text)
    storage = f"sqlite:///{tmp_path}/x.db"
    hpsearch.run(tmp_path / "s.toml", storage=storage, confirm=False)
    with Database.open(storage) as database:
        store = database.study("s")
        summary = {**store.record.data_summary, "features": 2}
        store.update_record(replace(store.record, data_summary=summary))
    for call in (
        lambda: hpsearch.run(tmp_path / "s.toml", storage=storage),
        lambda: hpsearch.confirm("s", storage=storage),
    ):
        with pytest.raises(StudyChangedError, match=r"2 features, 2 classes then; 1 features, 2 classes now"):
            call()


def _late(rows: int) -> dict[str, list[str]]:
    """Columns whose last rows are not as the first ones."""
    numbers = [f"{place / 7:.3f}" for place in range(rows)]
    return {
        "plain": numbers,
        "marked": [*numbers[:-2], "NA", "nan"],
        "word": [*map(str, range(rows - 1)), "large"],
        "padded": [*map(str, range(1, rows)), "007"],
        "long": [*map(str, range(1, rows)), "12345678901234567890"],
        "nothing": [""] * (rows - 1) + ["7.25"],
        "none": ["NA"] * rows,
        "colour": [("red", "blue", "Red", "?")[place % 4] for place in range(rows)],
        "free": [f"text {place} of {rows}" for place in range(rows)],
        "key": [f"k{place}" for place in range(rows)],
        "day": [
            f"{place % 28 + 1}.{place // 28 % 12 + 1}.{1900 + place // 336 % 99}" for place in range(rows)
        ],
        "truth": [("true", "False", "")[place % 3] for place in range(rows)],
        "infinite": ["0.5", *["inf"] * (rows - 1)],
        "thousands": [f"{place % 900 + 1}.{place % 1000:03}" for place in range(rows)],
    }


@pytest.mark.parametrize("quotes", [0, 1])
@pytest.mark.parametrize("blanks", ["", " "])
def test_a_file_that_is_read_in_blocks_is_read_as_its_texts_are(
    tmp_path: Path, quotes: int, blanks: str
) -> None:
    rows, path = 60_000, tmp_path / "t.csv"
    columns = {name: [value + blanks for value in values] for name, values in _late(rows).items()}
    table = pd.DataFrame(columns)
    asked = {"word": Asked("number", missing=("large",))}
    table.to_csv(path, index=False, quoting=quotes, encoding="utf-8")
    assert path.stat().st_size > 1.2 * (4 << 20)
    texts = {
        name: pa.chunked_array([pa.array([value.strip() or None for value in values], pa.string())])
        for name, values in columns.items()
    }
    read = read_texts(path, lambda key, text: DataError(text), {"word": False})
    schema, frame = read_columns(read, asked)
    expected, values = read_columns(Table(texts, lambda row: f"{path}:{row + 2}", rows, bare=True), asked)
    assert read.rows == rows
    assert {"plain", "marked", "nothing", "infinite"} <= {*read.numbers}
    assert {"colour", "truth"} <= {*read.few}
    assert schema == expected
    pd.testing.assert_frame_equal(frame, values)
