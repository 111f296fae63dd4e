"""What samplers compute: the history's columns, densities, posteriors, generations; against references."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import NSGAIIISampler, NSGAIISampler, TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import TrialState, create_trial

from hpsearch import seeds
from hpsearch.records import FloatArray, Params, State, Trial
from hpsearch.search import History, make_sampler
from hpsearch.search.gp import _believe
from hpsearch.search.parzen import draw, log_density
from hpsearch.search.tpe import best
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study
from tests.made_up import STATES, drawn, make_study, tried

SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
    "momentum": {"low": 0.0, "high": 0.9, "step": 0.1},
    "depth": {"low": 1, "high": 5},
    "batch_size": [16, 32, 64],
    "nesterov": [True, False],
    "activation": ["relu", "tanh"],
}


def study_of(name: str = "tpe", space: dict[str, Any] = SPACE, **search: Any) -> Study:
    return make_study(space, {"sampler": name, "cohort": 16, **search})


def value_of(params: Params) -> float:
    """A landscape: best at learning rate 0.1 and depth 3."""
    return -((math.log10(params["learning_rate"]) + 1) ** 2) - 0.1 * (params["depth"] - 3) ** 2


# -- the history --------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 300), st.integers(0, 2), st.randoms(use_true_random=False))
def test_a_history_that_grew_is_that_of_all_trials_at_once(
    count: int, others: int, order: random.Random
) -> None:
    """New trials in turn, and what becomes of them in any order: against plain lists."""
    space = make_study({**SPACE, "optimizer": ["sgd", "adam"], "width": {"low": 4, "high": 8}}).space
    points = [space.active(params) for params in drawn(make_study(space.document()), count)]
    final = tried(points, value_of, others=others)
    history, waiting = History(space, others=others), []
    for trial in final:
        history.put(Trial(trial.number, trial.cohort, trial.params))
        waiting.append(trial)
        while waiting and order.random() < 0.6:
            history.put(waiting.pop(order.randrange(len(waiting))))
    for trial in sorted(waiting, key=lambda trial: order.random()):
        history.put(replace(trial, epochs=1, state=State.RUNNING))
        history.put(trial)
    at_once = History(space, final, others)
    assert len(history) == len(at_once) == count
    codes = {State.RUNNING: 0, State.COMPLETE: 1, State.PRUNED: 2, State.FAILED: 3}
    for each in (history, at_once):
        assert each.state.tolist() == [codes[trial.state] for trial in final]
        assert each.epochs.tolist() == [trial.epochs for trial in final]
        for column, name in ((each.value, "value"), (each.loss, "loss")):
            expected = [getattr(trial, name) for trial in final]
            assert [None if x != x else x for x in column.tolist()] == expected
        for row, trial in zip(each.others.tolist(), final, strict=True):
            assert tuple(row) == trial.others if trial.others else np.isnan(row).all()
        distributions = optuna_distributions(space)
        for row, params in zip(each.params.tolist(), points, strict=True):
            known = dict(zip(distributions, row, strict=True))
            assert {name for name, x in known.items() if x == x} == set(params)
            assert all(known[name] == distributions[name].to_internal_repr(x) for name, x in params.items())
    np.testing.assert_array_equal(history.others, at_once.others)
    np.testing.assert_array_equal(history.params, at_once.params)


# -- TPE ----------------------------------------------------------------------------------------------


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
    sampler, nothing = make_sampler(study_of()), History(study_of().space)
    asked = sampler(7, 0, 60, nothing)
    logs = sorted(math.log10(params["learning_rate"]) for params in asked)
    assert [int((log + 3) * 20) for log in logs] == list(range(60))  # one in each sixtieth of three decades
    assert asked != sampler(7, 1, 60, nothing)


def test_tpe_goes_where_trials_were_good() -> None:
    study = study_of()
    past = tried(drawn(study, 200), value_of)
    asked = make_sampler(study)(7, 3, 200, History(study.space, past))
    known = [trial.value for trial in past if trial.value is not None]
    assert np.mean([value_of(params) for params in asked]) > np.mean(known) + 0.5


def test_tpe_learns_from_parameters_that_only_some_trials_have() -> None:
    """Adam's trials are good near its rate of 0.01, SGD's near 0.3; no trial has both rates."""
    rate = {"low": 1e-4, "high": 1.0, "log": True}
    space = {"optimizer": ["sgd", "adam"], "sgd.learning_rate": rate, "adam.learning_rate": rate}
    study, goal = study_of(space=space), {"sgd": 0.3, "adam": 0.01}

    def distance(params: Params) -> float:
        optimizer = params["optimizer"]
        return abs(math.log10(params[f"{optimizer}.learning_rate"] / goal[optimizer]))

    past = tried(drawn(study, 200), lambda params: -distance(params), (State.COMPLETE,))
    asked = make_sampler(study)(7, 1, 200, History(study.space, past))
    assert {params["optimizer"] for params in asked} == {"sgd", "adam"}
    for optimizer in goal:
        far = np.mean([distance(t.params) for t in past if t.params["optimizer"] == optimizer])
        near = np.mean([distance(params) for params in asked if params["optimizer"] == optimizer])
        assert near < far / 2


few = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@given(
    st.lists(st.tuples(st.sampled_from(STATES), few, few, st.sampled_from([0, 1, 3, 9])), max_size=60),
    st.integers(0, 70),
    st.booleans(),
)
def test_the_best_are_those_of_a_full_sort(
    rows: list[tuple[State, float, float, int]], count: int, maximize: bool
) -> None:
    """Complete ones by value, loss, number; then stopped ones and those that have got somewhere, the
    furthest first, by value, loss, number."""
    space = make_study({"depth": [1, 2]}).space
    trials = []
    for number, (state, value, loss, epochs) in enumerate(rows):
        known = state is not State.FAILED and (epochs > 0 or state is not State.RUNNING)
        trials.append(
            Trial(number, 0, {"depth": 1}, state, epochs, *((value, loss) if known else (None, None)))
        )

    def merit(trial: Trial) -> tuple[float, ...]:
        assert trial.value is not None
        assert trial.loss is not None
        partial = trial.state is not State.COMPLETE
        value = -trial.value if maximize else trial.value
        return partial, -trial.epochs if partial else 0, value, trial.loss, trial.number

    known = [trial for trial in trials if trial.value is not None]
    expected = [trial.number for trial in sorted(known, key=merit)][:count]
    assert best(History(space, trials), count, maximize).tolist() == expected


@pytest.mark.parametrize("maximize", [True, False])
def test_good_and_bad_trials_are_told_apart_as_optuna_does(maximize: bool) -> None:
    study = study_of()
    past = tried(drawn(study, 100), value_of, (State.COMPLETE, State.PRUNED, State.PRUNED))
    past = [replace(t, epochs=3 + t.number % 5) if t.state is State.PRUNED else t for t in past]
    theirs = optuna.create_study(direction="maximize" if maximize else "minimize")
    for trial in past:
        state = TrialState.COMPLETE if trial.state is State.COMPLETE else TrialState.PRUNED
        theirs.add_trial(
            create_trial(
                params=trial.params, distributions=optuna_distributions(study.space), value=trial.value,
                intermediate_values={trial.epochs: trial.value}, state=state,
            )
        )  # fmt: skip
    for count in (12, 60):
        below, _ = _split_trials(theirs, theirs.get_trials(), count)
        ours = best(History(study.space, past), count, maximize)
        assert sorted(ours.tolist()) == sorted(trial.number for trial in below)


# -- Gaussian process ---------------------------------------------------------------------------------


def test_believing_in_a_prediction_is_fitting_it() -> None:
    """Picks of one joint posterior, against a posterior that is given each pick's prediction as a value."""
    import torch
    from optuna._gp import acqf, gp, prior

    generator = np.random.default_rng(3)
    rows = np.column_stack([generator.random((30, 2)), generator.integers(0, 3, 30)])
    y = -((rows[:, 0] - 0.3) ** 2) - 0.5 * rows[:, 1] * (rows[:, 2] == 1) + 0.05 * generator.normal(size=30)
    y = (y - y.mean()) / y.std()
    candidates = np.column_stack([generator.random((120, 2)), generator.integers(0, 3, 120)])

    def fit() -> Any:
        return gp.fit_kernel_params(
            X=rows, Y=y, is_categorical=np.array([False, False, True]), log_prior=prior.default_log_prior,
            minimum_noise=prior.DEFAULT_MINIMUM_NOISE_VAR, deterministic_objective=False,
        )  # fmt: skip

    points = torch.from_numpy(candidates)
    fitted = fit()
    with torch.no_grad():
        mean, covariance = fitted.posterior(points, joint=True)
    everywhere = [np.ones(120, bool)] * 12
    noise, top = float(fitted.noise_var), float(y.max())
    ours = _believe(mean.numpy(), covariance.numpy(), noise, top, everywhere)

    theirs, free = [], np.ones(120, bool)
    believed: FloatArray = np.empty((0, 3))
    for _ in range(12):
        posterior = fit()
        if len(believed):
            x = torch.from_numpy(believed)
            posterior.append_running_data(x, fitted.posterior(x)[0].detach())
        with torch.no_grad():
            gain = acqf.logei(*posterior.posterior(points), top).numpy()
        at = int(np.where(free, gain, -np.inf).argmax())
        theirs.append(at)
        free[at] = False
        believed = np.concatenate([believed, candidates[[at]]])
    assert ours == theirs
    assert len(set(ours)) == 12


def test_a_gaussian_process_goes_where_trials_were_good() -> None:
    study = study_of("gp")
    past = tried(drawn(study, 80), value_of)
    asked = make_sampler(study)(7, 3, 24, History(study.space, past))
    known = [trial.value for trial in past if trial.value is not None]
    assert np.mean([value_of(params) for params in asked]) > np.mean(known) + 0.4


# -- evolution ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("minimize", [False, True])
def test_cma_es_is_the_librarys_fed_generation_by_generation(minimize: bool) -> None:
    """Three generations of 16 told by hand; a diverged trial has the worst value of its study."""
    from cmaes import CMA

    space = {"learning_rate": SPACE["learning_rate"], "momentum": {"low": 0.0, "high": 0.9}}
    study = make_study(space, {"sampler": "cmaes", "cohort": 16}, minimize=minimize)
    points = drawn(study, 56)
    sign = 1.0 if minimize else -1.0
    past = tried(points, lambda p: value_of({**p, "depth": 3}), (State.COMPLETE, State.PRUNED, State.FAILED))
    asked = make_sampler(study)(7, 5, 16, History(study.space, past))

    transform = _SearchSpaceTransform(optuna_distributions(study.space), transform_0_1=True)
    optimizer = CMA(np.full(2, 0.5), 1 / 6, bounds=np.array([[0.0, 1.0]] * 2), population_size=16, seed=0)
    losses = [None if trial.value is None else sign * trial.value for trial in past]
    worst = max(loss for loss in losses if loss is not None)
    worst = max(worst, 0.0)
    for generation in range(3):
        numbers = range(16 * generation, 16 * (generation + 1))
        told = [(transform.transform(points[n]), worst if losses[n] is None else losses[n]) for n in numbers]
        optimizer.tell(told)
    optimizer.reseed_rng(seeds.integer(7, "cmaes sampler", 5))
    for params in asked:
        expected = transform.untransform(np.clip(optimizer.ask(), 0, 1))
        assert params == pytest.approx(expected)


def test_cma_es_learns_the_same_again_when_later_trials_are_worse_than_all_before() -> None:
    """What a diverged trial counts as must not depend on when its generation is learned from."""
    space = {"learning_rate": SPACE["learning_rate"], "momentum": {"low": 0.0, "high": 0.9}}
    study = make_study(space, {"sampler": "cmaes", "cohort": 16}, minimize=True)
    values = [float("nan"), *(float(n) for n in range(16, 1, -1)), *(100.0 + n for n in range(16))]
    points = drawn(study, len(values))
    of_point = {repr(point): value for point, value in zip(points, values, strict=True)}
    past = tried(points, lambda params: of_point[repr(params)], (State.COMPLETE,))
    kept = make_sampler(study)
    kept(7, 1, 16, History(study.space, past[:16]))
    assert kept(7, 2, 16, History(study.space, past)) == make_sampler(study)(
        7, 2, 16, History(study.space, past)
    )


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_nsga_selects_as_optunas_from_all_trials(name: str) -> None:
    """Ours hands it whole fronts, the best; the children are those of all trials as one generation."""
    space = {key: SPACE[key] for key in ("learning_rate", "depth", "batch_size", "activation")}
    study = make_study(
        space, {"sampler": name, "cohort": 16, "objectives": ["parameters"], "stopping": "none"}
    )
    past = tried(drawn(study, 90), value_of, (State.COMPLETE, State.COMPLETE, State.FAILED), others=1)
    ours = make_sampler(study)(7, 5, 16, History(study.space, past, 1))

    seed = seeds.integer(7, "nsga sampler", 5)
    kind: Any = {"nsga2": NSGAIISampler, "nsga3": NSGAIIISampler}[name]
    sampler = kind(population_size=16, seed=seed)
    theirs = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    known = np.array([(-trial.value, *trial.others) for trial in past if trial.value is not None])
    worst = np.maximum(known.max(axis=0), 0.0)
    distributions = optuna_distributions(study.space)
    for trial in past:
        values = worst if trial.value is None else (-trial.value, *trial.others)
        theirs.add_trial(
            create_trial(params=trial.params, distributions=distributions, values=[float(v) for v in values],
                         system_attrs={sampler._get_generation_key(): 0})
        )  # fmt: skip
    children = [theirs.ask(fixed_distributions=distributions).params for _ in range(16)]
    assert ours == children
