"""The loop of a study: judge, ask, train up to the next rungs, store; until all trials are finished.

Whatever the loop decides follows from what is stored at the end of a cohort, so it can be killed
anywhere: what is not stored is trained again and comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from types import MappingProxyType

import numpy as np

from hpsearch.errors import StorageError
from hpsearch.records import Cohort, Progress, Segment, State, Trial
from hpsearch.running.live import Group, Ledger
from hpsearch.running.pool import Begun, Pool, StopFlag, TileResult
from hpsearch.running.profile import Profile
from hpsearch.search import CohortSampler, Stopping, Words, enough, trials_left
from hpsearch.store import StudyStore
from hpsearch.study.file import Study
from hpsearch.study.layout import parameter_count
from hpsearch.train import Lane, LaneState, Problem, pack, plan, unpack

_COMMIT_EVERY = 0.1
"""Seconds: tiles that end sooner after each other are stored in one transaction."""

Watch = Callable[[Progress], None]


class Runner:
    """A study in training.

    Args:
        store: claimed by this process. problem: the study's data. pool: trains tiles.
        watch: is told of the progress, some times a second. warn: is told what the user should know.
        checkpoints: store the weights of what goes on at a rung, so that a killed study repeats only what
        came after it; without them it trains unfinished trials again from the first epoch.
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
        checkpoints: bool = True,
    ) -> None:
        self._study, self._store, self._problem = study, store, problem
        self._sampler, self._stopping, self._pool = sampler, stopping, pool
        self._watch, self._warn = watch, warn
        self._ledger = Ledger(study, stopping, *store.read(), self._weights)
        self._checkpoints = checkpoints
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
        """All trials of the study are finished, and no more of them begin."""
        return not self._ledger.running and not self._left

    @property
    def enough(self) -> str | None:
        """Why no more trials begin although there are fewer than the study says."""
        return enough(self._study, self._ledger.history)

    @property
    def _left(self) -> int:
        return trials_left(self._study, self._ledger.history, self._sampler.most)

    def run(self, stop: StopFlag) -> None:
        """Train until the study is complete or `stop` is set and the next rung is reached.

        The time limit counts from when lanes that were under way are where they were: catching up
        stores nothing, and with a short limit a study would never get on.
        """
        missing = self._missing()
        self._catch_up(missing, stop.without_limit())
        stop.start()
        began = monotonic()
        storable = True
        try:
            while not (stop.asked or self.complete):
                begun = self._go_on(missing, stop) if missing else self._next_cohort(stop)
                missing = []
                self._collect(begun, stop)
                if stop:
                    break
        except StorageError:
            storable = False  # waiting for a locked database once is long enough
            raise
        finally:
            if storable:
                self._commit(ending=True)
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
        free = min(self._study.search.cohort - len(unfinished), self._left)
        number = 0 if self._cohort is None else self._cohort.number + 1
        with self.profile.time("sampling"):
            started, taken = self._ask(number, free) if free > 0 else ([], {})
        for trial in started:
            self._ledger.put(trial)
        lanes = {trial.number: (trial.epochs, self._next_pause(trial)) for trial in [*unfinished, *started]}
        cohort = Cohort(number, lanes) if lanes else None
        self._cohort = cohort or self._cohort
        if self._lost(lanes):
            self._commit(cohort=cohort, started=started, taken=taken)
            return self._go_on(list(lanes), stop)
        begun = self._begin(lanes)
        self._commit(cohort=cohort, started=started, taken=taken)
        return begun

    def _next_pause(self, trial: Trial) -> int:
        return next(epoch for epoch in self._stopping.pauses(trial.number) if epoch > trial.epochs)

    def _ask(self, cohort: int, count: int) -> tuple[list[Trial], dict[int, int]]:
        """New trials, and which of them (by number) take which places of the queue.

        The points of the study file are the first trials, those of `hpsearch enqueue` the next ones.
        """
        history, first = self._ledger.history, len(self._ledger.history)
        points = list(self._study.enqueue[first : first + count])
        queued = [point for point in self._store.queue() if point.trial is None][: count - len(points)]
        taken = {point.position: first + len(points) + at for at, point in enumerate(queued)}
        points += [point.params for point in queued]
        asked = self._sampler(self._study.seed, cohort, count, history, points)
        now = datetime.now(UTC)
        trials = [Trial(first + at, cohort, params, started=now) for at, params in enumerate(asked)]
        return trials, taken

    def _judge(self) -> list[Trial]:
        """Trials of the last cohort that end at the rung they have reached."""
        if self._cohort is None:
            return []
        arrived: dict[tuple[int, Group], list[int]] = {}
        for number, (_, epoch) in self._cohort.lanes.items():
            if number in self._ledger.running:
                arrived.setdefault((epoch, self._ledger.group(number)), []).append(number)
        now = datetime.now(UTC)
        words = Words(f"valid {self._study.train.metric}", self._study.sign)
        stopped: dict[int, str] = {}
        for (epoch, group), numbers in arrived.items():
            curves = {number: self._ledger.turned(number) for number in numbers}
            why = self._stopping.judge(self._ledger.rung(epoch, group), curves, words)
            stopped |= {n: f"stopped at epoch {epoch}: {text}" for n, text in why.items()}
        return [
            replace(self._ledger.trials[n], state=State.PRUNED, reason=reason, finished=now)
            for n, reason in sorted(stopped.items())
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

    def _restore(self, numbers: Iterable[int]) -> None:
        """Take the checkpoints of trials; one that cannot be read is as if it were not there."""
        stored = self._store.checkpoints()
        for number in set(numbers) & stored.keys():
            epoch, data = stored[number]
            if epoch <= self._ledger.trials[number].epochs:
                with suppress(ValueError):
                    self._states[number] = unpack(epoch, data)

    def _lost(self, numbers: Iterable[int]) -> list[int]:
        """Those that run, but were trained before this process began, so that their weights are not here."""
        trials, states = self._ledger.trials, self._states
        return [
            n
            for n in numbers
            if n in self._ledger.running
            and trials[n].epochs
            and (n not in states or states[n].epoch < trials[n].epochs)
        ]

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
        """Train lanes that were under way when the study was stopped up to where they were, from their
        checkpoints on if there are any."""
        numbers = self._lost(numbers)
        if not numbers:
            return
        self._restore(numbers)
        numbers = self._lost(numbers)
        differing: list[int] = []
        lost: list[Trial] = []
        begun = self._begin({n: (0, self._ledger.trials[n].epochs) for n in numbers})
        for result in self._pool.results(begun, stop, self._tell):
            for lane, asked in zip(result.lanes, result.tile.lanes, strict=True):
                if lane.state is not None:
                    self._states[lane.trial] = lane.state
                else:
                    reason = f"{lane.failure}, when it was trained again to go on"
                    lost.append(self._ledger.failed_trial(lane.trial, reason))
                stored = self._ledger.curves[lane.trial][asked.epoch :]
                if not np.array_equal(lane.curve, stored, equal_nan=True):
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
        trial = self._ledger.trials[number]
        configuration = self._study.space.configuration(trial.params)
        return Lane(number, configuration, self._states.get(number), trial.weights)

    def _take(self, result: TileResult) -> None:
        """Count what came out of a tile; it is stored with the next commit."""
        assert self._cohort is not None
        share = result.seconds / len(result.lanes)
        width = len(result.lanes)
        for place, (lane, asked) in enumerate(zip(result.lanes, result.tile.lanes, strict=True)):
            piece = Segment(lane.trial, self._cohort.number, asked.epoch + 1, lane.curve, share)
            self._segments.append(replace(piece, run=self._store.run, lane=place, width=width))
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

    def _commit(
        self,
        *,
        cohort: Cohort | None = None,
        started: Sequence[Trial] = (),
        taken: Mapping[int, int] = MappingProxyType({}),
        ending: bool = False,
    ) -> None:
        """Store a new cohort and all that came in since the last commit, and only then tell it.

        With a cohort go the weights of those of its lanes that have been trained before, and at the end of
        the run those of all that are unfinished.
        """
        lanes: Iterable[int] = cohort.lanes if cohort else self._ledger.running if ending else ()
        states = {n: self._states[n] for n in lanes if self._checkpoints and n in self._states}
        if not (cohort or started or states or self._segments or self._updated):
            return
        now = monotonic()
        with self.profile.time("storing"):
            self._store.commit(
                cohort=cohort,
                started=started,
                taken=taken,
                checkpoints={n: (state.epoch, pack(state)) for n, state in states.items()},
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

    def _weights(self, trial: Trial) -> int:
        """How many numbers a trial's network learns."""
        configuration = self._study.space.configuration(trial.params)
        return parameter_count(self._problem.features, configuration, self._problem.outputs)

    def _progress(self) -> Progress:
        best = self._ledger.best
        return Progress(
            finished=self._ledger.finished,
            total=len(self._ledger.trials) + self._left,
            failed=self._ledger.failed,
            epochs=self._epochs,
            seconds=monotonic() - self._began,
            best_value=best.value if best else None,
            best_trial=best.number if best else None,
        )
