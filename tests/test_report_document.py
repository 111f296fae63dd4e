"""JSON and CSV: the contract, and that numbers read back exactly."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from io import StringIO

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.records import State, Trial
from hpsearch.reporting.json_csv import csv_text, curves_document, json_text, report_document
from hpsearch.results.frames import Report, curves_frame, trials_frame
from tests.report_study import RECORD, example
from tests.studies import finished_report

CURVES = st.lists(st.lists(st.floats(), min_size=4, max_size=4), min_size=1, max_size=5)


def test_the_report_document_field_by_field() -> None:
    record, trials, curves = example()
    document = json.loads(json_text(report_document(finished_report(record, trials, curves))))
    assert document["format"] == "hpsearch.report/1"
    study = document["study"]
    assert study["name"] == "digits"
    assert (study["task"], study["metric"], study["direction"]) == ("multiclass", "accuracy", "maximize")
    states = [str(trial.state) for trial in trials]
    assert study["counts"] == {s: states.count(s) for s in ("complete", "pruned", "failed", "running")}
    assert study["seconds"] == record.seconds
    assert study["epochs"] == sum(trial.epochs for trial in trials)
    assert study["epochs_per_second"] == study["epochs"] / record.seconds
    assert study["data"]["train"] == 1078
    assert study["best"] == document["trials"][0]
    assert len(document["trials"]) == len(trials)
    for row in document["trials"]:
        trial = trials[row["trial"]]
        assert row["state"] == trial.state
        assert row["value"] == trial.value
        assert row["loss"] == trial.loss
        assert row["epochs"] == trial.epochs
        assert row["best_epoch"] == trial.best_epoch
        assert row["params"] == trial.params
        assert row["reason"] == trial.reason
        assert (row["rank"] is not None) == (trial.state is State.COMPLETE)


def test_top_limits_the_trials_of_the_document() -> None:
    document = report_document(finished_report(*example()), top=3)
    assert [row["rank"] for row in document["trials"]] == [1, 2, 3]


def test_failed_trials_have_null_for_what_they_lack() -> None:
    trials = [Trial(0, 0, {}, State.FAILED, epochs=1, reason="NaN in epoch 1")]
    document = json.loads(json_text(report_document(finished_report(RECORD, trials, {}))))
    assert document["study"]["best"] is None
    (row,) = document["trials"]
    assert (row["rank"], row["value"], row["best_epoch"]) == (None, None, None)
    assert row["reason"] == "NaN in epoch 1"


@settings(max_examples=100, deadline=None)
@given(st.lists(CURVES, min_size=1, max_size=3))
def test_curves_read_back_exactly_and_what_is_not_finite_is_null(lists: list[list[list[float]]]) -> None:
    curves = {number: np.array(rows) for number, rows in enumerate(lists)}
    document = json.loads(json_text(curves_document(Report(RECORD, trials_frame(RECORD, []), curves))))
    frame = curves_frame(RECORD, curves)
    assert document["format"] == "hpsearch.curves/1"
    assert document["study"]["name"] == "digits"
    assert document["columns"] == list(frame.columns)
    values = np.concatenate(list(curves.values()))
    for row, expected in zip(document["rows"], values.tolist(), strict=True):
        assert row[2:] == [value if math.isfinite(value) else None for value in expected]
    _, *rows = csv.reader(StringIO(csv_text(frame)))
    read = [[float(cell or "nan") for cell in row[2:]] for row in rows]
    assert np.array_equal(read, values, equal_nan=True)


@settings(max_examples=100, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(1e-300, 1e300))
def test_trials_read_back_exactly_from_csv(value: float, rate: float) -> None:
    params = {"learning_rate": rate, "batch_size": 16, "activation": "tanh"}
    trial = Trial(3, 0, params, State.COMPLETE, 27, value, value, 1)
    (row,) = csv.DictReader(StringIO(csv_text(trials_frame(RECORD, [trial]))))
    read = [float(row[column]) for column in ("value", "loss", "param_learning_rate")]
    assert read == [value, value, rate]
    assert (row["rank"], row["trial"], row["param_batch_size"]) == ("1", "3", "16")


def test_nan_is_an_empty_cell() -> None:
    curves = {0: np.array([[math.nan, 0.5, 1.0, math.nan]])}
    assert csv_text(curves_frame(RECORD, curves)).splitlines()[1] == "0,1,,0.5,1.0,"


def test_text_that_looks_like_a_formula_is_defused_and_numbers_are_not() -> None:
    trials = [
        Trial(n, 0, {}, State.PRUNED, 1, -2.5, -1.0, 1, reason=reason)
        for n, reason in enumerate(["=1+1", "+1", "-1", "@x", "fine", "\x1b[31mred\n=2"])
    ]
    text = csv_text(trials_frame(RECORD, trials))
    rows = list(csv.DictReader(StringIO(text)))
    reasons = ["'=1+1", "'+1", "'-1", "'@x", "fine", "\\x1b[31mred\\n=2"]
    assert [row["reason"] for row in rows] == reasons
    assert {row["value"] for row in rows} == {"-2.5"}


def test_json_has_no_control_characters_and_keeps_the_text() -> None:
    reason = "\x1b[2J\x9b2Jüber"
    trials = [Trial(0, 0, {}, State.FAILED, reason=reason)]
    text = json_text(report_document(finished_report(replace(RECORD, name="digits"), trials, {})))
    assert all(c == "\n" or c.isprintable() for c in text)
    assert json.loads(text)["trials"][0]["reason"] == reason
