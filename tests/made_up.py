"""Studies without training: their curves are made up, and all else is the engine's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hpsearch.records import (
    Cohort,
    Curves,
    FloatArray,
    Params,
    Progress,
    Queued,
    Segment,
    State,
    StudyRecord,
    Task,
    Trial,
)
from hpsearch.running.loop import Runner
from hpsearch.running.pool import StopFlag, Threads
from hpsearch.running.recorded import CurveOf, Recorded
from hpsearch.search import History, SamplerFactory, make_sampler, make_stopping
from hpsearch.store import Database, StudyStore
from hpsearch.study.file import Study, study_from_document
from tests.studies import url


def make_study(
    space: Mapping[str, Any],
    search: Mapping[str, Any] | None = None,
    *,
    epochs: int = 9,
    minimize: bool = False,
    **tables: Any,
) -> Study:
    """A checked study, as its file would give it; `tables`: enqueue, forbidden."""
    document = {
        "study": {"name": "made-up"},
        "data": {"source": "digits"},
        "space": dict(space),
        "train": {"epochs": epochs, "metric": "error" if minimize else "accuracy"},
        "search": {"sampler": "random", **(search or {})},
        **tables,
    }
    return study_from_document(document).resolve(Task.MULTICLASS)


def curve(metric: FloatArray, loss: FloatArray | None = None) -> FloatArray:
    """A curve with that metric of validation, [epochs]."""
    loss = np.ones_like(metric) if loss is None else loss
    return np.column_stack([loss, metric, loss, metric])


class Memory:
    """What the runner needs of a store, in memory: trials, pieces of curves, cohorts in their order."""

    run = 0

    def __init__(self) -> None:
        self.trials: dict[int, Trial] = {}
        self.curves: dict[int, FloatArray] = {}
        self.cohorts: list[Cohort] = []

    def read(self) -> tuple[list[Trial], Curves]:
        return list(self.trials.values()), Curves.join(self.curves)

    def last_cohort(self) -> Cohort | None:
        return self.cohorts[-1] if self.cohorts else None

    def queue(self) -> list[Queued]:
        return []

    def checkpoints(self) -> dict[int, tuple[int, bytes]]:
        return {}

    def commit(
        self,
        *,
        cohort: Cohort | None,
        started: Sequence[Trial],
        segments: Sequence[Segment],
        updated: Sequence[Trial],
        **rest: object,
    ) -> None:
        self.cohorts += [cohort] if cohort else []
        self.trials |= {trial.number: trial for trial in [*started, *updated]}
        for piece in segments:
            before = self.curves.get(piece.trial, piece.curve[:0])
            self.curves[piece.trial] = np.concatenate([before, piece.curve])


def run(
    study: Study,
    curve_of: CurveOf,
    store: Any = None,
    stop: StopFlag | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    factory: SamplerFactory | None = None,
) -> Any:
    """Run a study on made-up curves; returns the store, by default a `Memory`."""
    store = Memory() if store is None else store
    workload = Recorded(curve_of)
    pool = Threads(workload, 1)
    try:
        sampler, rule = make_sampler(study, factory), make_stopping(study)
        runner = Runner(study, store, workload, sampler, rule, pool, watch)
        runner.run(StopFlag() if stop is None else stop)
    finally:
        pool.close()
    return store


def record(study: Study) -> StudyRecord:
    assert study.train.metric is not None
    return StudyRecord(
        study.name,
        study.document(),
        study.direction,
        "multiclass",
        study.train.metric,
        "hash",
        objectives=tuple(study.search.objectives),
    )


def run_piecewise(study: Study, curve_of: CurveOf, path: Any, most: int = 200) -> int:
    """Run it in a database, stopped as soon as anything is stored and opened again, until its end.

    Returns how often that was.
    """
    for times in range(most):
        with Database.open(url(path), create=True) as database:
            store: StudyStore = database.find(study.name) or database.create_study(record(study))
            stop, before = StopFlag(), _stored(store)

            def ask(
                progress: Progress,
                store: StudyStore = store,
                stop: StopFlag = stop,
                before: tuple[int, ...] = before,
            ) -> None:
                if progress.epochs:
                    stop.ask()

            store.begin()
            run(study, curve_of, store, stop, ask)
            store.end()
            if _stored(store) == before:
                return times
    raise AssertionError(f"not at its end after {most} runs")


def _stored(store: StudyStore) -> tuple[int, ...]:
    trials = store.trials()
    return len(trials), sum(trial.epochs for trial in trials), sum(t.state.finished for t in trials)


def drawn(study: Study, count: int, seed: int = 0) -> list[Params]:
    """Points of a study's space, drawn at random."""
    other = study.search.model_copy(update={"sampler": "random", "options": {}, "scientific": []})
    sampler = make_sampler(study.__class__(**{**vars(study), "search": other}))
    return sampler(seed, 0, count, History(study.space)) if count else []


STATES = (State.COMPLETE, State.PRUNED, State.COMPLETE, State.FAILED, State.RUNNING)


def tried(
    points: Sequence[Params],
    value_of: Callable[[Params], float],
    states: Sequence[State] = STATES,
    others: int = 0,
) -> list[Trial]:
    """Trials at points, with states in turn; a value that is NaN is that of a trial that has diverged."""
    trials = []
    for number, params in enumerate(points):
        value, state = value_of(params), states[number % len(states)]
        if value != value:
            state = State.FAILED
        if state is State.FAILED:
            trials.append(Trial(number, 0, params, state, 1, reason="diverged"))
            continue
        epochs = {State.COMPLETE: 9, State.PRUNED: 3, State.RUNNING: 1}[state]
        more = tuple(float((number * 7 + at) % 11) for at in range(others))
        trials.append(Trial(number, 0, params, state, epochs, value, 1.0 - value, 1, others=more))
    return trials
