"""Writing a report's files."""

from __future__ import annotations

from pathlib import Path

from hpsearch.errors import HpsearchError
from hpsearch.report.chart import curves_png
from hpsearch.report.document import csv_text, json_text, report_document
from hpsearch.report.files import write_files
from hpsearch.report.frames import Report, curves_frame
from hpsearch.report.markdown import report_markdown
from hpsearch.report.tables import plain_text, report_view

_PICTURE = "curves.png"
_TEXT_WIDTH = 100


def write_report(report: Report, directory: Path, top: int = 10) -> list[Path]:
    """Write report.txt, report.md, report.json, trials.csv, curves.csv and curves.png into `directory`.

    The tables for people show `top` trials (0: all); the files for programs have all of them.
    Returns the paths of the files.

    Raises:
        HpsearchError: the directory cannot be made or written to.
    """
    contents = {
        "report.txt": plain_text(report_view(report, _TEXT_WIDTH, top), _TEXT_WIDTH).encode(),
        "report.md": report_markdown(report, top, image=_PICTURE).encode(),
        "report.json": json_text(report_document(report)).encode(),
        "trials.csv": csv_text(report.trials).encode(),
        "curves.csv": csv_text(curves_frame(report.record, report.curves)).encode(),
        _PICTURE: curves_png(report),
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
