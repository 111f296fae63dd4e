"""The Pareto front of studies with several objectives, against Optuna's, and how reports show it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import BytesIO, StringIO
from itertools import pairwise
from pathlib import Path

import matplotlib.image
import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.study._multi_objective import _is_pareto_front
from optuna.trial import TrialState, create_trial
from rich.cells import cell_len
from typer.testing import CliRunner

from hpsearch.cli.app import app
from hpsearch.records import FloatArray, State, StudyRecord, Trial
from hpsearch.reporting.charts.front import front_charts
from hpsearch.reporting.charts.render import chart_svg, png_of
from hpsearch.reporting.details import trial_view
from hpsearch.reporting.grids import front_grid, front_more_line, front_sentence, ranked_grid
from hpsearch.reporting.json_csv import csv_text, json_text, report_document
from hpsearch.reporting.markdown import report_markdown
from hpsearch.reporting.tables import plain_text, report_view
from hpsearch.results.frames import Report, trials_frame
from hpsearch.stats.pareto import beaten_by, pareto_front
from tests.report_study import RECORD, example
from tests.studies import finished_report, url, write_study

TWO = replace(RECORD, objectives=("parameters",))
THREE = replace(RECORD, objectives=("parameters", "loss"))
# Few distinct values, so that ties are common.
VALUES = st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.0, -3.0, np.inf, -np.inf])


def costs(objectives: int) -> st.SearchStrategy[FloatArray]:
    rows = st.lists(VALUES, min_size=objectives, max_size=objectives)
    return st.lists(rows, max_size=12).map(lambda found: np.array(found).reshape(len(found), objectives))


def beats(one: FloatArray, other: FloatArray) -> bool:
    return bool((one <= other).all() and (one < other).any())


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 4).flatmap(costs))
def test_the_front_is_optunas_and_what_no_point_beats(points: FloatArray) -> None:
    found = pareto_front(points)
    assert found.tolist() == [not any(beats(other, own) for other in points) for own in points]
    if len(points):
        assert np.array_equal(found, _is_pareto_front(points, assume_unique_lexsorted=False))


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 3).flatmap(costs))
def test_what_beats_a_point_is_itself_on_the_front(points: FloatArray) -> None:
    front = pareto_front(points)
    for place, own in enumerate(points):
        better = beaten_by(points, place)
        assert (better is None) == front[place]
        if better is not None:
            assert front[better]
            assert beats(points[better], own)


@pytest.mark.parametrize("objectives", [2, 3])
def test_many_points_have_optunas_front(objectives: int) -> None:
    points = np.random.default_rng(objectives).integers(0, 3000, (20_000, objectives)).astype(float)
    expected = _is_pareto_front(points, assume_unique_lexsorted=False)
    assert np.array_equal(pareto_front(points), expected)
    assert 0 < expected.sum() < 200


def test_points_that_lack_a_value_are_on_no_front_and_beat_none() -> None:
    points = np.array([[np.nan, 0.0], [1.0, 2.0], [0.0, np.nan], [2.0, 1.0], [2.0, 2.0]])
    assert pareto_front(points).tolist() == [False, True, False, True, False]
    assert [beaten_by(points, place) for place in range(5)] == [None, None, None, None, 1]


def several(record: StudyRecord, count: int = 120) -> tuple[StudyRecord, list[Trial], dict[int, FloatArray]]:
    """The example with sizes of networks, many of them equal; failed trials and one that runs have none."""
    _, trials, curves = example(count)
    sized = []
    for trial in trials:
        params, loss = trial.params, trial.loss
        known = loss is not None and trial.state is not State.RUNNING
        size = 650.0 + 4160 * (params["depth"] - 1) + 10 * (params["batch_size"] == 16)
        others = (size, loss or 0.0)[: len(record.objectives)] if known else ()
        sized.append(replace(trial, others=others))
    return record, sized, curves


def optunas_front(record: StudyRecord, trials: list[Trial]) -> set[int]:
    """Numbers of the best trials of an Optuna study that was told the complete ones."""
    study = optuna.create_study(directions=[record.direction, *("minimize" for _ in record.objectives)])
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    for trial in complete:
        assert trial.value is not None
        study.add_trial(create_trial(state=TrialState.COMPLETE, values=[trial.value, *trial.others]))
    return {complete[best.number].number for best in study.best_trials}


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("record", [TWO, THREE], ids=["two", "three"])
def test_the_frame_says_which_trials_are_on_optunas_front(record: StudyRecord, direction: str) -> None:
    record, trials, _ = several(replace(record, direction=direction))
    frame = trials_frame(record, trials)
    columns = ["rank", "trial", "state", "value", "loss", "parameters", "pareto", "epochs", "best_epoch"]
    assert list(frame.columns)[:9] == columns
    assert frame["pareto"].dtype == bool
    expected = optunas_front(record, trials)
    assert 3 <= len(expected) < 60
    assert set(frame.loc[frame["pareto"], "trial"]) == expected
    sizes = dict(zip(frame["trial"], frame["parameters"], strict=True))
    for trial in trials:
        assert sizes[trial.number] == trial.others[0] if trial.others else pd.isna(sizes[trial.number])


def test_trials_that_are_not_complete_or_not_finite_are_not_on_the_front() -> None:
    states = [State.PRUNED, State.COMPLETE, State.RUNNING, State.COMPLETE, State.FAILED]
    values = [0.99, 0.5, 0.99, np.inf, None]
    trials = [
        Trial(n, 0, {}, state, 3, value, 1.0, 1, others=() if value is None else (10.0,))
        for n, (state, value) in enumerate(zip(states, values, strict=True))
    ]
    frame = trials_frame(TWO, trials)
    assert frame.loc[frame["pareto"], "trial"].tolist() == [1]


def test_a_study_of_one_objective_has_nothing_of_it() -> None:
    report = finished_report(*example())
    assert not {"parameters", "pareto"} & set(report.trials.columns)
    assert "areto" not in plain_text(report_view(report, 120), 120) + report_markdown(report)
    text = json_text(report_document(report))
    assert "pareto" not in text
    assert "objectives" not in text
    assert front_charts(report) == []


@pytest.fixture(scope="module", params=[TWO, THREE], ids=["two", "three"])
def report(request: pytest.FixtureRequest) -> Report:
    return finished_report(*several(request.param))


def test_json_and_csv_have_objectives_and_front(report: Report) -> None:
    names = list(report.record.objectives)
    trials = {trial.number: trial for trial in several(report.record)[1]}
    front = optunas_front(report.record, list(trials.values()))
    document = json.loads(json_text(report_document(report)))
    assert document["study"]["objectives"] == names
    assert document["study"]["best"]["pareto"] is True
    assert len(document["trials"]) == len(trials)
    for row in document["trials"]:
        values = trials[row["trial"]].others
        if values:
            assert row["objectives"] == dict(zip(names, values, strict=True))
        assert row["pareto"] is (row["trial"] in front)
    assert {type(row["objectives"]["parameters"]) for row in document["trials"]} == {int, type(None)}
    for line in csv.DictReader(StringIO(csv_text(report.trials))):
        values = trials[int(line["trial"])].others
        assert line["parameters"] == (f"{values[0]:.0f}" if values else "")
        assert line["pareto"] == str(int(line["trial"]) in front)


def cells(report: Report, top: int) -> list[dict[str, str]]:
    grid = front_grid(report, top)
    return [dict(zip([column.head for column in grid.columns], row, strict=True)) for row in grid.rows]


def test_the_table_has_a_line_for_each_different_point_from_the_best_on(report: Report) -> None:
    _, trials, _ = several(report.record)
    points: dict[tuple[object, ...], list[int]] = {}
    for number in sorted(optunas_front(report.record, trials)):
        points.setdefault((trials[number].value, *trials[number].others), []).append(number)
    rows = cells(report, 10)
    assert 2 < len(rows) <= 15
    assert len(rows) == len(points)
    shown = [trials[int(row["trial"])] for row in rows]
    assert [trial.value for trial in shown] == sorted((trial.value for trial in shown), reverse=True)
    for row, trial in zip(rows, shown, strict=True):
        assert row["parameters"] == f"{trial.others[0]:,.0f}"
        assert row["activation"] == trial.params["activation"]
    equal = sum(map(len, points.values())) - len(points)
    line = front_more_line(report, 10)
    assert line == (f"… and {equal} equal to another (--top 0 shows all)" if equal else None)
    assert len(cells(report, 0)) == len(rows) + equal
    assert front_more_line(report, 0) is None


def long_front(count: int) -> Report:
    """A study whose trials are all on the front, the better the larger."""
    trials = [
        Trial(n, 0, {"depth": 1}, State.COMPLETE, 27, n / count, 1.0, 1, others=(100.0 + n,))
        for n in range(count)
    ]
    return finished_report(TWO, trials, {})


def test_a_long_front_is_thinned_and_keeps_both_ends() -> None:
    report = long_front(100)
    numbers = [int(row["trial"]) for row in cells(report, 10)]
    assert len(numbers) == 15
    assert (numbers[0], numbers[-1]) == (99, 0)
    assert set(np.diff(numbers).tolist()) <= {-7, -8}
    assert front_more_line(report, 10) == "… and 85 between these (--top 0 shows all)"
    assert len(cells(report, 40)) == 40
    assert [int(row["trial"]) for row in cells(report, 0)] == list(range(99, -1, -1))


@settings(max_examples=15, deadline=None)
@given(st.integers(40, 200), st.sampled_from([0, 1, 10]), st.booleans())
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width: int, top: int, three: bool) -> None:
    shown = finished_report(*several(THREE if three else TWO, 40))
    text = plain_text(report_view(shown, width, top), width)
    assert max(map(cell_len, text.splitlines())) <= width
    front = text.split("Pareto front of accuracy")[1].split("\n\n")[0]
    for row in front_grid(shown, top).rows:
        assert set(row[:3]) <= set(front.split())


def test_the_report_says_what_the_front_means_before_it_ranks(report: Report) -> None:
    wide = plain_text(report_view(report, 200), 200)
    three = len(report.record.objectives) == 2
    assert " Pareto front of accuracy" + (", parameters and loss" if three else " and parameters") in wide
    order, every = ("on", "all of these") if three else ("to the smallest network", "both")
    complete = report.counts[State.COMPLETE]
    sentence = (
        f"{len(report.front)} of {complete} complete trials, from the best accuracy {order}: "
        f"no other trial is as good in {every} and better in one."
    )
    assert sentence == front_sentence(report)
    assert 0 < wide.index(sentence) < wide.index("\n rank", wide.index(sentence)) < wide.index("by epoch")
    heads = [column.head for column in ranked_grid(report, 10).columns]
    assert heads[:6] == ["rank", "trial", "accuracy", "loss", "parameters", "epochs"]
    markdown = report_markdown(report, pictures=["pareto.png"])
    title, ranked = markdown.index("## Pareto front of accuracy"), markdown.index("## Ranked trials")
    assert title < markdown.index(sentence) < markdown.index("](pareto.png)") < ranked
    assert "![All complete trials by the study's objectives, and the Pareto front](pareto.png)" in markdown
    assert "pareto.png" not in report_markdown(report)


def test_the_picture_shows_the_front(report: Report) -> None:
    charts = front_charts(report)
    assert [chart.name for chart in charts][1:] == ["pareto-loss"] * (len(report.record.objectives) == 2)
    image = matplotlib.image.imread(BytesIO(png_of(chart_svg(charts))))
    blue = np.abs(image[:, :, :3] - np.array([0x00, 0x72, 0xB2]) / 255).max(axis=2) < 0.02
    assert blue.sum() > 500


def test_without_a_complete_trial_there_is_no_front() -> None:
    failed = [Trial(0, 0, {}, State.FAILED, 1, reason="NaN in epoch 1")]
    shown = finished_report(TWO, failed, {})
    assert "areto" not in plain_text(report_view(shown, 100), 100)
    assert front_charts(shown) == []
    row = report_document(shown)["trials"][0]
    assert (row["objectives"], row["pareto"]) == ({"parameters": None}, False)


def test_a_trial_says_whether_it_is_on_the_front_and_if_not_which_one_beats_it(report: Report) -> None:
    record, trials, curves = several(report.record)
    front = optunas_front(record, trials)
    for trial in [*(trials[number] for number in front), *trials[::4]]:
        text = plain_text(trial_view(record, trials, trial.number, curves[trial.number]), 300)
        (line,) = [line for line in text.splitlines() if line.startswith("parameters ")]
        assert line.startswith(f"parameters {trial.others[0]:,.0f}" if trial.others else "parameters –")
        assert ("; on the Pareto front of accuracy" in line) == (trial.number in front)
        if trial.state is State.COMPLETE and trial.number not in front:
            better = trials[int(line.split("not on the Pareto front: trial ")[1].split()[0])]
            assert better.number in front
            assert trial.value is not None
            assert better.value is not None
            own, other = ([-t.value, *t.others] for t in (trial, better))  # type: ignore[operator]
            assert beats(np.array(other), np.array(own))
        elif trial.number not in front:
            assert "Pareto" not in line


def test_a_real_study_has_optunas_best_trials_and_the_sizes_that_torch_counts(tmp_path: Path) -> None:
    path, storage = tmp_path / "small.toml", url(tmp_path / "x.db")
    more = 'objectives = ["parameters"]\nsampler = "nsga2"\n'
    write_study(tmp_path, trials=40, more=more)
    run = CliRunner().invoke(app, ["run", str(path), "--storage", storage])
    assert run.exit_code == 0, run.output
    assert "no other trial is as good in both" in " ".join(run.stdout.split())
    found = CliRunner().invoke(app, ["report", "small", "--format", "json", "--storage", storage])
    rows = json.loads(found.stdout)["trials"]
    best = optuna.load_study(study_name="small", storage=storage).best_trials
    assert {row["trial"] for row in rows if row["pareto"]} == {trial.number for trial in best}
    for row in rows:
        if row["state"] == "complete":
            units = [4, *[16] * (row["params"]["depth"] - 1), 3]
            size = sum(a * b + b for a, b in pairwise(units))
            assert row["objectives"] == {"parameters": size}
    shown = CliRunner().invoke(app, ["show", "small", str(best[0].number), "--storage", storage])
    assert "; on the Pareto front of accuracy and parameters" in shown.stdout
