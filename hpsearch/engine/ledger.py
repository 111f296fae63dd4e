"""A study in memory while it runs: its trials, their curves, and what follows from both, kept up to date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from hpsearch.records import VALID_LOSS, VALID_METRIC, FloatArray, State, Trial
from hpsearch.search import Score


class Ledger:
    """Trials by number with their curves; each change goes through `put` or `grow`.

    Counts, the best trial and the scores at each rung are updated with every change, so that a cohort
    costs the same however long the study is.
    """

    def __init__(
        self,
        trials: Iterable[Trial],
        curves: Mapping[int, FloatArray],
        rungs: tuple[int, ...],
        maximize: bool,
    ) -> None:
        self._maximize, self._rungs = maximize, rungs
        self.trials: dict[int, Trial] = {}
        self.curves: dict[int, FloatArray] = {}
        self.running: set[int] = set()
        self.failed = 0
        self.best: Trial | None = None
        self._scores: dict[int, dict[int, Score]] = {rung: {} for rung in rungs}
        for trial in trials:
            if trial.number in curves:
                self.grow(trial.number, curves[trial.number], failed=trial.state is State.FAILED)
            self.put(trial)

    @property
    def finished(self) -> int:
        """How many trials are finished."""
        return len(self.trials) - len(self.running)

    def history(self) -> list[Trial]:
        """All trials in number order."""
        return [self.trials[number] for number in range(len(self.trials))]

    def scores(self, rung: int) -> Mapping[int, Score]:
        """Of all trials that ever reached a rung without diverging, by number."""
        return self._scores[rung]

    def put(self, trial: Trial) -> None:
        """A new trial, or what has become of one."""
        self.trials[trial.number] = trial
        if not trial.state.finished:
            self.running.add(trial.number)
            return
        self.running.discard(trial.number)
        self.failed += trial.state is State.FAILED
        if trial.state is State.COMPLETE and (
            self.best is None or self._merit(trial) > self._merit(self.best)
        ):
            self.best = trial

    def grow(self, number: int, curve: FloatArray, failed: bool) -> FloatArray:
        """Append a piece to a trial's curve; returns the whole. A failed trial diverged in its last epoch."""
        before = self.curves.get(number)
        # Copied even if there is nothing before: what a worker has allocated should not outlive the rung.
        whole = np.concatenate([curve] if before is None else [before, curve])
        self.curves[number] = whole
        known = 0 if before is None else len(before)
        for rung in self._rungs:
            if known < rung <= len(whole) - failed:
                metric, loss = float(whole[rung - 1, VALID_METRIC]), float(whole[rung - 1, VALID_LOSS])
                self._scores[rung][number] = (metric if self._maximize else -metric), -loss
        return whole

    def after(self, number: int, curve: FloatArray, failure: str | None) -> Trial:
        """What a running trial's record becomes once its whole curve is `curve`."""
        trial, now = self.trials[number], datetime.now(UTC)
        if failure is not None:
            return replace(self.failed_trial(number, failure), epochs=len(curve))
        metric = curve[:, VALID_METRIC]
        best = int(metric.argmax() if self._maximize else metric.argmin())
        ended = len(curve) >= self._rungs[-1]
        return replace(
            trial,
            state=State.COMPLETE if ended else State.RUNNING,
            epochs=len(curve),
            value=float(metric[best]),
            loss=float(curve[best, VALID_LOSS]),
            best_epoch=best + 1,
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
            reason=reason,
            finished=datetime.now(UTC),
        )

    def _merit(self, trial: Trial) -> tuple[float, float, int]:
        assert trial.value is not None
        assert trial.loss is not None
        return (trial.value if self._maximize else -trial.value), -trial.loss, -trial.number
