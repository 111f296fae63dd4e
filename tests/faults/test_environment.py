"""Full, slow and read-only disks, locks, too little memory, clocks that jump: a clear word, nothing lost."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import contract, runs
from tests.faults.runs import NAME, TRIALS, finished, paused, started
from tests.faults.shim import Control
from tests.faults.warm import Child, Limits, Warm
from tests.studies import assert_same, url

LONG_LOCK = float(os.environ.get("HPSEARCH_LOCKED", "0"))
"""Seconds of a lock that is longer than hpsearch waits; 0 leaves it out."""

DAYS = 86_400


@pytest.fixture(scope="module")
def whole(running: Warm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study file, and the database of its undisturbed run."""
    folder = tmp_path_factory.mktemp("environment")
    path = runs.write_study(folder, epochs=27, trials=TRIALS)
    child = running.hpsearch("run", path, "--storage", url(folder / "whole.db"))
    assert child.wait() == 0, child.err
    assert contract.violations(folder / "whole.db", NAME, planned=TRIALS) == []
    return path, folder / "whole.db"


def refused(child: Child, *words: str) -> None:
    """The run has ended with a clear word."""
    assert child.wait() == 2, child.err
    assert "Traceback" not in child.err
    for word in words:
        assert word in child.err.lower()


def goes_on(running: Warm, path: Path, database: Path, undisturbed: Path, trials: int = TRIALS) -> None:
    """Nothing is lost, and the same command ends as the undisturbed run did."""
    before = finished(database)
    assert contract.violations(database, NAME) == []
    child = running.hpsearch("run", path, "--storage", url(database))
    assert child.wait() == 0, child.err
    assert contract.violations(database, NAME, before, trials) == []
    assert_same(undisturbed, database)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.95])
def test_files_that_may_not_grow(
    running: Warm, whole: tuple[Path, Path], tmp_path: Path, share: float
) -> None:
    path, undisturbed = whole
    database = tmp_path / "x.db"
    limits = Limits(file=int(share * undisturbed.stat().st_size))
    child = running.hpsearch("run", path, "--storage", url(database), limits=limits)
    refused(child, "cannot be read or written", "repeat the command to resume")
    goes_on(running, path, database, undisturbed)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes at `folder`."""
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("needs to mount a file system, which only root may")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_and_room_again(running: Warm, whole: tuple[Path, Path], tmp_path: Path) -> None:
    path, undisturbed = whole
    size = undisturbed.stat().st_size
    with small_disk(tmp_path, int(0.6 * size)):
        database = tmp_path / "x.db"
        refused(running.hpsearch("run", path, "--storage", url(database)), "no space left", "free some space")
        assert contract.violations(database, NAME) == []
        refused(running.hpsearch("run", path, "--storage", url(database)), "no space left", "free some space")
        subprocess.run(["mount", "-o", f"remount,size={4 * size}", tmp_path], check=True)
        goes_on(running, path, database, undisturbed)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """A file or folder that nobody may change: root, too, where the file system can tell it so."""
    if os.geteuid() == 0:
        made = subprocess.run(["chattr", "+i", path], capture_output=True)
        if made.returncode:
            pytest.skip("root may write anything, and chattr +i does not work on this file system")
    else:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        yield
    finally:
        if os.geteuid() == 0:
            subprocess.run(["chattr", "-i", path], check=True)
        else:
            path.chmod(path.stat().st_mode | 0o200)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_written(running: Warm, whole: tuple[Path, Path], tmp_path: Path, what: str) -> None:
    path, undisturbed = whole
    database = tmp_path / "x.db"
    child = running.hpsearch("run", path, "--storage", url(database))
    started(child, database)
    child.send(signal.SIGTERM)  # a killed one would leave a journal, which may be written in such a folder
    assert child.wait() == 130, child.err
    before = finished(database)
    with read_only(database if what == "file" else tmp_path):
        refused(
            running.hpsearch("run", path, "--storage", url(database)),
            "check" if what == "folder" else "writable",
        )
        assert contract.violations(database, NAME, before) == []
    goes_on(running, path, database, undisturbed)


@dataclass
class Locked:
    """A run that is under way, and its database, which this process holds locked from the beginning."""

    child: Child
    database: Path
    lock: sqlite3.Connection

    @classmethod
    def start(cls, running: Warm, path: Path, database: Path) -> Locked:
        child = running.hpsearch("run", path, "--storage", url(database))
        started(child, database)
        with paused(child, database):
            lock = sqlite3.connect(database, isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
        return cls(child, database, lock)

    def waits(self, seconds: float) -> None:
        """The run still waits after so long."""
        assert self.child.running_after(seconds), self.child.err

    def release(self) -> None:
        self.lock.close()


def test_a_locked_database_is_waited_for(running: Warm, whole: tuple[Path, Path], tmp_path: Path) -> None:
    path, undisturbed = whole
    names = ("1", "10", "long") if LONG_LOCK else ("1", "10")
    shortly, longer, *too_long = (Locked.start(running, path, tmp_path / f"{name}.db") for name in names)
    for run, seconds in ((shortly, 1), (longer, 9)):
        run.waits(seconds)
        run.release()
        assert run.child.wait() == 0, run.child.err
        assert contract.violations(run.database, NAME, planned=TRIALS) == []
        assert_same(undisturbed, run.database)
    for run in too_long:
        assert not run.child.running_after(LONG_LOCK - 10)
        refused(run.child, "another process has locked the database", "stored results are safe")
        run.release()
        goes_on(running, path, run.database, undisturbed)


@pytest.fixture(scope="module")
def wide(running: Warm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study of networks that need 25 MB or 49 MB each while they are trained, and its undisturbed run."""
    folder = tmp_path_factory.mktemp("wide")
    path = runs.write_study(folder, "random", "none", trials=4, epochs=2, width=1000)
    text = (
        path.read_text(encoding="utf-8")
        .replace("digits", "iris")
        .replace("low = 1, high = 3", "low = 3, high = 4")
    )
    path.write_text(text, encoding="utf-8")
    child = running.hpsearch("run", path, "--storage", url(folder / "whole.db"))
    assert child.wait() == 0, child.err
    return path, folder / "whole.db"


@pytest.mark.parametrize("megabytes", [16, 30])
def test_too_little_memory_for_a_trial(
    running: Warm, wide: tuple[Path, Path], tmp_path: Path, megabytes: int
) -> None:
    path, undisturbed = wide
    database = tmp_path / "x.db"
    limits = Limits(memory=megabytes << 20)
    refused(running.hpsearch("run", path, "--storage", url(database), limits=limits), "memory")
    goes_on(running, path, database, undisturbed, trials=4)


@pytest.mark.parametrize("megabytes", [90, 150])
def test_memory_that_ends_on_the_way(
    running: Warm, wide: tuple[Path, Path], tmp_path: Path, megabytes: int
) -> None:
    path, undisturbed = wide
    database = tmp_path / "x.db"
    limits = Limits(memory=megabytes << 20)
    child = running.hpsearch("run", path, "--storage", url(database), limits=limits)
    if child.running_after(20):  # what runs out in a library's own code may end there, or get stuck
        child.send(signal.SIGKILL)
    assert child.wait() != 0
    goes_on(running, path, database, undisturbed, trials=4)


def test_a_clock_that_jumps(
    running: Warm, whole: tuple[Path, Path], control: Control, tmp_path: Path
) -> None:
    path, undisturbed = whole
    database, chance = tmp_path / "x.db", random.Random(2)
    words = ("run", path, "--storage", url(database))
    child = running.hpsearch(*words, control=control.path)
    started(child, database)
    with paused(child, database):
        for days in (2, -2):
            control.shift(days * DAYS)
            refused(running.hpsearch(*words, control=control.path), f"process {child.pid}")
    while child.running_after(chance.uniform(0, 0.05)):
        control.shift(chance.choice([-2, 0, 2]) * DAYS)
    assert child.wait() == 0, child.err
    assert contract.violations(database, NAME, planned=TRIALS) == []
    assert_same(undisturbed, database)


@pytest.mark.parametrize("days", [-2, 2])
def test_a_killed_run_goes_on_at_once_in_another_time(
    running: Warm, whole: tuple[Path, Path], control: Control, tmp_path: Path, days: int
) -> None:
    path, undisturbed = whole
    database = tmp_path / "x.db"
    words = ("run", path, "--storage", url(database))
    killed = running.hpsearch(*words, control=control.path)
    started(killed, database)
    killed.send(signal.SIGKILL)
    control.shift(days * DAYS)
    assert killed.wait() == -signal.SIGKILL
    end = running.hpsearch(*words, control=control.path)
    assert end.wait() == 0, end.err
    assert contract.violations(database, NAME, planned=TRIALS) == []
    assert_same(undisturbed, database)


def test_a_slow_file_system(
    running: Warm, whole: tuple[Path, Path], control: Control, tmp_path: Path
) -> None:
    path, undisturbed = whole
    database, chance = tmp_path / "x.db", random.Random(4)
    control.delay(0.002)
    words = ("run", path, "--storage", url(database))
    for _ in range(2):
        child = running.hpsearch(*words, control=control.path)
        if child.running_after(chance.uniform(0.2, 1)):
            child.send(signal.SIGKILL)
        assert child.wait() in (0, -signal.SIGKILL), child.err
        assert contract.violations(database, NAME) == []
    end = running.hpsearch(*words, control=control.path)
    assert end.wait() == 0, end.err
    assert contract.violations(database, NAME, planned=TRIALS) == []
    assert_same(undisturbed, database)
