"""The help: every command on one screen, and no word of it lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.table import Table

from hpsearch.cli.app import app
from hpsearch.cli.help import GROUPS
from hpsearch.reporting.tables import plain_text
from tests.studies import hpsearch as command

COMMANDS = [name for _, commands in GROUPS for name, _ in commands]


def test_the_help_fits_a_screen_of_80_by_24(tmp_path: Path) -> None:
    done = command("--help", cwd=tmp_path, COLUMNS="80")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) <= 22  # the command itself and the next prompt are on the screen, too
    assert max(map(len, lines)) <= 80
    words = done.stdout.split()
    assert all(name in words for name in COMMANDS)
    assert all(f"{title}:" in words for title in ("Study", "Results", "Models", "Storage"))
    assert "hpsearch init" in done.stdout
    for option in ("--version", "--install-completion", "--show-completion", "--help"):
        assert option in done.stdout


def test_every_command_is_in_one_group() -> None:
    registered = [each.name for each in app.registered_commands]
    assert sorted(registered) == sorted(set(COMMANDS)) == sorted(COMMANDS)


def test_a_narrow_terminal_gets_the_groups_below_each_other(tmp_path: Path) -> None:
    done = command("--help", cwd=tmp_path, COLUMNS="60")
    assert [line for line in done.stdout.splitlines() if line.endswith(":")] == [
        f"{title}:" for title, _ in GROUPS
    ]


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_no_help_is_cut(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`TRIAL...` says that there may be several; three dots after a blank or a word cut something."""
    app([*filter(None, [name]), "--help"], prog_name="hpsearch", standalone_mode=False)
    for line in capsys.readouterr().out.splitlines():
        assert not line.endswith("...") or line.startswith("Usage:"), line


def test_words_in_brackets_are_kept_in_help_and_in_text_files(capsys: pytest.CaptureFixture[str]) -> None:
    app(["export", "--help"], prog_name="hpsearch", standalone_mode=False)
    assert "hpsearch[onnx]" in capsys.readouterr().out
    table = Table.grid()
    table.add_row("pip install hpsearch[onnx]", "[compare] by = 1 :smile:")
    assert plain_text(table, 100) == "pip install hpsearch[onnx][compare] by = 1 :smile:\n"
    assert plain_text("see [compare] and [onnx]", 100) == "see [compare] and [onnx]\n"
