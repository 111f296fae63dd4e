"""Landscapes are the tables that they come from, and searches on them are the engine's loop."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest

from benchmarks import quality, standing
from benchmarks.landscapes import EPOCHS, SURROGATE, TABLES, landscape, lcbench, names, random_points
from benchmarks.measure import installed
from hpsearch.records import State
from hpsearch.search import History, make_stopping
from hpsearch.search.sampler import make_draw

pytestmark = pytest.mark.skipif(not TABLES.is_dir(), reason="the tables are not here: ../shared/data")

surrogate = pytest.mark.skipif(
    not installed("onnxruntime"), reason="`make bench` installs onnxruntime, which this needs"
)


def test_a_point_of_a_table_is_the_mean_of_its_seeds() -> None:
    """The value at a point, as a trial would name it, is that of the row whose settings are the trial's."""
    place = landscape("hpobench-vehicle")
    axes = json.loads((TABLES / "hpobench.space.json").read_text())["space"]
    rows = list(product(*axes.values()))
    with np.load(TABLES / "hpobench-vehicle.npz") as arrays:
        accuracy = arrays["val_acc"].astype(np.float64)
    points = random_points(place.space, 50, 3)
    values = place.values(points)
    for trial, value in zip(History(place.space).external(points), values, strict=True):
        settings = tuple(
            trial[name] if name == "batch_size" else known[trial[name]] for name, known in axes.items()
        )
        assert value == pytest.approx(accuracy[rows.index(settings)].mean())


@pytest.mark.parametrize("name", names(0))
def test_regret_is_0_at_the_best_and_1_at_the_median(name: str) -> None:
    place = landscape(name)
    values = place.values(random_points(place.space, 20_000, 7))
    assert place.regret(np.array([place.best])) == 0
    assert place.regret(np.array([place.usual])) == 1
    assert np.all(values <= place.best) if place.maximize else np.all(values >= place.best)
    assert np.median(place.regret(values)) == pytest.approx(1, abs=0.1)


@surrogate
def test_the_surrogate_is_asked_in_its_own_order_of_inputs() -> None:
    """A sensible network learns this task; the order of columns is that of YAHPO's description of LCBench."""
    import onnxruntime

    place = lcbench("lcbench-3945", whole=True)
    trial = {
        "batch_size": 64,
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "num_layers": 3,
        "max_units": 256,
        "max_dropout": 0.2,
    }
    (curve,) = place.curves(History(place.space).internal([trial]), np.array([1, 10, EPOCHS]))
    session = onnxruntime.InferenceSession(str(SURROGATE / "model.onnx"))
    inputs = np.array([[e, 64, 0.01, 0.9, 1e-3, 3, 256, 0.2] for e in (1, 10, EPOCHS)], np.float32)
    code = json.loads((SURROGATE / "encoding.json").read_text())["OpenML_task_id"]["3945"]
    (outputs,) = session.run(None, {"x_cat": np.full((3, 1), code, np.int32), "x_cont": inputs})
    assert curve.tolist() == outputs[:, 1].tolist()
    assert lcbench("lcbench-3945").values(History(place.space).internal([trial])) == curve[-1]
    assert curve[-1] > 90 > 50 > curve[0]


def test_a_search_counts_each_trial_once_and_only_gets_better() -> None:
    place = landscape("hpobench-segment")
    found = quality.run("random", place, 0, 100, 8)
    assert found.epochs.tolist() == list(range(1, 101))
    assert np.all(np.diff(found.regret) <= 0)
    again = quality.run("random", place, 0, 100, 8)
    assert again.regret.tolist() == found.regret.tolist()


def test_tpe_is_better_than_random_and_so_is_optunas_own() -> None:
    place = landscape("hpobench-phoneme")

    def left(sampler: str, seeds: range) -> float:
        return float(np.mean([quality.run(sampler, place, seed, 64, 8).regret[-1] for seed in seeds]))

    random = left("random", range(8))
    assert left("tpe", range(4)) < 0.7 * random
    assert left(quality.STOCK, range(2)) < 0.7 * random


@surrogate
@pytest.mark.parametrize("stopping", ["none", "halving", "hyperband", "median"])
def test_slots_are_filled_and_stopped_as_the_rule_says(stopping: str) -> None:
    """Every stopped trial is at one of its rungs, and was not among the best there; no slot is left empty."""
    place = lcbench("lcbench-168910", whole=True)
    study = quality.study_of(place, sampler="random", stopping=stopping, cohort=16)
    rule = make_stopping(study)
    pool = quality.Pool(place, study, rule)
    draw = make_draw(study)
    for cohort in range(24):
        pool.stop()
        pool.refill(draw, 0, cohort, 10**9)
        assert len(pool.ledger.running) == 16
        pool.train()
    trials = pool.ledger.trials.values()
    assert pool.trained == sum(trial.epochs for trial in trials)
    for trial in trials:
        assert (trial.state is State.COMPLETE) == (trial.epochs == EPOCHS)
        assert trial.epochs in rule.pauses(trial.number)
    stopped = [trial for trial in trials if trial.state is State.PRUNED]
    assert bool(stopped) == (stopping != "none")
    if stopping == "halving":
        first = [trial for trial in trials if trial.epochs >= rule.rungs[0]]
        assert len([t for t in stopped if t.epochs == rule.rungs[0]]) >= len(first) / 2


def test_mean_ranks_and_their_critical_difference() -> None:
    """Demšar 2006, section 3.2.2: four methods on 14 data sets, q = 2.569, differ from 1.25 on."""
    assert standing.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    left = {"a": np.array([[1.0, 3.0], [5.0, 5.0]]), "b": np.array([[3.0, 3.0], [4.0, 4.0]])}
    assert standing.ranks(left) == {"a": 1.5, "b": 1.5}
    left["c"] = np.array([[0.0, 0.0], [0.0, 0.0]])
    assert standing.ranks(left) == {"a": 2.5, "b": 2.5, "c": 1.0}


def test_the_interval_holds_the_mean_of_samples() -> None:
    random = np.random.default_rng(5)
    text = standing.interval(random.normal(10, 1, (20, 10)))
    low, high = (float(x) for x in text.split("(")[1].rstrip(")").split(" … "))
    assert low < 10 < high
    assert high - low == pytest.approx(4 / np.sqrt(200), rel=0.15)
