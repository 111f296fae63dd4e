"""Charts of a report as Vega-Lite specifications, and as PNG and SVG.

The page draws the same specifications that the files for papers are made from.
"""

from __future__ import annotations

from hpsearch.reporting.charts.arms import comparison_charts
from hpsearch.reporting.charts.curves import curves_chart
from hpsearch.reporting.charts.finalists import confirmed_chart
from hpsearch.reporting.charts.front import front_charts
from hpsearch.reporting.charts.lessons import importances_chart, interaction_charts, isolation_charts
from hpsearch.reporting.charts.parallel import parallel_chart
from hpsearch.reporting.charts.seeds import seeds_chart
from hpsearch.reporting.charts.spec import Chart, Switch
from hpsearch.results.frames import Report
from hpsearch.results.lessons import Lessons

__all__ = ["Chart", "Switch", "all_charts"]


def all_charts(report: Report, found: Lessons, long: bool = False) -> list[Chart]:
    """Every chart that the report has anything for, in the page's order.

    long: name the hyper-parameters of the best trials, too, for pictures that stand alone.
    """
    c = report.confirmation
    charts = [
        None if c is None else confirmed_chart(c),
        curves_chart(report, long),
        None if c is None else seeds_chart(c),
        *isolation_charts(found),
        importances_chart(found),
        parallel_chart(report),
        *interaction_charts(found),
        *([] if report.comparison is None else comparison_charts(report.comparison)),
        *front_charts(report),
    ]
    return [chart for chart in charts if chart is not None]
