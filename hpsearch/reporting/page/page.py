"""The page: what it shows in which order, put into its template."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hpsearch.reporting.charts import Chart, all_charts
from hpsearch.reporting.charts.arms import COMPARISON, DIFFERENCES
from hpsearch.reporting.charts.curves import CURVES
from hpsearch.reporting.charts.finalists import CONFIRMED
from hpsearch.reporting.charts.front import PARETO
from hpsearch.reporting.charts.lessons import IMPORTANCES, INTERACTION, ISOLATION
from hpsearch.reporting.charts.parallel import PARALLEL
from hpsearch.reporting.charts.seeds import SEEDS
from hpsearch.reporting.charts.spec import SCHEMA
from hpsearch.reporting.comparison import comparison_grid, conclusion, remarks
from hpsearch.reporting.finalists import finalists_grid, finalists_remarks, finalists_title, verdict
from hpsearch.reporting.grids import Grid, front_grid, front_more_line, front_sentence, front_title
from hpsearch.reporting.lessons import importances_block, verdict_block
from hpsearch.reporting.markdown import BOUNDARY, CAPTIONS, PICTURES, WRONG
from hpsearch.reporting.page.assets import json_block, own_script, policy, style, template, vega_script
from hpsearch.reporting.page.provenance import commands, provenance_grid, study_toml
from hpsearch.reporting.page.summary import begun, summary
from hpsearch.reporting.page.trials import trials_table
from hpsearch.reporting.theme import config
from hpsearch.results.advice import advice, remedy_command
from hpsearch.results.frames import Report
from hpsearch.results.lessons import Lessons, lessons
from hpsearch.text import plain

_FRONT = 10
_NOTHING: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True)
class Picture:
    """A PNG that was made elsewhere, as a data URL."""

    title: str
    url: str


def page_html(report: Report, pictures: Mapping[str, bytes] = _NOTHING, found: Lessons | None = None) -> str:
    """The whole report as one HTML document; the same report gives the same text.

    pictures: PNGs by file name, such as boundary.png, that are shown, too. found: the report's lessons, where
    they are known already.
    """
    from jinja2 import Environment, StrictUndefined

    found = lessons(report) if found is None else found
    charts = all_charts(report, found)
    advised = advice(report)
    vega, own, rules = vega_script(), own_script(), style()
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_inert,
    )
    return environment.from_string(template()).render(
        name=report.record.name,
        record=report.record,
        policy=policy([vega, own], [rules]),
        vega=vega,
        script=own,
        style=rules,
        summary=summary(report, advised),
        notes=report.notes,
        charts={chart.name: chart for chart in charts},
        chart_data=json_block(
            {"config": config(), "charts": {chart.name: _drawn(chart) for chart in charts}}
        ),
        trials=json_block(trials_table(report)),
        advice=advised,
        command=lambda remedy: remedy_command(report, remedy),
        begun=begun,
        pictures=[
            Picture(CAPTIONS[name], f"data:image/png;base64,{base64.b64encode(pictures[name]).decode()}")
            for name in (BOUNDARY, PICTURES, WRONG)
            if name in pictures
        ],
        provenance=provenance_grid(report),
        commands=commands(report),
        toml=study_toml(report.record.document),
        **_confirmed(report),
        **_curves(charts),
        **_taught(found, charts),
        **_compared(report, charts),
        **_front(report, charts),
    )


def _inert(value: Any) -> Any:
    """Of what is put into the template, text as it may be shown; it is escaped after that."""
    return plain(value) if type(value) is str else value


def _drawn(chart: Chart) -> dict[str, Any]:
    """What the page's script needs to draw a chart and to switch its parts."""
    switches = [
        {
            "label": s.label,
            "on": s.on,
            "parts": [{"path": list(p), "off": off, "on": on} for p, off, on in s.parts],
        }
        for s in chart.switches
    ]
    spec = {"$schema": SCHEMA, "width": "container", "height": chart.height, **chart.spec}
    return {"spec": spec, "least": chart.least, "switches": switches}


def _named(charts: list[Chart], *names: str) -> list[Chart]:
    return [chart for chart in charts if chart.name in names]


def _begun(charts: list[Chart], begin: str) -> list[Chart]:
    return [chart for chart in charts if chart.name.startswith(begin)]


def _curves(charts: list[Chart]) -> dict[str, Any]:
    return {"curves": _named(charts, CURVES, SEEDS)}


def _confirmed(report: Report) -> dict[str, Any]:
    c = report.confirmation
    if c is None:
        return {"confirmed": None}
    title = finalists_title(c)
    return {
        "confirmed": {
            "chart": CONFIRMED,
            "verdict": verdict(c),
            "caption": title[0].upper() + title[1:] + ".",
            "grid": finalists_grid(c),
            "remarks": finalists_remarks(c),
        }
    }


def _taught(found: Lessons, charts: list[Chart]) -> dict[str, Any]:
    metric = found.basis.metric
    shares = importances_block(found)
    isolations = _begun(charts, ISOLATION)
    return {
        "basis": found.basis.sentence,
        "isolations": isolations,
        "importances": _named(charts, IMPORTANCES),
        "shares": shares._replace(grid=_without_bars(shares.grid)),
        "parallel": _named(charts, PARALLEL),
        "interactions": _begun(charts, INTERACTION),
        "verdicts": [(each.name, verdict_block(each, metric)) for each in found.verdicts],
    }


def _without_bars(grid: Grid | None) -> Grid | None:
    """The table without its bars of text, of which there is a chart."""
    if grid is None:
        return None
    kept = [place for place, column in enumerate(grid.columns) if column.head]
    rows = tuple(tuple(row[place] for place in kept) for row in grid.rows)
    return Grid(tuple(grid.columns[place] for place in kept), rows)


def _compared(report: Report, charts: list[Chart]) -> dict[str, Any]:
    c = report.comparison
    if c is None:
        return {"compared": None}
    return {
        "compared": {
            "charts": _named(charts, COMPARISON, DIFFERENCES),
            "subject": c.subject,
            "conclusion": conclusion(c),
            "grid": comparison_grid(c),
            "remarks": remarks(c),
        }
    }


def _front(report: Report, charts: list[Chart]) -> dict[str, Any]:
    if not len(report.front):
        return {"front": None}
    return {
        "front": {
            "title": front_title(report),
            "sentence": front_sentence(report),
            "charts": _begun(charts, PARETO),
            "grid": front_grid(report, _FRONT),
            "more": front_more_line(report, _FRONT),
        }
    }
