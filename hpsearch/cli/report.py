"""`hpsearch report`: the ranked report of a study."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.common import (
    StorageOption,
    StudyArgument,
    TopOption,
    make_console,
    show,
    storage_url,
    storage_words,
    write_out,
)
from hpsearch.errors import HpsearchError

if TYPE_CHECKING:
    from hpsearch.results.frames import Report

_TABLE_ROWS = 10


class ReportFormat(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    HTML = "html"
    LATEX = "latex"
    PARQUET = "parquet"


_ROWS = (ReportFormat.CSV, ReportFormat.LATEX, ReportFormat.PARQUET)
"""Formats that only have the trials."""
_FILES = (ReportFormat.HTML, ReportFormat.PARQUET)
"""Formats that are not for a terminal; with --out they are the only file."""


def report(
    study: StudyArgument,
    format_: Annotated[ReportFormat, typer.Option("--format", help="How to print it.")] = ReportFormat.TABLE,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write all formats and charts into this folder, or html or parquet alone.",
        ),
    ] = None,
    top: TopOption = None,
    storage: StorageOption = None,
) -> None:
    """Rank the trials, show what matters, answer the question."""
    if out is None and format_ in _FILES and sys.stdout.isatty():
        raise HpsearchError(f"{format_} is not for a terminal: write it with --out DIR, or into a pipe")
    rows_alone = format_ is ReportFormat.PARQUET or (
        out is None and format_ in (ReportFormat.CSV, ReportFormat.LATEX)
    )
    from hpsearch import api

    found, trials = api.read_report(study, storage=storage_url(storage), curves=not rows_alone)
    pictures: dict[str, bytes] = {}
    if out is not None and format_ is not ReportFormat.PARQUET:
        found, pictures = api.with_images(found, trials)
    if out is not None:
        paths = _write(found, format_, out, top, pictures)
        charts = [path for path in paths if path.parent != out]
        for path in paths:
            if path not in charts:
                typer.echo(f"wrote {path}", err=True)
        if charts:
            typer.echo(f"wrote {len(charts)} files into {charts[0].parent}", err=True)
    if out is None or format_ not in _FILES:
        _print(found, format_, top, storage_words(storage))


def _write(
    found: Report, format_: ReportFormat, out: Path, top: int | None, pictures: dict[str, bytes]
) -> list[Path]:
    """Write the files that a folder gets: all of them, or the one that was asked for."""
    from hpsearch.reporting.write import PAGE, TRIALS, parquet_bytes, write_into, write_report

    if format_ is ReportFormat.HTML:
        from hpsearch.reporting.page import page_html

        return write_into(out, {PAGE: page_html(found, pictures).encode()})
    if format_ is ReportFormat.PARQUET:
        from hpsearch.reporting.json_csv import report_rows

        return write_into(out, {TRIALS: parquet_bytes(report_rows(found))})
    return write_report(found, out, _TABLE_ROWS if top is None else top, pictures)


def _print(found: Report, format_: ReportFormat, top: int | None, storage: str) -> None:
    from hpsearch.reporting.json_csv import csv_text, json_text, limited, report_document, report_rows
    from hpsearch.reporting.markdown import report_markdown
    from hpsearch.reporting.tables import report_view

    rows = _TABLE_ROWS if top is None else top
    if format_ is ReportFormat.TABLE:
        console = make_console(sys.stdout)
        show(report_view(found, console.width, rows, storage), console)
    elif format_ is ReportFormat.MARKDOWN:
        write_out(report_markdown(found, rows))
    elif format_ is ReportFormat.JSON:
        write_out(json_text(report_document(found, top or 0)))
    elif format_ is ReportFormat.HTML:
        from hpsearch.reporting.page import page_html

        write_out(page_html(found))
    elif format_ is ReportFormat.LATEX:
        from hpsearch.reporting.latex import report_latex

        write_out(report_latex(found, rows))
    elif format_ is ReportFormat.PARQUET:
        from hpsearch.reporting.write import parquet_bytes

        write_out(parquet_bytes(limited(report_rows(found), top or 0)))
    else:
        write_out(csv_text(limited(report_rows(found), top or 0)))
