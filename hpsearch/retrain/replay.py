"""Train stored trials again and compare their curves with the stored ones, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from hpsearch.errors import NothingToShowError, check_trial
from hpsearch.records import FloatArray, Segment, State, Trial
from hpsearch.retrain.reload import reload
from hpsearch.running.machine import Machine
from hpsearch.running.networks import Networks
from hpsearch.running.pool import StopFlag, make_pool
from hpsearch.running.prepare import make_problem
from hpsearch.running.provenance import differences, run_provenance
from hpsearch.store import StudyStore
from hpsearch.train import LaneResult


@dataclass(frozen=True)
class Replayed:
    """A trial that was trained again.

    epochs: of the stored curve. pieces: how it was trained, without their curves. differs_from: the first
    epoch (from 1) that differs from the stored one in any bit, or None. largest: the largest absolute
    difference; infinite where only one of the two values is finite, or this curve ended sooner. failure: why
    it diverged this time, if it did.
    """

    trial: int
    state: State
    epochs: int
    pieces: tuple[Segment, ...]
    differs_from: int | None = None
    largest: float = 0.0
    failure: str | None = None

    @property
    def identical(self) -> bool:
        return self.differs_from is None

    @property
    def piece(self) -> Segment | None:
        """The piece where the curves first differ."""
        if self.differs_from is None:
            return None
        return next(p for p in reversed(self.pieces) if p.first_epoch <= self.differs_from)


@dataclass(frozen=True)
class RunDifference:
    """How the record of a run differs from this process, which trained its trials again.

    run: its number; 0, begun at None, where runs were not recorded yet. trials: those of the replayed that it
    trained. fields: name → (then, now) of fields that both sides have.
    """

    run: int
    begun: datetime | None
    trials: tuple[int, ...]
    fields: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Replay:
    """Trials of a study in number order, and the runs that had trained them."""

    study: str
    trials: tuple[Replayed, ...]
    runs: tuple[RunDifference, ...]

    @property
    def identical(self) -> bool:
        """Whether every curve is the stored one, bit for bit."""
        return all(trial.identical for trial in self.trials)


Watch = Callable[[int, int], None]
"""Is called with (retrained trials, all of them)."""


def replay_stored(store: StudyStore, numbers: Iterable[int] | None, machine: Machine, watch: Watch) -> Replay:
    """`api.replay` of a study that is open."""
    name = store.record.name
    chosen = _chosen(name, store.trials(), numbers)
    pieces: dict[int, list[Segment]] = {trial.number: [] for trial in chosen}
    for segment in store.segments(pieces):
        pieces[segment.trial].append(segment)
    study, dataset = reload(store.record)
    networks = Networks(make_problem(study, dataset, machine.device), study.space)
    results = _train_again(networks, chosen, machine.workers, watch)
    found = tuple(_compared(trial, pieces[trial.number], results[trial.number]) for trial in chosen)
    now = run_provenance(study, dataset, machine)
    return Replay(name, found, _run_differences(store, found, now))


def _chosen(study: str, trials: Sequence[Trial], numbers: Iterable[int] | None) -> list[Trial]:
    """The trials of these numbers that have an epoch, in order.

    Raises:
        HpsearchError: the study has no trial of such a number. NothingToShowError: none has an epoch.
    """
    wanted = set()
    for number in range(len(trials)) if numbers is None else numbers:
        check_trial(study, number, len(trials))  # before it is kept: a range may be endless
        wanted.add(number)
    chosen = [trials[number] for number in sorted(wanted) if trials[number].epochs]
    if not chosen:
        raise NothingToShowError(f"study {study}: none of these trials has trained an epoch yet")
    return chosen


def _train_again(
    networks: Networks, trials: Sequence[Trial], workers: int, watch: Watch
) -> dict[int, LaneResult]:
    """Each trial from fresh weights up to the epoch it had reached, by number, without its state."""
    lanes = [networks.lane(trial, None) for trial in trials]
    results: dict[int, LaneResult] = {}
    with closing(make_pool(None, networks, workers)) as pool:
        begun = pool.begin(networks.tiles(lanes, [trial.epochs for trial in trials], workers))
        for tile in pool.results(begun, StopFlag(), lambda: watch(len(results), len(trials))):
            for result in tile.lanes:
                results[result.trial] = LaneResult(result.trial, result.curve, None, result.failure)
    return results


def _compared(trial: Trial, pieces: Sequence[Segment], result: LaneResult) -> Replayed:
    stored = np.concatenate([piece.curve for piece in pieces])
    at, largest = first_difference(stored, result.curve)
    return Replayed(
        trial.number,
        trial.state,
        len(stored),
        tuple(replace(piece, curve=piece.curve[:0]) for piece in pieces),
        None if at is None else at + 1,
        largest,
        result.failure if at is not None else None,
    )


def first_difference(stored: FloatArray, again: FloatArray) -> tuple[int | None, float]:
    """The first row in which two curves differ in any bit, and the largest absolute difference.

    stored, again: [epochs, columns]. NaN equals NaN. The difference is infinite where only one of two values
    is finite, or one curve is shorter. Curves of old studies lack the shares of dead units: only common
    columns are compared.
    """
    rows, columns = (min(sizes) for sizes in zip(stored.shape, again.shape, strict=True))
    a, b = stored[:rows, :columns], again[:rows, :columns]
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    differing = np.flatnonzero(~same.all(axis=1))
    shorter = len(stored) != len(again)
    if not len(differing) and not shorter:
        return None, 0.0
    finite = np.isfinite(a) & np.isfinite(b)
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.where(same, 0.0, np.where(finite, np.abs(a - b), np.inf))
    largest = np.inf if shorter else float(gaps.max())
    return int(differing[0]) if len(differing) else rows, largest


def _run_differences(
    store: StudyStore, found: Sequence[Replayed], now: Mapping[str, object]
) -> tuple[RunDifference, ...]:
    """For each run that trained a piece of these trials: how its record differs from now."""
    runs = {run.number: run for run in store.runs()}
    by_run: dict[int, list[int]] = {}
    for trial in found:
        for number in sorted({piece.run for piece in trial.pieces}):
            by_run.setdefault(number, []).append(trial.trial)
    told = []
    for number, trials in sorted(by_run.items()):
        run = runs.get(number)
        then = store.record.provenance if run is None else run.provenance
        begun = None if run is None else run.begun
        told.append(RunDifference(number, begun, tuple(trials), differences(then, now)))
    return tuple(told)
