"""Warm processes, the shim, and how often the tests of faults are repeated."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import shim
from tests.faults.shim import Control
from tests.faults.warm import Warm


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The shim, compiled, where that is possible."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("needs Linux, whose pidfd tells when a process has ended")
    return None if shim.missing() else shim.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def control(library: Path | None, tmp_path: Path) -> Iterator[Control]:
    """Control of the disk and the clock of the processes that are started with it."""
    if library is None:
        pytest.skip(str(shim.missing()))
    with Control(tmp_path / "control") as control:
        yield control


@pytest.fixture(scope="session")
def storing(library: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """A warm process for studies without training."""
    with Warm(tmp_path_factory.mktemp("storing"), "tests.faults.made_up:warm_up", preload=library) as warm:
        yield warm


@pytest.fixture(scope="session")
def running(library: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """A warm process for whole runs."""
    modules = (
        "hpsearch.cli.app",
        "hpsearch.cli.display",
        "hpsearch.cli.headers",
        "hpsearch.cli.profile",
        "hpsearch.running.prepare",
        "hpsearch.running.resume",
        "hpsearch.running.loop",
        "hpsearch.reporting.tables",
        "hpsearch.search.*",
        "hpsearch.train.*",
        "optuna._gp.gp",
        "sklearn.datasets",
        "tests.faults.runs",
    )
    with Warm(tmp_path_factory.mktemp("running"), *modules, preload=library) as warm:
        yield warm


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder in memory, where there is one: what a killed process wrote, the system keeps, not the disk."""
    place = Path("/dev/shm")
    folder = tempfile.mkdtemp(dir=place if os.access(place, os.W_OK) else None)
    yield Path(folder)
    shutil.rmtree(folder)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[object], None]:
    """Have a line shown with the results (tests/conftest.py)."""

    def note(text: object) -> None:
        request.node.user_properties.append(("figures", f"{request.node.name}: {text}"))

    return note
