"""The tests have a cache folder of their own, in which the kernel is compiled once for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hpsearch.store import StudyStore

os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "cache")


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[tuple[Path, StudyStore]]:
    """A study with trials of every state, claimed by this process."""
    from hpsearch.store import Database
    from tests.store_study import filled_file

    path = tmp_path / "x.db"
    path.write_bytes(filled_file())
    with Database.open(f"sqlite:///{path}") as database:
        store = database.study("digits")
        store.begin()
        yield path, store


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that tests tell (tests/faults/conftest.py), also those of other processes."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    figures = [text for r in reports for name, text in r.user_properties if name == "figures"]
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(str(text))
