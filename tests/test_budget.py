"""Where a study ends: trials, epochs, giving up, a grid; shares of what it is about; several objectives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import hpsearch
from hpsearch.records import FloatArray, Params, State, Trial
from hpsearch.running.estimate import estimate, mean_epochs
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import prepare
from hpsearch.search import History, enough, make_sampler, make_stopping, trials_left
from hpsearch.store import Database
from hpsearch.study.file import Study, load_study
from hpsearch.study.layout import parameter_count
from hpsearch.study.methods import SAMPLERS
from tests.made_up import Memory, curve, make_study, run, run_piecewise
from tests.studies import stored, url

SPACE = {"learning_rate": {"low": 1e-3, "high": 1.0, "log": True}, "depth": {"low": 1, "high": 4}}


def curve_of(trial: Trial) -> FloatArray:
    """Rising to a trial's own level."""
    level = (trial.number * 0.618034) % 1
    return curve(level * (1 - np.exp(-np.arange(1, 10) / 3)))


def epochs_when_asked(memory: Memory) -> list[int]:
    """Epochs that were trained before each cohort that has new trials, in the order of the cohorts."""
    reached: dict[int, int] = {}
    before = []
    for cohort in memory.cohorts:
        if any(number not in reached for number in cohort.lanes):
            before.append(sum(reached.values()))
        reached |= {n: min(epoch, len(memory.curves[n])) for n, (_, epoch) in cohort.lanes.items()}
    return before


# -- how much a study trains --------------------------------------------------------------------------


@pytest.mark.parametrize("trials", [1, 7, 8, 9, 30])
def test_a_study_has_exactly_its_trials(trials: int) -> None:
    memory = run(make_study(SPACE, {"trials": trials, "cohort": 8}), curve_of)
    assert sorted(memory.trials) == list(range(trials))
    assert all(trial.state.finished for trial in memory.trials.values())


def test_no_trial_begins_when_the_limit_of_epochs_is_reached() -> None:
    study = make_study(SPACE, {"trials": 500, "cohort": 8, "epoch_limit": 150})
    memory = run(study, curve_of)
    before = epochs_when_asked(memory)
    assert all(epochs < 150 for epochs in before)
    total = sum(trial.epochs for trial in memory.trials.values())
    assert 150 <= total < 150 + 8 * 9  # what has begun is trained to its end
    assert len(memory.trials) < 500
    history = History(study.space, list(memory.trials.values()))
    assert enough(study, history) == "the limit of 150 epochs is reached"
    assert trials_left(study, history) == 0


@pytest.mark.parametrize("minimize", [False, True])
def test_a_study_gives_up_after_so_many_trials_without_improvement(minimize: bool) -> None:
    """Trial 14 is the last that is better than all before it by more than 0.05."""

    def of(trial: Trial) -> FloatArray:
        number = trial.number
        metric = 0.5 + 0.1 * (number >= 3) + 0.2 * (number >= 14) + 0.001 * number
        return curve(np.full(9, 1 - metric if minimize else metric))

    give_up = {"trials": 16, "delta": 0.05}
    search = {"trials": 500, "cohort": 4, "give_up": give_up, "stopping": "none"}
    study = make_study(SPACE, search, minimize=minimize)
    memory = run(study, of)
    assert len(memory.trials) == 32  # the first cohort's end that has 16 after trial 14
    history = History(study.space, list(memory.trials.values()))
    assert enough(study, history) == "the last 16 trials brought no improvement of more than 0.05"
    without = make_study(SPACE, search | {"give_up": {"trials": 16}}, minimize=minimize)
    assert enough(without, history) is None  # each of them is a little better


@pytest.mark.parametrize("count", [16, 17, 18])
def test_giving_up_counts_from_the_improvement(count: int) -> None:
    """17 trials, of which the first is the best: the last 16 brought nothing."""
    study = make_study(SPACE, {"give_up": {"trials": 16}})
    trials = [
        Trial(n, 0, {"learning_rate": 0.1, "depth": 1}, State.COMPLETE, 9, 0.9 if n == 0 else 0.5, 0.1, 1)
        for n in range(count)
    ]
    assert (enough(study, History(study.space, trials)) is None) == (count == 16)
    diverged = [Trial(n, 0, {"learning_rate": 0.1, "depth": 1}, State.FAILED, 1) for n in range(1, count)]
    assert (enough(study, History(study.space, [trials[0], *diverged])) is None) == (count == 16)


GRID = {"depth": [1, 2, 3], "activation": ["relu", "tanh"], "batch_size": [8, 16]}


def test_a_grid_ends_when_each_combination_has_been_tried() -> None:
    study = make_study(GRID, {"sampler": "grid", "trials": 100, "cohort": 5})
    memory = run(study, curve_of)
    points = [tuple(trial.params.values()) for trial in memory.trials.values()]
    assert len(points) == len(set(points)) == 12
    few = run(make_study(GRID, {"sampler": "grid", "trials": 7, "cohort": 5}), curve_of)
    assert len(few.trials) == 7


@pytest.mark.parametrize(
    ("space", "search"),
    [
        (SPACE, {"trials": 500, "epoch_limit": 150}),
        (SPACE, {"trials": 500, "give_up": {"trials": 12}, "stopping": "none"}),
        (SPACE, {"trials": 19, "sampler": "cmaes"}),
        (GRID, {"trials": 500, "sampler": "grid", "stopping": "median"}),
        (GRID, {"trials": 20, "scientific": ["depth"], "stopping": "hyperband"}),
    ],
    ids=["epochs", "giving up", "trials", "grid", "scientific"],
)
def test_a_study_that_is_stopped_again_and_again_ends_where_the_undisturbed_one_ends(
    tmp_path: Path, space: dict[str, Any], search: dict[str, Any]
) -> None:
    study = make_study(space, {"cohort": 8, **search})
    whole = run(study, curve_of)
    assert run_piecewise(study, curve_of, tmp_path / "pieces.db") >= 3
    trials, curves = stored(tmp_path / "pieces.db", study.name)
    assert [(t[0], t[1], t[2], t[3], t[4], t[5], t[8]) for t in trials] == [
        (t.number, t.cohort, t.params, t.state, t.epochs, t.value, t.reason)
        for t in sorted(whole.trials.values(), key=lambda trial: trial.number)
    ]
    for number, known in whole.curves.items():
        assert np.array_equal(known, curves[number])


# -- the estimate before it runs -----------------------------------------------------------------------


@pytest.mark.parametrize("stopping", ["none", "halving", "hyperband"])
def test_the_estimate_of_epochs_is_about_what_is_trained(stopping: str) -> None:
    """300 trials of all levels in a random order; asynchronous halving lets a few more go on."""
    study = make_study(
        SPACE, {"trials": 300, "cohort": 32, "stopping": stopping, "sampler": "random"}, epochs=27
    )
    order = np.random.default_rng(0).permutation(300)
    memory = run(study, lambda trial: curve(np.full(27, order[trial.number] / 300)))
    trained = sum(trial.epochs for trial in memory.trials.values()) / 300
    mean, at_most = mean_epochs(make_stopping(study), study)
    assert not at_most
    assert mean == pytest.approx(trained, rel=0.25 if stopping != "none" else 0)
    if stopping == "halving":
        assert mean == pytest.approx(3 + 6 / 3 + 18 / 9)


@pytest.mark.parametrize("stopping", ["median", "patience"])
def test_rules_that_look_at_curves_are_estimated_by_the_most(stopping: str) -> None:
    study = make_study(SPACE, {"stopping": stopping})
    assert mean_epochs(make_stopping(study), study) == (9.0, True)


def test_what_is_estimated_is_what_runs(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text(PARETO.replace("pareto", "e") + "[[enqueue]]\nwidth = 5\n", encoding="utf-8")
    study, dataset = prepare(load_study(path))
    before = estimate(study, dataset, [], 0, Machine("cpu", 1))
    assert (before.trials, before.unfinished, before.cohorts, before.epochs) == (40, 0, 4, 120)
    assert before.bytes > 0
    assert before.seconds is not None
    assert before.asked[0]["width"] == 5
    trials = stored_trials(path, tmp_path / "e.db")
    assert [trial.params for trial in trials[:10]] == list(before.asked)
    half = estimate(study, dataset, trials[:20], trials[20].cohort, Machine("cpu", 1))
    assert (half.trials, half.cohorts, half.epochs) == (20, 2, 60)
    assert [trial.params for trial in trials[20:30]] == list(half.asked)
    over = estimate(study, dataset, trials, 99, Machine("cpu", 1))
    assert (over.trials, over.epochs, over.asked) == (0, 0, [])


def stored_trials(path: Path, database: Path) -> list[Trial]:
    hpsearch.run(path, storage=url(database), confirm=False)
    with Database.open(url(database)) as opened:
        return opened.study(path.stem).trials()


# -- what a study is about ----------------------------------------------------------------------------

ARMS = {"activation": ["relu", "tanh", "elu"], "batch_size": [8, 16], **SPACE}


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("grid", "nsga3")])
def test_scientific_hyper_parameters_get_equal_shares_in_changing_orders(sampler: str) -> None:
    study = make_study(
        ARMS, {"sampler": sampler, "cohort": 16, "scientific": ["activation", "batch_size"], "trials": 48}
    )
    ask, history = make_sampler(study), History(study.space)
    points: list[Params] = []
    while len(points) < 48:
        asked = ask(5, len(points), 8, history)
        for params in asked:
            history.put(Trial(len(history), 0, params, State.COMPLETE, 9, 0.1, 1.0, 1))
        points += asked
    arms = [(params["activation"], params["batch_size"]) for params in points]
    blocks = [arms[at : at + 6] for at in range(0, 48, 6)]
    assert all(len(set(block)) == 6 for block in blocks)  # each combination once in six trials
    assert len(set(map(tuple, blocks))) > 4
    assert len({params["learning_rate"] for params in points}) > 24  # the rest is searched


def judged(study: Study) -> dict[str, Counter[State]]:
    """States by activation; relu's trials are always the best, elu's the worst."""
    level = {"relu": 2.0, "tanh": 1.0, "elu": 0.0}

    def of(trial: Trial) -> FloatArray:
        return curve(np.full(9, level[trial.params["activation"]] + trial.number / 1024))

    states: dict[str, Counter[State]] = {name: Counter() for name in level}
    for trial in run(study, of).trials.values():
        states[trial.params["activation"]][trial.state] += 1
    return states


def test_trials_are_judged_against_those_of_the_same_scientific_values() -> None:
    search = {"sampler": "random", "trials": 54, "cohort": 18}
    apart = judged(make_study(ARMS, search | {"scientific": ["activation"]}))
    assert [states.total() for states in apart.values()] == [18, 18, 18]
    complete = [states[State.COMPLETE] for states in apart.values()]
    assert min(complete) >= 2
    assert max(complete) - min(complete) <= 2
    together = judged(make_study(ARMS, search))
    assert together["elu"][State.COMPLETE] == 0  # the same arms, without: the worst never gets far


# -- several objectives -------------------------------------------------------------------------------

PARETO = """
[study]
name = "pareto"
[data]
source = "iris"
[space]
learning_rate = { low = 1e-2, high = 1.0, log = true }
depth = { low = 1, high = 3 }
width = { low = 2, high = 32 }
[train]
epochs = 3
[search]
sampler = "nsga2"
objectives = ["parameters", "loss"]
trials = 40
cohort = 10
"""


@pytest.fixture(scope="module")
def pareto(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pareto")
    path = folder / "pareto.toml"
    path.write_text(PARETO, encoding="utf-8")
    hpsearch.run(path, storage=url(folder / "p.db"), confirm=False)
    return path, folder / "p.db"


def test_objectives_are_stored_with_each_trial(pareto: tuple[Path, Path]) -> None:
    study = load_study(pareto[0])
    assert study.search.stopping == "none"  # by itself: stopping knows the metric alone
    with Database.open(url(pareto[1])) as database:
        store = database.study("pareto")
        trials, curves = store.trials(), store.curves()
        assert store.record.objectives == ("parameters", "loss")
    assert len(trials) == 40
    for trial in trials:
        assert trial.state is State.COMPLETE
        weights = parameter_count(4, study.space.configuration(trial.params), 3)
        assert trial.best_epoch is not None
        assert trial.others == (weights, curves[trial.number][trial.best_epoch - 1, 2])
        assert trial.others[1] == trial.loss


def test_optuna_reads_several_objectives(pareto: tuple[Path, Path]) -> None:
    theirs = optuna.load_study(study_name="pareto", storage=url(pareto[1]))
    assert [direction.name for direction in theirs.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    with Database.open(url(pareto[1])) as database:
        ours = database.study("pareto").trials()
    assert [tuple(trial.values) for trial in theirs.trials] == [(t.value, *t.others) for t in ours]
    front = {trial.number for trial in theirs.best_trials}
    values = np.array([(-t.value, *t.others) for t in ours])  # type: ignore[operator]
    beaten = [any((other <= row).all() and (other < row).any() for other in values) for row in values]
    assert front == {n for n, is_beaten in enumerate(beaten) if not is_beaten}
    assert 1 < len(front) < 40


def test_a_sampler_of_several_objectives_finds_small_networks_too(pareto: tuple[Path, Path]) -> None:
    """The last cohort's networks against the first's, which is random: more of both ends' trade-off."""
    with Database.open(url(pareto[1])) as database:
        trials = database.study("pareto").trials()

    def mean(of: Callable[[Trial], float], part: slice) -> float:
        return float(np.mean([of(trial) for trial in trials[part]]))

    first, last = slice(0, 10), slice(30, 40)
    assert mean(lambda t: t.others[0], last) < mean(lambda t: t.others[0], first)
