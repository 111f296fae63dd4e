"""Runs that are interrupted, or of which there are two: they stop at a rung, and the end is the same."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from hpsearch.records import State
from tests.faults import contract, runs
from tests.faults.runs import NAME
from tests.faults.warm import Child, Warm
from tests.studies import assert_same, hpsearch, stored, url

TRIALS = 300


@pytest.fixture(scope="module")
def undisturbed(running: Warm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study that trains for a second, stored in more than a hundred pieces."""
    folder = tmp_path_factory.mktemp("faults")
    path = runs.write_study(folder, trials=TRIALS, epochs=45, width=64)
    child = running.hpsearch("run", path, "--storage", url(folder / "whole.db"))
    assert child.wait() == 0, child.err
    return path, folder / "whole.db"


def start_until(running: Warm, path: Path, database: Path, pieces: int, *more: str) -> Child:
    """A run that has stored at least so many pieces of curves."""
    child = running.hpsearch("run", path, "--storage", url(database), *more)
    runs.started(child, database, pieces)
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_it_stops_at_a_rung_and_says_how_to_go_on(
    running: Warm, undisturbed: tuple[Path, Path], tmp_path: Path, number: int
) -> None:
    path, whole = undisturbed
    database = tmp_path / "stopped.db"
    child = start_until(running, path, database, 60)
    child.send(number)
    assert child.wait() == 130, child.err
    assert "stopping at the next rung" in child.err
    line = next(line for line in child.err.splitlines() if "to resume:" in line)
    assert re.search(r"to resume: +hpsearch run .*small\.toml --storage sqlite", line)
    assert "Traceback" not in child.err + child.out
    assert " best " in child.out  # what is finished so far is shown
    end = running.hpsearch("run", path, "--storage", url(database))
    assert end.wait() == 0, end.err
    assert "resuming: " in end.err
    assert_same(whole, database)


def test_a_second_process_is_refused_while_the_first_trains(
    running: Warm, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    path, whole = undisturbed
    database = tmp_path / "two.db"
    first = start_until(running, path, database, 1, "--workers", "1")
    with runs.paused(first, database):
        second = hpsearch("run", path, "--storage", url(database))
    assert first.wait() == 0, first.err
    assert second.returncode == 2
    assert f"process {first.pid}" in second.stderr
    assert_same(whole, database)


def test_two_that_begin_together_train_no_trial_twice(
    running: Warm, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    path, whole = undisturbed
    database = tmp_path / "both.db"
    both = [running.hpsearch("run", path, "--storage", url(database)) for _ in range(2)]
    codes = sorted(child.wait() for child in both)
    assert codes == [0, 2], [child.err for child in both]
    assert not any("Traceback" in child.err for child in both)
    assert contract.violations(database, NAME, planned=TRIALS) == []
    assert_same(whole, database)


def test_optuna_reads_the_study_that_a_killed_run_left(
    running: Warm, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    path, _ = undisturbed
    database = tmp_path / "left.db"
    child = start_until(running, path, database, 100)
    child.send(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    study = optuna.load_study(study_name="small", storage=url(database))
    frame = study.trials_dataframe()
    assert set(frame.state) <= {"RUNNING", "COMPLETE", "PRUNED", "FAIL"}
    assert study.metric_names == ["accuracy"]
    done = [trial for trial in study.trials if trial.state is optuna.trial.TrialState.PRUNED]
    assert done
    for trial in done:
        assert trial.value == trial.intermediate_values[max(trial.intermediate_values)]
        assert 1 <= trial.user_attrs["best_epoch"] <= trial.user_attrs["epochs"] == trial.last_step
        assert trial.user_attrs["reason"].startswith("stopped at epoch")


def test_a_second_interrupt_stops_at_once_and_loses_nothing(
    running: Warm, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    path, whole = undisturbed
    database = tmp_path / "twice.db"
    child = start_until(running, path, database, 30)
    child.send(signal.SIGINT)
    child.send(signal.SIGTERM)  # another number, since two of one may be delivered as one
    assert child.wait() == 130, child.err
    assert "Traceback" not in child.err
    end = running.hpsearch("run", path, "--storage", url(database))
    assert end.wait() == 0, end.err
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
