"""Charts in the terminal show every curve at the place where its values are, in any width."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.extras.terminal_chart import curve_chart
from hpsearch.records import State, Trial
from hpsearch.results.frames import Report
from tests.report_study import RECORD, example
from tests.studies import finished_report

PARAMS = {
    "learning_rate": 0.1,
    "momentum": 0.9,
    "batch_size": 16,
    "depth": 2,
    "activation": "relu",
    "weight_decay": 1e-4,
}


def report_of(train: list[float], valid: list[float]) -> Report:
    curve = np.column_stack([np.ones(len(train)), train, np.ones(len(train)), valid])
    trial = Trial(0, 0, PARAMS, State.COMPLETE, len(curve), 0.9, 0.1, 1)
    return finished_report(RECORD, [trial], {0: curve})


def rows_of(chart: str) -> list[str]:
    """The lines inside of the axes, without the value axis."""
    return [line[line.index(mark) + 1 :] for line in chart.splitlines()[1:] for mark in "┤│" if mark in line]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("log", [False, True])
def test_it_fits_and_says_what_is_drawn(width: int, log: bool) -> None:
    record, trials, curves = example(120)
    report = finished_report(record, trials, curves)
    chart = curve_chart(report, report.best, width, 12, log=log)
    lines = chart.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 12
    assert "train" in chart
    assert "valid" in chart
    assert chart.count("●") == 2  # in the chart and in its legend
    assert lines[-1].split()[0] == "1"
    assert lines[-1].split()[-1] == "27"


def test_a_rising_curve_rises_and_training_is_above_validation() -> None:
    valid = np.linspace(0.1, 0.8, 30)
    chart = curve_chart(report_of((valid + 0.15).tolist(), valid.tolist()), 0, 80, 16)
    rows = rows_of(chart)
    fine = [[at for at, c in enumerate(row) if "⠁" <= c <= "⣿" or c == "●"] for row in rows]
    dots = [[at for at, c in enumerate(row) if c == "·"] for row in rows]
    means = [np.mean(own) for own in fine if own]
    assert means == sorted(means, reverse=True)  # the higher, the later
    shared = [(np.mean(a), np.mean(b)) for a, b in zip(fine, dots, strict=True) if a and b]
    assert shared
    assert all(dot < line for line, dot in shared)  # training is there earlier
    assert "●" in rows[min(at for at, own in enumerate(fine) if own)]
    assert "best 80.0%, epoch 30 of 30, still improving" in chart


def test_a_flat_end_is_not_still_improving() -> None:
    random = np.random.default_rng(3)
    valid = 0.9 - np.exp(-np.arange(60.0)) + random.normal(0, 0.003, 60)
    assert "still improving" not in curve_chart(report_of([0.9] * 60, valid.tolist()), 0, 80)


def test_noise_is_taken_for_improvement_in_5_percent_at_most() -> None:
    from hpsearch.results.confirmation import still_improving

    random = np.random.default_rng(4)
    one = np.mean([still_improving([random.normal(size=40)], True) for _ in range(400)])
    seeds = np.mean([still_improving(list(random.normal(size=(5, 40))), False) for _ in range(400)])
    assert max(one, seeds) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
    rising = np.linspace(0, 4, 40)
    assert (
        np.mean([still_improving(list(rising + random.normal(0, 0.2, (5, 40))), True) for _ in range(100)])
        > 0.95
    )
    assert (
        np.mean([still_improving(list(-rising + random.normal(0, 0.2, (5, 40))), False) for _ in range(99)])
        > 0.95
    )


def test_one_bad_epoch_does_not_flatten_the_rest() -> None:
    valid = [1e12, *np.linspace(2.0, 1.0, 20)]
    record = replace(RECORD, metric="rmse", direction="minimize")
    report = replace(report_of(valid, valid), record=record)
    rows = rows_of(curve_chart(report, 0, 80, 14))
    assert sum(any("⠁" <= c <= "⣿" for c in row) for row in rows) >= 5


def test_colours_are_asked_for_and_change_nothing_else() -> None:
    record, trials, curves = example(120)
    report = finished_report(record, trials, curves)
    plain_chart = curve_chart(report, report.best, 80, 12)
    coloured = curve_chart(report, report.best, 80, 12, coloured=True)
    assert "\x1b" not in plain_chart
    assert "\x1b[34m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain_chart


values = st.lists(
    st.one_of(st.floats(-1e9, 1e9), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 0.5])),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(values, st.integers(30, 130), st.integers(6, 20), st.booleans())
def test_any_curve_can_be_drawn(valid: list[float], width: int, height: int, log: bool) -> None:
    chart = curve_chart(report_of(valid[::-1], valid), 0, width, height, log=log)
    assert bool(chart) == bool(np.isfinite(valid).any())
    assert all(len(line) <= width for line in chart.splitlines())
    assert len(chart.splitlines()) <= max(height, 9)  # a narrow one needs lines for its caption
