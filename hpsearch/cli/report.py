"""`hpsearch report`: the ranked report of a study."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hpsearch.cli.common import (
    StorageOption,
    StudyArgument,
    TopOption,
    show,
    storage_url,
    storage_words,
    write_out,
)
from hpsearch.errors import HpsearchError, nearest

if TYPE_CHECKING:
    from hpsearch.results.frames import Report

_TABLE_ROWS = 10


Format = Literal["table", "json", "csv", "markdown", "html", "latex", "parquet"]
_FILES = ("html", "parquet")
"""Formats that are not for a terminal; with --out they are the only file."""


def report(
    study: StudyArgument,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = "table",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write all formats and charts into this folder; html or parquet alone with --format.",
        ),
    ] = None,
    images: Annotated[
        bool,
        typer.Option(
            "--images",
            help="With --out: also decision boundaries or images of the data; retrains the best trials.",
        ),
    ] = False,
    section: Annotated[
        list[str] | None,
        typer.Option(
            "--section",
            metavar="NAME",
            help="Show this section alone, such as curves; may be repeated.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how the numbers are made and what they cover.")
    ] = False,
    top: TopOption = None,
    storage: StorageOption = None,
) -> None:
    """Rank the trials, show what matters, answer the question.

    Nothing is trained for it, except with --images.
    """
    _check_sections(section or [], format_, out)
    if images and (out is None or format_ == "parquet"):
        raise HpsearchError("--images are files: give --out DIR, too, and any format but parquet")
    if out is None and format_ in _FILES and sys.stdout.isatty():
        raise HpsearchError(f"{format_} is not for a terminal: write it with --out DIR, or into a pipe")
    from hpsearch import api

    rows_alone = format_ == "parquet" or (out is None and format_ in ("csv", "latex"))
    found, trials = api.read_report(study, storage=storage_url(storage), curves=not rows_alone)
    if out is not None:
        drawn: dict[str, bytes] = {}
        if images and format_ != "parquet":
            from hpsearch.reporting.images import with_images

            found, drawn = with_images(found, trials)
        _say_written(_write(found, format_, out, top, drawn), out)
        from hpsearch.reporting.write import has_images

        if not images and format_ != "parquet" and has_images(found):
            command = (
                f"hpsearch report {quote(study)}{storage_words(storage)} --out {quote(str(out))} --images"
            )
            typer.echo(f"left out: images of the data, which take training: {command}", err=True)
    if out is None or format_ not in (*_FILES, "table"):
        view = _View(top, storage_words(storage), tuple(section or ()), explain)
        _print(found, format_, view)


def _say_written(paths: list[Path], out: Path) -> None:
    """What was written, and what to open, in a line."""
    from hpsearch.errors import plural
    from hpsearch.reporting.write import PAGE

    page = out / PAGE
    text = f"wrote {paths[0]}" if len(paths) == 1 else f"wrote {plural(len(paths), 'file')} into {out}"
    typer.echo(f"{text}; to read it, open {page}" if page in paths else text, err=True)


@dataclass(frozen=True)
class _View:
    """What is asked of a report that is printed; see reporting.tables.report_view."""

    top: int | None
    storage: str
    only: tuple[str, ...]
    explain: bool


def _check_sections(names: list[str], format_: str, out: Path | None) -> None:
    """Raise HpsearchError where a section is not known, or goes into a file or format that has all."""
    if not names:
        return
    from hpsearch.reporting.sections import SECTIONS
    from hpsearch.text import plain

    for name in names:
        if name not in SECTIONS:
            known = ", ".join(SECTIONS)
            raise HpsearchError(
                f"--section: expected one of {known}; found {plain(name)}{nearest(name, SECTIONS)}"
            )
    if out is not None or format_ not in ("table", "markdown"):
        raise HpsearchError(
            "--section is for tables and Markdown that are printed; other formats have all sections"
        )


def _write(
    found: Report, format_: Format, out: Path, top: int | None, images: dict[str, bytes]
) -> list[Path]:
    """Write the files that a folder gets: all of them, or the one that was asked for."""
    from hpsearch.reporting.write import PAGE, TRIALS, parquet_bytes, write_into, write_report

    if format_ == "html":
        from hpsearch.reporting.page import page_html

        return write_into(out, {PAGE: page_html(found, images).encode()})
    if format_ == "parquet":
        from hpsearch.reporting.json_csv import report_rows

        return write_into(out, {TRIALS: parquet_bytes(report_rows(found))})
    return write_report(found, out, _TABLE_ROWS if top is None else top, images)


def _print(found: Report, format_: Format, view: _View) -> None:
    from hpsearch.reporting.json_csv import csv_text, json_text, limited, report_document, report_rows
    from hpsearch.reporting.markdown import report_markdown
    from hpsearch.reporting.tables import report_view

    top = view.top
    rows = _TABLE_ROWS if top is None else top
    if format_ == "table":
        show(
            lambda width: report_view(found, width, rows, view.storage, only=view.only, explain=view.explain)
        )
    elif format_ == "markdown":
        write_out(report_markdown(found, rows, only=view.only))
    elif format_ == "json":
        write_out(json_text(report_document(found, top or 0)))
    elif format_ == "html":
        from hpsearch.reporting.page import page_html

        write_out(page_html(found))
    elif format_ == "latex":
        from hpsearch.reporting.latex import report_latex

        write_out(report_latex(found, rows))
    elif format_ == "parquet":
        from hpsearch.reporting.write import parquet_bytes

        write_out(parquet_bytes(limited(report_rows(found), top or 0)))
    else:
        write_out(csv_text(limited(report_rows(found), top or 0)))
