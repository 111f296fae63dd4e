"""Ranking and the frames of a report."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.errors import NothingToShowError
from hpsearch.records import State, Trial
from hpsearch.results.frames import curves_frame, trials_frame
from tests.report_study import RECORD, example
from tests.studies import finished_report

# Few distinct values, so that ties are common.
VALUES = st.sampled_from([0.0, 0.5, 0.9, 1.0, -3.0, math.nan, math.inf, -math.inf, None])
STATES = st.sampled_from(list(State))


@st.composite
def trial_lists(draw: st.DrawFn) -> list[Trial]:
    count = draw(st.integers(0, 12))
    trials = [
        Trial(number, 0, {}, draw(STATES), epochs=3, value=draw(VALUES), loss=draw(VALUES), best_epoch=1)
        for number in range(count)
    ]
    return draw(st.permutations(trials))


@settings(max_examples=200, deadline=None)
@given(trial_lists(), st.sampled_from(["maximize", "minimize"]))
def test_only_complete_finite_trials_are_ranked_best_first(trials: list[Trial], direction: str) -> None:
    by_number = {trial.number: trial for trial in trials}
    frame = trials_frame(replace(RECORD, direction=direction), trials)
    assert sorted(frame["trial"]) == sorted(by_number)
    ranked = [by_number[number] for number in frame.loc[frame["rank"].notna(), "trial"]]
    expected = [
        t for t in trials if t.state is State.COMPLETE and t.value is not None and math.isfinite(t.value)
    ]
    assert {t.number for t in ranked} == {t.number for t in expected}
    assert frame["rank"].tolist()[: len(ranked)] == list(range(1, len(ranked) + 1))
    for better, worse in pairwise(ranked):
        assert better.value is not None
        assert worse.value is not None
        ahead = better.value - worse.value if direction == "maximize" else worse.value - better.value
        assert ahead >= 0
        if ahead == 0:
            losses = [math.inf if t.loss is None or math.isnan(t.loss) else t.loss for t in (better, worse)]
            assert (losses[0], better.number) < (losses[1], worse.number)


@settings(max_examples=100, deadline=None)
@given(trial_lists())
def test_the_order_does_not_depend_on_the_order_given(trials: list[Trial]) -> None:
    one, other = trials_frame(RECORD, trials), trials_frame(RECORD, trials[::-1])
    assert one.equals(other)


@settings(max_examples=100, deadline=None)
@given(trial_lists())
def test_stopped_before_failed_before_running_and_each_with_its_reason(trials: list[Trial]) -> None:
    frame = trials_frame(RECORD, trials)
    groups = [["complete", "pruned", "failed", "running"].index(state) for state in frame["state"]]
    assert groups == sorted(groups)
    without_rank = frame[frame["rank"].isna() & (frame["state"] != "running")]
    assert without_rank["reason"].notna().all()
    failed = frame.loc[frame["state"] == "failed", "trial"].tolist()
    assert failed == sorted(failed)


def test_stopped_trials_come_best_first() -> None:
    values = [0.5, 0.7, None, 0.6]
    trials = [Trial(n, 0, {}, State.PRUNED, value=value, loss=1.0) for n, value in enumerate(values)]
    assert trials_frame(RECORD, trials)["trial"].tolist() == [1, 3, 0, 2]
    lower_is_better = replace(RECORD, direction="minimize")
    assert trials_frame(lower_is_better, trials)["trial"].tolist() == [0, 3, 1, 2]


def test_parameters_have_their_columns_in_the_order_of_the_file() -> None:
    record, trials, _ = example(8)
    frame = trials_frame(record, trials)
    names = ["learning_rate", "momentum", "batch_size", "depth", "activation", "weight_decay"]
    assert [c for c in frame.columns if c.startswith("param_")] == [f"param_{name}" for name in names]
    for row in frame.to_dict("records"):
        assert {name: row[f"param_{name}"] for name in names} == trials[row["trial"]].params


def test_curves_have_one_row_a_trial_and_epoch_counted_from_one() -> None:
    record, trials, curves = example(12)
    frame = curves_frame(record, curves)
    metric_columns = ["trial", "epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy"]
    assert list(frame.columns) == metric_columns
    assert len(frame) == sum(trial.epochs for trial in trials)
    for number, rows in frame.groupby("trial"):
        assert rows["epoch"].tolist() == list(range(1, len(rows) + 1))
        assert np.array_equal(rows.iloc[:, 2:].to_numpy(), curves[int(str(number))], equal_nan=True)


def test_a_loss_that_is_the_metric_is_not_listed_twice() -> None:
    record, _, curves = example(3)
    frame = curves_frame(replace(record, metric="loss"), curves)
    assert list(frame.columns) == ["trial", "epoch", "train_loss", "valid_loss"]


def test_curves_of_no_trial_are_an_empty_frame() -> None:
    assert curves_frame(RECORD, {}).empty


def test_nothing_finished_says_how_to_go_on() -> None:
    running = [Trial(0, 0, {})]
    with pytest.raises(NothingToShowError, match=r"found 1 unfinished.*hpsearch run studies/digits.toml"):
        finished_report(RECORD, running, {})
    with pytest.raises(NothingToShowError, match="no trial at all"):
        finished_report(RECORD, [], {})
