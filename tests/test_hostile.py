"""Names, labels and cells from data and study files are inert in everything that hpsearch writes."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hpsearch.cli.app import app
from tests.studies import hpsearch, url

CORPUS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><svg onload=alert(1)>",
    "{{constructor.constructor('alert(1)')()}}",
    "${7*7} `id` $(id)",
    '=HYPERLINK("http://x","y")',
    "+1+cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "-2+3",
    "\t=1+1",
    "\r\n=1+1",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "a\u2028b\u2029c",
    "nul\x7f",
    r"\input{/etc/passwd} \write18{id} $x_1^2$ 100% a&b #1 ~",
    "| a | b |\n|---|---|",
    "[click](javascript:alert(1)) **bold** <!-- -->",
    "[bold]rich[/bold] [link=file:///]x[/link]",
    "%(x)s %n {0} {x}",
    "'; DROP TABLE trials; --",
    "../../etc/passwd",
)
"""What terminals, browsers, spreadsheets, LaTeX, Markdown, templates and shells would obey."""

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that terminals obey, but for the end of a line."""

FORMULA = re.compile(r"\s*[=+@-](?![\d.])|\s*-\d+[+*/]")


def write_hostile(folder: Path) -> Path:
    """A study of a table whose column names, cells and labels are the corpus."""
    random = np.random.default_rng(0)
    rows = 40 * len(CORPUS)
    labels = random.integers(0, 4, rows)
    frame = pd.DataFrame({name: random.normal(size=rows) + labels for name in CORPUS[:8]})
    frame[CORPUS[8]] = [CORPUS[place % len(CORPUS)] for place in range(rows)]
    frame["target"] = [CORPUS[(3 * label) % len(CORPUS)] for label in labels]
    frame.to_csv(folder / "hostile.csv", index=False)
    path = folder / "hostile.toml"
    path.write_text(
        """
[data]
source = "hostile.csv"
target = "target"
[space]
learning_rate = { low = 1e-3, high = 1.0, log = true }
activation = ["relu", "tanh"]
depth = [1, 2]
batch_size = 64
width = 8
[train]
epochs = 3
[search]
trials = 24
stopping = "none"
[compare]
by = "activation"
seeds = 3
repeats = 2
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study, its database, and its report in every format."""
    folder = tmp_path_factory.mktemp("hostile")
    done = hpsearch("run", write_hostile(folder), "--storage", url(folder / "x.db"))
    assert done.returncode == 0, done.stderr
    (folder / "run.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    done = hpsearch("report", "hostile", "--storage", url(folder / "x.db"), "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder


def said(folder: Path, *words: object) -> str:
    """What a command prints, both ways."""
    storage = () if words[0] == "doctor" else ("--storage", url(folder / "x.db"))
    done = CliRunner().invoke(app, [*map(str, words), *storage])
    assert done.exit_code == 0, done.output
    return done.stdout + done.stderr


def test_no_terminal_obeys_what_is_printed(hostile: Path) -> None:
    calls = (
        ("report", "hostile"),
        ("report", "hostile", "--format", "markdown"),
        ("report", "hostile", "--format", "json"),
        ("report", "hostile", "--format", "csv"),
        ("show", "hostile"),
        ("show", "hostile", 0),
        ("curves", "hostile"),
        ("confirm", "hostile"),
        ("list",),
        ("doctor",),
        ("run", hostile / "hostile.toml", "--dry-run"),
    )
    texts = [said(hostile, *words) for words in calls] + [(hostile / "run.txt").read_text(encoding="utf-8")]
    for words, text in zip((*calls, ("run",)), texts, strict=True):
        assert text.strip(), words
        assert not CONTROL.search(text), (words, CONTROL.search(text))


def test_json_says_the_very_words(hostile: Path) -> None:
    document = json.loads((hostile / "out/report.json").read_text(encoding="utf-8"))
    assert set(document["study"]["data"]["classes"]) <= {word.strip() for word in CORPUS}


def test_no_cell_of_a_csv_is_a_formula(hostile: Path) -> None:
    for text in (
        said(hostile, "report", "hostile", "--format", "csv"),
        (hostile / "out/trials.csv").read_text(encoding="utf-8"),
        (hostile / "out/curves.csv").read_text(encoding="utf-8"),
    ):
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                assert not FORMULA.match(cell), cell


def test_errors_name_hostile_words_without_obeying_them(tmp_path: Path) -> None:
    write_hostile(tmp_path)
    for wrong in CORPUS[::2] + CORPUS[9:13]:
        path = tmp_path / "bad.toml"
        quoted = json.dumps(wrong)
        path.write_text(f"[data]\nsource = {quoted}\n[space]\nactivation = [{quoted}]\n", encoding="utf-8")
        done = hpsearch("run", path, "--storage", url(tmp_path / "x.db"))
        assert done.returncode == 2, (wrong, done.stderr)
        assert "Traceback" not in done.stderr
        assert not CONTROL.search(done.stderr), (wrong, done.stderr)
