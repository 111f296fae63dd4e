"""`hpsearch predict`: what an exported model says of new rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from hpsearch.cli.common import reading, write_out
from hpsearch.errors import HpsearchError


def predict(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="The folder that hpsearch export wrote.", show_default=False),
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A table, .npz or IDX files, a folder or .zip of images, or one image.",
            show_default=False,
        ),
    ],
    format_: Annotated[
        Literal["csv", "json", "parquet"] | None,
        typer.Option("--format", help="How to write them.", show_default="by FILE's name, or csv"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write into this file instead of to stdout.")
    ] = None,
) -> None:
    """Predict with an exported model.

    Predicts a class with probabilities, or a number in the target's own unit. Rows are counted from 1.
    Columns that the model does not know are ignored, and the target may be missing; if it is there, hpsearch
    also says how good the predictions are.
    """
    from hpsearch import api
    from hpsearch.files import write_files
    from hpsearch.reporting.predictions import predictions_bytes, score_text
    from hpsearch.text import plain

    if format_ is None:
        ending = "" if out is None else out.suffix.lower()
        format_ = "json" if ending == ".json" else "parquet" if ending == ".parquet" else "csv"
    if format_ == "parquet" and out is None and sys.stdout.isatty():
        raise HpsearchError("parquet is binary: write it with --out FILE, or into a pipe")
    with reading() as watch:
        found = api.predictions(model, data, watch)
    content = predictions_bytes(found.model, found.frame, format_)
    if out is None:
        write_out(content)
    else:
        write_files({out: content})
    for note in (*found.rows.notes, *([found.model.decides] if found.model.decides else [])):
        typer.echo(f"note: {plain(note)}", err=True)
    if (score := score_text(found.model, found.rows, found.outputs)) is not None:
        typer.echo(plain(score), err=True)
    if out is not None:
        typer.echo(f"wrote {out}", err=True)
