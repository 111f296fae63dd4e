"""The tests have a cache folder of their own, in which the kernel is compiled once for all of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "cache")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that tests tell (tests/faults/conftest.py), also those of other processes."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    figures = [text for r in reports for name, text in r.user_properties if name == "figures"]
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(str(text))
