"""Real processes, killed and interrupted: nothing lost, nothing doubled, the end is the same."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from hpsearch.records import State
from tests.studies import assert_same, command, hpsearch, segments, stored, url, write_study

TRIALS = 300
KILLS = 6


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study that trains for a second or two, stored in more than a hundred transactions."""
    folder = tmp_path_factory.mktemp("faults")
    path = write_study(folder, source="digits", trials=TRIALS, cohort=48)
    path.write_text(path.read_text().replace("epochs = 9", "epochs = 45").replace("width = 16", "width = 64"))
    result = hpsearch("run", path, "--storage", url(folder / "whole.db"))
    assert result.returncode == 0, result.stderr
    return path, folder / "whole.db"


def start_until(path: Path, database: Path, pieces: int, *more: str) -> subprocess.Popen[str]:
    """A run that has stored at least so many pieces of curves, or has ended."""
    process = subprocess.Popen(
        command("run", path, "--storage", url(database), *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while segments(database) < pieces and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)  # between two looks; what is waited for is the condition
    return process


def test_killed_at_random_moments_it_ends_as_if_undisturbed(
    undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    path, whole = undisturbed
    database = tmp_path / "killed.db"
    total = segments(whole)
    kills = 0
    finished: set[str] = set()
    for pieces in sorted(random.Random(7).sample(range(1, total - 20), KILLS)):
        process = start_until(path, database, pieces)
        process.kill()
        _, said = process.communicate()
        kills += process.returncode == -signal.SIGKILL
        assert "Traceback" not in said
        now = {repr(trial) for trial in stored(database)[0] if trial[3] is not State.RUNNING}
        assert finished <= now  # nothing that was finished is lost or has changed
        finished = now
    assert kills >= KILLS - 1
    end = hpsearch("run", path, "--storage", url(database))
    assert end.returncode == 0, end.stderr
    assert_same(whole, database)
    study = optuna.load_study(study_name="small", storage=url(database))
    assert [trial.number for trial in study.trials] == list(range(TRIALS))
    assert all(trial.state.is_finished() for trial in study.trials)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_it_stops_at_a_rung_and_says_how_to_go_on(
    undisturbed: tuple[Path, Path], tmp_path: Path, number: int
) -> None:
    path, whole = undisturbed
    database = tmp_path / "stopped.db"
    process = start_until(path, database, 60)
    process.send_signal(number)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopping at the next rung" in said
    line = next(line for line in said.splitlines() if "to go on:" in line)
    assert re.search(r"to go on: +hpsearch run .*small\.toml --storage sqlite", line)
    assert "Traceback" not in said + out
    assert " rank " in out  # what is finished so far is shown
    end = hpsearch("run", path, "--storage", url(database))
    assert end.returncode == 0
    assert "resuming: " in end.stderr
    assert_same(whole, database)


def test_a_second_process_is_refused_while_the_first_trains(
    undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    path, whole = undisturbed
    database = tmp_path / "two.db"
    first = start_until(path, database, 1, "--workers", "1")
    os.kill(first.pid, signal.SIGSTOP)
    try:
        second = hpsearch("run", path, "--storage", url(database))
    finally:
        os.kill(first.pid, signal.SIGCONT)
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert second.returncode == 2
    assert f"process {first.pid}" in second.stderr
    assert_same(whole, database)


def test_optuna_reads_the_study_that_a_killed_run_left(
    undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    path, _ = undisturbed
    database = tmp_path / "left.db"
    process = start_until(path, database, 100)
    process.kill()
    process.communicate()
    study = optuna.load_study(study_name="small", storage=url(database))
    frame = study.trials_dataframe()
    assert set(frame.state) <= {"RUNNING", "COMPLETE", "PRUNED", "FAIL"}
    assert study.metric_names == ["accuracy"]
    done = [trial for trial in study.trials if trial.state is optuna.trial.TrialState.PRUNED]
    assert done
    for trial in done:
        assert trial.value >= max(trial.intermediate_values.values())  # thinned; the best may lie between
        assert 1 <= trial.user_attrs["best_epoch"] <= trial.user_attrs["epochs"] == trial.last_step
        assert trial.user_attrs["reason"].startswith("stopped at epoch")


def test_a_second_interrupt_stops_at_once_and_loses_nothing(
    undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    path, whole = undisturbed
    database = tmp_path / "twice.db"
    process = start_until(path, database, 30)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # another number, since two of one may be delivered as one
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert hpsearch("run", path, "--storage", url(database)).returncode == 0
    assert_same(whole, database)


def test_the_optuna_command_shows_trials_values_and_states(undisturbed: tuple[Path, Path]) -> None:
    optuna_command = Path(sys.executable).with_name("optuna")
    words = [
        optuna_command,
        "trials",
        "--storage",
        url(undisturbed[1]),
        "--study-name",
        "small",
        "-f",
        "json",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    shown = json.loads(done.stdout)
    trials, _ = stored(undisturbed[1])
    assert [row["number"] for row in shown] == list(range(TRIALS))
    names = {State.COMPLETE: "COMPLETE", State.PRUNED: "PRUNED", State.FAILED: "FAIL"}
    for row, (_, _, params, state, _, value, *_) in zip(shown, trials, strict=True):
        assert row["state"] == names[state]
        assert value is None or row["value"] == {"accuracy": value}
        assert row["params"] == params
