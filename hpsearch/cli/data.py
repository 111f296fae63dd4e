"""`hpsearch data`: what is read from a file, folder or archive."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from hpsearch.cli.common import TargetOption, reading, show, write_out


def data(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A table, a folder or .zip of images, .npz or IDX files, or a built-in name.",
            show_default=False,
        ),
    ],
    target: TargetOption = None,
    format_: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """Show what is read from a file, folder or archive.

    Columns with their kind, missing and distinct values and range; which are used and why not; classes;
    splits; what was inferred, and how to say otherwise.
    """
    from hpsearch import api
    from hpsearch.reporting.data import data_sections, next_step
    from hpsearch.reporting.json_csv import json_text
    from hpsearch.reporting.tables import sections_view

    with reading() as watch:
        found = api.describe(source, target=target, watch=watch)
    if format_ == "json":
        write_out(json_text(found.document()))
        return
    show(lambda width: sections_view(data_sections(found), width))
    typer.echo(f"next: {next_step(found, source)}", err=True)
