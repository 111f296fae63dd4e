"""`report`, `curves`, `list`, `show` and `delete` on a real database."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from hpsearch.cli.app import app
from hpsearch.errors import HpsearchError, NothingToShowError, UnknownStudyError
from hpsearch.records import Cohort, Segment, State, Trial
from hpsearch.store import Database
from tests.report_study import EPOCHS, example

COUNT = 40


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the example study `digits`, and `begun`, in which nothing is finished."""
    url = f"sqlite:///{tmp_path_factory.mktemp('storage') / 'studies.db'}"
    record, trials, curves = example(COUNT)
    with Database.open(url, create=True) as database:
        store = database.create_study(record)
        store.begin()
        asked = [Trial(trial.number, 0, trial.params) for trial in trials]
        lanes = {trial.number: (0, EPOCHS) for trial in trials}
        segments = [Segment(number, 0, 1, curve) for number, curve in curves.items()]
        store.commit(cohort=Cohort(0, lanes), started=asked)
        updated = [replace(trial, cohort=0) for trial in trials]
        store.commit(segments=segments, updated=updated, seconds=record.seconds)
        store.end()
        document = record.document | {"study": {"name": "begun", "seed": 0}}
        begun = database.create_study(replace(record, name="begun", document=document))
        begun.begin()
        begun.commit(cohort=Cohort(0, {0: (0, EPOCHS)}), started=[replace(asked[0])])
        begun.end()
    return url


def call(storage: str, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--storage", storage])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code
    return result


def test_the_table_is_plain_and_within_the_columns(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in ("80", "120"):
        monkeypatch.setenv("COLUMNS", width)
        text = call(storage, "report", "digits").stdout
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) <= int(width)
        assert "validation accuracy by epoch" in text


def test_the_study_may_be_named_by_its_file_and_the_storage_by_the_environment(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "digits.toml"
    path.write_text('[data]\nsource = "digits"\n')
    monkeypatch.setenv("HPSEARCH_STORAGE", storage)
    result = CliRunner().invoke(app, ["report", str(path), "--format", "json"])
    assert json.loads(result.stdout)["study"]["name"] == "digits"


def test_json_and_csv_tell_what_was_stored(storage: str) -> None:
    _, trials, curves = example(COUNT)
    rows = json.loads(call(storage, "report", "digits", "--format", "json").stdout)["trials"]
    table = list(csv.DictReader(StringIO(call(storage, "report", "digits", "--format", "csv").stdout)))
    assert len(rows) == len(table) == COUNT
    for row, line in zip(rows, table, strict=True):
        trial = trials[row["trial"]]
        assert (row["state"], row["value"], row["params"]) == (trial.state, trial.value, trial.params)
        assert line["trial"] == str(trial.number)
        assert float(line["value"] or "nan") == pytest.approx(trial.value or np.nan, abs=0, nan_ok=True)
        assert float(line["param_learning_rate"]) == trial.params["learning_rate"]
    points = csv.DictReader(StringIO(call(storage, "curves", "digits", "--format", "csv").stdout))
    assert [(int(p["trial"]), int(p["epoch"])) for p in points] == [
        (number, epoch) for number in sorted(curves) for epoch in range(1, len(curves[number]) + 1)
    ]


def test_top_and_markdown(storage: str) -> None:
    top = json.loads(call(storage, "report", "digits", "--format", "json", "--top", "2").stdout)
    assert [row["rank"] for row in top["trials"]] == [1, 2]
    assert call(storage, "report", "digits", "--format", "markdown").stdout.startswith("# digits\n")


def test_out_writes_all_files_and_says_so_on_stderr(storage: str, tmp_path: Path) -> None:
    result = call(storage, "report", "digits", "--out", str(tmp_path / "out"), "--format", "json")
    assert len(list((tmp_path / "out").iterdir())) == 11
    count = sum(path.is_file() for path in (tmp_path / "out").rglob("*"))
    page = tmp_path / "out" / "report.html"
    assert result.stderr == f"wrote {count} files into {tmp_path / 'out'}; to read it, open {page}\n"
    assert page.is_file()
    assert json.loads(result.stdout)["format"] == "hpsearch.report/1"


def test_curves_of_some_trials_in_every_format(storage: str, tmp_path: Path) -> None:
    _, _, curves = example(COUNT)
    document = json.loads(
        call(storage, "curves", "digits", "--trial", "1", "--trial", "0", "--format", "json").stdout
    )
    assert {row[0] for row in document["rows"]} == {0, 1}
    result = call(storage, "curves", "digits", "--format", "parquet")
    frame = pd.read_parquet(BytesIO(result.stdout_bytes))
    assert len(frame) == sum(map(len, curves.values()))
    path = tmp_path / "curves.parquet"
    call(storage, "curves", "digits", "--format", "parquet", "--out", str(path))
    assert pd.read_parquet(path).equals(frame)
    assert "train_accuracy" in call(storage, "curves", "digits", "--trial", "1").stdout
    assert "#1" in call(storage, "curves", "digits").stdout


def test_list_and_show(storage: str) -> None:
    studies = json.loads(call(storage, "list", "--format", "json").stdout)["studies"]
    assert {study["name"]: sum(study["counts"].values()) for study in studies} == {
        "digits": COUNT,
        "begun": 1,
    }
    assert "digits" in call(storage, "list").stdout
    assert "[space]" in call(storage, "show", "digits").stdout
    complete = next(trial.number for trial in example(COUNT)[1] if trial.state is State.COMPLETE)
    assert f"#{complete}   complete, rank" in call(storage, "show", "digits", str(complete)).stdout
    assert "unfinished" in call(storage, "show", "begun", "0").stdout


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (("report", "digitz"), UnknownStudyError, "digits"),
        (("report", "missing.toml"), HpsearchError, "no such study file"),
        (("report", "begun"), NothingToShowError, "found 1 unfinished"),
        (("curves", "digits", "--trial", "99"), HpsearchError, "from 0 to 39; found --trial 99"),
        (("show", "digits", "99"), HpsearchError, "from 0 to 39; found trial 99"),
        (("curves", "digits", "--format", "csv", "--out", "/dev/null/x"), HpsearchError, "--out"),
        (("delete", "digits"), HpsearchError, "--yes"),
    ],
)
def test_wrong_use_is_one_clear_error(
    storage: str, arguments: tuple[str, ...], kind: type[HpsearchError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        call(storage, *arguments)


def test_delete_removes_the_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    with Database.open(url, create=True) as database:
        database.create_study(example(1)[0])
    assert "deleted study digits with 0 trials" in call(url, "delete", "digits", "--yes").stderr
    with pytest.raises(NothingToShowError, match="no study is stored"):
        call(url, "list")


def test_a_reader_that_goes_away_is_no_error(storage: str) -> None:
    command = [sys.executable, "-m", "hpsearch", "curves", "digits", "--format", "csv", "--storage", storage]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_commands_are_light_to_import() -> None:
    modules = "report", "curves", "stored", "common"
    heavy = "torch", "pandas", "sklearn", "sqlalchemy", "optuna", "matplotlib", "pyarrow"
    code = "import sys; " + "; ".join(f"import hpsearch.cli.{name}" for name in modules)
    code += f"; print([name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_a_page_is_the_only_file_that_is_written_or_goes_into_a_pipe(storage: str, tmp_path: Path) -> None:
    call(storage, "report", "digits", "--format", "html", "--out", str(tmp_path / "a"))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["report.html"]
    piped = call(storage, "report", "digits", "--format", "html").stdout
    assert piped == (tmp_path / "a" / "report.html").read_text(encoding="utf-8")


def test_a_terminal_is_not_flooded(storage: str) -> None:
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "hpsearch", "report", "digits", "--format", "html", "--storage", storage]
    done = subprocess.run(command, stdout=follower, stderr=subprocess.PIPE, text=True)
    for end in (leader, follower):
        os.close(end)
    assert done.returncode == 2
    assert "html is not for a terminal: write it with --out DIR, or into a pipe" in done.stderr


def test_latex_and_parquet_have_the_trials(storage: str, tmp_path: Path) -> None:
    latex = call(storage, "report", "digits", "--format", "latex", "--top", "3").stdout
    assert latex.count(r" \\") == 1 + 3
    content = call(storage, "report", "digits", "--format", "parquet").stdout_bytes
    frame = pd.read_parquet(BytesIO(content))
    table = pd.read_csv(StringIO(call(storage, "report", "digits", "--format", "csv").stdout))
    assert frame["trial"].tolist() == table["trial"].tolist()
    assert frame["param_learning_rate"].tolist() == table["param_learning_rate"].tolist()
    call(storage, "report", "digits", "--format", "parquet", "--out", str(tmp_path))
    assert (tmp_path / "trials.parquet").read_bytes() == content
