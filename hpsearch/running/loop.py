"""The loop of a study: judge, ask, train up to the next rungs, store, tell; until all trials are finished.

Every decision follows from what is stored at the end of a cohort, so the loop can be killed anywhere: what
is not stored is trained again and comes out the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic

import numpy as np

from hpsearch.errors import HpsearchError, StorageError
from hpsearch.records import CURVE_COLUMNS, Cohort, Progress, Segment, State, Trial
from hpsearch.running.live import Group, Ledger
from hpsearch.running.outlook import Outlook, View
from hpsearch.running.pool import Begun, Going, Pool, StopFlag, TileResult
from hpsearch.running.profile import Profile
from hpsearch.running.workload import AnyWorkload
from hpsearch.running.workload import State as LaneState
from hpsearch.search import CohortSampler, Stopping, Words, enough, trials_left
from hpsearch.store import StudyStore
from hpsearch.study.file import Study

_HEAR_EVERY, _LOOK_EVERY = 0.1, 0.5
"""Seconds between two looks into tiles, and between two looks ahead."""

_COMMIT_EVERY = 0.1
"""Seconds: tiles that end within this time share a transaction."""

Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class _Decided:
    """A cohort, the trials that begin in it, and the queue position each takes, by trial number."""

    cohort: Cohort | None = None
    started: Sequence[Trial] = ()
    taken: Mapping[int, int] = field(default_factory=dict)


_NOTHING = _Decided()


class Runner:
    """A study in training.

    Args:
        store: claimed by this process. workload: what is trained. pool: where, of the same workload.
        watch: hears the progress a few times a second. warn: hears what the user should know.
        checkpoints: store the weights of trials that pass a rung, so that a killed study repeats only what
        came after it; without them unfinished trials are trained again from the first epoch.
    """

    def __init__(
        self,
        study: Study,
        store: StudyStore,
        workload: AnyWorkload,
        sampler: CohortSampler,
        stopping: Stopping,
        pool: Pool,
        watch: Watch = lambda progress: None,
        warn: Callable[[str], None] = lambda text: None,
        checkpoints: bool = True,
    ) -> None:
        self._study, self._database, self._workload = study, store, workload
        self._sampler, self._stopping, self._pool = sampler, stopping, pool
        self._watch, self._warn = watch, warn
        if workload.columns[: len(CURVE_COLUMNS)] != CURVE_COLUMNS:  # rules and reports read them by place
            raise ValueError(f"columns: expected {CURVE_COLUMNS} first; found {workload.columns}")
        self._ledger = Ledger(study, stopping, *store.read(), workload.parameters)
        self._checkpoints = checkpoints
        self._states: dict[int, LaneState] = {}
        self._view: View | None
        self._stop = StopFlag()
        self._cohort = store.last_cohort()
        self._began = self._committed = monotonic()
        self._epochs = 0
        # What has come in and is not stored yet: pieces of curves, and trials as they are now.
        self._segments: list[Segment] = []
        self._updated: dict[int, Trial] = {}
        self.profile = Profile(pool.workers)
        self._outlook, self._cohorts = Outlook(study, stopping, workload, pool.workers), 0
        self._looked, self._view = -_LOOK_EVERY, None
        self._inside: dict[int, float] = {}
        self._trained, self._steps = 0.0, 0
        self._heard, self._going = -_HEAR_EVERY, list[Going]()
        self._told = self._progress()

    @property
    def complete(self) -> bool:
        """All trials of the study are finished, and no more of them begin."""
        return not self._ledger.running and not self._left

    @property
    def enough(self) -> str | None:
        """Why no more trials begin, although the study asks for more."""
        return enough(self._study, self._ledger.history)

    @property
    def _left(self) -> int:
        return trials_left(self._study, self._ledger.history, self._sampler.most)

    def run(self, stop: StopFlag) -> None:
        """Train until the study is complete, or until the next rung after `stop` is set."""
        self._restore()
        self._catch_up(stop)
        self._stop = stop
        stop.start()  # only now: with a short limit a study that must catch up would never advance
        with self._storing_what_came_in():
            while not (stop.asked or self.complete):
                decided = _NOTHING
                if self._missing():  # a cohort that was stored, and not trained to its end, goes on
                    self._catch_up(stop)
                else:
                    self._judge()
                    decided = self._ask()
                # The workers train while what was decided is stored, together with what came in last.
                begun = self._train()
                self._store(decided)
                self._tell()
                for result in self._pool.results(begun, stop, self._tell):
                    self._take(result)
                    if monotonic() - self._committed >= _COMMIT_EVERY:
                        self._store()
                        self._tell()
                if stop:
                    break

    @contextmanager
    def _storing_what_came_in(self) -> Iterator[None]:
        """Whatever ends the run: only the database itself, since waiting for it once is long enough."""
        began, storable = monotonic(), True
        try:
            yield
        except StorageError:
            storable = False
            raise
        finally:
            if storable:
                self._store(ending=True)
                self._tell()
            self.profile.seconds += monotonic() - began

    # -- judge and ask ---------------------------------------------------------------------------

    def _judge(self) -> None:
        """Stop the trials of the last cohort that lose at the rung they have reached."""
        if self._cohort is None:
            return
        with self.profile.time("deciding"):
            arrived: dict[tuple[int, Group], list[int]] = {}
            for number, (_, epoch) in self._cohort.lanes.items():
                if number in self._ledger.running:
                    arrived.setdefault((epoch, self._ledger.group(number)), []).append(number)
            words = Words(f"valid {self._study.train.metric}", self._study.sign)
            stopped: dict[int, str] = {}
            for (epoch, group), numbers in arrived.items():
                curves = {number: self._ledger.turned(number) for number in numbers}
                why = self._stopping.judge(self._ledger.rung(epoch, group), curves, words)
                rung = self._ledger.rung(epoch, group)
                first = len(rung.scores) <= len(numbers)
                self._outlook.judge(epoch, numbers, why, first=first)
                stopped |= {n: f"stopped at epoch {epoch}: {text}" for n, text in why.items()}
            now = datetime.now(UTC)
            for number, reason in sorted(stopped.items()):
                trial = self._ledger.trials[number]
                self._put(replace(trial, state=State.PRUNED, reason=reason, finished=now))
                self._states.pop(number, None)

    def _ask(self) -> _Decided:
        """The next cohort: trials that continue, and new ones on the free lanes."""
        unfinished = [self._ledger.trials[number] for number in sorted(self._ledger.running)]
        free = min(self._study.search.cohort - len(unfinished), self._left)
        number = 0 if self._cohort is None else self._cohort.number + 1
        with self.profile.time("sampling"):
            started, taken = self._sample(number, free) if free > 0 else ([], {})
        for trial in started:
            self._ledger.put(trial)
        lanes = {trial.number: (trial.epochs, self._next_pause(trial)) for trial in [*unfinished, *started]}
        if not lanes:
            return _NOTHING
        self._cohort = Cohort(number, lanes)
        self._cohorts += 1
        return _Decided(self._cohort, started, taken)

    def _sample(self, cohort: int, count: int) -> tuple[list[Trial], dict[int, int]]:
        """New trials, and the queue position each takes, by trial number.

        The points of the study file are the first trials, those of `hpsearch enqueue` the next ones.
        """
        history, first = self._ledger.history, len(self._ledger.history)
        points = list(self._study.enqueue[first : first + count])
        queued = [point for point in self._database.queue() if point.trial is None][: count - len(points)]
        taken = {point.position: first + len(points) + at for at, point in enumerate(queued)}
        points += [point.params for point in queued]
        asked = self._sampler(self._study.seed, cohort, count, history, points)
        now = datetime.now(UTC)
        trials = [Trial(first + at, cohort, params, started=now) for at, params in enumerate(asked)]
        return trials, taken

    def _next_pause(self, trial: Trial) -> int:
        return next(epoch for epoch in self._stopping.pauses(trial.number) if epoch > trial.epochs)

    # -- train -----------------------------------------------------------------------------------

    def _train(self) -> Begun:
        """Give the workers the lanes below their rung whose weights are here.

        The others must catch up, which takes long, and what was decided is to be stored before.
        """
        missing = self._missing()
        lost = set(self._lost(missing))
        return self._begin({number: rung for number, rung in missing.items() if number not in lost})

    def _missing(self) -> dict[int, int]:
        """Lanes of the current cohort that have not reached their rung, and the rung."""
        lanes = self._cohort.lanes if self._cohort else {}
        running, trials = self._ledger.running, self._ledger.trials
        return {n: rung for n, (_, rung) in lanes.items() if n in running and trials[n].epochs < rung}

    def _begin(self, targets: Mapping[int, int], *, again: bool = False) -> Begun:
        """Give trials to the workers, tile by tile, to be trained up to the epochs `targets`.

        again: an earlier process has trained them up to there.
        """
        with self.profile.time("planning"):
            trials = [self._ledger.trials[number] for number in targets]
            lanes = [self._workload.lane(trial, self._states.get(trial.number)) for trial in trials]
            tiles = self._workload.tiles(lanes, list(targets.values()), self._pool.workers)
            self._outlook.begin(tiles, again=again)
            return self._pool.begin(tiles)

    def _take(self, result: TileResult) -> None:
        """Count what came out of a tile; it is stored with the next commit."""
        assert self._cohort is not None
        share = result.seconds / len(result.lanes)
        width = len(result.lanes)
        for place, (lane, asked) in enumerate(zip(result.lanes, result.tile.lanes, strict=True)):
            wanted = result.tile.last_epoch - asked.epoch
            if lane.failure is None and len(lane.curve) != wanted:  # or it would be asked for for ever
                raise HpsearchError(
                    f"trial {lane.trial}: expected {wanted} more epochs from the workload; "
                    f"found {len(lane.curve)}"
                )
            piece = Segment(lane.trial, self._cohort.number, asked.epoch + 1, lane.curve, share)
            self._segments.append(replace(piece, run=self._database.run, lane=place, width=width))
            whole = self._ledger.grow(lane.trial, lane.curve, failed=lane.failure is not None)
            self._put(self._ledger.after(lane.trial, whole, lane.failure))
            self._states.pop(lane.trial, None)
            if lane.state is not None and lane.trial in self._ledger.running:
                self._states[lane.trial] = lane.state
            self._epochs += len(lane.curve)
            self._inside.pop(lane.trial, None)
        self._outlook.take(result)
        self.profile.count(self._workload, result)

    def _put(self, trial: Trial) -> None:
        """What has become of a stored trial."""
        self._ledger.put(trial)
        self._updated[trial.number] = trial

    # -- resume ----------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Load the checkpoints of trials; an unreadable one counts as missing."""
        running = self._ledger.running
        for number, (epoch, data) in self._database.checkpoints().items() if running else ():
            if number in running and epoch <= self._ledger.trials[number].epochs:
                with suppress(ValueError):
                    self._states[number] = self._workload.unpack(epoch, data)

    def _lost(self, numbers: Iterable[int]) -> list[int]:
        """Running trials that an earlier process trained, so their weights are not here."""
        trials, states = self._ledger.trials, self._states
        return [
            n
            for n in numbers
            if n in self._ledger.running
            and trials[n].epochs
            and (n not in states or states[n].epoch < trials[n].epochs)
        ]

    def _catch_up(self, stop: StopFlag) -> None:
        """Train interrupted lanes up to where they were, from their checkpoints if there are any."""
        numbers = self._lost(self._missing())
        if not numbers:
            return
        differing: list[int] = []
        lost: list[Trial] = []
        begun = self._begin({number: self._ledger.trials[number].epochs for number in numbers}, again=True)
        for result in self._pool.results(begun, stop.without_limit(), self._tell):
            self._outlook.take(result)
            for lane, asked in zip(result.lanes, result.tile.lanes, strict=True):
                if lane.state is not None:
                    self._states[lane.trial] = lane.state
                else:
                    reason = f"{lane.failure} when retrained to resume"
                    lost.append(self._ledger.failed_trial(lane.trial, reason))
                stored = self._ledger.curves[lane.trial][asked.epoch :]
                if not np.array_equal(lane.curve, stored, equal_nan=True):
                    differing.append(lane.trial)
        for trial in lost:
            self._put(trial)
        self._store()
        self._tell()
        if differing:
            self._warn(
                f"{len(differing)} of {len(numbers)} unfinished trials came out different when retrained "
                f"(trial {min(differing)} first): this machine or its libraries differ from those that "
                "started the study. They continue from here; their stored epochs stay as they are."
            )

    # -- store and tell --------------------------------------------------------------------------

    def _store(self, decided: _Decided = _NOTHING, *, ending: bool = False) -> None:
        """Store what was decided and all results since the last time; only then may they be told.

        A cohort is stored with the weights of its lanes trained before; the end of a run stores those of all
        unfinished trials.
        """
        cohort = decided.cohort
        lanes: Iterable[int] = cohort.lanes if cohort else self._ledger.running if ending else ()
        states = {n: self._states[n] for n in lanes if self._checkpoints and n in self._states}
        if not (cohort or states or self._segments or self._updated):
            return
        now = monotonic()
        with self.profile.time("storing"):
            self._database.commit(
                cohort=cohort,
                started=decided.started,
                taken=decided.taken,
                checkpoints={n: (state.epoch, self._workload.pack(state)) for n, state in states.items()},
                segments=self._segments,
                updated=list(self._updated.values()),
                seconds=now - self._committed,
            )
        self._committed = now
        self._segments, self._updated = [], {}
        self._told = self._progress()

    def _tell(self) -> None:
        now = monotonic()
        if now - self._heard >= _HEAR_EVERY:  # small tiles end hundreds of times a second
            self._heard = now
            self._hear()
        if now - self._looked >= _LOOK_EVERY:
            self._looked, self._view = now, self._look_ahead(self._pool.going())
        left: tuple[float, float] | None = None
        rung: float | None = None
        if self._view is not None:
            found, rung = self._view.left, self._view.rung
            ends = self._stop.left
            found = found.within(None if ends is None else ends + rung)
            found = found.after(now - self._looked)
            left = found.low, found.high
        progress = replace(
            self._told,
            seconds=now - self._began,
            trained=max(self._trained, self._epochs),
            steps=max(self._steps, self._outlook.steps),
            left=left,
            rung=rung,
        )
        self._watch(self._leading(progress, self._going))

    def _hear(self) -> None:
        """Ask the pool how far the tiles in training are."""
        self._going = list(self._pool.going())
        for tile, number, each in ((t, n, i) for t in self._going for n, i in t.lanes.items()):
            if self._ledger.trials[number].epochs < tile.tile.last_epoch:  # it does not only catch up
                self._inside[number] = max(self._inside.get(number, 0.0), each.epochs)
        # Stacked in torch a lane is trained beyond its divergence, which its curve does not show.
        self._trained = max(self._trained, self._epochs + sum(self._inside.values()))
        self._steps = max(self._steps, self._outlook.steps + self._outlook.steps_inside(self._going))

    def _look_ahead(self, going: Sequence[Going]) -> View | None:
        count, limit = len(self._ledger.trials), self._study.search.epoch_limit
        phases = self.profile.phases
        between = phases["deciding"] + phases["sampling"] + phases["planning"]
        return self._outlook.view(
            {number: self._ledger.trials[number] for number in self._ledger.running},
            {number: rung for number, (_, rung) in self._cohort.lanes.items()} if self._cohort else {},
            range(count, count + self._left),
            going,
            overhead=between / max(1, self._cohorts),
            epochs=math.inf if limit is None else limit - float(self._ledger.history.epochs.sum()),
        )

    def _leading(self, progress: Progress, going: Sequence[Going]) -> Progress:
        """The progress, with a trial that is better inside its tile than all before."""
        sign, value = self._study.sign, progress.leading_value
        for tile in going:
            behind = tile.tile.lanes[0].epoch
            for number, each in tile.lanes.items():
                turned = sign * each.metrics
                if not len(turned) or np.isnan(turned).all():
                    continue
                at = int(np.nanargmax(turned))
                if value is None or turned[at] > sign * value:
                    value = float(each.metrics[at])
                    progress = replace(
                        progress, leading_value=value, leading_trial=number, leading_epoch=behind + at + 1
                    )
        return progress

    def _progress(self) -> Progress:
        best, leading = self._ledger.best, self._ledger.leading
        return Progress(
            finished=self._ledger.finished,
            total=len(self._ledger.trials) + self._left,
            failed=self._ledger.failed,
            epochs=self._epochs,
            seconds=monotonic() - self._began,
            best_value=best.value if best else None,
            best_trial=best.number if best else None,
            leading_value=leading.value if leading else None,
            leading_trial=leading.number if leading else None,
            leading_epoch=leading.best_epoch if leading else None,
        )
