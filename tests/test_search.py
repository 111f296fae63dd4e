"""Samplers asked by the cohort, and rungs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import TrialState

from hpsearch.records import Params, State, Trial
from hpsearch.search import make_sampler, make_stopping
from hpsearch.search.parzen import draw, log_density
from hpsearch.search.sampler import _merit
from hpsearch.search.stopping import geometric_rungs
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.space import Space, read_space

SPACE = {
    "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
    "momentum": {"low": 0.0, "high": 0.9, "step": 0.1},
    "depth": {"low": 1, "high": 5},
    "batch_size": [16, 32, 64],
    "nesterov": [True, False],
    "activation": ["relu", "tanh"],
}
SAMPLERS = ["random", "qmc", "tpe"]


def space() -> Space:
    return read_space(SPACE, lambda key, text: pytest.fail(f"{key}: {text}"))


def value_of(params: dict[str, object]) -> float:
    """A landscape: best at learning rate 0.1 and depth 3."""
    return -((math.log10(float(params["learning_rate"])) + 1) ** 2) - 0.1 * (int(params["depth"]) - 3) ** 2  # type: ignore[call-overload, arg-type]


def finished(number: int, params: dict[str, object], state: State = State.COMPLETE) -> Trial:
    value = None if state is State.FAILED else value_of(params)
    return Trial(number, 0, params, state, 27, value, 0.5, 3)


def history(count: int) -> list[Trial]:
    asked = make_sampler("random", space(), True)(0, 0, count, [])
    states = [State.COMPLETE, State.PRUNED, State.COMPLETE, State.FAILED, State.RUNNING]
    return [finished(n, params, states[n % 5]) for n, params in enumerate(asked)]


# -- one suite that every sampler must pass -----------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("stored", [0, 5, 60])
def test_asked_parameters_lie_in_the_space_with_their_types(name: str, stored: int) -> None:
    asked = make_sampler(name, space(), True)(7, 3, 40, history(stored))
    assert len(asked) == 40
    distributions = optuna_distributions(space())
    for params in asked:
        assert list(params) == list(SPACE)
        for key, value in params.items():
            assert distributions[key]._contains(distributions[key].to_internal_repr(value))
        assert isinstance(params["depth"], int)
        assert isinstance(params["nesterov"], bool)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("stored", [0, 60])
def test_asking_is_a_function_of_seed_cohort_and_history(name: str, stored: int) -> None:
    sampler, past = make_sampler(name, space(), True), history(stored)
    first = sampler(7, 3, 20, past)
    sampler(1, 1, 5, past)  # what was asked in between leaves no trace
    np.random.default_rng().random()
    assert make_sampler(name, space(), True)(7, 3, 20, past) == first
    assert sampler(8, 3, 20, past) != first


@pytest.mark.parametrize("name", SAMPLERS)
def test_cohorts_do_not_repeat_each_other(name: str) -> None:
    sampler = make_sampler(name, space(), True)
    past = history(60)
    a = sampler(7, 3, 30, past)
    b = sampler(7, 4, 30, [*past, *(finished(60 + n, p) for n, p in enumerate(a))])
    rates = [params["learning_rate"] for params in a + b]
    assert len(set(rates)) == 60


def test_nothing_to_vary_asks_for_nothing() -> None:
    fixed = read_space({"width": 8}, lambda key, text: None)
    for name in SAMPLERS:
        assert make_sampler(name, fixed, True)(0, 0, 3, []) == [{}, {}, {}]


# -- each one's own promise ------------------------------------------------------------------------------


def test_quasi_random_points_are_one_sequence_however_it_is_cut() -> None:
    sampler = make_sampler("qmc", space(), True)
    whole = sampler(7, 0, 64, [])
    past = [finished(n, params) for n, params in enumerate(whole[:23])]
    assert sampler(7, 1, 41, past) == whole[23:]


def test_quasi_random_points_fill_the_space_evenly() -> None:
    asked = make_sampler("qmc", space(), True)(7, 0, 256, [])
    counts = np.unique([params["batch_size"] for params in asked], return_counts=True)[1]
    assert counts.max() - counts.min() <= 8
    logs = [math.log10(params["learning_rate"]) for params in asked]
    assert np.histogram(logs, bins=16, range=(-3, 0))[0].std() < 2  # 4 would be usual for random draws


def parzen_estimator(number: int) -> _ParzenEstimator:
    """Optuna's estimator for `number` points of a space with every kind of parameter."""
    distributions = {
        "log": FloatDistribution(1e-4, 1.0, log=True),
        "linear": FloatDistribution(-3.0, 0.95),
        "choice": CategoricalDistribution([16, 32, 64]),
        "small": IntDistribution(1, 4),
        "large": IntDistribution(1, 1000, log=True),
    }
    random = np.random.default_rng(number)
    points = {
        "log": 10 ** random.uniform(-4, 0, number),
        "linear": random.uniform(-3, 0.95, number),
        "choice": random.integers(0, 3, number).astype(float),
        "small": random.integers(1, 5, number).astype(float),
        "large": random.integers(1, 1001, number).astype(float),
    }
    return _ParzenEstimator(points, distributions, TPESampler()._parzen_estimator_parameters)


@pytest.mark.parametrize("number", [1, 7, 250])
def test_log_densities_are_those_of_optuna(number: int) -> None:
    estimator = parzen_estimator(number)
    points = draw(estimator, np.random.RandomState(1), 400)
    named = dict(zip(estimator._search_space, points.T, strict=True))
    np.testing.assert_allclose(log_density(estimator, points), estimator.log_pdf(named), rtol=1e-9, atol=1e-9)


def test_draws_are_distributed_as_those_of_optuna() -> None:
    """Two-sample Kolmogorov-Smirnov, 20,000 draws a side, with fixed seeds."""
    from scipy.stats import ks_2samp

    estimator = parzen_estimator(30)
    ours = draw(estimator, np.random.RandomState(1), 20_000)
    theirs = np.stack(list(estimator.sample(np.random.RandomState(2), 20_000).values()), axis=1)
    for column in range(5):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-3


def test_the_first_cohort_of_tpe_covers_every_axis_evenly() -> None:
    asked = make_sampler("tpe", space(), True)(7, 0, 60, [])
    logs = sorted(math.log10(params["learning_rate"]) for params in asked)
    assert [int((log + 3) * 20) for log in logs] == list(range(60))  # one in each sixtieth of three decades
    assert asked != make_sampler("tpe", space(), True)(7, 1, 60, [])


def test_tpe_goes_where_trials_were_good_and_stays_away_from_divergence() -> None:
    past = history(200)
    asked = make_sampler("tpe", space(), True)(7, 3, 200, past)
    assert (
        np.mean([value_of(p) for p in asked]) > np.mean([t.value for t in past if t.value is not None]) + 0.5
    )


def test_tpe_learns_to_avoid_a_region_where_everything_diverged() -> None:
    """The best values lie just below the learning rates that diverge; Optuna's sampler goes there again."""
    asked = make_sampler("random", space(), True)(0, 0, 300, [])
    past = []
    for n, params in enumerate(asked):
        rate = params["learning_rate"]
        past.append(Trial(n, 0, params, State.COMPLETE, 27, rate, 0.5, 3) if rate < 0.3 else
                    Trial(n, 0, params, State.FAILED, 1, reason="diverged"))  # fmt: skip
    sampler = make_sampler("tpe", space(), True)
    seen_by_optuna = [replace(t, number=n) for n, t in enumerate(t for t in past if t.value)]
    unaware, aware = (
        sum(
            params["learning_rate"] >= 0.3 for cohort in range(20) for params in sampler(7, cohort, 200, each)
        )
        for each in (seen_by_optuna, past)
    )
    assert aware < 0.75 * unaware  # 2.3 % of 4,000 draws against 4.0 %


@pytest.mark.parametrize("maximize", [True, False])
def test_good_and_bad_trials_are_told_apart_as_optuna_does(maximize: bool) -> None:
    past = [t for t in history(100) if t.state in (State.COMPLETE, State.PRUNED)]
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    for trial in past:
        state = TrialState.COMPLETE if trial.state is State.COMPLETE else TrialState.PRUNED
        study.add_trial(
            optuna.trial.create_trial(
                params=trial.params, distributions=optuna_distributions(space()), value=trial.value,
                intermediate_values={trial.epochs: trial.value}, state=state,
            )
        )  # fmt: skip
    below, _ = _split_trials(study, study.get_trials(), 12)
    expected = sorted(past[trial.number].number for trial in below)
    ours = sorted(past, key=lambda trial: _merit(trial, maximize))[:12]
    assert sorted(trial.number for trial in ours) == expected


# -- rungs ---------------------------------------------------------------------------------------------------


def test_rungs() -> None:
    assert geometric_rungs(27, 3, 3) == (3, 9, 27)
    assert geometric_rungs(30, 3, 3) == (3, 9, 27, 30)
    assert geometric_rungs(2, 3, 3) == (2,)
    assert make_stopping("halving", 27, 3, None).rungs == (3, 9, 27)
    assert make_stopping("halving", 100, 3, None).rungs == (11, 33, 99, 100)
    assert make_stopping("none", 5, 3, 5).rungs == (5,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80, unique=True), st.integers(2, 5))
def test_halving_keeps_the_best_share(values: list[float], factor: int) -> None:
    rule = make_stopping("halving", 27, factor, 3)
    scores = {n: (value, 0.0) for n, value in enumerate(values)}
    verdict = rule.judge(scores, list(scores))
    kept = [n for n in scores if n not in verdict.stopped]
    assert len(kept) == max(1, len(values) // factor)
    assert min(values[n] for n in kept) == verdict.needed
    assert all(values[n] < verdict.needed for n in verdict.stopped)


def test_halving_decides_as_optuna_when_trials_come_one_by_one() -> None:
    """Asynchronous halving with distinct values: the same trials stop as with Optuna's pruner."""
    values = np.random.default_rng(3).permutation(60) / 60
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=3, reduction_factor=3),
    )
    rule = make_stopping("halving", 27, 3, 3)
    scores: dict[int, tuple[float, float]] = {}
    for number, value in enumerate(values):
        trial = study.ask()
        trial.report(float(value), 3)
        scores[number] = (float(value), 0.0)
        assert trial.should_prune() == (number in rule.judge(scores, [number]).stopped), number
        study.tell(trial, float(value))


def test_equal_metrics_are_told_apart_by_the_loss_and_only_by_it() -> None:
    rule = make_stopping("halving", 27, 3, 3)
    scores = {0: (1.0, -0.3), 1: (1.0, -0.1), 2: (1.0, -0.2), 3: (0.5, -0.01), 4: (0.5, -0.02), 5: (0.4, 0.0)}
    assert rule.judge(scores, list(scores)).stopped == {0, 3, 4, 5}
    same = dict.fromkeys(range(6), (1.0, -0.1))
    assert not rule.judge(same, list(same)).stopped


def test_without_stopping_nobody_stops() -> None:
    rule = make_stopping("none", 27, 3, None)
    assert rule.rungs == (3, 9, 27)
    assert not rule.judge({0: (0.0, 0.0), 1: (1.0, 0.0)}, [0, 1]).stopped


def test_tpe_learns_from_parameters_that_only_some_trials_have() -> None:
    """Adam's trials are good near its rate of 0.01, SGD's near 0.3; no trial has both rates."""
    entries: dict[str, object] = {
        "optimizer": ["sgd", "adam"],
        "sgd.learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
        "adam.learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
    }
    space = read_space(entries, lambda key, text: pytest.fail(f"{key}: {text}"))
    best = {"sgd": 0.3, "adam": 0.01}

    def distance(params: Params) -> float:
        optimizer = params["optimizer"]
        return abs(math.log10(params[f"{optimizer}.learning_rate"] / best[optimizer]))

    past = []
    for n, drawn in enumerate(make_sampler("random", space, True)(0, 0, 200, [])):
        params = space.active(drawn)
        past.append(Trial(n, 0, params, State.COMPLETE, 27, -distance(params), 0.5, 3))
    asked = make_sampler("tpe", space, True)(7, 1, 200, past)
    assert {params["optimizer"] for params in asked} == {"sgd", "adam"}
    for optimizer in best:
        far = np.mean([distance(t.params) for t in past if t.params["optimizer"] == optimizer])
        near = np.mean([distance(params) for params in asked if params["optimizer"] == optimizer])
        assert near < far / 2
