"""The documents are what the code says, and what they tell people to type works."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import PAGES
from hpsearch.cli.app import app
from hpsearch.study.file import load_study
from tests.studies import command

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_generated_pages_are_up_to_date(path: Path) -> None:
    """`make docs` renews them."""
    assert path.read_text(encoding="utf-8") == PAGES[path]()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "studies", folder / "studies")
    return folder


def test_the_readmes_commands_work_in_order(folder: Path) -> None:
    lines = [
        line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()
    ]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("hpsearch ")]
    assert len(commands) >= 8
    for words in commands:
        done = subprocess.run(command(*words), capture_output=True, text=True, cwd=folder, check=False)
        assert done.returncode == 0, (words, done.stderr)
        assert done.stdout.strip() or {"--out", "--tensorboard"} & set(words)


def test_the_readmes_python_works(folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "rank  trial     state" in done.stdout
    assert re.search(r"\d+ rows|0\.\d+", done.stdout)


def test_the_readmes_make_targets_and_links_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for link in re.findall(r"\]\(((?!https?:)[^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_command_is_in_the_readme_or_the_commands_page() -> None:
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    for registered in app.registered_commands:
        assert f"## hpsearch {registered.name}\n" in page


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "pandas", "numpy", "optuna", "sqlalchemy", "sklearn", "pydantic", "matplotlib", "PIL")
    code = (
        "import sys; from typer.testing import CliRunner; from hpsearch.cli.app import app; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_make_alone_lists_its_targets() -> None:
    done = subprocess.run(
        ["make"], capture_output=True, text=True, cwd=ROOT, check=True, env={**os.environ, "MAKEFLAGS": ""}
    )
    for target in ("demo", "test", "check", "bench", "report"):
        assert f"make {target} " in done.stdout


def test_the_example_of_columns_is_a_study_file(tmp_path: Path) -> None:
    page = (ROOT / "docs/study-file.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(\[data.columns\]\n.*?)```", page, re.DOTALL)
    (tmp_path / "s.toml").write_text(f'[data]\nsource = "t.csv"\ntarget = "y"\n{example}', encoding="utf-8")
    columns = load_study(tmp_path / "s.toml").data.asked_columns()
    assert columns["net price"] == {"decimal": ","}
    assert columns["row"] == {"kind": "ignore"}
