"""What refilling the places of stopped trials gains."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.digits import digits
from benchmarks.measure import CORES, Part, Row, versus
from hpsearch.data import Dataset
from hpsearch.engine.api import prepare, train
from hpsearch.engine.pool import StopFlag
from hpsearch.engine.profile import Profile
from hpsearch.engine.resume import open_study
from hpsearch.records import State, Trial
from hpsearch.store import Database
from hpsearch.study.file import Study

TRIALS, COHORT, OCCUPIED = 1024, 64, 128
GOAL = 1.8

HOW = f"""\
The digits search, {TRIALS:,} trials, the training loop alone, after a short one that warms up. With refill:
what `hpsearch run` does. Without, closed up: cohorts of {COHORT} new trials are halved until the last one
of them has ended, and only then the next one begins; only survivors train. Without, slots occupied: a
stacked model of fixed width computes the lanes of stopped trials, too, until the last one has ended; its
trials a second are those of {OCCUPIED} trials of which none is stopped. A lane-step is a mini-batch of one
lane; it is dead when its trial was stopped before. With refill there is no such step, and what is counted
as dead are all steps of the epoch in which a trial diverged. Core time that trains: seconds in which the
workers were at a tile, over cores × seconds of the loop. The kernel trains lanes one after the other, so
that closing up alone costs it next to nothing; refilling changes which trials are asked for, and when."""


@dataclass(frozen=True)
class Loop:
    """Trials that were trained, and where the time of the training loop went."""

    trials: Sequence[Trial]
    seconds: float
    busy: float

    @property
    def speed(self) -> float:
        """Trials a second."""
        return len(self.trials) / self.seconds


def loop(totals: Sequence[int], *overrides: str) -> Loop:
    """Train the digits study up to each of the totals in turn."""
    profiles: list[Profile] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open(f"sqlite:///{Path(folder)}/refill.db", create=True) as database,
    ):
        for total in totals:
            study, dataset = prepare(digits(0, f"search.trials={total}", *overrides))
            trials, profile = _trained(database, study, dataset)
            profiles.append(profile)
    seconds = sum(profile.seconds for profile in profiles)
    busy = sum(profile.training + profile.evaluating for profile in profiles)
    return Loop(trials, seconds, busy / (CORES * seconds))


def _trained(database: Database, study: Study, dataset: Dataset) -> tuple[list[Trial], Profile]:
    store, study = open_study(database, study, dataset, {})
    outcome = train(study, dataset, store, device="cpu", workers=CORES, stop=StopFlag())
    return store.trials(), outcome.profile


def steps(trial: Trial, rows: int) -> int:
    """Mini-batches of an epoch of the trial."""
    return rows // min(int(trial.params["batch_size"]), rows)


def refill() -> Part:
    """Live lanes and trials a second, with refill and without."""
    study, dataset = prepare(digits(0))
    rows, most = len(dataset.train), study.train.epochs
    loop([COHORT])
    refilled = loop([TRIALS])
    closed = loop(range(COHORT, TRIALS + 1, COHORT))
    occupied = loop([OCCUPIED], "search.stopping=none")
    done = sum(trial.epochs * steps(trial, rows) for trial in refilled.trials)
    dead = sum(steps(trial, rows) for trial in refilled.trials if trial.state is State.FAILED)
    live = sum(trial.epochs * steps(trial, rows) for trial in closed.trials)
    computed = sum(most * steps(trial, rows) for trial in closed.trials)
    work = "digits search, halving with refill"
    shares = 1 - dead / done, live / computed
    return Part(
        "Refill",
        [
            Row(
                f"{work}: share of lane-steps that train a live trial",
                f"{shares[0]:.1%}",
                "without refill, slots occupied",
                f"{shares[1]:.1%}",
                f"{shares[0] / shares[1]:.1f}×",
                "≥ 95 %",
            ),
            versus(
                f"{work}: trials/s",
                f"{refilled.speed:,.0f}",
                "without refill, slots occupied",
                f"{occupied.speed:,.0f}",
                refilled.speed / occupied.speed,
                GOAL,
            ),
            versus(
                f"{work}: trials/s",
                f"{refilled.speed:,.0f}",
                "without refill, closed up",
                f"{closed.speed:,.0f}",
                refilled.speed / closed.speed,
            ),
            Row(
                f"{work}: share of core time that trains",
                f"{refilled.busy:.0%}",
                "without refill, closed up",
                f"{closed.busy:.0%}",
            ),
        ],
        HOW,
    )
