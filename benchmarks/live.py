"""What refilling brings: how many of the trained lane-steps are of trials that live, and trials a second."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.digits import digits
from benchmarks.measure import CORES, Part, Row, versus
from benchmarks.timing import REPEATS
from hpsearch.records import State, Trial
from hpsearch.running.machine import Machine
from hpsearch.running.pool import StopFlag
from hpsearch.running.prepare import prepare, train
from hpsearch.running.resume import open_study
from hpsearch.search import make_stopping
from hpsearch.store import Database
from hpsearch.study.file import Study
from hpsearch.train import Problem, missing_kernel

TRIALS, COHORT = 1024, 64

HOW = f"""\
{TRIALS:,} trials of the digits study with random suggestions, so that all three ways train the same mixture
of networks; the clock is that of the training loop, sampling and storing included, start-up and report left
out; the median of three runs. A lane-step is dead when it trains a trial that has diverged; a trial that is
stopped leaves its slot at its rung and is never trained on. Where in an epoch a trial diverged is not
stored, so its whole last epoch counts as dead. Core time that trains is the time that the worker threads
spent on tiles, which is stored with the curves, over cores × the loop's time.

Without refill, the next {COHORT} trials begin when the last of these {COHORT} has ended. In a fixed stacked
model the slots of stopped lanes stay occupied: all {COHORT} lanes are trained to the last epoch, here by
`stopping = "none"`. Closed up, only survivors are trained on, here by running the study to {COHORT} trials,
then to {COHORT} more and so on. A lane costs the same in a tile of few here, so that little is lost by
that: what remains is a core that waits for the other at the end of narrow cohorts."""


@dataclass(frozen=True)
class Ran:
    """A study's trials, the seconds of its training loop, and those that all workers spent on tiles."""

    trials: list[Trial]
    seconds: float
    busy: float

    @property
    def speed(self) -> str:
        """Trials a second, and what was trained for them."""
        return (
            f"{len(self.trials) / self.seconds:,.0f} ({sum(trial.epochs for trial in self.trials):,} epochs)"
        )


def run(study: Study, totals: Iterable[int]) -> Ran:
    """Run a study to each of the totals, one after the other."""
    study, dataset = prepare(study)
    seconds = busy = 0.0
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open(f"sqlite:///{folder}/live.db", create=True) as database,
    ):
        for total in totals:
            search = study.search.model_copy(update={"trials": total})
            store, study = open_study(database, replace(study, search=search), dataset, {})
            outcome = train(study, dataset, store, Machine("cpu", CORES), stop=StopFlag())
            seconds += outcome.profile.seconds
            busy += outcome.profile.training + outcome.profile.evaluating
        return Ran(store.trials(), seconds, busy)


def live_share(study: Study, trials: Sequence[Trial], native: bool) -> float:
    """Share of the lane-steps that train a trial which has not diverged.

    native: a lane ends with the epoch in which it diverges; stacked in torch it goes on to its rung.
    """
    study, dataset = prepare(study)
    rungs = make_stopping(study).rungs
    problem = Problem.from_dataset(dataset, "cross_entropy", "accuracy", study.seed)
    live = dead = 0
    for trial in trials:
        batch = problem.batch(study.space.configuration(trial.params).batch_size)
        steps = problem.rows // batch
        if trial.state is State.FAILED:
            last = trial.epochs if native else next(rung for rung in rungs if rung >= trial.epochs)
            live += steps * (trial.epochs - 1)
            dead += steps * (last - trial.epochs + 1)
        else:
            live += steps * trial.epochs
    return live / (live + dead)


def live() -> Part:
    """The share of live lane-steps, and trials a second against stopping without refill."""
    random = 'search.sampler="random"', f"search.cohort={COHORT}"
    halving, fixed = digits(0, *random), digits(0, *random, 'search.stopping="none"')
    run(halving, [COHORT])  # warms up
    ways = (halving, [TRIALS]), (fixed, [TRIALS]), (halving, range(COHORT, TRIALS + 1, COHORT))
    # In turns, so that a machine whose speed drifts favours nobody.
    repeats = [[run(*way) for way in ways] for _ in range(REPEATS)]
    refilled, occupied, closed_up = (_middle(runs) for runs in zip(*repeats, strict=True))
    diverged = sum(trial.state is State.FAILED for trial in refilled.trials)
    share = live_share(halving, refilled.trials, native=missing_kernel() is None)
    work = f"digits, {TRIALS:,} random trials, halving with refill"

    def against(other: str, ran: Ran, goal: float | None = None) -> Row:
        faster = ran.seconds / refilled.seconds
        return versus(
            f"{work}: trials/s", refilled.speed, f"without refill, {other}", ran.speed, faster, goal, ".2f"
        )

    return Part(
        "Live lanes",
        [
            Row(
                f"{work}: lane-steps that train a live trial ({diverged} diverged)",
                f"{share:.1%}",
                wanted="≥ 95 %",
            ),
            against("slots of stopped lanes occupied", occupied, 1.8),
            against("closed up", closed_up),
            Row(f"{work}: core time that trains", f"{refilled.busy / (CORES * refilled.seconds):.0%}"),
        ],
        HOW,
    )


def _middle(runs: Sequence[Ran]) -> Ran:
    """The run of median time."""
    return sorted(runs, key=lambda ran: ran.seconds)[len(runs) // 2]
