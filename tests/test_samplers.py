"""One suite that every sampler passes, and each one's own promise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest

from hpsearch.errors import HpsearchError
from hpsearch.records import Params, State, Trial
from hpsearch.search import History, make_sampler
from hpsearch.search.history import FAILED
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study
from hpsearch.study.methods import SAMPLERS
from tests.made_up import STATES, drawn, make_study, tried

STOCK = "optuna.samplers:TPESampler"
ALL = [*SAMPLERS, STOCK]
LEARNING = ["tpe", "gp", "cmaes", "nsga2", STOCK]

SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
    "optimizer": ["sgd", "adam"],
    "momentum": {"low": 0.0, "high": 0.9, "step": 0.1},  # sgd alone
    "nesterov": [True, False],  # sgd alone
    "depth": {"low": 1, "high": 4},
    "layer2.width": {"low": 4, "high": 32},  # from depth 3 on
    "batch_size": [16, 32, "all"],
    "activation": ["relu", "elu"],
    "elu.alpha": {"low": 0.5, "high": 2.0},  # elu alone
}
FINITE = {
    "learning_rate": [1e-3, 1e-2, 0.1, 1.0],
    "layer2.width": [4, 32],
    "elu.alpha": [0.5, 2.0],
    "momentum": {"low": 0.0, "high": 0.9, "step": 0.3},
}


def study_of(name: str, space: dict[str, Any] = SPACE, cohort: int = 16, **tables: Any) -> Study:
    """A study with the sampler, on a finite version of the space where that is needed."""
    if name == "grid":
        space = {key: FINITE.get(key, entry) for key, entry in space.items()}
    search: dict[str, Any] = {"sampler": name, "cohort": cohort, **tables.pop("search", {})}
    if name == "nsga3":
        search |= {"objectives": ["parameters"], "stopping": "none"}
    return make_study(space, search, **tables)


def value_of(params: Params) -> float:
    """Best at learning rate 0.1 and depth 3; those above 0.5 diverge."""
    if params["learning_rate"] > 0.5:
        return math.nan
    return -((math.log10(params["learning_rate"]) + 1) ** 2) - 0.1 * (params["depth"] - 3) ** 2


LONG = STATES[:4] * 13 + STATES
"""States of trials in turn: the first 56 are finished, three generations of 16."""


def history_of(study: Study, count: int, seed: int = 0, lowered: float = 0.0) -> History:
    """Of trials at random points; lowered: of every third, to have the same points with other values."""
    others = len(study.search.objectives)
    trials = tried(drawn(study, count, seed), value_of, LONG, others)
    for at in range(0, count, 3):
        value = trials[at].value
        if value is not None:
            trials[at] = replace(trials[at], value=value - lowered)
    return History(study.space, trials, others)


def all_lie_in(study: Study, asked: list[Params]) -> bool:
    """Whether points have what means something to them, in the space and of the right type."""
    distributions = optuna_distributions(study.space)
    for params in asked:
        assert list(params) == [name for name in study.space.searched if name in params]
        assert set(params) == _meant(params)
        for name, value in params.items():
            d = distributions[name]
            assert d._contains(d.to_internal_repr(value)), (name, value)
        assert type(params["depth"]) is int
        assert type(params["learning_rate"]) is float
        assert type(params.get("nesterov", True)) is bool
        assert params["batch_size"] in (16, 32, "all")
        if "momentum" in params:
            assert params["momentum"] * 10 == pytest.approx(round(params["momentum"] * 10))
    return True


def _meant(params: Params) -> set[str]:
    names = set(SPACE)
    names -= set() if params["optimizer"] == "sgd" else {"momentum", "nesterov"}
    names -= set() if params["depth"] > 2 else {"layer2.width"}
    return names - (set() if params["activation"] == "elu" else {"elu.alpha"})


# -- one suite that every sampler must pass -----------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("stored", [0, 5, 60])
def test_points_lie_in_the_space_with_their_types_and_without_what_means_nothing(
    name: str, stored: int
) -> None:
    study = study_of(name)
    asked = make_sampler(study)(7, 3, 24, history_of(study, stored))
    assert len(asked) == 24
    assert all_lie_in(study, asked)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("stored", [0, 60])
def test_asking_is_a_function_of_seed_cohort_and_history(name: str, stored: int) -> None:
    study = study_of(name)
    sampler, past = make_sampler(study), history_of(study, stored)
    first = sampler(7, 3, 16, past)
    others: list[tuple[int, int, int, History]] = [
        (1, 3, 16, past),
        (7, 3, 16, history_of(study, stored, seed=1)),
        (7, 3, 16, history_of(study, stored, lowered=1.0)),
        (7, 9, 5, history_of(study, 90)),
    ]
    for other in others:  # neither leaves a trace in the other
        assert sampler(*other) == make_sampler(study)(*other)
        assert sampler(7, 3, 16, past) == first
    np.random.default_rng().random()
    assert sampler(7, 3, 16, past) == first
    assert make_sampler(study)(7, 3, 16, past) == first
    assert sampler(8, 3, 16, past) != first


@pytest.mark.parametrize("name", ALL)
def test_a_sampler_that_saw_the_study_grow_asks_what_a_fresh_one_asks(name: str) -> None:
    study = study_of(name)
    trials = tried(drawn(study, 64), value_of, (State.COMPLETE,), len(study.search.objectives))
    sampler, growing = make_sampler(study), History(study.space, others=len(study.search.objectives))
    for cohort in range(5):
        at_once = History(study.space, trials[: 16 * cohort], len(study.search.objectives))
        assert sampler(7, cohort, 16, growing) == make_sampler(study)(7, cohort, 16, at_once)
        for trial in trials[16 * cohort : 16 * (cohort + 1)]:
            growing.put(replace(trial, state=State.RUNNING, epochs=0, value=None, loss=None, others=()))
            growing.put(trial)


@pytest.mark.parametrize("name", ALL)
def test_given_points_come_first_and_the_rest_goes_with_them(name: str) -> None:
    study = study_of(name)
    whole = {
        "learning_rate": 0.1, "optimizer": "adam", "depth": 1, "batch_size": "all", "activation": "relu",
    }  # fmt: skip
    points = [whole, {"depth": 4, "activation": "elu"}, {"momentum": 0.3, "optimizer": "adam"}]
    for stored in (0, 60):
        asked = make_sampler(study)(7, 3, 16, history_of(study, stored), points)
        assert asked[0] == whole
        assert (asked[1]["depth"], asked[1]["activation"]) == (4, "elu")
        assert asked[2]["optimizer"] == "adam"
        assert "momentum" not in asked[2]  # given, and means nothing to Adam
        assert all_lie_in(study, asked)
        assert len({params["depth"] for params in asked}) > 1  # the others are not pinned
        # Points that do not fit into the cohort are left for the next.
        assert make_sampler(study)(7, 3, 1, history_of(study, stored), points) == [whole]


@pytest.mark.parametrize("name", ALL)
def test_forbidden_combinations_never_come(name: str) -> None:
    forbidden = [
        {"optimizer": "adam", "depth": {"low": 3}},
        {"activation": "elu", "learning_rate": {"high": 0.05}},
        {"momentum": {"low": 0.2, "high": 0.7}},  # means nothing to Adam's trials
    ]
    study = study_of(name, forbidden=forbidden)
    sampler = make_sampler(study)
    for stored in (0, 60):
        past = history_of(study, stored)
        asked = [params for cohort in (3, 4) for params in sampler(7, cohort, 24, past)]
        assert all_lie_in(study, asked)
        for params in asked:
            assert not (params["optimizer"] == "adam" and params["depth"] >= 3)
            assert not (params["activation"] == "elu" and params["learning_rate"] <= 0.05)
            assert not 0.2 <= params.get("momentum", 0.0) <= 0.7
        # A model may have learnt that one of them is better.
        assert stored or {params["optimizer"] for params in asked} == {"sgd", "adam"}


def test_a_space_that_is_forbidden_altogether_is_refused() -> None:
    study = study_of("random", forbidden=[{"depth": {"low": 1}}])
    with pytest.raises(HpsearchError, match=r"expected points allowed by \[\[forbidden\]\]; found none"):
        make_sampler(study)(7, 0, 4, History(study.space))


@pytest.mark.parametrize("name", ALL)
def test_cohorts_do_not_repeat_each_other(name: str) -> None:
    study = study_of(name)
    sampler, others = make_sampler(study), len(study.search.objectives)
    points = drawn(study, 48)
    asked: list[Params] = []
    for cohort in range(2):
        past = tried(points + asked, value_of, others=others)
        asked += sampler(7, cohort + 3, 16, History(study.space, past, others))
    # Two children of the same parents may be alike.
    assert len({tuple(params.items()) for params in asked}) >= (28 if name.startswith("nsga") else 32)


@pytest.mark.parametrize("name", ALL)
def test_values_beyond_all_bounds_are_nothing_to_stumble_over(name: str) -> None:
    study = study_of(name)
    others = len(study.search.objectives)
    extremes = [1e30, -1e30, math.inf, -math.inf, 0.0, 1e-300, math.nan]
    trials = tried(drawn(study, 64), value_of, others=others)
    for at, trial in enumerate(trials):
        if trial.value is not None:
            value = extremes[at % len(extremes)]
            loss = extremes[at % 5]
            if value == value:
                trials[at] = replace(trial, value=value, loss=loss, others=(1e30,) * others)
    for kept in (trials, [replace(t, state=State.FAILED, value=None, loss=None, others=()) for t in trials]):
        asked = make_sampler(study)(7, 4, 16, History(study.space, kept, others))
        assert all_lie_in(study, asked)
        assert len({tuple(params.items()) for params in asked}) > 8


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "space",
    [
        {"depth": [1, 2, 3]},
        {"depth": [1, 2, 3], "activation": ["relu", "tanh"]},
        {"depth": {"low": 1, "high": 3}},
        {"momentum": {"low": 0.0, "high": 0.9, "step": 0.3}},
    ],
    ids=["a choice", "only choices", "an integer", "a number"],
)
def test_small_spaces(name: str, space: dict[str, Any]) -> None:
    study = study_of(name, space)
    others = len(study.search.objectives)
    for stored in (0, 40):
        trials = tried(drawn(study, stored), lambda params: float(len(str(params))), others=others)
        asked = make_sampler(study)(7, 3, 12, History(study.space, trials, others))
        for params in asked:
            assert list(params) == list(space)
            for key, value in params.items():
                values = study.space.values(key)
                assert values is None or value in values
        # TPE has no room for anything but the best value in a space that small.
        assert stored or len({tuple(params.items()) for params in asked}) > 1


@pytest.mark.parametrize("name", ALL)
def test_nothing_to_vary_asks_for_nothing(name: str) -> None:
    study = study_of(name, {"width": 8})
    assert make_sampler(study)(0, 0, 3, History(study.space)) == [{}, {}, {}]


# -- what diverges is avoided ---------------------------------------------------------------------------

UNSTABLE: dict[str, Any] = {
    "learning_rate": {"low": 1e-3, "high": 1e2, "log": True},
    "depth": {"low": 1, "high": 5},
    "momentum": {"low": 0.0, "high": 0.9},
}
SHARE = 0.4
"""Two of five decades are above a learning rate of 1, where everything diverges."""


def told(number: int, cohort: int, params: Params, value: float) -> Trial:
    if params["learning_rate"] > 1:
        return Trial(number, cohort, params, State.FAILED, 1, reason="diverged")
    return Trial(number, cohort, params, State.COMPLETE, 9, value, -value, 1)


@pytest.mark.parametrize("name", LEARNING)
def test_samplers_that_learn_avoid_what_diverges(name: str) -> None:
    """Eight cohorts, each told before the next; best is a learning rate of 0.2."""
    study = study_of(name, UNSTABLE)
    sampler, past = make_sampler(study), History(study.space)
    for cohort in range(8):
        for params in sampler(3, cohort, 16, past):
            value = -((math.log10(params["learning_rate"]) + 0.7) ** 2) - 0.1 * abs(params["depth"] - 3)
            past.put(told(len(past), cohort, params, value))
    assert np.mean(past.state[64:] == FAILED) < 0.75 * SHARE


@pytest.mark.parametrize("name", ["tpe", "gp", STOCK])
def test_models_learn_from_the_diverged_themselves(name: str) -> None:
    """The higher the better up to where everything diverges: who sees no failures goes there again."""
    study = study_of(name, UNSTABLE)

    def share(blind: bool) -> float:
        sampler, past, lost = make_sampler(study), History(study.space), []
        for cohort in range(6):
            for params in sampler(3, cohort, 12, past) if cohort else drawn(study, 40):
                trial = told(len(past), cohort, params, math.log10(params["learning_rate"]))
                lost.append(trial.state is State.FAILED)
                if not (blind and lost[-1]):
                    past.put(trial)
        return float(np.mean(lost[-36:]))

    assert share(blind=False) < 0.8 * share(blind=True)


# -- each one's own promise ------------------------------------------------------------------------------


def test_quasi_random_points_are_one_sequence_however_it_is_cut() -> None:
    study = study_of("qmc")
    sampler = make_sampler(study)
    whole = sampler(7, 0, 64, History(study.space))
    past = History(study.space, tried(whole[:23], value_of))
    assert sampler(7, 1, 41, past) == whole[23:]


def test_quasi_random_points_fill_the_space_evenly() -> None:
    study = study_of("qmc")
    asked = make_sampler(study)(7, 0, 256, History(study.space))
    counts = [sum(params["batch_size"] == size for params in asked) for size in (16, 32, "all")]
    assert max(counts) - min(counts) <= 8
    logs = [math.log10(params["learning_rate"]) for params in asked]
    assert np.histogram(logs, bins=16, range=(-3, 0))[0].std() < 2  # 4 would be usual for random draws


def test_several_objectives_come_to_the_same_samplers_as_optunas() -> None:
    """With objectives, tpe and gp are Optuna's own; nobody else would know what to make of two values."""
    search = {"objectives": ["parameters"], "stopping": "none"}
    named, stock = (study_of(name, search=search) for name in ("tpe", STOCK))
    past = history_of(named, 40)
    assert make_sampler(named)(7, 3, 8, past) == make_sampler(stock)(7, 3, 8, past)


def test_a_sampler_may_be_made_by_a_function() -> None:
    study = study_of("tpe")
    past = history_of(study, 40)
    factory: Callable[[int], optuna.samplers.BaseSampler] = lambda seed: optuna.samplers.TPESampler(seed=seed)  # noqa: E731
    assert make_sampler(study, factory)(7, 3, 8, past) == make_sampler(study_of(STOCK))(7, 3, 8, past)


def test_options_reach_the_imported_sampler() -> None:
    plain = study_of(STOCK)
    other = study_of(STOCK, search={"options": {"n_startup_trials": 1000}})  # random up to then
    past = history_of(plain, 40)
    assert make_sampler(plain)(7, 3, 8, past) != make_sampler(other)(7, 3, 8, past)


@pytest.mark.parametrize(
    ("path", "options", "complaint"),
    [
        ("no.such.module:Sampler", {}, "expected an importable module; found: No module named 'no'"),
        ("optuna.samplers:TPESample", {}, "module optuna.samplers has no TPESample"),
        ("optuna.samplers:BasePruner", {}, "module optuna.samplers has no BasePruner"),
        (
            "optuna.pruners:MedianPruner",
            {},
            "expected a subclass of optuna.samplers.BaseSampler; found <class",
        ),
        ("math:sin", {}, "expected a subclass of optuna.samplers.BaseSampler; found <built-in function sin>"),
        (STOCK, {"n_startup": 3}, "rejects search.options: .*'n_startup'"),
        ("optuna.samplers:GridSampler", {}, "rejects search.options: .*'search_space'"),
    ],
)
def test_an_import_path_that_leads_nowhere_is_refused(
    path: str, options: dict[str, Any], complaint: str
) -> None:
    study = study_of(path, search={"options": options})
    with pytest.raises(HpsearchError, match=complaint) as refused:
        make_sampler(study)
    assert str(refused.value).startswith(f"search.sampler {path}: ")
