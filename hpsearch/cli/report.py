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
    read_study,
    show,
    storage_url,
    storage_words,
    write_out,
)

if TYPE_CHECKING:
    from hpsearch.report.comparison import Comparison
    from hpsearch.report.frames import Report

_TABLE_ROWS = 10


class ReportFormat(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


def report(
    study: StudyArgument,
    format_: Annotated[ReportFormat, typer.Option("--format", help="How to print it.")] = ReportFormat.TABLE,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write all formats and a picture of the curves into this folder."),
    ] = None,
    top: TopOption = None,
    storage: StorageOption = None,
) -> None:
    """Rank the trials of a study, show the learning curves of the best, and answer its question if it has
    one.
    """
    rows_alone = out is None and format_ in (ReportFormat.CSV, ReportFormat.JSON)
    found, trials = read_study(study, storage, curves=not rows_alone)
    pictures: dict[str, bytes] = {}
    if out is not None or format_ is not ReportFormat.CSV:
        from hpsearch.engine.answer import full_report

        found, pictures = full_report(found, trials, out is not None, lambda text: typer.echo(text, err=True))
        if found.comparison is not None:
            _count(found.comparison, found.record.name, storage)
    if out is not None:
        from hpsearch.report.write import write_report

        for path in write_report(found, out, _TABLE_ROWS if top is None else top, pictures):
            typer.echo(f"wrote {path}", err=True)
    _print(found, format_, top, storage_words(storage))


def _count(comparison: Comparison, study: str, storage: str | None) -> None:
    """Note that the comparison has looked at the test part, if the database can be written."""
    from hpsearch.engine.scorings import count_comparison
    from hpsearch.errors import StorageError
    from hpsearch.store import Database

    try:
        with Database.open(storage_url(storage)) as database:
            count_comparison(database.study(study), comparison)
    except StorageError as error:
        typer.echo(f"warning: this look at the test part cannot be noted: {error}", err=True)


def _print(found: Report, format_: ReportFormat, top: int | None, storage: str) -> None:
    from hpsearch.report.document import csv_text, json_text, limited, report_document, report_rows
    from hpsearch.report.markdown import report_markdown
    from hpsearch.report.tables import report_view

    rows = _TABLE_ROWS if top is None else top
    if format_ is ReportFormat.TABLE:
        console = make_console(sys.stdout)
        show(report_view(found, console.width, rows, storage), console)
    elif format_ is ReportFormat.MARKDOWN:
        write_out(report_markdown(found, rows))
    elif format_ is ReportFormat.JSON:
        write_out(json_text(report_document(found, top or 0)))
    else:
        write_out(csv_text(limited(report_rows(found), top or 0)))
