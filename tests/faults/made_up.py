"""A study without training, told to the store as the engine does; and mistakes that the checker must find."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hpsearch.errors import StorageError
from hpsearch.records import Cohort, FloatArray, Segment, State, Trial
from hpsearch.store import Database, StudyStore
from tests.faults.contract import Journal
from tests.store_study import curve_of, finished_trial, new_trial, record
from tests.studies import url

NAME = "made-up"
TRIALS = 44
LANES = 8
RUNGS = (1, 3, 9)
AT_ONCE = 3
"""Lanes in a tile, which is stored by itself."""

SECONDS = 0.25
"""Of each commit: exact in binary, so that the study's total must be, too."""

REFUSED = 3
"""Exit code after an error of the store."""

_BUG_AT = 12
"""The trial with which a mistake is made."""


def fate(number: int) -> tuple[State, int]:
    """How a trial ends, and after how many epochs."""
    if number % 7 == 2:
        return State.FAILED, 2
    return (State.PRUNED, RUNGS[number % 2]) if number % 5 < 2 else (State.COMPLETE, RUNGS[-1])


def live(path: str, journal: str, bug: str | None = None) -> None:
    """Create the study or go on with it, up to its end; exits with REFUSED where the store refuses.

    bug: a mistake that is made on the way, which the checker should find (test_checker.py).
    """
    try:
        with Database.open(url(Path(path)), create=True) as database:
            store = database.find(NAME) or database.create_study(record(NAME, RUNGS[-1]))
            _Run(store, Journal(Path(journal)), bug).run()
    except StorageError as error:
        print(error)
        raise SystemExit(REFUSED) from None


def warm_up() -> None:
    """Write the study once, to a place where it is gone again."""
    with TemporaryDirectory() as folder:
        live(f"{folder}/study.db", f"{folder}/told")


@cache
def _curve(number: int) -> FloatArray:
    return curve_of(number, RUNGS[-1])


class _Run:
    """What is decided follows from what is stored, as in the engine."""

    def __init__(self, store: StudyStore, journal: Journal, bug: str | None) -> None:
        self._store, self._journal, self._bug = store, journal, bug
        self._planned = TRIALS + (bug == "one too many")
        store.begin()
        self._trials = store.trials()
        self._cohort = store.last_cohort()

    def run(self) -> None:
        while self._train() or self._next_cohort():
            pass
        if self._bug != "claim kept":
            self._store.end()

    def _next_cohort(self) -> bool:
        """Stop whom the rung stops, and refill; whether there is anything to train."""
        running = [trial for trial in self._trials if not trial.state.finished]
        stopped = [
            finished_trial(trial, State.PRUNED, trial.epochs)
            for trial in running
            if fate(trial.number) == (State.PRUNED, trial.epochs)
        ]
        ended = {trial.number for trial in stopped}
        going = [trial for trial in running if trial.number not in ended]
        number = 0 if self._cohort is None else self._cohort.number + 1
        free = min(LANES - len(going), self._planned - len(self._trials))
        started = [self._asked(len(self._trials) + at, number) for at in range(free)]
        lanes = {
            trial.number: (trial.epochs, next(rung for rung in RUNGS if rung > trial.epochs))
            for trial in [*going, *started]
        }
        cohort = Cohort(number, lanes) if lanes else None
        if cohort or stopped:
            self._commit(cohort, started, [], stopped)
        self._cohort = cohort or self._cohort
        return bool(lanes)

    def _asked(self, number: int, cohort: int) -> Trial:
        trial = new_trial(number, cohort)
        if self._bug == "doubled" and number == _BUG_AT + 1:
            return replace(trial, params=new_trial(_BUG_AT).params)
        return trial

    def _train(self) -> bool:
        """Train what has not reached its rung, and store it tile by tile; whether there was any."""
        lanes = self._cohort.lanes if self._cohort else {}
        missing = [
            number
            for number, (_, target) in lanes.items()
            if not self._trials[number].state.finished and self._trials[number].epochs < target
        ]
        for at in range(0, len(missing), AT_ONCE):
            grown = [self._grown(number, lanes[number][1]) for number in missing[at : at + AT_ONCE]]
            self._commit(None, [], [segment for segment, _ in grown], [trial for _, trial in grown])
        return bool(missing)

    def _grown(self, number: int, rung: int) -> tuple[Segment, Trial]:
        """The next piece of a trial's curve, and the trial after it."""
        assert self._cohort is not None
        trial, (state, last) = self._trials[number], fate(number)
        epochs = min(rung, last)
        ends = epochs == last and state is not State.PRUNED
        source = _BUG_AT if self._bug == "doubled" and number == _BUG_AT + 1 else number
        segment = Segment(
            number, self._cohort.number, trial.epochs + 1, _curve(source)[trial.epochs : epochs]
        )
        return segment, finished_trial(trial, state if ends else State.RUNNING, epochs)

    def _commit(
        self, cohort: Cohort | None, started: list[Trial], segments: list[Segment], updated: list[Trial]
    ) -> None:
        """Store it, and only then tell it; or what the mistake makes of that."""
        touched = [*started, *updated]
        curves = {trial.number: _curve(trial.number) for trial in touched}
        bug = self._bug if any(t.number == _BUG_AT and t.state.finished for t in updated) else None
        if bug == "told early":
            self._journal.tell(touched, curves)
            os.kill(os.getpid(), signal.SIGKILL)
        if bug == "another end":
            updated = [replace(trial, reason="another") for trial in updated]
            touched = [*started, *updated]
        if bug != "dropped":
            self._store.commit(
                cohort=cohort,
                started=started,
                segments=segments,
                updated=updated,
                seconds=0.0 if bug == "seconds lost" else SECONDS,
            )
        self._journal.tell(touched, curves)
        self._trials += started
        for trial in updated:
            self._trials[trial.number] = trial
