"""A running study in memory: its trials, their curves, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from hpsearch.records import (
    VALID_LOSS,
    VALID_METRIC,
    Curves,
    FloatArray,
    IntArray,
    State,
    Trial,
    Trials,
)
from hpsearch.search import History, Rung, Stopping
from hpsearch.stats.score import at_epoch, average, scored, window
from hpsearch.study.file import Study


class _Numbered:
    """Trials by number: those stored at the start, made when asked for, and newer ones."""

    def __init__(self, stored: Trials) -> None:
        self.stored = stored
        self._newer: dict[int, Trial] = {}
        self._count = len(stored)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Trial:
        newer = self._newer.get(number)
        return self.stored[number] if newer is None else newer

    def __setitem__(self, number: int, trial: Trial) -> None:
        self._newer[number] = trial
        self._count = max(self._count, number + 1)

    def values(self) -> list[Trial]:
        """All of them, in number order."""
        return [self[number] for number in range(self._count)]


Group = tuple[Hashable, ...]
"""What trials have in common that are judged against each other: bracket, scientific hyper-parameters."""


class Ledger:
    """Trials by number, and the curves of those that run; each change goes through `put` or `grow`.

    Counts, the best trial, the rungs and the history for the sampler are updated with every change, so that
    a cohort costs the same however long the study is.

    parameters: how many numbers a trial learns.
    """

    def __init__(
        self,
        study: Study,
        stopping: Stopping,
        trials: Sequence[Trial],
        curves: Curves,
        parameters: Callable[[Trial], int],
    ) -> None:
        self._study, self._stopping, self._parameters = study, stopping, parameters
        self._sign, self._score = study.sign, study.train.score
        stored = Trials.join(trials)
        self.trials = _Numbered(stored)
        self.history = History(study.space, stored, len(study.search.objectives))
        self.running = {number for number, state in enumerate(stored.state) if state is State.RUNNING}
        self.failed = sum(state is State.FAILED for state in stored.state)
        self.best = self._best()
        self.curves = {n: np.array(curves[n]) for n in self.running if n in curves}
        self._rungs: dict[tuple[int, Group], Rung] = {}
        self._read_rungs(curves)

    @property
    def finished(self) -> int:
        """How many trials are finished."""
        return len(self.trials) - len(self.running)

    def group(self, number: int) -> Group:
        """The trial is judged against those of the same group."""
        params, scientific = self.trials[number].params, self._study.search.scientific
        return self._stopping.group(number), *(params.get(name) for name in scientific)

    def rung(self, epoch: int, group: Group) -> Rung:
        """What is known of a group's trials at an epoch."""
        return self._rungs.setdefault((epoch, group), Rung(epoch))

    def turned(self, number: int) -> FloatArray:
        """[epochs] validation metric of a running trial, its sign such that more is better."""
        turned: FloatArray = self._sign * self.curves[number][:, VALID_METRIC]
        return turned

    @property
    def leading(self) -> Trial | None:
        """The best so far of all that have not diverged, complete or not."""
        values = self._sign * self.history.value
        if not len(values) or np.isnan(values).all():
            return None
        return self.trials[int(np.nanargmax(values))]

    def put(self, trial: Trial) -> None:
        """A new trial, or what has become of one."""
        self.trials[trial.number] = trial
        self.history.put(trial)
        if not trial.state.finished:
            self.running.add(trial.number)
            return
        self.running.discard(trial.number)
        self.curves.pop(trial.number, None)
        self.failed += trial.state is State.FAILED
        if trial.state is State.COMPLETE:
            if self.best is None or self._merit(trial) > self._merit(self.best):
                self.best = trial
            group = self.group(trial.number)
            for epoch in self._stopping.pauses(trial.number):
                self.rung(epoch, group).end(trial.number)

    def grow(self, number: int, curve: FloatArray, failed: bool) -> FloatArray:
        """Append a piece to a trial's curve; returns the whole. A failed trial diverged in its last epoch."""
        before = self.curves.get(number)
        # Copied even if there is nothing before: what a worker has allocated should not outlive the rung.
        whole: FloatArray = np.concatenate([curve] if before is None else [before, curve])
        self.curves[number] = whole
        known = 0 if before is None else len(before)
        group = self.group(number)
        for epoch in self._stopping.pauses(number):
            if known < epoch <= len(whole) - failed:
                metric, loss = at_epoch(self._score, whole[:, [VALID_METRIC, VALID_LOSS]], epoch).tolist()
                self.rung(epoch, group).arrive(number, (self._sign * metric, -loss))
        return whole

    def after(self, number: int, curve: FloatArray, failure: str | None) -> Trial:
        """What a running trial's record becomes once its whole curve is `curve`."""
        trial, now = self.trials[number], datetime.now(UTC)
        if failure is not None:
            return replace(self.failed_trial(number, failure), epochs=len(curve))
        turned, loss, epoch = scored(self._score, self._sign * curve[:, VALID_METRIC], curve[:, VALID_LOSS])
        ended = len(curve) >= self._stopping.rungs[-1]
        return replace(
            trial,
            state=State.COMPLETE if ended else State.RUNNING,
            epochs=len(curve),
            value=self._sign * turned,
            loss=loss,
            best_epoch=epoch,
            others=self._others(trial, loss),
            finished=now if ended else None,
        )

    def failed_trial(self, number: int, reason: str) -> Trial:
        """What a running trial's record becomes when it has diverged."""
        return replace(
            self.trials[number],
            state=State.FAILED,
            value=None,
            loss=None,
            best_epoch=None,
            others=(),
            reason=reason,
            finished=datetime.now(UTC),
        )

    def _others(self, trial: Trial, loss: float) -> tuple[float, ...]:
        """The trial's further objectives, in the study's order."""
        known = {"loss": lambda: loss, "parameters": lambda: float(self._parameters(trial))}
        return tuple(known[name]() for name in self._study.search.objectives)

    def _read_rungs(self, curves: Curves) -> None:
        """The rungs of a stored study: filled at once and sorted at the end."""
        failed = np.array([state is State.FAILED for state in self.trials.stored.state], dtype=bool)
        complete = np.array([state is State.COMPLETE for state in self.trials.stored.state], dtype=bool)
        for epoch in self._stopping.rungs:
            numbers, _ = curves.at(epoch)
            back = reversed(range(window(self._score, epoch)))
            rows = average([curves.at(epoch, epochs)[1] for epochs in back])
            sound = ~(failed[numbers] & (self.history.epochs[numbers] == epoch))
            numbers, rows = numbers[sound], rows[sound]
            metrics, losses = self._sign * rows[:, VALID_METRIC], -rows[:, VALID_LOSS]
            for group, at in self._groups(numbers, epoch):
                metric, loss, rung = metrics[at], losses[at], self.rung(epoch, group)
                scores = list(zip(metric.tolist(), loss.tolist(), strict=True))
                rung.scores = dict(zip(numbers[at].tolist(), scores, strict=True))
                rung.ranked = [scores[place] for place in np.lexsort((loss, metric)).tolist()]
                rung.complete = np.sort(metric[complete[numbers[at]]]).tolist()

    def _groups(self, numbers: IntArray, epoch: int) -> Iterator[tuple[Group, IntArray]]:
        """Groups of the trials that pause at an epoch, with their places in `numbers`."""
        if self._stopping.one_group and not self._study.search.scientific:
            if len(numbers):
                yield self.group(int(numbers[0])), np.arange(len(numbers))
            return
        places: dict[Group, list[int]] = {}
        for at, number in enumerate(numbers.tolist()):
            if epoch in self._stopping.pauses(number):
                places.setdefault(self.group(number), []).append(at)
        for group, found in places.items():
            yield group, np.array(found, dtype=np.int64)

    def _best(self) -> Trial | None:
        """The best of the complete trials that are stored."""
        complete = np.flatnonzero([state is State.COMPLETE for state in self.trials.stored.state])
        if not len(complete):
            return None
        value, loss = self.history.value[complete], self.history.loss[complete]
        first = int(np.lexsort((complete, loss, -self._sign * value))[0])
        return self.trials[int(complete[first])]

    def _merit(self, trial: Trial) -> tuple[float, float, int]:
        assert trial.value is not None
        assert trial.loss is not None
        return self._sign * trial.value, -trial.loss, -trial.number
