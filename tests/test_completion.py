"""What shells complete, asked as their own completion functions ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.studies import command, write_study
from tests.studies import hpsearch as run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stored study of three trials in the default database, and one more database."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "studies").mkdir()
    write_study(folder / "studies", name="small", trials=3)
    words = ("run", "studies/small.toml", "--no-confirm")
    assert run(*words, cwd=folder).returncode == 0
    assert run(*words, "--set", "study.name=other", "--storage", "sqlite:///o.db", cwd=folder).returncode == 0
    (folder / "t.csv").write_text("sepal length (cm);kind\n1;a\n", encoding="utf-8")
    return folder


def completed(place: Path, shell: str, typed: str, **environment: str) -> list[str]:
    """What zsh or fish is told of a line."""
    environment |= {"_HPSEARCH_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": typed}
    done = subprocess.run(
        command(),
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "_TYPER_COMPLETE_FISH_ACTION": "get-args", **environment},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def in_bash(place: Path, *words: str) -> list[str]:
    """What bash proposes for the last word; words are split as bash does it, at : and =, too."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    program = place / "bin" / "hpsearch"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!{bash}\nexec "{sys.executable}" -m hpsearch "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    script = (
        'eval "$(_HPSEARCH_COMPLETE=source_bash hpsearch)"\n'
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
        "_hpsearch_completion hpsearch\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [bash, "--norc", "-c", script, "bash", "hpsearch", *words],
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if line]


def test_bash_completes_commands_studies_trials_and_columns(place: Path) -> None:
    assert in_bash(place, "comp") == ["compare", "compact"]
    assert in_bash(place, "report", "") == ["small", "studies/small.toml"]
    assert in_bash(place, "report", "stu") == ["studies/small.toml"]
    assert in_bash(place, "run", "xo") == ["xor"]
    assert in_bash(place, "show", "small", "") == ["0", "1", "2"]
    assert in_bash(place, "replay", "studies/small.toml", "0", "") == ["0", "1", "2"]
    assert in_bash(place, "export", "small", "--trial", "") == ["0", "1", "2"]
    assert in_bash(place, "init", "t.csv", "--target", "") == [r"sepal\ length\ \(cm\)", "kind"]
    assert in_bash(place, "data", "t.csv", "--target", "=", "k") == ["kind"]
    assert in_bash(place, "export", "--on") == ["--onnx"]


def test_bash_splits_words_at_colons_and_equal_signs(place: Path) -> None:
    assert in_bash(place, "show", "--storage", "sqlite", ":", "///o.db", "ot") == ["other"]
    assert in_bash(place, "show", "--storage", "=", "sqlite", ":", "///o.db", "o") == ["other"]
    assert in_bash(place, "compare", "small", ":", "") == ["0", "1", "2"]
    assert in_bash(place, "compare", "small", "small", ":", "1") == ["1"]


def test_zsh_and_fish_are_told_what_each_is(place: Path) -> None:
    assert completed(place, "fish", "hpsearch show ") == [
        "small\ta stored study",
        "studies/small.toml\ta study file",
    ]
    assert completed(place, "fish", "hpsearch show s", HPSEARCH_STORAGE="sqlite:///o.db") == [
        "studies/small.toml\ta study file"
    ]
    assert completed(place, "fish", "hpsearch show o", HPSEARCH_STORAGE="sqlite:///o.db") == [
        "other\ta stored study"
    ]
    (first, *_) = completed(place, "fish", "hpsearch show small ")
    assert first.startswith("0\t")
    assert " epochs, 0." in first
    shown = "\n".join(completed(place, "zsh", "hpsearch show sm"))
    assert shown == """_arguments '*: :(("small":"a stored study"))'"""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_brackets_in_help_are_kept(place: Path, shell: str) -> None:
    """typer renders it as markup, in which [onnx] is a style."""
    assert "hpsearch[onnx]" in "\n".join(completed(place, shell, "hpsearch export --on"))


@pytest.mark.parametrize(
    ("typed", "storage"),
    [
        ("hpsearch show ", "sqlite:///none.db"),
        ("hpsearch show small ", "sqlite:///none.db"),
        ("hpsearch show ", "sqlite:///t.csv"),
        ("hpsearch show nothing ", "sqlite:///hpsearch.db"),
        ("hpsearch show studies/none.toml ", "sqlite:///hpsearch.db"),
        ("hpsearch show ", "postgresql://nobody@127.0.0.1:1/x"),
        ("hpsearch show ", "no url"),
        ("hpsearch init none.csv --target ", ""),
        ("hpsearch init hpsearch.db --target ", ""),
    ],
)
def test_whatever_goes_wrong_is_silent_and_creates_nothing(place: Path, typed: str, storage: str) -> None:
    before = sorted(place.iterdir())
    lines = completed(place, "fish", typed, HPSEARCH_STORAGE=storage)
    assert all(line.startswith("studies/") for line in lines)
    assert sorted(place.iterdir()) == before


def test_words_that_mean_nothing_are_silent(place: Path) -> None:
    for typed in ("hpsearch 'unclosed ", "hpsearch nonsense ", "hpsearch show --nonsense x ", ""):
        completed(place, "fish", typed)
        completed(place, "zsh", typed)


def test_completion_imports_nothing_heavy(place: Path) -> None:
    code = (
        "import os, sys\n"
        "os.environ |= {'_HPSEARCH_COMPLETE': 'complete_bash', 'COMP_CWORD': '2'}\n"
        "from hpsearch.cli.app import app, completion\n"
        "for line in ('show', 'run', 'show small', 'init t.csv --target'):\n"
        "    os.environ['COMP_WORDS'] = '\\n'.join(['hpsearch', *line.split(), ''])\n"
        "    os.environ['COMP_CWORD'] = str(len(line.split()) + 1)\n"
        "    assert completion.complete(app) == 0\n"
        "heavy = {'torch', 'sqlalchemy', 'optuna', 'pandas', 'numpy', 'sklearn', 'pyarrow'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=place, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stdout
    assert "kind" in done.stdout.splitlines()


def test_the_names_of_studies_that_come_along_are_those_that_init_lists() -> None:
    from hpsearch.running.shipped import shipped, shipped_names

    assert shipped_names() == [each.name for each in shipped()]
    assert "xor" in shipped_names()
