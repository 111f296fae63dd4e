"""Whole runs with every sampler and stopping rule, killed again and again: the same end, bit for bit."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.faults import contract, runs
from tests.faults.kills import AT_A_MOMENT, KILLS, Whole, disturb, undisturbed
from tests.faults.runs import NAME, TRIALS
from tests.faults.shim import Control
from tests.faults.warm import Warm
from tests.studies import assert_same, url

WANTED = int(os.environ.get("HPSEARCH_RUNS", "28"))
PAIRS = runs.pairs() if WANTED < 100 else list(runs.all_pairs())


@dataclass(frozen=True)
class Study:
    """A study file, and its undisturbed run."""

    path: Path
    whole: Whole


def trained(
    running: Warm,
    folder: Path,
    control: Control,
    sampler: str = "tpe",
    stopping: str = "halving",
    trials: int = TRIALS,
) -> Study:
    """Write a study and train it at a stretch."""
    path, database = runs.write_study(folder, sampler, stopping, trials), folder / "whole.db"
    start = partial(running.hpsearch, "run", path, "--storage", url(database), control=control.path)
    whole = undisturbed(database, control, start)
    assert contract.violations(database, NAME, planned=trials) == []
    return Study(path, whole)


@pytest.mark.parametrize(("sampler", "stopping"), PAIRS)
def test_killed_again_and_again_it_ends_as_if_undisturbed(
    running: Warm,
    control: Control,
    in_memory: Path,
    sampler: str,
    stopping: str,
    tell: Callable[[object], None],
) -> None:
    trials = runs.trials_of(sampler)
    study = trained(running, in_memory, control, sampler, stopping, trials)
    chance = random.Random(f"{sampler} {stopping}")
    kills, studies, wanted = 0, 0, -(-WANTED // len(PAIRS))
    while kills < wanted:
        database, code = in_memory / f"{studies}.db", -1
        before: dict[int, contract.Told] = {}
        while code != 0:
            child = running.hpsearch("run", study.path, "--storage", url(database), control=control.path)
            if kills < wanted:
                disturb(child, chance.choice(KILLS), chance, control, study.whole)
            code = child.wait()
            control.spare()
            kills += code == -signal.SIGKILL
            assert code in (0, -signal.SIGKILL), child.err
            assert contract.violations(database, NAME, before, trials if code == 0 else None) == []
            before = runs.finished(database)
        assert_same(study.whole.database, database)
        studies += 1
    tell(f"{kills} kills in {studies} studies, all ended as if undisturbed")


def test_what_a_python_program_was_told_is_stored(running: Warm, control: Control, in_memory: Path) -> None:
    study = trained(running, in_memory, control)
    database, journal = in_memory / "told.db", in_memory / "told"
    chance, kills = random.Random(5), 0
    while kills < 4:
        journal.unlink(missing_ok=True)
        child = running.start("tests.faults.runs:from_python", study.path, url(database), journal)
        disturb(child, AT_A_MOMENT, chance, control, study.whole)
        code = child.wait()
        assert code in (0, -signal.SIGKILL), child.err
        assert runs.broken_words(database, journal) == []
        kills += code == -signal.SIGKILL
        if code == 0:
            assert_same(study.whole.database, database)
            database.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_at_random_moments_it_ends_as_if_undisturbed(
    running: Warm, control: Control, in_memory: Path, number: signal.Signals
) -> None:
    study = trained(running, in_memory, control)
    database, chance, interrupted = in_memory / "stopped.db", random.Random(int(number)), 0
    while interrupted < 6:
        child = running.hpsearch("run", study.path, "--storage", url(database))
        if child.running_after(chance.uniform(0, study.whole.seconds)):
            child.send(number)
        code = child.wait()
        # Before and after the training, the signal may end the process as it does any other.
        assert code in (0, 130, -number), child.err
        assert "Traceback" not in child.err
        assert contract.violations(database, NAME, planned=TRIALS if code == 0 else None) == []
        interrupted += code != 0
        if code == 0:
            assert_same(study.whole.database, database)
            database.unlink()
