"""What a person reads: tables in every width, Markdown, advice, the picture.

The files under golden/ were read line by line. To renew them after a wanted change:
    HPSEARCH_RENEW_GOLDEN=1 pytest tests/test_report_tables.py
and read the difference.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from hpsearch.records import State, StudyRecord, Trial
from hpsearch.reporting.grids import ranked_grid
from hpsearch.reporting.json_csv import csv_text
from hpsearch.reporting.markdown import report_markdown
from hpsearch.reporting.tables import curves_view, plain_text, report_view
from hpsearch.results.frames import Report, curves_frame
from hpsearch.text import metric_text, seconds_text, significant, sparkline
from tests.report_study import DOCUMENT, RECORD, example
from tests.studies import finished_report

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def report() -> Report:
    return finished_report(*example())


def small_report() -> Report:
    """A regression with every hyper-parameter searched, few complete trials and one cut short by NaN."""
    space = {
        "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
        "momentum": {"low": 0.0, "high": 0.95},
        "nesterov": [True, False],
        "batch_size": [16, 32],
        "hidden": [[], [1024, 1024, 512, 512, 256, 128], [16]],
        "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        "activation": ["relu", "leaky_relu"],
        "init_scale": {"low": 0.5, "high": 2.0},
    }
    document = DOCUMENT | {"space": space, "train": {"epochs": 9, "metric": "rmse"}}
    record = replace(RECORD, document=document, task="regression", metric="rmse", direction="minimize")
    layers = ["", "1024-1024-512-512-256-128", "16"]
    trials, curves = [], {}
    for number in range(6):
        params = {
            "learning_rate": 0.1 / 3**number,
            "momentum": 0.9,
            "nesterov": number % 2 == 0,
            "batch_size": 16,
            "hidden": layers[number % 3],
            "weight_decay": 1e-5,
            "activation": "leaky_relu",
            "init_scale": 1.0,
        }
        epochs = 3 if number in (2, 4) else 9
        curve = np.geomspace([0.9, 120.0, 1.1, 123.4 + number], [0.5, 50.0, 0.7, 56.78 + number], epochs)
        state = State.PRUNED if epochs == 3 else State.COMPLETE
        trial = Trial(number, 0, params, state, epochs, float(curve[-1, 3]), float(curve[-1, 2]), epochs)
        if number == 5:
            curve[4:] = np.nan
            trial = Trial(5, 0, params, State.FAILED, 5, reason="NaN in epoch 5")
        trials.append(trial)
        curves[number] = curve[: trial.epochs]
    return finished_report(record, trials, curves)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("which", ["digits", "regression"])
def test_the_report_reads_as_it_was_read(report: Report, which: str, width: int) -> None:
    found = plain_text(report_view(report if which == "digits" else small_report(), width), width)
    path = GOLDEN / f"report-{which}-{width}.txt"
    if os.environ.get("HPSEARCH_RENEW_GOLDEN"):
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


@settings(max_examples=40, deadline=None)
@given(st.integers(40, 200), st.sampled_from([0, 1, 10]), st.booleans())
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width: int, top: int, small: bool) -> None:
    shown = small_report() if small else finished_report(*example(40))
    text = plain_text(report_view(shown, width, top), width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "\x1b" not in text
    grid = ranked_grid(shown, top)
    words = set(text.split())
    for row in grid.rows:
        assert set(row[:3]) <= words
    # What is not there is named.
    for index, column in enumerate(grid.columns[3:], start=3):
        if column.numeric and not {row[index] for row in grid.rows} <= words:
            assert re.search(rf"hidden\s+\([^)]*{column.head}", text)


def test_every_number_of_the_table_follows_from_the_curves(report: Report) -> None:
    """Recomputed with plain Python from what `curves --format csv` writes."""
    text = csv_text(curves_frame(report.record, report.curves))
    points = list(csv.DictReader(StringIO(text)))
    grid = ranked_grid(report, 0)
    heads = [column.head for column in grid.columns]
    assert len(grid.rows) == 118
    best = []
    for row in grid.rows:
        cells = dict(zip(heads, row, strict=True))
        curve = [point for point in points if point["trial"] == cells["trial"]]
        top = max(float(point["valid_accuracy"]) for point in curve)
        first = next(point for point in curve if float(point["valid_accuracy"]) == top)
        loss = float(first["valid_loss"])
        assert cells["accuracy"] == f"{100 * top:.1f}%"
        assert float(cells["loss"]) == pytest.approx(loss, rel=6e-3)
        assert int(cells["epochs"]) == len(curve)
        if cells["rank"].isdecimal():
            best.append((-top, loss, int(cells["trial"]), first["epoch"]))
    assert best == sorted(best)
    text = plain_text(report_view(report, 120), 120)
    assert f"trial {best[0][2]}: validation accuracy {-100 * best[0][0]:.1f}%" in text
    assert f"; {len(points):,} epochs in 6.1 s" in " ".join(text.split())


def test_top_shows_so_many_and_counts_the_rest(report: Report) -> None:
    text = plain_text(report_view(report, 120, top=3), 120)
    assert (
        "… and 117 more: 57 complete, 57 stopped early, 2 diverged, 1 unfinished (--top 0 shows all)" in text
    )
    everything = plain_text(report_view(report, 120, top=0), 120)
    assert "more:" not in everything
    assert everything.count("not among the best third") == 57
    assert " unfinished\n" in everything


def test_failed_trials_are_listed_with_their_reasons() -> None:
    failed = [Trial(n, 0, {}, State.FAILED, 1, reason=f"NaN in epoch {n + 1}") for n in range(8)]
    shown = finished_report(RECORD, failed, {})
    text = plain_text(report_view(shown, 80), 80)
    assert "no trial is complete" in text
    assert "8 trials diverged:" in text
    assert [f"NaN in epoch {n}" in text for n in range(1, 9)] == [True] * 5 + [False] * 3
    assert "and 3 more" in text
    assert "NaN in epoch 8" in plain_text(report_view(shown, 80, top=0), 80)


def test_control_characters_from_the_data_are_shown_not_obeyed() -> None:
    trials = [
        Trial(0, 0, {"activation": "re\x1b[31mlu"}, State.COMPLETE, 1, 0.5, 0.5, 1),
        Trial(1, 0, {}, State.FAILED, 1, reason="\x1b]0;title\x07\u202ehidden\r\n"),
    ]
    shown = finished_report(replace(RECORD, name="dig\x1b[2Jits"), trials, {})
    for text in (plain_text(report_view(shown, 120), 120), report_markdown(shown)):
        assert all(c == "\n" or c.isprintable() for c in text)
    assert "\\x1b]0;title\\x07\\u202ehidden" in plain_text(report_view(shown, 120), 120)


def test_one_trial_s_curve_has_all_columns_and_epochs(report: Report) -> None:
    text = plain_text(curves_view(report, [26], 80), 80)
    rows = [line.split() for line in text.splitlines() if line.split()[:1] and line.split()[0].isdecimal()]
    assert [int(row[0]) for row in rows] == list(range(1, 28))
    assert [row[4] for row in rows] == [f"{100 * value:.1f}%" for value in report.curves[26][:, 3]]


def test_markdown_has_the_same_rows_and_well_formed_tables(report: Report) -> None:
    text = report_markdown(report, pictures=["curves.png"])
    assert "![Learning curves of the best trials](curves.png)" in text
    tables = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    assert "## What matters" in text
    assert len(tables) > 3  # ranked trials, curves, importances, hyper-parameters by themselves
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    grid = ranked_grid(report, 10)
    first = [cell.replace("\\", "") for cell in tables[0].splitlines()[2].strip("| ").split(" | ")]
    assert first == list(grid.rows[0])


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("accuracy", 0.98329, "98.3%"),
        ("accuracy", 1.0, "100.0%"),
        ("error", 0.0167, "1.7%"),
        ("rmse", 53.2, "53.20"),
        ("rmse", 12345.6, "12346"),
        ("rmse", 1.5e9, "1.500e+09"),
        ("rmse", 0.0, "0"),
        ("r2", -0.12345, "-0.1235"),
        ("accuracy", float("nan"), "–"),
        ("rmse", None, "–"),
        ("rmse", float("inf"), "inf"),
    ],
)
def test_values_of_a_metric(metric: str, value: float | None, text: str) -> None:
    assert metric_text(metric, value) == text


def test_small_texts() -> None:
    assert [seconds_text(s) for s in (0.042, 6.14, 59.97, 125, 3780)] == [
        "0.042 s",
        "6.1 s",
        "1 min 0 s",
        "2 min 5 s",
        "1 h 3 min",
    ]
    assert significant(0.0071, 3) == "0.00710"
    assert sparkline([0.0, float("nan"), 7.0], 8) == "▁ █"
    assert sparkline([5.0, 5.0], 8) == "▁▁"
    assert len(sparkline(list(range(100)), 8)) == 8


def test_a_record_without_time_has_no_speed() -> None:
    record: StudyRecord = replace(RECORD, seconds=0.0)
    _, trials, curves = example(30)
    assert "epochs/s" not in plain_text(report_view(finished_report(record, trials, curves), 80), 80)
