# ruff: noqa: E501
"""Study files that no one writes on purpose: refused in one line, at once, and nothing is stored."""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter

import pytest

from hpsearch.errors import HpsearchError
from hpsearch.study.file import load_study, study_from_document
from hpsearch.study.space import Range
from tests.fuzzing import said
from tests.studies import url

DATA = '[data]\nsource = "iris"\n'
HUGE = "1" + "0" * 400
BAD = [
    ("nested lists", DATA + "[space]\ndepth = " + "[" * 5000 + "]" * 5000, "lists and tables inside each other"),
    ("some nested", DATA + "[search.options]\nx = " + "[" * 90 + "]" * 90, "at most 64 lists and tables"),
    ("dotted", DATA + "[space]\n" + ".".join("a" * 100_000) + " = 1", "s.toml:4:1: not valid TOML: expected a key"),
    ("dotted table", "[" + ".".join("a" * 500) + "]", "expected a key of a few parts"),
    ("4,401 digits", DATA + "[space]\ndepth = " + "1" * 4401, "s.toml:4:9: not valid TOML: expected a whole number"),
    *(
        (f"{key} 10^400", text.replace("HUGE", HUGE), "of at most 19 digits, up to 9223372036854775807")
        for key, text in (
            ("seed", "[study]\nseed = HUGE\n" + DATA),
            ("rows", '[data]\nsource = "xor"\nrows = HUGE'),
            ("depth", DATA + "[space]\ndepth = HUGE"),
            ("low", DATA + "[space]\nbatch_size = { low = 1, high = HUGE }"),
            ("learning_rate", DATA + "[space]\nlearning_rate = HUGE"),
            ("epochs", DATA + "[train]\nepochs = HUGE"),
            ("trials", DATA + "[search]\ntrials = HUGE"),
            ("time_limit", DATA + "[search]\ntime_limit = HUGE"),
            ("seeds", DATA + '[compare]\nby = "depth"\nseeds = HUGE'),
            ("forbidden", DATA + "[space]\ndepth = [1, 2]\n[[forbidden]]\ndepth = HUGE"),
            ("options", DATA + "[search.options]\nx = [HUGE]"),
            ("hexadecimal", DATA + "[space]\nwidth = 0x" + "f" * 9000),
        )
    ),
    ("cohort", DATA + "[search]\ncohort = 9223372036854775807", "less than or equal to 100000"),
    ("points", '[data]\nsource = "xor"\nrows = 9223372036854775807', "less than or equal to 10000000"),
    (
        "step",
        DATA + "[space]\nlearning_rate = { low = 0.001, high = 1.0, step = 1e-300 }",
        "s.toml:4:44: space.learning_rate.step: 1e-300 is too fine for the range 0.001…1; leave it out",
    ),
    (
        "nothing left",
        DATA + "[space]\ndepth = [1, 2]\n[[forbidden]]\ndepth = 1\n[[forbidden]]\ndepth = 2",
        "s.toml:5:1: forbidden: forbid every trial together; forbid less, or widen [space]",
    ),
    (
        "no range left",
        DATA + "[space]\nlearning_rate = { low = 0.1, high = 1.0 }\n[[forbidden]]\nlearning_rate = { low = 0.3 }\n"
        "[[forbidden]]\nlearning_rate = { high = 0.3 }",
        "forbid every trial together",
    ),
    (
        "none of a default",
        DATA + '[space]\ndepth = [1, 2]\n[[forbidden]]\nactivation = "relu"',
        "forbid every trial together",
    ),
    (
        "column",
        DATA + "[data.columns]\nx = { mising = [] }",
        's.toml:4:7: data.columns.x.mising: unknown key; did you mean "missing"? (known: kind, decimal, missing, ',
    ),
    ("column kind", DATA + "[data.columns]\nx = 5", "data.columns.x: expected a table with kind, decimal, missing"),
    ("NaN", DATA + "[space]\nmomentum = [0.1, 0.2]\n[[forbidden]]\nmomentum = { low = nan }", "found nan"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_it_is_refused_at_once_and_nothing_is_stored(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    start = perf_counter()
    for more in ((), ("--dry-run",)):
        found = said(("run", str(path), "--storage", url(tmp_path / "x.db"), *more), tmp_path)
        assert found.code == 2, found.err
        assert expected in found.err
        assert len(found.err.splitlines()) <= 2
        assert len(found.err) < 1000
        assert os.listdir(tmp_path) == ["s.toml"]
    assert perf_counter() - start < 10


@pytest.mark.parametrize(
    "text",
    [
        "x" * 200_000,
        DATA + "source2 = '" + "x" * 200_000 + "'",
        DATA + "x" * 200_000 + " = 1",
        DATA + "x = [" + "a " * 100_000 + "]",
        DATA + "x = '''" + '\\"' * 100_000 + "'''",
        DATA + "x = {" + ", ".join(f"a{at} = 1" for at in range(20_000)) + "}",
        "#" + " " * 200_000,
        DATA + "x" + " " * 200_000 + "= 1",
        "[" * 200_000,
        '"' * 200_000,
    ],
)
def test_long_lines_take_no_time(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    start = perf_counter()
    with pytest.raises(HpsearchError):
        load_study(path)
    assert perf_counter() - start < 5


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xef\xbb\xbf" + DATA.replace("\n", "\r\n").encode())
    assert load_study(path).data.source == "iris"


def test_a_pipe_is_no_study_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.toml")
    with pytest.raises(HpsearchError, match="found a pipe or a device"):
        load_study(tmp_path / "s.toml")


def test_many_complaints_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(DATA + "[space]\n" + "\n".join(f"a{at} = 1" for at in range(200)), encoding="utf-8")
    with pytest.raises(HpsearchError) as caught:
        load_study(path)
    assert len(str(caught.value).splitlines()) == 51
    assert str(caught.value).endswith("… and 150 more")


def test_what_the_sampler_refuses_is_not_stored(tmp_path: Path) -> None:
    """Otherwise the mended file would be another study than the one that is stored."""
    path, storage = tmp_path / "s.toml", url(tmp_path / "x.db")
    for wrong in (
        "[space]\nlearning_rate = { low = 0.1, high = 1.0 }\n[search]\nsampler = 'grid'",
        "[space]\nlearning_rate = { low = 0.1, high = 1.0 }\n[search]\nsampler = 'no.such:Sampler'",
        "[space]\nlearning_rate = { low = 0.1, high = 1.0 }\n[[forbidden]]\n"
        "learning_rate = { low = 0.1000001 }",
    ):
        path.write_text(DATA + wrong, encoding="utf-8")
        for more in ((), ("--dry-run",)):
            assert said(("run", str(path), "--storage", storage, *more), tmp_path).code == 2
            assert os.listdir(tmp_path) == ["s.toml"], wrong


@pytest.mark.parametrize("high", [10**3, 10**6, 10**8, 2**63 - 1])
def test_a_range_of_batch_sizes_is_one_line(tmp_path: Path, high: int) -> None:
    path = tmp_path / "s.toml"
    path.write_text(DATA + f"[space]\nbatch_size = {{ low = 16, high = {high} }}", encoding="utf-8")
    start = perf_counter()
    found = said(("run", str(path), "--dry-run"), tmp_path)
    assert perf_counter() - start < 20
    assert found.code == 0, found.err
    note = next(line for line in found.err.splitlines() if line.startswith("note"))
    assert note == f"note     batch_size 91 to {high} exceeds the 90 training rows: all rows form one batch"


def test_a_range_is_shown_up_to_its_last_step(tmp_path: Path) -> None:
    assert str(Range(0.0, 1.0, step=0.3)) == "0…0.9 step 0.3"
    assert Range(8, 100, step=32, integer=True).last == 72
    path = tmp_path / "s.toml"
    path.write_text(
        DATA
        + "[space]\nbatch_size = { low = 8, high = 100, step = 32 }\nmomentum = { low = 0.0, high = 0.9, "
        "step = 0.25 }\n[train]\nepochs = 1\n[search]\ntrials = 3",
        encoding="utf-8",
    )
    for more in (("--dry-run",), ("--no-confirm",)):
        found = said(("run", str(path), *more), tmp_path)
        assert found.code == 0, found.err
        assert "Warning" not in found.err
        assert "search   batch_size 8…72 step 32 · momentum 0…0.75 step 0.25" in found.err


LONG = "n" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("run", LONG),
        ("run", LONG + ".toml"),
        ("show", LONG),
        ("report", LONG),
        ("init", LONG),
        ("init", LONG + ".toml"),
        ("dump", "x", LONG + ".json"),
        ("load", LONG),
        ("doctor", "--storage", f"sqlite:///{LONG}.db"),
        ("list", "--storage", f"sqlite:///{LONG}.db"),
        ("run", "s.toml", "--storage", f"sqlite:///{LONG}.db"),
        ("run", "s.toml", "--storage", f"sqlite:///{LONG}/x.db"),
        ("doctor", "--salvage", f"{LONG}.db", "--storage", "sqlite:///x.db"),
        ("run", "s.toml", "--fork", LONG),
        ("predict", LONG, LONG),
        ("compare", LONG, LONG),
        ("variance", LONG, "--out", f"{LONG}.png"),
    ],
)
def test_names_too_long_for_the_file_system(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "s.toml").write_text(DATA, encoding="utf-8")
    found = said(words, tmp_path)
    assert "Traceback" not in found.err, found.err
    assert found.code in ((0, 1, 2) if words[0] == "doctor" else (2,)), found
    assert os.listdir(tmp_path) == ["s.toml"]


def test_what_is_stored_stays_readable_though_it_forbids_everything(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(DATA + "[space]\ndepth = [1, 2]\n[[forbidden]]\ndepth = 1", encoding="utf-8")
    document = load_study(path).document()
    document["forbidden"].append({"depth": 2})
    assert len(study_from_document(document).forbidden) == 2
