"""The loop of a study: judge, ask, train up to the next rungs, store; until all trials are finished.

Whatever the loop decides follows from what is stored at the end of a cohort, so it can be killed
anywhere: what is not stored is trained again and comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

import numpy as np

from hpsearch.engine.ledger import Ledger
from hpsearch.engine.pool import Begun, Pool, StopFlag, TileResult
from hpsearch.engine.profile import Profile
from hpsearch.records import Cohort, Progress, Segment, State, Trial
from hpsearch.search import CohortSampler, Stopping
from hpsearch.store import StudyStore
from hpsearch.study.file import Study
from hpsearch.train import Lane, LaneState, Problem, plan

_COMMIT_EVERY = 0.1
"""Seconds: tiles that end sooner after each other are stored in one transaction."""

Watch = Callable[[Progress], None]


class Runner:
    """A study in training.

    Args:
        store: claimed by this process. problem: the study's data. pool: trains tiles.
        watch: is told of the progress, some times a second. warn: is told what the user should know.
    """

    def __init__(
        self,
        study: Study,
        store: StudyStore,
        problem: Problem,
        sampler: CohortSampler,
        stopping: Stopping,
        pool: Pool,
        watch: Watch = lambda progress: None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._study, self._store, self._problem = study, store, problem
        self._sampler, self._stopping, self._pool = sampler, stopping, pool
        self._watch, self._warn = watch, warn
        self._maximize = study.direction == "maximize"
        self._ledger = Ledger(store.trials(), store.curves(), stopping.rungs, self._maximize)
        self._states: dict[int, LaneState] = {}
        self._cohort = store.last_cohort()
        self._began = self._committed = monotonic()
        self._epochs = 0
        # What has come in and is not stored yet: pieces of curves, and trials as they are now.
        self._segments: list[Segment] = []
        self._updated: dict[int, Trial] = {}
        self._told = self._progress()
        self.profile = Profile(pool.workers)

    @property
    def complete(self) -> bool:
        """All trials of the study are finished."""
        return not self._ledger.running and self._ledger.finished >= self._study.search.trials

    def run(self, stop: StopFlag) -> None:
        """Train until the study is complete or `stop` is set and the next rung is reached.

        The time limit counts from when lanes that were under way are where they were: catching up
        stores nothing, and with a short limit a study would never get on.
        """
        missing = self._missing()
        self._catch_up(missing, stop.without_limit())
        stop.start()
        began = monotonic()
        try:
            while not (stop.asked or self.complete):
                begun = self._go_on(missing, stop) if missing else self._next_cohort(stop)
                missing = []
                self._collect(begun, stop)
                if stop:
                    break
        finally:
            self._commit()
            self.profile.seconds += monotonic() - began

    # -- one cohort ------------------------------------------------------------------------------

    def _missing(self) -> list[int]:
        """Lanes of the current cohort that have not reached their rung yet."""
        if self._cohort is None:
            return []
        running, trials = self._ledger.running, self._ledger.trials
        return [
            number
            for number, (_, target) in self._cohort.lanes.items()
            if number in running and trials[number].epochs < target
        ]

    def _next_cohort(self, stop: StopFlag) -> Begun:
        """Stop the worst of the last cohort, refill with new trials and begin to train.

        The workers train while all of it is stored, together with what came in last.
        """
        with self.profile.time("deciding"):
            for trial in self._judge():
                self._put(trial)
                self._states.pop(trial.number, None)
        unfinished = [self._ledger.trials[number] for number in sorted(self._ledger.running)]
        settings = self._study.search
        free = min(settings.cohort - len(unfinished), settings.trials - len(self._ledger.trials))
        number = 0 if self._cohort is None else self._cohort.number + 1
        with self.profile.time("sampling"):
            started = self._ask(number, free) if free > 0 else []
        for trial in started:
            self._ledger.put(trial)
        lanes = {
            trial.number: (trial.epochs, next(r for r in self._stopping.rungs if r > trial.epochs))
            for trial in [*unfinished, *started]
        }
        cohort = Cohort(number, lanes) if lanes else None
        self._cohort = cohort or self._cohort
        if self._lost(lanes):
            self._commit(cohort=cohort, started=started)
            return self._go_on(list(lanes), stop)
        begun = self._begin(lanes)
        self._commit(cohort=cohort, started=started)
        return begun

    def _ask(self, cohort: int, count: int) -> list[Trial]:
        history = self._ledger.history()
        asked = self._sampler(self._study.seed, cohort, count, history)
        now, active = datetime.now(UTC), self._study.space.active
        return [
            Trial(len(history) + at, cohort, active(params), started=now) for at, params in enumerate(asked)
        ]

    def _judge(self) -> list[Trial]:
        """Trials of the last cohort that end at the rung they have reached."""
        if self._cohort is None:
            return []
        arrived: dict[int, list[int]] = {}
        for number, (_, rung) in self._cohort.lanes.items():
            if number in self._ledger.running:
                arrived.setdefault(rung, []).append(number)
        return [trial for rung, numbers in sorted(arrived.items()) for trial in self._stopped(rung, numbers)]

    def _stopped(self, rung: int, arrived: list[int]) -> list[Trial]:
        scores = self._ledger.scores(rung)
        verdict = self._stopping.judge(scores, arrived)
        now = datetime.now(UTC)

        def reason(number: int) -> str:
            own, needed = (
                value if self._maximize else -value for value in (scores[number][0], verdict.needed or 0.0)
            )
            metric = f"valid {self._study.train.metric}"
            among = f"among {len(scores)} trial{'s' if len(scores) > 1 else ''}"
            equal = ", and a lower loss" if own == needed else ""
            return f"stopped at epoch {rung}: {metric} {own:.4g}, needed {needed:.4g}{equal} {among}"

        return [
            replace(self._ledger.trials[n], state=State.PRUNED, reason=reason(n), finished=now)
            for n in sorted(verdict.stopped)
        ]

    # -- training --------------------------------------------------------------------------------

    def _go_on(self, numbers: Sequence[int], stop: StopFlag) -> Begun:
        """Begin to train lanes of the stored cohort, from where they were when the study was stopped."""
        assert self._cohort is not None
        self._catch_up(numbers, stop.without_limit())
        # What could not be caught up with was stopped on the way, or has diverged there.
        lost = set(self._lost(numbers))
        numbers = [n for n in numbers if n in self._ledger.running and n not in lost]
        return self._begin({number: self._cohort.lanes[number] for number in numbers})

    def _lost(self, numbers: Iterable[int]) -> list[int]:
        """Trials that were trained before this process began, so that their weights are not at hand."""
        return [n for n in numbers if self._ledger.trials[n].epochs and n not in self._states]

    def _begin(self, lanes: Mapping[int, tuple[int, int]]) -> Begun:
        """Give lanes, as a cohort has them, to the workers, tile by tile."""
        with self.profile.time("planning"):
            targets = [target for _, target in lanes.values()]
            tiles = plan(self._problem, [self._lane(n) for n in lanes], targets, self._pool.workers)
            return self._pool.begin(tiles)

    def _collect(self, begun: Begun, stop: StopFlag) -> None:
        """Take what comes out of the tiles, and store it from time to time."""
        for result in self._pool.results(begun, stop, self._tell):
            self._take(result)
            if monotonic() - self._committed >= _COMMIT_EVERY:
                self._commit()

    def _catch_up(self, numbers: Sequence[int], stop: StopFlag) -> None:
        """Train lanes that were under way when the study was stopped up to where they were."""
        numbers = self._lost(numbers)
        if not numbers:
            return
        differing: list[int] = []
        lost: list[Trial] = []
        begun = self._begin({n: (0, self._ledger.trials[n].epochs) for n in numbers})
        for result in self._pool.results(begun, stop, self._tell):
            for lane in result.lanes:
                if lane.state is not None:
                    self._states[lane.trial] = lane.state
                else:
                    reason = f"{lane.failure}, when it was trained again to go on"
                    lost.append(self._ledger.failed_trial(lane.trial, reason))
                if not np.array_equal(lane.curve, self._ledger.curves[lane.trial], equal_nan=True):
                    differing.append(lane.trial)
        if lost:
            for trial in lost:
                self._put(trial)
            self._commit()
        if differing:
            self._warn(
                f"{len(differing)} of {len(numbers)} unfinished trials did not come out as they were stored "
                f"(trial {min(differing)} first): this machine or its libraries differ from those that "
                "began the study. They go on from here; their stored epochs stay as they are."
            )

    def _lane(self, number: int) -> Lane:
        configuration = self._study.space.configuration(self._ledger.trials[number].params)
        return Lane(number, configuration, self._states.get(number))

    def _take(self, result: TileResult) -> None:
        """Count what came out of a tile; it is stored with the next commit."""
        assert self._cohort is not None
        share = result.seconds / len(result.lanes)
        for lane, asked in zip(result.lanes, result.tile.lanes, strict=True):
            self._segments.append(
                Segment(lane.trial, self._cohort.number, asked.epoch + 1, lane.curve, share)
            )
            whole = self._ledger.grow(lane.trial, lane.curve, failed=lane.failure is not None)
            self._put(self._ledger.after(lane.trial, whole, lane.failure))
            self._states.pop(lane.trial, None)
            if lane.state is not None and lane.trial in self._ledger.running:
                self._states[lane.trial] = lane.state
            self._epochs += len(lane.curve)
        self.profile.count(self._problem, result)

    def _put(self, trial: Trial) -> None:
        """What has become of a stored trial."""
        self._ledger.put(trial)
        self._updated[trial.number] = trial

    # -- storing and telling ---------------------------------------------------------------------

    def _commit(self, *, cohort: Cohort | None = None, started: Sequence[Trial] = ()) -> None:
        """Store a new cohort and all that came in since the last commit, and only then tell it."""
        if not (cohort or started or self._segments or self._updated):
            return
        now = monotonic()
        with self.profile.time("storing"):
            self._store.commit(
                cohort=cohort,
                started=started,
                segments=self._segments,
                updated=list(self._updated.values()),
                seconds=now - self._committed,
            )
        self._committed = now
        self._segments, self._updated = [], {}
        self._told = self._progress()
        self._tell()

    def _tell(self) -> None:
        self._watch(replace(self._told, seconds=monotonic() - self._began))

    def _progress(self) -> Progress:
        best = self._ledger.best
        return Progress(
            finished=self._ledger.finished,
            total=max(self._study.search.trials, len(self._ledger.trials)),
            failed=self._ledger.failed,
            epochs=self._epochs,
            seconds=monotonic() - self._began,
            best_value=best.value if best else None,
            best_trial=best.number if best else None,
        )
