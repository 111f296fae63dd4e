"""What `list` and `show` say of a study that is being trained, was killed, or is complete."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.studies import command, segments, url, write_study
from tests.studies import hpsearch as finished


def test_a_killed_run_is_stopped_and_a_live_one_running(tmp_path: Path) -> None:
    """By the process that holds the study: a process that was killed leaves its claim behind."""
    path, storage = write_study(tmp_path, source="digits", trials=90000), url(tmp_path / "x.db")
    words = ("run", path, "--storage", storage, "--set", "epochs=60", "--no-confirm")
    run = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not segments(tmp_path / "x.db"):
            assert run.poll() is None
        live = finished("list", "--storage", storage).stdout
        document = json.loads(finished("list", "--storage", storage, "--format", "json").stdout)
        assert run.poll() is None
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert f" of 90,000; process {run.pid})" in live
    (study,) = document["studies"]
    assert study["state"] == "running"
    assert study["total"] == 90_000
    assert study["process"] == {"host": socket.gethostname(), "pid": run.pid}
    text = finished("list", "--storage", "sqlite:///x.db", cwd=tmp_path).stdout
    assert "running" not in text
    with sqlite3.connect(tmp_path / "x.db") as connection:
        (done,) = connection.execute(
            "SELECT count(*) FROM hpsearch_trials WHERE state != 'RUNNING' AND finished IS NOT NULL"
        ).fetchone()
    resume = "resume with  hpsearch run small --storage sqlite:///x.db"
    shown = finished("show", "small", "--storage", "sqlite:///x.db", cwd=tmp_path).stdout
    assert f"small: stopped ({done:,} of 90,000; {resume})" in text
    assert f"stopped ({done:,} of 90,000; {resume})" in shown


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done")
    path = write_study(folder, trials=4)
    assert finished("run", path, "--storage", url(folder / "x.db"), "--no-confirm").returncode == 0
    return folder / "x.db"


def test_a_complete_study_is_complete(done: Path) -> None:
    listed = finished("list", "--storage", url(done)).stdout.splitlines()
    assert len(listed) == 2
    assert listed[1].split()[:3] == ["small", "complete", "4"]
    assert finished("show", "small", "--storage", url(done)).stdout.splitlines()[2] == "complete"


def test_a_study_that_gave_up_is_complete_short_of_its_trials(tmp_path: Path) -> None:
    path = write_study(tmp_path, more="epoch_limit = 9\n")
    storage = url(tmp_path / "x.db")
    assert finished("run", path, "--storage", storage, "--no-confirm").returncode == 0
    assert finished("list", "--storage", storage).stdout.splitlines()[1].split()[1] == "complete"


@pytest.mark.parametrize(("minutes", "said"), [(1, "running ("), (300, "perhaps stopped (")])
def test_of_another_host_it_is_said_what_is_known(
    done: Path, tmp_path: Path, minutes: int, said: str
) -> None:
    """Its processes are invisible here: only the time of the last commit tells."""
    path = tmp_path / "y.db"
    path.write_bytes(done.read_bytes())
    heard = (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%d %H:%M:%S.%f")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO hpsearch_claims SELECT study_id, 'far', ?, 1.0, 't', ?, ? FROM hpsearch_studies",
            (os.getpid(), heard, heard),
        )
    text = finished("list", "--storage", url(path)).stdout
    assert f"small: {said}4 of 4; process {os.getpid()} on far stored something {minutes // 60 or ''}" in text
