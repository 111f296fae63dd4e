"""Two studies or trials against each other: both are trained on fresh seeds and scored once."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpsearch.data import Dataset
from hpsearch.defaults import COMPARE_SEEDS
from hpsearch.errors import HpsearchError, NothingToShowError, check_trial, nearest
from hpsearch.records import FloatArray, Segment, State, StudyRecord, Task, Trial, valid_place
from hpsearch.results.frames import trials_frame
from hpsearch.results.scorings import COMPARISON, TEST, confirmation_of, uses_of
from hpsearch.results.versus import Anytime, Choice, Margin, Side, Versus, gate_rows
from hpsearch.retrain.fresh_seeds import Candidate, Repeats, Watch, scored_part, train_fresh
from hpsearch.retrain.stored import reload
from hpsearch.store import StudyStore
from hpsearch.study.file import FITTING_METRICS, Study

_FIRST = 1_000_000
"""Number of the first seed: beyond those on which a confirmation chose, or they would favour its choice."""


@dataclass(frozen=True)
class Subject:
    """What is compared: a study by its best trial, or the trial of that number.

    Two subjects of one study share their store.
    """

    store: StudyStore
    trial: int | None = None


@dataclass(frozen=True)
class _Chosen:
    """A trial that is trained again, with its study and data."""

    subject: Subject
    study: Study
    dataset: Dataset
    trial: Trial
    choice: Choice

    @property
    def candidate(self) -> Candidate:
        trial = self.trial
        return Candidate(self.study.space.configuration(trial.params), trial.best_epoch or trial.epochs)


def versus(
    a: Subject,
    b: Subject,
    *,
    metric: str | None = None,
    seeds: int = COMPARE_SEEDS,
    margin: Margin | None = None,
    device: str,
    workers: int,
    watch: Watch = lambda done, total: None,
) -> Versus:
    """Train both on fresh seeds and score them on the test part, or on validation if there is none.

    A study is represented by its best confirmed trial, or by the best by validation before it is confirmed.
    Seeds are others than a confirmation's. Each look at a test part is counted in its study.

    Args:
        metric: that both are scored by; their own if absent, which must then be the same.
        seeds: at least 3. margin: how much worse the second may be, if that is tested.

    Raises:
        NothingToShowError: a study has no complete trial.
        HpsearchError: they cannot be compared, or data cannot be read or have changed.
    """
    name = _metric(a.store.record, b.store.record, metric)
    sides = [_chosen(subject, name) for subject in (a, b)]
    paired = _check_comparable(sides[0], sides[1], name, margin)
    found = [_trained(side, seeds, device, workers, place, watch) for place, side in enumerate(sides)]
    _count(sides, seeds, name)
    own = [_side(side, repeats, name) for side, repeats in zip(sides, found, strict=True)]
    part, _ = scored_part(sides[0].dataset)
    maximize = sides[0].study.direction == "maximize"
    return Versus(own[0], own[1], name, maximize, part, seeds, paired, margin)


def _metric(a: StudyRecord, b: StudyRecord, asked: str | None) -> str:
    """The metric that both are scored by.

    Raises:
        HpsearchError: they differ in it or in their tasks, or it does not fit the task.
    """
    if a.task != b.task:
        raise HpsearchError(
            f"A ({a.name}) and B ({b.name}): expected the same task; found {a.task} and {b.task}, "
            "whose scores cannot be compared"
        )
    if asked is None and a.metric != b.metric:
        raise HpsearchError(
            f"A ({a.name}) and B ({b.name}): expected the same metric; found {a.metric} and {b.metric}. "
            f"Choose one for both, such as --metric {a.metric}"
        )
    fitting = FITTING_METRICS[Task(a.task)]
    if asked is not None and asked not in fitting:
        raise HpsearchError(
            f"--metric: expected one of {', '.join(fitting)} for a {a.task} task; "
            f"found {asked}{nearest(asked, fitting)}"
        )
    return asked or a.metric


def _chosen(subject: Subject, metric: str) -> _Chosen:
    """The trial that stands for what is compared; the study is given the metric.

    Raises:
        NothingToShowError: the study has no complete trial.
        HpsearchError: there is no such trial, or it has no epoch, or the data cannot be read.
    """
    record, trials = subject.store.record, subject.store.trials()
    number, choice = subject.trial, Choice.ASKED
    if number is None:
        number, choice = _best(subject.store, trials)
    check_trial(record.name, number, len(trials))
    trial = trials[number]
    if not trial.epochs:
        raise HpsearchError(
            f"study {record.name}: expected a trial that was trained; found trial {number} without an epoch"
        )
    document = copy.deepcopy(record.document)
    document["train"]["metric"] = metric
    study, dataset = reload(replace(record, document=document))
    return _Chosen(subject, study, dataset, trial, choice)


def _best(store: StudyStore, trials: list[Trial]) -> tuple[int, Choice]:
    confirmation = confirmation_of(store.record, trials, store.scorings())
    if confirmation is not None:
        return confirmation.best.trial, Choice.CONFIRMED
    frame = trials_frame(store.record, trials)
    ranked = frame["trial"][frame["rank"].notna()]
    if ranked.empty:
        name = store.record.name
        raise NothingToShowError(
            f"study {name}: expected a complete trial to compare; found none. "
            f"To train more: hpsearch run {store.record.origin or name}"
        )
    return int(ranked.iloc[0]), Choice.VALIDATION


def _check_comparable(a: _Chosen, b: _Chosen, metric: str, margin: Margin | None) -> bool:
    """Whether both have the same rows in the same parts and the same seeds, so that they pair.

    Raises:
        HpsearchError: they predict different things, or are scored on different parts, or the regression
            test would take other rows for worse ones.
    """
    names = f"A ({a.study.name}) and B ({b.study.name})"
    for what, one, other in (
        ("classes", a.dataset.classes, b.dataset.classes),
        ("target", a.study.data.target, b.study.data.target),
        ("scored part", scored_part(a.dataset)[0], scored_part(b.dataset)[0]),
    ):
        if one != other:
            shown = [", ".join(own) if isinstance(own, tuple) else str(own) for own in (one, other)]
            raise HpsearchError(f"{names}: expected the same {what}; found {shown[0]} and {shown[1]}")
    same = a.study.seed == b.study.seed and _same_rows(a.dataset, b.dataset)
    if margin is not None and not same and not gate_rows(metric):
        raise HpsearchError(
            f"--fail-if-worse: {names} are scored by {metric} on different rows, of which no interval says "
            "how much they differ by chance. Give both studies the same data, split and study.seed, or use "
            "--metric with a share of rows, such as accuracy"
        )
    return same


def _same_rows(a: Dataset, b: Dataset) -> bool:
    if a.hash != b.hash:
        return False
    parts = [(getattr(a, name), getattr(b, name)) for name in ("train", "valid", "test")]
    return all(np.array_equal(one.x, other.x) and np.array_equal(one.y, other.y) for one, other in parts)


def _trained(side: _Chosen, seeds: int, device: str, workers: int, place: int, watch: Watch) -> Repeats:
    """The candidate on all seeds; `watch` is told of it as the first or second half of the work."""
    (repeats,) = train_fresh(
        side.study,
        side.dataset,
        [side.candidate],
        seeds,
        device=device,
        workers=workers,
        first=_FIRST,
        watch=lambda done, total: watch(place * total + done, 2 * total),
    )
    return repeats


def _count(sides: list[_Chosen], seeds: int, metric: str) -> None:
    """Note in each study that its test part was looked at; of one study, both trials are one look."""
    together: dict[int, list[_Chosen]] = {}
    for side in sides:
        together.setdefault(id(side.subject.store), []).append(side)
    for own in together.values():
        part, rows = scored_part(own[0].dataset)
        if part != TEST:
            continue
        chosen = {side.trial.number: side.candidate.epochs for side in own}
        about = {
            "trials": list(chosen),
            "epochs": list(chosen.values()),
            "seeds": seeds,
            "metric": metric,
            "rows": len(rows),
        }
        own[0].subject.store.add_scoring(COMPARISON, about)


def _side(side: _Chosen, repeats: Repeats, metric: str) -> Side:
    store = side.subject.store
    record = store.record
    search = None
    if side.subject.trial is None and record.metric == metric:
        search = anytime(record, store.trials(), store.segments())
    return Side(
        study=record.name,
        trial=side.trial.number,
        choice=side.choice,
        epochs=side.candidate.epochs,
        params=side.trial.params,
        scores=repeats.scores,
        losses=repeats.losses,
        curves=repeats.curves,
        rows=len(scored_part(side.dataset)[1]),
        search=search,
        uses=uses_of(record, store.scorings()),
        stopped=side.trial.state is State.PRUNED,
    )


def anytime(record: StudyRecord, trials: list[Trial], segments: list[Segment]) -> Anytime:
    """The best validation metric so far against what it took, in the order in which cohorts were trained.

    Pieces of curves know their share of the threads' time; together they took what the study took.
    """
    column = valid_place(record.metric)
    ordered = sorted(segments, key=lambda each: (each.cohort, each.trial))
    best_of, whole = (
        (np.fmax, np.fmax.accumulate) if record.direction == "maximize" else (np.fmin, np.fmin.accumulate)
    )
    tops: FloatArray = np.array([best_of.reduce(each.curve[:, column]) for each in ordered])
    finished = {trial.number: trial.epochs for trial in trials if trial.state.finished}
    ends = np.array([finished.get(each.trial) == each.last_epoch for each in ordered], dtype=np.int64)
    seconds = np.cumsum([each.seconds for each in ordered])
    share = record.seconds / seconds[-1] if len(ordered) and seconds[-1] > 0 else 1.0
    columns: dict[str, Any] = {
        "trials": np.cumsum(ends),
        "epochs": np.cumsum([len(each.curve) for each in ordered], dtype=np.int64),
        "seconds": seconds * share,
        "best": whole(tops) if len(tops) else tops,
    }
    return Anytime(**columns)
