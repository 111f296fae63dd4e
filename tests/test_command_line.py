"""What the command line says of what was typed, and of what would run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hpsearch
from hpsearch.store import Database
from tests.studies import hpsearch as command
from tests.studies import url, write_study


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run x --trials abc", '--trials: expected a whole number; found "abc"'),
        ("run x --trials 0", '--trials: expected at least 1; found "0"'),
        ("show x abc", 'TRIAL: expected a whole number; found "abc"'),
        (
            "list --format tabel",
            '--format: expected one of table, json; found "tabel"; did you mean "table"?',
        ),
        ("run x --checkpoint all", '--checkpoint: expected one of none, rung; found "all"'),
        ("run", "missing argument STUDY; see hpsearch run --help"),
        ("run x --trails 3", "no such option: --trails; did you mean --trials?; see hpsearch run --help"),
        ("rum", "no such command rum; did you mean run?; see hpsearch --help"),
    ],
)
def test_what_cannot_be_parsed_is_told_in_one_line(tmp_path: Path, words: str, said: str) -> None:
    done = command(*words.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"hpsearch: {said}\n"


def test_a_long_word_does_not_fill_the_terminal(tmp_path: Path) -> None:
    done = command("run", "x", "--trials", "9" * 5000, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr) < 500


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A complete study, and its database."""
    folder = tmp_path_factory.mktemp("ran")
    path, storage = write_study(folder, trials=4), url(folder / "x.db")
    assert hpsearch.run(path, storage=storage, confirm=False).complete
    return path, storage


def test_a_dry_run_of_a_complete_study_says_that_nothing_is_left(ran: tuple[Path, str]) -> None:
    path, storage = ran
    done = command("run", path, "--dry-run", "--storage", storage)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "# complete: all 4 trials are finished, nothing to train"
    assert "about 0 epochs" not in done.stdout
    more = command("run", path, "--dry-run", "--trials", 6, "--storage", storage)
    assert "# 2 trials · 1 cohort · about" in more.stdout


def test_a_dry_run_refuses_what_a_run_refuses(ran: tuple[Path, str]) -> None:
    path, storage = ran
    words = ("run", path, "--set", "space.depth=[2, 3]", "--trials", 8, "--storage", storage)
    dry, wet = command(*words, "--dry-run"), command(*words)
    assert dry.returncode == wet.returncode == 2
    assert dry.stderr == wet.stderr
    assert "space.depth: stored" in dry.stderr
    assert "--fork small-2" in dry.stderr


def test_a_dry_run_of_a_fork_stores_none(ran: tuple[Path, str]) -> None:
    path, storage = ran
    words = ("run", path, "--set", "search.cohort=8", "--trials", 8, "--fork", "wide", "--storage", storage)
    done = command(*words, "--dry-run")
    assert done.returncode == 0, done.stderr
    (taken,) = re.findall(r"fork     (\d) of 4 finished trials of small fit", done.stderr)
    assert int(taken) > 0
    assert "# 8 trials" in done.stdout
    with Database.open(storage) as database:
        assert [study.name for study in database.studies()] == ["small"]
