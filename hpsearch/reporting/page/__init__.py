"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from hpsearch.cache import cache_folder, prune, put
from hpsearch.records import State
from hpsearch.reporting.blocks import AllTrials, Block, Charts, Format, Section, Tone, begun
from hpsearch.reporting.charts.spec import SCHEMA, Chart
from hpsearch.reporting.json_csv import report_rows
from hpsearch.reporting.sections import NO_IMAGES, Source, sections
from hpsearch.reporting.theme import DARK, LIGHT, config
from hpsearch.results.frames import PARAM, Report
from hpsearch.results.lessons import Lessons
from hpsearch.text import STATE_WORDS, is_share, missing, parameter_text, plain

_FOLDER = Path(__file__).parent
_LIBRARY = "vl-convert-python"
_KEPT, _MOST_BYTES = 2, 8_000_000
_DIGITS = 5


def page_html(report: Report, pictures: Mapping[str, bytes] = NO_IMAGES, found: Lessons | None = None) -> str:
    """The whole report as one HTML document; the same report gives the same text.

    pictures: PNGs by file name, such as boundary.png, that are shown, too. found: the report's lessons, where
    they are known already.
    """
    return sections_page(sections(Source(report, found=found, images=pictures)), report)


def sections_page(shown: Iterable[Section], report: Report) -> str:
    """Sections as one HTML document. report: whose name, task and metric its head says."""
    from jinja2 import Environment, StrictUndefined

    parts = [(section, blocks) for section in shown if (blocks := _drawn(section.blocks(Format.PAGE)))]
    several = [block for _, blocks in parts for block, _ in blocks]
    charts = {chart.name: _spec(chart) for _, blocks in parts for _, drawn in blocks for chart in drawn}
    tables = [trials_table(block.report) for block in several if isinstance(block, AllTrials)]
    vega, own = vega_script(), Markup("\n".join(map(_read, ("charts.js", "trials.js"))))
    rules = style()
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_inert,
    )
    return environment.from_string(_read("page.html.jinja")).render(
        name=report.record.name,
        record=report.record,
        policy=policy([vega, own], [rules]),
        vega=vega,
        script=own,
        style=rules,
        parts=parts,
        begun=begun,
        classes={Tone.PLAIN: "", Tone.VERDICT: "verdict", Tone.QUIET: "quiet", Tone.NOTE: "note"},
        base64=lambda content: base64.b64encode(content).decode(),
        chart_data=json_block({"config": config(), "charts": charts}),
        trials=json_block(tables[0] if tables else {"rows": 0, "columns": []}),
    )


def _drawn(blocks: Iterable[Block]) -> list[tuple[Block, list[Chart]]]:
    """Blocks with their charts; blocks for charts of which there are none are left out."""
    found = [(block, list(block.make(False)) if isinstance(block, Charts) else []) for block in blocks]
    return [(block, charts) for block, charts in found if charts or not isinstance(block, Charts)]


def _inert(value: Any) -> Any:
    """Of what is put into the template, text as it may be shown; it is escaped after that."""
    return plain(value) if type(value) is str else value


def _spec(chart: Chart) -> dict[str, Any]:
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


def trials_table(report: Report) -> dict[str, Any]:
    """{"rows": count, "columns": […]}: columns have a head and a kind, "words" or how numbers are shown.

    Numbers stand as they are, null where there is none; words as places in the list of those that occur.
    """
    frame, metric = report_rows(report), report.record.metric
    shown = "percent" if is_share(metric) else "four"
    columns = [_numbers("rank", "whole", frame["rank"]), _numbers("trial", "whole", frame["trial"])]
    if "confirmed" in frame:
        columns.append(_numbers("confirmed", shown, frame["confirmed"]))
    columns.append(_numbers(metric, shown, frame["value"]))
    for name in dict.fromkeys(["loss", *report.objectives]):
        if name != metric:
            columns.append(_numbers(name, "whole" if name == "parameters" else "three", frame[name]))
    columns.append(_numbers("epochs", "whole", frame["epochs"]))
    columns.append(_numbers("best epoch", "whole", frame["best_epoch"]))
    columns += [_parameter(name, frame[PARAM + name]) for name in report.parameters]
    columns.append(_words("state", [STATE_WORDS[State(state)] for state in frame["state"].tolist()]))
    columns.append(_words("why", ["" if missing(text) else plain(text) for text in frame["reason"].tolist()]))
    return {"rows": len(frame), "columns": columns}


def _parameter(name: str, column: pd.Series[Any]) -> dict[str, Any]:
    if column.dtype.kind in "iu" or isinstance(column.dtype, pd.Int64Dtype):
        return _numbers(name, "whole", column)
    if column.dtype.kind == "f":
        return _numbers(name, "three", column)
    return _words(name, ["" if missing(value) else parameter_text(value) for value in column.tolist()])


def _numbers(head: str, kind: str, column: pd.Series[Any]) -> dict[str, Any]:
    array = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind == "whole":
        values: list[Any] = [int(value) if np.isfinite(value) else None for value in array.tolist()]
    else:
        values = [float(f"{v:.{_DIGITS}g}") if np.isfinite(v) else None for v in array.tolist()]
    return {"head": head, "kind": kind, "values": values}


def _words(head: str, texts: Sequence[str]) -> dict[str, Any]:
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return {"head": head, "kind": "words", "words": list(places), "values": [places[text] for text in texts]}


def vega_script() -> Markup:
    """Vega, Vega-Lite and vega-embed as one script, which takes seconds to put together and so is kept."""
    name = f"vega-{metadata.version(_LIBRARY)}.js"
    folder = cache_folder()
    if folder is not None:
        with suppress(OSError, UnicodeDecodeError):
            return _closed((folder / name).read_text(encoding="utf-8"))
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if folder is not None:
        put(folder, name, lambda path: path.write_text(script, encoding="utf-8", newline="\n"))
        prune(folder, "vega-*.js", _KEPT, _MOST_BYTES)
    return _closed(script)


def style() -> Markup:
    """The page's style sheet, with the charts' colours."""
    rules = _read("page.css")
    for name, colours in (("LIGHT", LIGHT), ("DARK", DARK)):
        rules = rules.replace(f"/*{name}*/", " ".join(f"--{key}: {value};" for key, value in colours.items()))
    return Markup(rules)


def json_block(value: Any) -> Markup:
    """JSON for a script element that is data: nothing in it ends the element or begins another."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def policy(scripts: list[Markup], styles: list[Markup]) -> str:
    """A content security policy that allows these scripts and styles, pictures in the page, and no more."""

    def source(text: Markup) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    allowed = {"script-src": scripts, "style-src": styles}
    rules = [f"{name} {' '.join(map(source, texts))}" for name, texts in allowed.items()]
    return "; ".join(["default-src 'none'", *rules, "img-src data:", "base-uri 'none'", "form-action 'none'"])


def _closed(script: str) -> Markup:
    """In JavaScript's strings, where alone these can stand, the backslash changes nothing."""
    return Markup(script.replace("</script", r"<\/script").replace("<!--", r"<\!--"))


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
