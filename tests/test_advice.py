"""Advice: what is planted in made-up studies is found, and studies that are well are left alone.

Rates are over many seeds; the bounds leave room for chance in so many studies.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.records import State, Trial
from hpsearch.results.advice import Advice, advice, remedy_command
from hpsearch.results.advice.space import narrower, wider
from hpsearch.results.advice.training import doubling
from hpsearch.results.frames import Report
from hpsearch.results.lessons.roles import best_weights
from hpsearch.running.resume import data_summary
from hpsearch.store import Database
from hpsearch.study.file import Study, load_study
from hpsearch.study.points import read_point
from hpsearch.study.space import Range
from hpsearch.text import toml_value
from tests.advice_cases import CURVATURE, OPTIMUM, SPACE, Case, made_up, score
from tests.report_study import example
from tests.studies import finished_report, hpsearch, url, write_study

STUDIES = 60
CHECKED = 5
"""Of so many studies the remedies are tried: reading a study file takes as long as finding them."""
WIDE = {"low": 1e-7, "high": 1e3, "log": True}

PLANTED: dict[str, tuple[str, Case]] = {
    "the optimum beyond a log range": (
        "edge",
        Case(optimum=OPTIMUM | {"learning_rate": 1.3}, curvature=CURVATURE | {"learning_rate": 1.5}),
    ),
    "the optimum beyond a range, with stopping": (
        "edge",
        Case(
            optimum=OPTIMUM | {"momentum": 1.3},
            curvature=CURVATURE | {"momentum": 1.0},
            adaptive=0.7,
            halving=True,
            trials=256,
        ),
    ),
    "the optimum beyond whole numbers": (
        "edge",
        Case(optimum=OPTIMUM | {"depth": 1.3}, curvature=CURVATURE | {"depth": 0.4}, rmse=True),
    ),
    "the optimum beyond a list": (
        "edge",
        Case(optimum=OPTIMUM | {"batch_size": -0.3}, curvature=CURVATURE | {"batch_size": 0.4}, trials=256),
    ),
    "a range of ten decades": (
        "too wide",
        Case(space=SPACE | {"learning_rate": WIDE}, curvature=CURVATURE | {"learning_rate": 10.0}),
    ),
    "curves that rise until the end": ("more epochs", Case(speed=7.0)),
    "such curves of an error, with stopping": (
        "more epochs",
        Case(speed=7.0, halving=True, adaptive=0.7, rmse=True),
    ),
    "curves that end soon": ("fewer epochs", Case(speed=0.6)),
    "overfitting": ("overfitting", Case(overfit=0.5)),
    "divergence": ("divergence", Case(cliff=1.0)),
    "dead units": ("dead units", Case(dead=0.15)),
    "saturated sigmoids": ("saturation", Case(stuck=0.6)),
    "few trials": ("too few trials", Case(trials=30, curvature=dict.fromkeys(OPTIMUM, 3.0))),
    "a stretch left out": ("unvisited", Case(left_out="momentum")),
    "a value left out": ("unvisited", Case(left_out="activation")),
    "unequal classes": (
        "class imbalance",
        Case(counts=(900, 100), top=0.91, curvature=dict.fromkeys(OPTIMUM, 0.01)),
    ),
}

WELL = {
    "random": Case(),
    "adaptive": Case(adaptive=0.7),
    "halving": Case(adaptive=0.7, halving=True, trials=256),
    "error": Case(rmse=True, adaptive=0.7),
    "some diverge": Case(cliff=12.0),
    "unequal classes, well told apart": Case(counts=(900, 100)),
    "jumping curves": Case(noise=0.08),
}


def kinds(report: Report) -> set[str]:
    return {each.kind for each in advice(report)}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name: str, tmp_path: Path) -> None:
    """In at least 95 % of studies, with a remedy that can be pasted."""
    kind, case = PLANTED[name]
    found = 0
    for seed in range(STUDIES):
        told = [each for each in advice(made_up(case, seed)) if each.kind == kind]
        found += bool(told)
        for each in told if seed < CHECKED else ():
            check_remedy(case, each, tmp_path)
    assert found >= 0.95 * STUDIES


@pytest.mark.parametrize("name", WELL)
def test_a_study_that_is_well_is_left_alone(name: str) -> None:
    """Few studies with any advice: there are a dozen detectors, each of which may cry wolf."""
    count = Counter(kind for seed in range(STUDIES) for kind in kinds(made_up(WELL[name], seed)))
    assert count.total() <= 0.05 * STUDIES, count


def check_remedy(case: Case, found: Advice, folder: Path) -> None:
    """A remedy is a line that `--set` takes, or a command that makes sense for the study."""
    assert found.remedy is not None
    assert 0 < found.strength <= 1
    if not found.remedy.startswith("hpsearch "):
        loaded(case, folder, found.remedy)
        return
    _, command, study, *arguments = shlex.split(found.remedy)
    assert study == "made-up"
    if command == "enqueue":
        name, _, value = arguments[0].partition("=")
        complaints: list[str] = []
        point = {name: value if name == "activation" else float(value)}
        assert read_point(point, loaded(case, folder).space, lambda _, text: complaints.append(text))
        assert not complaints
    else:
        assert (command, arguments) in [("run", ["--trials", str(2 * case.trials)]), ("confirm", [])]


def loaded(case: Case, folder: Path, *overrides: str) -> Study:
    """The study of the case, read from a file as a user has it."""
    lines = []
    for table, entries in case.record().document.items():
        lines += [f"[{table}]", *(f"{key} = {toml_value(value)}" for key, value in entries.items())]
    path = folder / "made-up.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return load_study(path, overrides)


def told(name: str, seed: int = 0) -> Advice:
    """What is said of a planted study."""
    kind, case = PLANTED[name]
    return next(each for each in advice(made_up(case, seed)) if each.kind == kind)


def test_evidence_is_in_numbers() -> None:
    edge = told("the optimum beyond a log range")
    assert edge.text.startswith("learning_rate: ")
    assert "scores still rise at the high end of its range; the best five lie in 0." in edge.text
    assert edge.remedy == "space.learning_rate = { low = 0.001, high = 10.0, log = true }"
    assert edge.parameter == "learning_rate"
    assert told("the optimum beyond a list").remedy == "space.batch_size = [8, 16, 32, 64, 128, 256]"
    assert told("the optimum beyond whole numbers").remedy == "space.depth = { low = 1, high = 7 }"
    assert told("curves that rise until the end").remedy == "train.epochs = 54"
    assert told("curves that end soon").remedy == "train.epochs = 6"
    assert told("few trials").remedy == "hpsearch run made-up --trials 60"
    assert told("unequal classes").remedy == 'train.metric = "balanced_accuracy"'
    assert '90 % of the validation rows are "class 0", so always predicting it has accuracy 90.0%' in (
        told("unequal classes").text
    )


def test_a_narrower_range_keeps_the_optimum_and_leaves_the_hopeless(tmp_path: Path) -> None:
    name = "a range of ten decades"
    _, case = PLANTED[name]
    for seed in range(10):
        found = loaded(case, tmp_path, told(name, seed).remedy or "").space.searched["learning_rate"]
        assert isinstance(found, Range)
        assert found.low < 10 ** (-7 + 10 * OPTIMUM["learning_rate"]) < found.high
        assert np.log10(found.high / found.low) <= 5


def test_the_bound_of_a_learning_rate_keeps_most_of_what_diverges_out(tmp_path: Path) -> None:
    """Divergence is by learning_rate/(1 − momentum), and is told to be."""
    _, case = PLANTED["divergence"]
    words = [told("divergence", seed).text for seed in range(20)]
    assert sum("learning_rate/(1 − momentum) of at least" in text for text in words) >= 15
    found = loaded(case, tmp_path, told("divergence").remedy or "").space.searched["learning_rate"]
    assert isinstance(found, Range)
    assert 0.05 < found.high < 0.8


def test_remedies_against_overfitting_are_those_that_are_not_tried_yet() -> None:
    case = Case(overfit=0.5)
    decay = {"weight_decay": {"low": 1e-6, "high": 1e-2, "log": True}}
    dropout = {"dropout": {"low": 0.0, "high": 0.5}}

    def remedy(space: dict[str, Any]) -> str:
        found = advice(made_up(replace(case, space=SPACE | space), 0))
        return next(each.remedy or "" for each in found if each.kind == "overfitting")

    assert remedy({}) == "space.weight_decay = { low = 1e-6, high = 1e-2, log = true }"
    assert remedy(decay) == "space.dropout = { low = 0.0, high = 0.5 }"
    assert remedy(decay | dropout).startswith("train.epochs = ")


def test_a_schedule_that_ends_makes_all_curves_rise_and_is_no_reason_for_more_epochs() -> None:
    case = replace(
        PLANTED["curves that rise until the end"][1], space=SPACE | {"schedule": ["cosine", "step"]}
    )
    assert not any("more epochs" in kinds(made_up(case, seed)) for seed in range(20))


def test_a_remedy_that_the_study_would_refuse_is_not_given() -> None:
    case = Case(stuck=0.6, space=SPACE | {"batch_size": [1, 32]}, train={})
    record = case.record()
    record.document["space"]["init"] = "xavier"
    report = made_up(case, 0)
    report.record.document["space"]["init"] = "xavier"
    (found,) = [each for each in advice(report) if each.kind == "saturation"]
    assert found.remedy == 'space.activation = ["relu", "elu", "tanh"]'  # batch_norm needs more than one row


def test_at_most_five_are_shown_the_strongest_first() -> None:
    case = Case(
        optimum=OPTIMUM | {"depth": 1.3},
        curvature=CURVATURE | {"depth": 0.4},
        speed=7.0,
        dead=0.15,
        stuck=0.6,
        cliff=1.0,
        left_out="batch_size",
    )
    found = advice(made_up(case, 0))
    assert 3 < len(found) <= 5
    assert [each.strength for each in found] == sorted((each.strength for each in found), reverse=True)


def test_expected_best_is_the_mean_over_all_subsets() -> None:
    values = np.sort(np.random.default_rng(0).normal(size=9))[::-1]
    for m in range(1, 10):
        subsets = [max(chosen) for chosen in combinations(values, m)]
        assert values[::-1] @ best_weights(len(values), m) == pytest.approx(np.mean(subsets), abs=1e-12)


@pytest.mark.parametrize(
    ("trials", "curvature"), [(40, CURVATURE), (40, dict.fromkeys(OPTIMUM, 0.5)), (160, CURVATURE)]
)
def test_what_twice_the_trials_bring_is_foretold(trials: int, curvature: dict[str, float]) -> None:
    """On average, against studies of twice as many trials."""
    random, case = np.random.default_rng(0), Case(curvature=curvature)
    foretold, brought = [], []
    for _ in range(1500):
        scores = score(case, random.random((2 * trials, len(case.space)))) + random.normal(
            0, 0.002, 2 * trials
        )
        first = np.sort(scores[:trials])[::-1]
        foretold.append(doubling(first)[1])
        brought.append(scores.max() - first[0])
    assert np.mean(foretold) == pytest.approx(np.mean(brought), rel=0.35)


@pytest.mark.parametrize(
    ("name", "entry", "outward", "expected"),
    [
        ("momentum", Range(0.0, 0.9), 1, (0.0, 0.95)),
        ("momentum", Range(0.0, 0.9), -1, None),
        ("depth", Range(1, 5, integer=True), 1, (1, 7)),
        ("depth", Range(1, 5, integer=True), -1, None),
        ("width", Range(16, 256, log=True, integer=True), 1, (16, 1024)),
        ("width", Range(32, 128, step=32, integer=True), 1, (32, 192)),
        ("learning_rate", Range(0.01, 0.5), -1, (0.005, 0.5)),
        ("learning_rate", Range(1e-3, 1.0, log=True), -1, (1e-4, 1.0)),
        ("dropout", Range(0.0, 0.8), 1, (0.0, 0.9)),
    ],
)
def test_wider_ranges_stay_within_what_is_possible(
    name: str, entry: Range, outward: int, expected: tuple[float, float] | None
) -> None:
    found = wider(name, entry, outward)
    assert (found and (found.low, found.high)) == expected


@pytest.mark.parametrize(
    ("entry", "low", "high", "expected"),
    [
        (Range(1e-4, 1.0, log=True), 0.01, 0.02, (0.0039, 0.051)),
        (Range(0.0, 0.9), 0.8, 0.9, (0.71, 0.9)),
        (Range(1, 64, integer=True), 10, 12, (3, 19)),
        (Range(0, 100, step=10, integer=True), 20, 30, (0, 50)),
        (Range(0.0, 1.0), 0.2, 0.7, None),
    ],
)
def test_narrower_ranges(entry: Range, low: float, high: float, expected: tuple[float, float] | None) -> None:
    found = narrower(entry, low, high)
    assert (found and (found.low, found.high)) == expected


def advice_on(entry: object, values: list[object], name: str = "learning_rate") -> list[Advice]:
    """What is said of trials without curves, the first of which are the best."""
    document = EXAMPLE.document | {"space": {name: entry}}
    trials = [
        Trial(n, 0, {name: value}, State.COMPLETE, 1, 1 - n / 100, 0.1, 1) for n, value in enumerate(values)
    ]
    return advice(finished_report(replace(EXAMPLE, document=document), trials, {}))


def test_the_edge_is_said_with_what_lies_there_and_nothing_where_the_best_are_inside() -> None:
    log_range = {"low": 1e-3, "high": 1.0, "log": True}
    inside: list[object] = [*np.geomspace(0.05, 0.4, 10), *np.geomspace(1e-3, 1, 20)]
    assert advice_on(log_range, inside) == []
    high = advice_on(log_range, [0.9] * 10 + [0.01] * 20)[0]
    assert high.text == (
        "learning_rate: scores still rise at the high end of its range; the best five lie at 0.9; better "
        "values may lie beyond"
    )
    assert high.written == "[space] learning_rate = { low = 0.001, high = 10.0, log = true }"
    assert advice_on({"low": 0.0, "high": 0.9}, [0.0] * 10 + [*np.linspace(0.05, 0.9, 10)], "momentum") == []
    assert advice_on(["relu", "tanh"], ["tanh", *["relu"] * 19], "activation") == []


def test_a_study_with_a_question_is_told_what_concerns_its_answer_alone() -> None:
    """Dead units are no matter of a study of batch sizes, but of one of activations."""
    case = Case(dead=0.15)
    for by, expected in (("batch_size", set[str]()), ("activation", {"dead units"})):
        report = made_up(case, 0)
        document = report.record.document | {"compare": {"by": by}}
        asking = replace(report, record=replace(report.record, document=document))
        assert kinds(asking) & {"dead units"} == expected


EXAMPLE, EXAMPLE_TRIALS, EXAMPLE_CURVES = example()


@pytest.mark.parametrize("count", [1, 2, 5, 12, 30, 120])
@pytest.mark.parametrize("with_curves", [True, False])
def test_any_study_can_be_advised(count: int, with_curves: bool) -> None:
    """With every state of a trial, few trials, curves of every length, or none."""
    trials = EXAMPLE_TRIALS[:count]
    curves = {trial.number: EXAMPLE_CURVES[trial.number] for trial in trials} if with_curves else {}
    assert len(advice(finished_report(EXAMPLE, trials, curves))) <= 5


def test_values_and_curves_that_are_no_numbers() -> None:
    """Every trial diverged, or has NaN for a value: nothing is said but that."""
    report = made_up(Case(cliff=0.0), 0)
    assert [each.kind for each in advice(report)] == ["divergence"]
    nan = [Trial(n, 0, {"momentum": 0.5}, State.COMPLETE, 1, float("nan"), None, 1) for n in range(30)]
    document = EXAMPLE.document | {"space": {"momentum": {"low": 0.0, "high": 0.9}}}
    curves = {n: np.full((27, 4), np.nan) for n in range(30)}
    assert kinds(finished_report(replace(EXAMPLE, document=document), nan, curves)) == {"unvisited"}


def test_choices_alone_and_words_among_numbers() -> None:
    space = {"batch_size": [16, 64, "all"], "nesterov": [True, False], "hidden": [[], [64], [100, 50]]}
    trials = [
        Trial(
            n,
            0,
            {"batch_size": [16, 64, "all"][n % 3], "nesterov": n % 2 == 0, "hidden": "100-50"},
            State.COMPLETE,
            1,
            0.9 - n / 1000,
            0.1,
            1,
        )
        for n in range(40)
    ]
    report = finished_report(replace(EXAMPLE, document=EXAMPLE.document | {"space": space}), trials, {})
    (found,) = advice(report)
    assert found.text == "hidden: none of 40 trials tried linear, 64"
    assert found.remedy == "hpsearch enqueue digits hidden="


def test_classes_are_counted_when_a_study_begins() -> None:
    from hpsearch.data import load_dataset
    from hpsearch.study.schema import DataSection

    dataset = load_dataset(DataSection(source="breast_cancer"), 0)
    counts = data_summary(dataset)["class_counts"]
    assert [sum(counts[part]) for part in ("train", "valid")] == [len(dataset.train), len(dataset.valid)]
    assert counts["valid"] == np.bincount(dataset.valid.y.astype(int)).tolist()


def test_a_study_of_which_nothing_is_left_is_told_smaller_learning_rates() -> None:
    record, trials, curves = example(40)
    lost = [
        replace(trial, state=State.FAILED, value=None, loss=None, best_epoch=None, reason="diverged")
        for trial in trials
    ]
    report = finished_report(record, lost, curves)
    found = advice(report)[0]
    assert found.kind == "divergence"
    assert "all 40 trials diverged" in found.text
    assert found.written == "[space] learning_rate = { low = 1e-07, high = 0.0001, log = true }"


def test_what_is_to_be_typed_for_a_remedy_works_on_a_stored_study(tmp_path: Path) -> None:
    path = write_study(tmp_path, trials=12)
    storage = ("--storage", url(tmp_path / "x.db"))
    assert hpsearch("run", path, "--no-confirm", *storage).returncode == 0
    with Database.open(url(tmp_path / "x.db")) as database:
        stored = database.study("small")
        report = finished_report(stored.record, stored.trials(), {})
    for at, remedy in enumerate(('space.init = "xavier"', "train.epochs = 6")):
        command = remedy_command(report, remedy)
        assert command is not None
        words = [word.replace("small-2", f"other-{at}") for word in shlex.split(command)]
        done = hpsearch(*words[1:], *storage)
        assert done.returncode == 0, done.stderr
        with Database.open(url(tmp_path / "x.db")) as database:
            assert f"other-{at}" in [each.name for each in database.studies()]
    assert remedy_command(report, "hpsearch confirm small") == "hpsearch confirm small"


def test_nothing_is_said_of_how_soon_trials_were_good_that_only_name_the_largest_class() -> None:
    soon = Case(speed=0.6)
    assert "fewer epochs" in {each.kind for seed in range(3) for each in advice(made_up(soon, seed))}
    guess = replace(soon, counts=(900, 100), top=0.91, curvature=dict.fromkeys(OPTIMUM, 0.01))
    for seed in range(3):
        kinds = {each.kind for each in advice(made_up(guess, seed))}
        assert "class imbalance" in kinds
        assert "fewer epochs" not in kinds
