"""Retrain arms on fresh seeds and score them once: those of `[compare]`, or two studies or trials."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpsearch.data import Dataset
from hpsearch.data.same import same_rows
from hpsearch.defaults import COMPARE_SEEDS
from hpsearch.errors import HpsearchError, check_trial, nearest
from hpsearch.records import State, StudyRecord, Task, Trial
from hpsearch.results.confirmation import Retrained
from hpsearch.results.contrast import Arm, Choice, Contrast, Margin, Pairing, anytime, gate_rows
from hpsearch.results.frames import Report, trials_frame
from hpsearch.results.scorings import (
    COMPARISON,
    TEST,
    comparison_of,
    confirmation_of,
    finished,
    store_comparison,
    uses_of,
)
from hpsearch.retrain.fresh_seeds import (
    Candidate,
    Watch,
    candidate_of,
    complete_trials,
    scored_part,
    train_fresh,
)
from hpsearch.retrain.reload import reload
from hpsearch.running.machine import Machine
from hpsearch.store import StudyStore
from hpsearch.study.arms import Arm as ArmValues
from hpsearch.study.arms import arm_name, arm_of, arm_values, baseline_arm, names_of
from hpsearch.study.file import FITTING_METRICS, Study
from hpsearch.text import plain

_FIRST = 1_000_000
"""First seed number for two studies or trials: those of a confirmation would favour its choice."""


# -- the arms of a study -------------------------------------------------------------------------


def answer(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    machine: Callable[[], Machine],
    say: Callable[[str], None],
    watch: Watch = lambda done, total: None,
) -> str | None:
    """Answer what `[compare]` asks and store it, unless that is done; this looks at the test set once.

    Returns why there can be no answer, if so. machine: is called only if something is trained. say: hears
    what takes a while; watch: how far it is.
    """
    record, trials = store.record, store.trials()
    known = comparison_of(record, trials, store.scorings())
    if study.compare is None or (known is not None and known.finished == finished(trials)):
        return None
    by, seeds = " · ".join(names_of(study.compare)), study.compare.seeds
    say(f"comparing {by}: retraining the best trial of each on {seeds} seeds")
    report = Report(record, trials_frame(record, trials), {})
    try:
        found = compare_arms(study, dataset, trials, report, machine(), watch)
    except HpsearchError as error:
        return f"no comparison: {error}"
    store_comparison(store, found)
    return None


def compare_arms(
    study: Study,
    dataset: Dataset,
    trials: Sequence[Trial],
    report: Report,
    machine: Machine,
    watch: Watch = lambda done, total: None,
) -> Contrast:
    """What `[compare]` asks: arms, and their scores on the test set, or on validation if there is none.

    The best complete trial of each arm, by validation, is retrained on every seed for the epochs after which
    it was best. On one seed, all arms see the same mini-batches and the same split.

    Raises:
        HpsearchError: the baseline has no complete trial.
    """
    asked = study.compare
    assert asked is not None
    members = _members(study, trials)
    chosen = _candidates(study, trials, report)
    by = names_of(asked)
    baseline = baseline_arm(asked)
    if baseline is None:
        baseline = next(iter(chosen), None)  # they come best first
    if baseline is None or baseline not in chosen:
        what = "no arm has" if baseline is None else f"the baseline {arm_name(by, baseline)} has no"
        raise HpsearchError(f"{what} complete trial to compare with; train more trials")
    part, rows = scored_part(dataset)
    candidates = list(chosen.values())
    repeats = train_fresh(study, dataset, candidates, asked.seeds, machine=machine, watch=watch)
    found = dict(zip(chosen, repeats, strict=True))
    nothing = Retrained(None, None, np.empty(0))
    arms = tuple(
        Arm(
            **vars(found.get(value, nothing)),
            name=arm_name(by, value),
            trials=len(own),
            complete=sum(trial.state is State.COMPLETE for trial in own),
        )
        for value, own in members.items()
    )
    return Contrast(
        by=" · ".join(by),
        metric=study.train.metric or "",
        maximize=study.direction == "maximize",
        arms=arms,
        base=list(members).index(baseline),
        seeds=asked.seeds,
        part=part,
        rows=len(rows),
        finished=finished(trials),
    )


def _members(study: Study, trials: Sequence[Trial]) -> dict[ArmValues, list[Trial]]:
    """The trials of each arm, arms in the study file's order."""
    assert study.compare is not None
    by = names_of(study.compare)
    members: dict[ArmValues, list[Trial]] = {value: [] for value in arm_values(study.space, by)}
    for trial in trials:
        value = arm_of(study.space, trial.params, by)
        if value is not None:
            members[value].append(trial)
    return members


def _candidates(study: Study, trials: Sequence[Trial], report: Report) -> dict[ArmValues, Candidate]:
    """The best complete trial of each arm that has one, the best arm first."""
    assert study.compare is not None
    by_number = {trial.number: trial for trial in trials}
    chosen: dict[ArmValues, Candidate] = {}
    for number in report.ranked["trial"].tolist():
        trial = by_number[number]
        value = arm_of(study.space, trial.params, names_of(study.compare))
        if value is not None and value not in chosen and trial.best_epoch is not None:
            chosen[value] = candidate_of(study, trial)
    return chosen


# -- two studies or trials -----------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A study, represented by its best trial, or one trial. Two subjects of one study share their store."""

    store: StudyStore
    trial: int | None = None


@dataclass(frozen=True)
class _Chosen:
    """A trial to retrain, with its study and data."""

    subject: Subject
    study: Study
    dataset: Dataset
    trial: Trial
    choice: Choice

    @property
    def candidate(self) -> Candidate:
        return candidate_of(self.study, self.trial)


def compare_two(
    a: Subject,
    b: Subject,
    *,
    metric: str | None = None,
    seeds: int = COMPARE_SEEDS,
    margin: Margin | None = None,
    machine: Machine,
    watch: Watch = lambda done, total: None,
) -> Contrast:
    """Train both on fresh seeds and score them on the test set, or on validation if there is none.

    The first is the baseline. A study is represented by its best confirmed trial or, before a confirmation,
    its best by validation. The seeds are new, not a confirmation's. Each study counts the look at its test
    set.

    Args:
        metric: scores both; by default their own, which must then be the same.
        seeds: at least 3. margin: how much worse the second may be, if that is tested.

    Raises:
        NothingToShowError: a study has no complete trial.
        HpsearchError: they cannot be compared, or data cannot be read or have changed.
    """
    name = _metric(a.store.record, b.store.record, metric)
    sides = [_chosen(subject, name) for subject in (a, b)]
    pairing = _pairing(sides[0], sides[1], name, margin)
    found = [_trained(side, seeds, machine, place, watch) for place, side in enumerate(sides)]
    _count(sides, seeds, name)
    arms = tuple(_arm(side, repeats, name) for side, repeats in zip(sides, found, strict=True))
    part, rows = scored_part(sides[0].dataset)
    return Contrast(
        by="",
        metric=name,
        maximize=sides[0].study.direction == "maximize",
        arms=arms,
        base=0,
        seeds=seeds,
        part=part,
        rows=len(rows),
        pairing=pairing,
        margin=margin,
        recognised=pairing is not Pairing.NOTHING and sides[0].dataset.hash != sides[1].dataset.hash,
    )


def _metric(a: StudyRecord, b: StudyRecord, asked: str | None) -> str:
    """The metric that scores both.

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
    """The trial that represents a subject; its study gets the metric.

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
            f"study {record.name}: expected a trained trial; found trial {number} with no epochs"
        )
    document = copy.deepcopy(record.document)
    document["train"]["metric"] = metric
    study, dataset = reload(replace(record, document=document))
    return _Chosen(subject, study, dataset, trial, choice)


def _best(store: StudyStore, trials: list[Trial]) -> tuple[int, Choice]:
    confirmation = confirmation_of(store.record, trials, store.scorings())
    if confirmation is not None:
        return confirmation.best.trial, Choice.CONFIRMED
    return complete_trials(store, trials, "compare")[0].number, Choice.VALIDATION


def _pairing(a: _Chosen, b: _Chosen, metric: str, margin: Margin | None) -> Pairing:
    """Whether both share rows, splits and seeds, or are at least scored on the same rows.

    Raises:
        HpsearchError: they predict different things, or are scored on different splits, or the regression
            test would mistake different rows for a regression.
    """
    names = f"A ({a.study.name}) and B ({b.study.name})"
    part = scored_part(a.dataset)[0]
    for what, one, other in (
        ("classes", a.dataset.classes, b.dataset.classes),
        ("target", a.study.data.target, b.study.data.target),
        ("scored split", part, scored_part(b.dataset)[0]),
    ):
        if one != other:
            shown = [", ".join(own) if isinstance(own, tuple) else str(own) for own in (one, other)]
            raise HpsearchError(f"{names}: expected the same {what}; found {shown[0]} and {shown[1]}")
    if a.study.seed == b.study.seed and same_rows(a.dataset, b.dataset, ("train", "valid", "test")):
        return Pairing.SEEDS
    if same_rows(a.dataset, b.dataset, ("test" if part == TEST else "valid",)):
        return Pairing.ROWS
    if margin is not None and not gate_rows(metric):
        raise HpsearchError(
            f"--fail-if-worse: {names} are scored by {metric} on different rows, so no interval tells their "
            "difference from chance. Give both studies the same data, split and study.seed, or use --metric "
            "with a share of rows, such as accuracy"
        )
    return Pairing.NOTHING


def _trained(side: _Chosen, seeds: int, machine: Machine, place: int, watch: Watch) -> Retrained:
    """The candidate on all seeds; `watch` hears of it as one half of the work."""
    (repeats,) = train_fresh(
        side.study,
        side.dataset,
        [side.candidate],
        seeds,
        machine=machine,
        first=_FIRST,
        watch=lambda done, total: watch(place * total + done, 2 * total),
    )
    return repeats


def _count(sides: list[_Chosen], seeds: int, metric: str) -> None:
    """Note in each study the look at its test set; two trials of one study are one look."""
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


def _arm(side: _Chosen, repeats: Retrained, metric: str) -> Arm:
    store = side.subject.store
    record = store.record
    search = None
    if side.subject.trial is None and record.metric == metric:
        search = anytime(record, store.trials(), store.segments())
    return Arm(
        **vars(repeats),
        name=f"{plain(record.name)} #{side.trial.number}",
        study=record.name,
        choice=side.choice,
        rows=len(scored_part(side.dataset)[1]),
        search=search,
        uses=uses_of(record, store.scorings()),
        stopped=side.trial.state is State.PRUNED,
    )
