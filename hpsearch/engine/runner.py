"""The loop of a study: judge, ask, train up to the next rungs, store; until all trials are finished.

Whatever the loop decides follows from what is stored at the end of a cohort, so it can be killed
anywhere: what is not stored is trained again and comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

import numpy as np

from hpsearch.engine.ledger import Ledger
from hpsearch.engine.pool import Pool, StopFlag, TileResult
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

    @property
    def complete(self) -> bool:
        """All trials of the study are finished."""
        return not self._ledger.running and self._ledger.finished >= self._study.search.trials

    @property
    def trained_epochs(self) -> int:
        """Epochs of all lanes that this run has trained and stored."""
        return self._epochs

    def run(self, stop: StopFlag) -> None:
        """Train until the study is complete or `stop` is set and the next rung is reached.

        The time limit counts from when lanes that were under way are where they were: catching up
        stores nothing, and with a short limit a study would never get on.
        """
        self._catch_up(self._missing(), stop.without_limit())
        stop.start()
        while not (stop.asked or self.complete):
            if missing := self._missing():
                self._catch_up(missing, stop.without_limit())
                self._train(missing, stop)
            else:
                self._next_cohort()
            if stop:
                return

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

    def _next_cohort(self) -> None:
        """Stop the worst of the last cohort, refill with new trials and store what is to be trained."""
        pruned = self._judge()
        for trial in pruned:
            self._ledger.put(trial)
            self._states.pop(trial.number, None)
        unfinished = [self._ledger.trials[number] for number in sorted(self._ledger.running)]
        settings = self._study.search
        free = min(settings.cohort - len(unfinished), settings.trials - len(self._ledger.trials))
        number = 0 if self._cohort is None else self._cohort.number + 1
        started = self._ask(number, free) if free > 0 else []
        lanes = {
            trial.number: (trial.epochs, next(r for r in self._stopping.rungs if r > trial.epochs))
            for trial in [*unfinished, *started]
        }
        cohort = Cohort(number, lanes) if lanes else None
        self._commit(cohort=cohort, started=started, updated=pruned)
        for trial in started:
            self._ledger.put(trial)
        self._cohort = cohort or self._cohort
        self._tell()

    def _ask(self, cohort: int, count: int) -> list[Trial]:
        history = self._ledger.history()
        asked = self._sampler(self._study.seed, cohort, count, history)
        now = datetime.now(UTC)
        return [Trial(len(history) + at, cohort, params, started=now) for at, params in enumerate(asked)]

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

    def _train(self, numbers: list[int], stop: StopFlag) -> None:
        """Train lanes of the current cohort to their rungs, storing tiles as they come."""
        assert self._cohort is not None
        # What could not be caught up with was stopped on the way, or has diverged there.
        running, trials = self._ledger.running, self._ledger.trials
        numbers = [n for n in numbers if n in running and (n in self._states or not trials[n].epochs)]
        targets = [self._cohort.lanes[number][1] for number in numbers]
        held: list[TileResult] = []
        try:
            for result in self._tiles(numbers, targets, stop):
                held.append(result)
                if monotonic() - self._committed >= _COMMIT_EVERY:
                    self._store_tiles(held)
                    held = []
        finally:
            self._store_tiles(held)

    def _catch_up(self, numbers: list[int], stop: StopFlag) -> None:
        """Train lanes that were under way when the study was stopped up to where they were."""
        trials = self._ledger.trials
        numbers = [n for n in numbers if trials[n].epochs and n not in self._states]
        if not numbers:
            return
        differing: list[int] = []
        lost: list[Trial] = []
        for result in self._tiles(numbers, [trials[n].epochs for n in numbers], stop):
            for lane in result.lanes:
                if lane.state is not None:
                    self._states[lane.trial] = lane.state
                else:
                    reason = f"{lane.failure}, when it was trained again to go on"
                    lost.append(self._ledger.failed_trial(lane.trial, reason))
                if not np.array_equal(lane.curve, self._ledger.curves[lane.trial], equal_nan=True):
                    differing.append(lane.trial)
        if lost:
            self._commit(updated=lost)
            for trial in lost:
                self._ledger.put(trial)
        if differing:
            self._warn(
                f"{len(differing)} of {len(numbers)} unfinished trials did not come out as they were stored "
                f"(trial {min(differing)} first): this machine or its libraries differ from those that "
                "began the study. They go on from here; their stored epochs stay as they are."
            )

    def _tiles(self, numbers: Sequence[int], targets: Sequence[int], stop: StopFlag) -> Iterator[TileResult]:
        """Results of lanes trained to their targets, tile by tile as they come."""
        lanes = [self._lane(number) for number in numbers]
        tiles = plan(self._problem, lanes, targets, self._pool.workers)
        return self._pool.train(tiles, stop, self._tell)

    def _lane(self, number: int) -> Lane:
        configuration = self._study.space.configuration(self._ledger.trials[number].params)
        return Lane(number, configuration, self._states.get(number))

    def _store_tiles(self, results: Sequence[TileResult]) -> None:
        """Store what came out of some tiles, and only then count and tell it."""
        assert self._cohort is not None
        if not results:
            return
        segments, updated = [], []
        for result in results:
            share = result.seconds / len(result.lanes)
            for lane, asked in zip(result.lanes, result.tile.lanes, strict=True):
                segments.append(Segment(lane.trial, self._cohort.number, asked.epoch + 1, lane.curve, share))
                whole = self._ledger.grow(lane.trial, lane.curve, failed=lane.failure is not None)
                updated.append(self._ledger.after(lane.trial, whole, lane.failure))
        self._commit(segments=segments, updated=updated)
        for trial in updated:
            self._ledger.put(trial)
            self._states.pop(trial.number, None)
        for result in results:
            for lane in result.lanes:
                self._epochs += len(lane.curve)
                if lane.state is not None and lane.trial in self._ledger.running:
                    self._states[lane.trial] = lane.state
        self._tell()

    # -- storing and telling ---------------------------------------------------------------------

    def _commit(
        self,
        *,
        cohort: Cohort | None = None,
        started: Sequence[Trial] = (),
        segments: Sequence[Segment] = (),
        updated: Sequence[Trial] = (),
    ) -> None:
        now = monotonic()
        self._store.commit(
            cohort=cohort, started=started, segments=segments, updated=updated, seconds=now - self._committed
        )
        self._committed = now

    def _tell(self) -> None:
        best = self._ledger.best
        self._watch(
            Progress(
                finished=self._ledger.finished,
                total=max(self._study.search.trials, len(self._ledger.trials)),
                failed=self._ledger.failed,
                epochs=self._epochs,
                seconds=monotonic() - self._began,
                best_value=best.value if best else None,
                best_trial=best.number if best else None,
            )
        )
