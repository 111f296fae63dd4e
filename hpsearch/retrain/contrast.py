"""Retrain arms on fresh seeds and score them once: those of `[compare]`, or two studies or trials."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hpsearch.data import Dataset
from hpsearch.data.same import same_rows
from hpsearch.defaults import COMPARE_SEEDS
from hpsearch.errors import HpsearchError, check_trial, nearest, plural
from hpsearch.records import State, StudyRecord, Task, Trial
from hpsearch.results.confirmation import TEST, Retrained
from hpsearch.results.contrast import Arm, Choice, Contrast, Margin, Pairing, anytime, gate_rows
from hpsearch.results.frames import Report, trials_frame
from hpsearch.results.repeats import Asked, Repeat, over_repeats, repeat_seed, repeats_in
from hpsearch.results.scorings import (
    COMPARISON,
    confirmation_of,
    finished,
    is_current,
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
from hpsearch.retrain.repeats import Searched, repeat
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import prepare
from hpsearch.running.watch import Watch as RunWatch
from hpsearch.search import SamplerFactory
from hpsearch.store import StudyStore
from hpsearch.study.arms import Arm as ArmValues
from hpsearch.study.arms import arm_name, arm_of, arm_values, baseline_arm, names_of
from hpsearch.study.file import FITTING_METRICS, Study
from hpsearch.text import plain, seconds_text

_FIRST = 1_000_000
"""First seed number for two studies or trials: those of a confirmation would favour its choice."""


# -- the arms of a study -------------------------------------------------------------------------


def answer(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    machine: Callable[[], Machine],
    watch: RunWatch,
    sampler: SamplerFactory | None = None,
) -> str | None:
    """Answer what `[compare]` asks and store it, unless that is done; this looks at the test set once.

    Returns why there can be no answer, if so. machine: is called only if something is trained. watch: hears
    what takes a while, and how far it is. sampler: of the user's, in place of the study's own.
    """
    if study.compare is None:
        return None
    record, trials = store.record, store.trials()
    try:
        if not is_current(record, trials, store.scorings()):
            by, seeds = " · ".join(names_of(study.compare)), study.compare.seeds
            watch.says(f"comparing {by}: retraining the best trial of each on {seeds} seeds")
            report = Report(record, trials_frame(record, trials), {})
            found = compare_arms(study, dataset, trials, report, machine(), watch.retrains)
            store_comparison(store, found)
    except HpsearchError as error:
        return f"no comparison: {error}"
    try:
        _repeat_arms(study, dataset, store, trials, machine, watch, sampler)
    except HpsearchError as error:
        return f"the comparison is of this split alone: {error}"
    return None


def _repeat_arms(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    trials: Sequence[Trial],
    machine: Callable[[], Machine],
    watch: RunWatch,
    sampler: SamplerFactory | None,
) -> None:
    """Train and store the repeats of `[compare]` that are not stored."""
    record, asked = store.record, Asked.of_arms(store.record)
    missing = asked.count - asked.first - len(repeats_in(record.name, store.scorings(), asked))
    if not missing:
        return
    times = plural(missing, "time")
    watch.says(
        f"repeating the study {times}, each on another split: about {seconds_text(missing * record.seconds)}"
    )

    def choose(anew: Searched) -> tuple[Arm, ...]:
        report = Report(anew.record, trials_frame(anew.record, anew.trials), {})
        chosen = _candidates(anew.study, anew.trials, report)
        return _arms(anew, chosen, asked.seeds, machine())

    repeat(
        store,
        Searched(study, dataset, record, trials),
        asked,
        choose,
        machine(),
        watch=watch.repeats,
        sampler=sampler,
    )


def compare_arms(
    study: Study,
    dataset: Dataset,
    trials: Sequence[Trial],
    report: Report,
    machine: Machine,
    watch: Watch = lambda done, total: None,
) -> Contrast:
    """What `[compare]` asks: arms, and their scores on the test set, or on validation if there is none.

    The best complete trial of each arm, by validation, is retrained on every seed, see `candidate_of`. On
    one seed, all arms see the same mini-batches and the same split.

    Raises:
        HpsearchError: the baseline has no complete trial.
    """
    asked = study.compare
    assert asked is not None
    chosen = _candidates(study, trials, report)
    by = names_of(asked)
    baseline = baseline_arm(asked)
    if baseline is None:
        baseline = next(iter(chosen), None)  # they come best first
    if baseline is None or baseline not in chosen:
        what = "no arm has" if baseline is None else f"the baseline {arm_name(by, baseline)} has no"
        raise HpsearchError(f"{what} complete trial to compare with; train more trials")
    part, rows = scored_part(dataset)
    return Contrast(
        by=" · ".join(by),
        metric=study.train.metric or "",
        maximize=study.direction == "maximize",
        arms=_arms(Searched(study, dataset, report.record, trials), chosen, asked.seeds, machine, watch),
        base=arm_values(study.space, by).index(baseline),
        seeds=asked.seeds,
        part=part,
        rows=len(rows),
        finished=finished(trials),
    )


def _arms(
    searched: Searched,
    chosen: Mapping[ArmValues, Candidate],
    seeds: int,
    machine: Machine,
    watch: Watch = lambda done, total: None,
) -> tuple[Arm, ...]:
    """The arms in the study file's order, with scores on so many fresh seeds where one has a candidate."""
    study = searched.study
    assert study.compare is not None
    by, candidates = names_of(study.compare), list(chosen.values())
    data = searched.dataset
    trained = train_fresh(study, data, candidates, seeds, machine=machine, watch=watch) if candidates else []
    found = dict(zip(chosen, trained, strict=True))
    nothing = Retrained(None, None, np.empty(0))
    return tuple(
        Arm(
            **vars(found.get(value, nothing)),
            name=arm_name(by, value),
            trials=len(own),
            complete=sum(trial.state is State.COMPLETE for trial in own),
        )
        for value, own in _members(study, searched.trials).items()
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
    repeats: int = 1,
    machine: Machine,
    watch: Watch = lambda done, total: None,
    repeating: Watch = lambda done, total: None,
    say: Callable[[str], None] = lambda text: None,
) -> Contrast:
    """Train both on fresh seeds and score them on the test set, or on validation if there is none.

    The first is the baseline. A study is represented by its best confirmed trial or, before a confirmation,
    its best by validation. The seeds are new, not a confirmation's. Each study counts the look at its test
    set.

    Args:
        metric: scores both; by default their own, which must then be the same.
        seeds: at least 3. margin: how much worse the second may be, if that is tested.
        repeats: how often both split, search and choose; splits are those of the first one's seeds.
        repeating: as `watch`, of repeats. say: hears what they will cost.

    Raises:
        NothingToShowError: a study has no complete trial.
        HpsearchError: they cannot be compared, or data cannot be read or have changed.
    """
    name = _metric(a.store.record, b.store.record, metric)
    sides = [_chosen(subject, name) for subject in (a, b)]
    pairing = _pairing(sides[0], sides[1], name, margin if repeats == 1 else None)
    found = [_trained(side, seeds, machine, place, watch) for place, side in enumerate(sides)]
    _count(sides, seeds, name)
    arms = tuple(_arm(side, repeats, name) for side, repeats in zip(sides, found, strict=True))
    part, rows = scored_part(sides[0].dataset)
    contrast = Contrast(
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
    if repeats == 1:
        return contrast
    return _repeat_two(contrast, sides, repeats, machine, repeating, say)


def _repeat_two(
    contrast: Contrast,
    sides: list[_Chosen],
    count: int,
    machine: Machine,
    watch: Watch,
    say: Callable[[str], None],
) -> Contrast:
    """The contrast with its repeats, those that are not stored trained and stored."""
    seed, metric = sides[0].study.seed, contrast.metric
    wanted = [
        Asked.of_subject(side.subject.store.record, seed, count, metric, side.subject.trial) for side in sides
    ]
    left = sum(_search_seconds(side, asked) for side, asked in zip(sides, wanted, strict=True))
    if left:
        say(f"searching again on {count} splits that both share: about {seconds_text(left)}")
    stored = [
        _repeats_of(side, asked, machine, partial(_share, watch, at))
        for at, (side, asked) in enumerate(zip(sides, wanted, strict=True))
    ]
    part = "test" if contrast.part == TEST else "valid"
    first, second = (prepare(replace(side.study, seed=repeat_seed(seed, 1)))[1] for side in sides)
    return over_repeats(contrast, wanted[0], stored, paired=same_rows(first, second, (part,)))


def _share(watch: Watch, place: int, done: int, total: int) -> None:
    """Progress of one side, as one half of the work."""
    watch(place * total + done, 2 * total)


def _search_seconds(side: _Chosen, asked: Asked) -> float:
    """How long the searches take that are not stored."""
    store = side.subject.store
    if side.subject.trial is not None:
        return 0.0
    known = repeats_in(store.record.name, store.scorings(), asked)
    searches = [
        number
        for number, seed in asked.seeds_by_repeat.items()
        if number not in known and seed != side.study.seed
    ]
    return len(searches) * store.record.seconds


def _repeats_of(side: _Chosen, asked: Asked, machine: Machine, watch: Watch) -> dict[int, Repeat]:
    """The repeats of a study, or of a trial's hyper-parameters, scored by the metric of the comparison."""
    store, number = side.subject.store, side.subject.trial
    study, dataset = reload(store.record)
    metric = {"metric": side.study.train.metric}

    def choose(anew: Searched) -> list[Retrained]:
        trial = _first(anew) if number is None else side.trial
        if trial is None:
            return [Retrained(None, None, np.full(asked.seeds, np.nan))]
        scored = replace(anew.study, train=anew.study.train.model_copy(update=metric))
        return train_fresh(
            scored, anew.dataset, [candidate_of(anew.study, trial)], asked.seeds, machine=machine
        )

    base = Searched(study, dataset, store.record, store.trials())
    return repeat(store, base, asked, choose, machine, search=number is None, watch=watch)


def _first(searched: Searched) -> Trial | None:
    """The best complete trial by validation."""
    frame = trials_frame(searched.record, searched.trials)
    numbers = frame["trial"][frame["rank"].notna()].tolist()
    return searched.trials[numbers[0]] if numbers else None


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
        watch=partial(_share, watch, place),
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
