"""Stopping rules: the same decisions as Optuna's pruners on the same curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    SuccessiveHalvingPruner,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpsearch.records import VALID_LOSS, VALID_METRIC, FloatArray, State, Trial
from hpsearch.running.recorded import CurveOf
from hpsearch.search import Rung, Words, make_stopping
from hpsearch.search.stopping import Halving, Hyperband, geometric_rungs
from hpsearch.study.file import Study
from tests.made_up import Memory, curve, make_study, run

EPOCHS = 27
TRIALS, COHORT = 48, 12
SPACE = {"learning_rate": {"low": 1e-3, "high": 1.0, "log": True}}


def study_of(rule: str, minimize: bool = False, epochs: int = EPOCHS, **search: Any) -> Study:
    settings = {"stopping": rule, "trials": TRIALS, "cohort": COHORT, **search}
    return make_study(SPACE, settings, epochs=epochs, minimize=minimize)


def curves_of(seed: int, steps: int) -> CurveOf:
    """Random walks of the metric; some trials diverge. steps: of how few values the metric is.

    Values are multiples of a power of 2, so that no average of two is rounded.
    """

    def of(trial: Trial) -> FloatArray:
        random = np.random.default_rng([seed, trial.number])
        level = np.cumsum(random.normal(0.3 * random.normal(), 1, EPOCHS))
        metric = np.clip(np.round(level * steps / 8) / steps, -8, 8)
        loss = random.random(EPOCHS)
        if random.random() < 0.15:
            loss[random.integers(EPOCHS)] = math.nan
        if random.random() < 0.1:
            metric[random.integers(EPOCHS)] = random.choice([math.inf, -math.inf])
        return curve(metric, loss)

    return of


# -- the same decisions as Optuna's -------------------------------------------------------------------


@dataclass(frozen=True)
class Arrival:
    """A trial at a rung: what was known of all trials when it was judged. epochs: by trial, so far."""

    number: int
    epoch: int
    epochs: Mapping[int, int]
    complete: frozenset[int]
    stopped: bool


def arrivals(stored: Memory) -> Iterator[Arrival]:
    """Every decision that a study took, from its cohorts, curves and trials."""
    epochs: dict[int, int] = {}
    complete: set[int] = set()
    for cohort in stored.cohorts:
        reached = {n: min(epoch, len(stored.curves[n])) for n, (_, epoch) in cohort.lanes.items()}
        epochs |= reached
        ended = [n for n in reached if stored.trials[n].state is State.COMPLETE and reached[n] == EPOCHS]
        complete |= set(ended)
        for number, epoch in reached.items():
            trial = stored.trials[number]
            diverged = trial.state is State.FAILED and trial.epochs == epoch
            if not diverged and number not in ended:
                stopped = trial.state is State.PRUNED and trial.epochs == epoch
                yield Arrival(number, epoch, dict(epochs), frozenset(complete), stopped)


def optuna_study(
    stored: Memory, arrival: Arrival, pauses: Callable[[int], tuple[int, ...]], every_epoch: bool
) -> tuple[optuna.Study, FrozenTrial]:
    """All trials as Optuna's storage would have them at that moment, and the one that is judged."""
    direction = "maximize" if stored.maximize else "minimize"  # type: ignore[attr-defined]
    study = optuna.create_study(study_name="made-up", direction=direction)
    trials = []
    for number, epochs in sorted(arrival.epochs.items()):
        metric = stored.curves[number][:, VALID_METRIC]
        failed = stored.trials[number].state is State.FAILED and stored.trials[number].epochs == epochs
        known = epochs - 1 if failed else epochs
        rungs = [epoch for epoch in pauses(number) if epoch <= known]
        reported = range(1, known + 1) if every_epoch else rungs
        judged = number == arrival.number
        complete = number in arrival.complete
        trials.append(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.RUNNING,
                value=0.0 if complete else None,
                intermediate_values={epoch: float(metric[epoch - 1]) for epoch in reported},
                system_attrs={
                    f"completed_rung_{rung}": float(metric[epoch - 1])
                    for rung, epoch in enumerate(rungs)
                    if not (judged and epoch == arrival.epoch)
                },
            )
        )
    study.add_trials(trials)
    return study, study.get_trials(deepcopy=False)[arrival.number]


def run_study(study: Study, curve_of: CurveOf) -> Memory:
    stored: Memory = run(study, curve_of)
    stored.maximize = study.direction == "maximize"  # type: ignore[attr-defined]
    assert len(stored.trials) == TRIALS
    assert all(trial.state.finished for trial in stored.trials.values())
    return stored


def assert_decides_as(study: Study, pruner: Callable[[], BasePruner], seed: int, steps: int) -> None:
    """Ties apart: in halving, ours looks at the loss where Optuna's lets both go on."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rule = make_stopping(study)
    halving = isinstance(rule, Halving)
    stored = run_study(study, curves_of(seed, steps))
    decisions = 0
    for arrival in arrivals(stored):
        theirs, frozen = optuna_study(stored, arrival, rule.pauses, every_epoch=not halving)
        assert pruner().prune(theirs, frozen) == arrival.stopped, arrival
        decisions += 1
    stopped = sum(trial.state is State.PRUNED for trial in stored.trials.values())
    assert decisions > TRIALS / 2
    assert 0 < stopped < TRIALS


FINE = 2**20
"""Ties hardly ever."""


@pytest.mark.parametrize("minimize", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_halving_decides_as_optunas(minimize: bool, seed: int) -> None:
    pruner = partial(SuccessiveHalvingPruner, min_resource=3, reduction_factor=3)
    assert_decides_as(study_of("halving", minimize), pruner, seed, FINE)


@pytest.mark.parametrize(("factor", "first"), [(2, 1), (4, 2)])
def test_halving_decides_as_optunas_with_other_factors(factor: int, first: int) -> None:
    pruner = partial(SuccessiveHalvingPruner, min_resource=first, reduction_factor=factor)
    assert_decides_as(study_of("halving", factor=factor, min_epochs=first), pruner, 5, FINE)


@pytest.mark.parametrize("minimize", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_hyperband_decides_as_optunas(minimize: bool, seed: int) -> None:
    def pruner() -> BasePruner:
        return HyperbandPruner(min_resource=3, max_resource=EPOCHS, reduction_factor=3)

    assert_decides_as(study_of("hyperband", minimize), pruner, seed, FINE)


@pytest.mark.parametrize("minimize", [False, True])
@pytest.mark.parametrize("steps", [FINE, 8])
@pytest.mark.parametrize("seed", range(2))
def test_the_median_rule_decides_as_optunas(minimize: bool, steps: int, seed: int) -> None:
    pruner = partial(MedianPruner, n_startup_trials=5, n_warmup_steps=3, interval_steps=3)
    assert_decides_as(study_of("median", minimize), pruner, seed, steps)


@pytest.mark.parametrize("complete", range(3, 9))
def test_the_median_rule_begins_where_optunas_does(complete: int) -> None:
    """The worst of all arrives when so many are complete; nobody stops before five are."""
    rule, rung = make_stopping(study_of("median")), Rung(3)
    theirs = optuna.create_study(direction="maximize")
    for number in range(complete):
        rung.arrive(number, (number / 8, 0.0))
        rung.end(number)
        theirs.add_trial(create_trial(value=1.0, intermediate_values={3: number / 8}))
    theirs.add_trial(create_trial(state=TrialState.RUNNING, intermediate_values={3: -1.0}))
    stopped = rule.judge(rung, {complete: np.full(3, -1.0)}, Words("valid accuracy", 1.0))
    pruner = MedianPruner(n_startup_trials=5, n_warmup_steps=3, interval_steps=3)
    assert bool(stopped) == pruner.prune(theirs, theirs.get_trials()[-1]) == (complete >= 5)


@pytest.mark.parametrize("minimize", [False, True])
@pytest.mark.parametrize(("patience", "delta"), [(2, 0.0), (5, 0.25)])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("seed", range(2))
def test_patience_decides_as_optunas(minimize: bool, patience: int, delta: float, seed: int) -> None:
    study = study_of("patience", minimize, patience=patience, min_delta=delta, min_epochs=1)
    assert_decides_as(study, partial(PatientPruner, None, patience, delta), seed, 8)


@pytest.mark.parametrize(("epochs", "factor", "first"), [(27, 3, 3), (81, 3, 1), (100, 4, 2), (16, 2, 1)])
def test_hyperbands_brackets_are_optunas(epochs: int, factor: int, first: int) -> None:
    theirs = HyperbandPruner(min_resource=first, max_resource=epochs, reduction_factor=factor)
    study = optuna.create_study(study_name="made-up")
    theirs._try_initialization(study)
    search = {"stopping": "hyperband", "factor": factor, "min_epochs": first}
    ours = make_stopping(make_study(SPACE, search, epochs=epochs))
    assert isinstance(ours, Hyperband)
    assert ours.budgets == theirs._trial_allocation_budgets
    trials = [replace_number(create_trial(value=0.0), number) for number in range(500)]
    groups = [ours.group(trial.number) for trial in trials]
    assert groups == [theirs._get_bracket_id(study, trial) for trial in trials]
    assert len(set(groups)) == theirs._n_brackets
    for trial, group in zip(trials, groups, strict=True):
        assert ours.pauses(trial.number) == geometric_rungs(epochs, first, factor)[group:]


def replace_number(trial: FrozenTrial, number: int) -> FrozenTrial:
    trial.number = number
    return trial


def test_trials_of_different_brackets_are_not_judged_against_each_other() -> None:
    """Each bracket's first rung keeps a third of its own trials, however good the others are."""
    study = study_of("hyperband")
    rule = make_stopping(study)
    level = {0: 0.0, 1: 4.0, 2: 8.0}
    stored = run_study(
        study, lambda trial: curve(np.full(EPOCHS, level[rule.group(trial.number)] + trial.number / 64))
    )
    for group in level:
        own = [trial for trial in stored.trials.values() if rule.group(trial.number) == group]
        ended = sum(trial.state is State.COMPLETE for trial in own)
        assert ended >= (len(own) if len(rule.pauses(own[0].number)) == 1 else 1)


# -- halving's own ------------------------------------------------------------------------------------

WORDS = Words("valid accuracy", 1.0)


def rung_of(scores: Mapping[int, tuple[float, float]], epoch: int = 3) -> Rung:
    rung = Rung(epoch)
    for number, score in scores.items():
        rung.arrive(number, score)
    return rung


def judge(factor: int, scores: Mapping[int, tuple[float, float]]) -> dict[int, str]:
    rule = make_stopping(study_of("halving", factor=factor, min_epochs=3))
    return rule.judge(rung_of(scores), {n: np.full(3, score[0]) for n, score in scores.items()}, WORDS)


def test_rungs() -> None:
    assert geometric_rungs(27, 3, 3) == (3, 9, 27)
    assert geometric_rungs(30, 3, 3) == (3, 9, 27, 30)
    assert geometric_rungs(2, 3, 3) == (2,)
    assert make_stopping(study_of("halving")).rungs == (3, 9, 27)
    assert make_stopping(study_of("halving", epochs=100)).rungs == (11, 33, 99, 100)
    assert make_stopping(study_of("none", epochs=5, min_epochs=5)).rungs == (5,)
    assert make_stopping(study_of("median", epochs=10, min_epochs=3)).rungs == (3, 6, 9, 10)
    assert make_stopping(study_of("patience", epochs=3)).rungs == (1, 2, 3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80, unique=True), st.integers(2, 5))
def test_halving_keeps_the_best_share(values: list[float], factor: int) -> None:
    stopped = judge(factor, {n: (value, 0.0) for n, value in enumerate(values)})
    kept = [value for n, value in enumerate(values) if n not in stopped]
    assert sorted(kept) == sorted(values)[-max(1, len(values) // factor) :]


def test_equal_metrics_are_told_apart_by_the_loss_and_only_by_it() -> None:
    scores = {0: (1.0, -0.3), 1: (1.0, -0.1), 2: (1.0, -0.2), 3: (0.5, -0.01), 4: (0.5, -0.02), 5: (0.4, 0.0)}
    stopped = judge(3, scores)
    assert set(stopped) == {0, 3, 4, 5}
    assert stopped[0] == "valid accuracy 1, needed 1, and a lower loss among 6 trials"
    assert stopped[5] == "valid accuracy 0.4, needed 1 among 6 trials"
    assert not judge(3, dict.fromkeys(range(6), (1.0, -0.1)))


@pytest.mark.parametrize("rule", ["halving", "hyperband", "median", "patience"])
@pytest.mark.parametrize("minimize", [False, True])
def test_reasons_name_numbers_in_the_metrics_own_sign(rule: str, minimize: bool) -> None:
    """Errors of 0.25 to 1 (or accuracies): no reason may speak of negative ones, or of others' numbers."""
    study = study_of(rule, minimize)
    rising = np.linspace(0.25, 0.5, EPOCHS)

    def of(trial: Trial) -> FloatArray:
        metric = rising + (trial.number % 24) / 64
        return curve(metric if minimize else metric[::-1])  # ever worse

    stored = run_study(study, of)
    stopped = [trial for trial in stored.trials.values() if trial.state is State.PRUNED]
    assert stopped
    name = "valid error" if minimize else "valid accuracy"
    for trial in stopped:
        assert trial.reason is not None
        assert trial.reason.startswith(f"stopped at epoch {trial.epochs}: ")
        assert name in trial.reason
        assert "-" not in trial.reason
        assert "−" not in trial.reason
        known = stored.curves[trial.number][: trial.epochs, VALID_METRIC]
        best = known.min() if minimize else known.max()
        at_rung = known[-1]
        assert f"{at_rung:.4g}" in trial.reason or f"{best:.4g}" in trial.reason
    assert all(t.reason is None for t in stored.trials.values() if t.state is State.COMPLETE)


def test_without_stopping_nobody_stops() -> None:
    stored = run_study(study_of("none"), curves_of(3, FINE))
    states = {trial.state for trial in stored.trials.values()}
    assert states == {State.COMPLETE, State.FAILED}


def test_who_diverges_at_a_rung_takes_nobodys_place() -> None:
    """Three arrive at epoch 3, of whom the best diverges there: of two, one goes on."""

    def of(trial: Trial) -> FloatArray:
        loss = np.ones(EPOCHS)
        if trial.number == 2:
            loss[2] = math.nan
        return curve(np.full(EPOCHS, float(trial.number)), loss)

    study = study_of("halving", trials=3, cohort=3)
    stored: Memory = run(study, of)
    assert [stored.trials[n].state for n in range(3)] == [State.PRUNED, State.COMPLETE, State.FAILED]
    assert stored.trials[0].reason == "stopped at epoch 3: valid accuracy 0, needed 1 among 2 trials"
    assert stored.trials[2].epochs == 3
    assert stored.curves[2][-1, VALID_LOSS] != stored.curves[2][-1, VALID_LOSS]


@pytest.mark.parametrize("rule", ["none", "halving", "hyperband", "median", "patience"])
def test_survivors_go_on_and_slots_are_filled_again(rule: str) -> None:
    """No epoch is trained twice, cohorts stay full while there are trials, and each piece joins the last."""
    stored = run_study(study_of(rule), curves_of(8, FINE))
    epochs: dict[int, int] = {}
    begun = 0
    for cohort in stored.cohorts:
        begun += sum(number not in epochs for number in cohort.lanes)
        assert len(cohort.lanes) == COHORT or begun == TRIALS
        for number, (before, after) in cohort.lanes.items():
            assert before == epochs.get(number, 0)
            epochs[number] = after
    assert all(len(stored.curves[n]) == trial.epochs for n, trial in stored.trials.items())
