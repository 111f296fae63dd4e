"""Charts as files, and what their specifications hold, against the numbers that they show."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hpsearch.records import State, Trial
from hpsearch.reporting.charts.curves import curves_chart
from hpsearch.reporting.charts.fresh_seeds import confirmed_chart, seeds_chart
from hpsearch.reporting.charts.front import front_charts
from hpsearch.reporting.charts.render import chart_svg, png_of
from hpsearch.reporting.charts.spec import Chart
from hpsearch.reporting.sections import all_charts
from hpsearch.reporting.theme import COLOURS, DARK, LIGHT
from hpsearch.results.frames import Report
from hpsearch.results.lessons import lessons
from tests.page_study import full_report, large_report
from tests.report_study import RECORD, example
from tests.studies import finished_report


@pytest.fixture(scope="module")
def report() -> Report:
    return full_report()


@pytest.fixture(scope="module")
def charts(report: Report) -> dict[str, Chart]:
    return {chart.name: chart for chart in all_charts(report, lessons(report), long=True)}


def rows(chart: Chart, layer: int | None = None) -> list[dict[str, Any]]:
    owner = chart.spec if layer is None else chart.spec["layer"][layer]
    found: list[dict[str, Any]] = owner["data"]["values"]
    return found


def test_a_report_has_a_chart_of_everything_that_it_has(charts: dict[str, Chart], report: Report) -> None:
    isolations = {f"isolation-{name}" for name in report.parameters}
    others = {
        "confirmed",
        "curves",
        "seeds",
        "importances",
        "parallel",
        "comparison",
        "comparison-differences",
    }
    assert isolations | others <= charts.keys()
    assert not any(name.startswith("pareto") for name in charts)
    bare = replace(report, confirmation=None, comparison=None)
    names = {chart.name for chart in all_charts(bare, lessons(bare))}
    assert names == {
        name for name in charts if name.split("-")[0] not in ("confirmed", "seeds", "comparison", "arms")
    }


def test_every_chart_becomes_a_picture_on_white_paper_the_same_each_time(charts: dict[str, Chart]) -> None:
    for name, chart in charts.items():
        svg = chart_svg(chart)
        assert "var(--" not in svg, name
        assert len(re.findall("<(?:path|line|text)", svg)) > 20, name
        if name not in ("confirmed", "seeds", "comparison", "arms"):  # others take a second each
            continue
        image = Image.open(BytesIO(png_of(svg))).convert("RGB")
        assert image.width >= 1200, name
        assert image.getpixel((0, 0)) == (255, 255, 255)
        assert len(image.getcolors(1 << 24) or []) > 20, name
    svg = chart_svg(charts["curves"])
    assert svg == chart_svg(charts["curves"])
    assert "url(#clip0)" in svg


def test_text_that_looks_like_a_colour_of_the_page_stays_text(report: Report) -> None:
    chart = confirmed_chart(report.confirmation) if report.confirmation else None
    assert chart is not None
    assert ">var(--c0) $x$ &lt;b&gt;<" in chart_svg(chart, "var(--c0) $x$ <b>")


def test_the_best_curves_are_whole_and_the_confirmed_best_comes_first(report: Report) -> None:
    chart = curves_chart(report)
    assert chart is not None
    assert report.best is not None
    first = [row for row in rows(chart) if row["k"] == 0]
    assert {row["t"] for row in first} == {report.best}
    curve = report.curves[report.best]
    assert [row["e"] for row in first] == list(range(1, len(curve) + 1))
    for column, field in enumerate(("tl", "tv", "l", "v")):
        assert [row[field] for row in first] == pytest.approx(curve[:, column].tolist(), rel=1e-4)


def test_switches_change_what_they_name(report: Report) -> None:
    chart = curves_chart(report)
    assert chart is not None
    assert [switch.label for switch in chart.switches][:1] == ["log epochs"]
    for switch in chart.switches:
        for path, off, on in switch.parts:
            value: Any = chart.spec
            for key in path:
                value = value[key]
            assert value == (on if switch.on else off), (switch.label, path)


def test_other_curves_are_sampled_and_thinned_and_gaps_part_them() -> None:
    report = large_report(600)
    chart = curves_chart(report)
    assert chart is not None
    points = rows(chart, 0)
    parts = "".join("|" if row["v"] is None else "." for row in points).split("|")
    lengths = [len(part) for part in parts if part]
    assert len(lengths) == 160
    assert max(lengths) <= 20
    assert "595 other trials in grey, 160 of them drawn" in chart.note


def test_bands_reach_from_the_lowest_to_the_highest_seed(report: Report) -> None:
    assert report.confirmation is not None
    chart = seeds_chart(report.confirmation)
    assert chart is not None
    best = report.confirmation.best
    own = [row for row in rows(chart) if row["s"] == f"#{best.trial}"]
    table = np.array([curve[:, 3] for curve in best.curves])
    epochs = [row["e"] - 1 for row in own]
    assert [row["lo"] for row in own] == pytest.approx(table.min(0)[epochs].tolist(), rel=1e-4)
    assert [row["hi"] for row in own] == pytest.approx(table.max(0)[epochs].tolist(), rel=1e-4)
    assert [row["v"] for row in own] == pytest.approx(table.mean(0)[epochs].tolist(), rel=1e-4)


def test_the_forest_has_means_and_intervals_the_one_to_use_first_and_every_seed(report: Report) -> None:
    c = report.confirmation
    assert c is not None
    chart = confirmed_chart(c)
    assert chart is not None
    shown = rows(chart)
    assert [row["s"].rpartition("#")[2] for row in shown] == [str(each.trial) for each in c.ranked]
    for row, finalist in zip(shown, c.ranked, strict=True):
        found = finalist.estimate
        assert found is not None
        assert (row["low"], row["mean"], row["high"]) == pytest.approx(
            (found.low, found.mean, found.high), rel=1e-4
        )
        assert row["selected"] == pytest.approx(finalist.selected, rel=1e-4)
    assert sum(row["v"] is not None for row in rows(chart, 0)) == 6 * 5 - 1


def test_colours_are_told_apart_from_the_paper() -> None:
    """WCAG 2.1, 1.4.11 and 1.4.3: 3 : 1 for graphics, 4.5 : 1 for text."""
    for theme in (LIGHT, DARK):
        for name in ("ink", "muted", "link"):
            assert contrast(theme[name], theme["paper"]) >= 4.5, name
        # Pale fills of the original palette stand between lines that carry the meaning.
        names = [f"c{n}" for n in range(len(COLOURS))] if theme is DARK else ["c0", "c1", "c2"]
        for name in (*names, "faint"):
            assert contrast(theme[name], theme["paper"]) >= 3, name


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("curve", [[], [[np.nan] * 4], [[1.0, 0.5, 1.0, np.inf]]])
def test_a_study_where_all_failed_has_charts_that_can_be_drawn(curve: list[list[float]]) -> None:
    failed = [Trial(0, 0, {}, State.FAILED, 1, reason="NaN in epoch 1")]
    shown = finished_report(RECORD, failed, {0: np.array(curve).reshape(-1, 4)})
    for chart in all_charts(shown, lessons(shown)):
        assert png_of(chart_svg(chart)).startswith(b"\x89PNG")


def test_a_picture_fetches_nothing(report: Report) -> None:
    chart = curves_chart(report)
    assert chart is not None
    spying = replace(chart, spec={**chart.spec, "data": {"url": "http://127.0.0.1:9/data.json"}})
    with pytest.raises(ValueError, match="not allowed"):
        chart_svg(spying)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("points", [[(0.5, 650.0)], [(0.5, 650.0), (0.5, 650.0), (0.2, 9.0)]])
def test_few_trials_of_three_objectives_are_drawn(direction: str, points: list[tuple[float, float]]) -> None:
    record = replace(RECORD, objectives=("parameters", "loss"), direction=direction)
    trials = [
        Trial(n, 0, {}, State.COMPLETE, 1, value, np.inf, 1, others=(size, np.inf))
        for n, (value, size) in enumerate(points)
    ]
    shown = finished_report(record, trials, {})
    charts = front_charts(shown)
    assert [chart.name for chart in charts] == ["pareto", "pareto-loss"]
    assert png_of(chart_svg(charts)).startswith(b"\x89PNG")
    assert {row["t"] for row in rows(charts[0])} == set(shown.front["trial"])


def test_a_study_that_is_running_has_charts(report: Report) -> None:
    record, trials, curves = example(20)
    one = finished_report(record, trials[-2:], curves)
    for chart in all_charts(one, lessons(one)):
        assert chart_svg(chart).startswith("<svg")
