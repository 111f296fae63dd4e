"""Writing a report's files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from hpsearch.errors import HpsearchError
from hpsearch.report.arms_chart import comparison_png
from hpsearch.report.chart import curves_png
from hpsearch.report.document import csv_text, json_text, report_document, report_rows
from hpsearch.report.files import write_files
from hpsearch.report.frames import Report, curves_frame
from hpsearch.report.markdown import COMPARISON, CURVES, PARETO, report_markdown
from hpsearch.report.pareto_chart import pareto_png
from hpsearch.report.tables import plain_text, report_view

_TEXT_WIDTH = 100
_NOTHING: Mapping[str, bytes] = MappingProxyType({})


def write_report(
    report: Report, directory: Path, top: int = 10, pictures: Mapping[str, bytes] = _NOTHING
) -> list[Path]:
    """Write report.txt, report.md, report.json, trials.csv, curves.csv and curves.png into `directory`.

    The tables for people show `top` trials (0: all); the files for programs have all of them. A study with
    several objectives also gets pareto.png, one with a comparison comparison.png. pictures: more files, such
    as boundary.png, as their bytes. Returns the paths of the files.

    Raises:
        HpsearchError: the directory cannot be made or written to.
    """
    compared = {} if report.comparison is None else {COMPARISON: comparison_png(report.comparison)}
    front = {PARETO: pareto_png(report)} if len(report.front) else {}
    drawn = {CURVES: curves_png(report), **front, **compared, **pictures}
    contents = {
        "report.txt": plain_text(report_view(report, _TEXT_WIDTH, top), _TEXT_WIDTH).encode(),
        "report.md": report_markdown(report, top, drawn).encode(),
        "report.json": json_text(report_document(report)).encode(),
        "trials.csv": csv_text(report_rows(report)).encode(),
        "curves.csv": csv_text(curves_frame(report.record, report.curves)).encode(),
        **drawn,
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HpsearchError(
            f"{directory}: expected a folder for the report's files; it cannot be made: {error.strerror}. "
            "Choose another one with --out"
        ) from None
    write_files({directory / name: content for name, content in contents.items()})
    return [directory / name for name in contents]
