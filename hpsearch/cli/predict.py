"""`hpsearch predict`: what an exported model says of new rows."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.common import make_console, write_out
from hpsearch.errors import HpsearchError


class PredictFormat(StrEnum):
    """How predictions are written."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="The folder that hpsearch export has written.", show_default=False
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A table, .npz or IDX files, a folder or .zip of pictures, or one picture.",
            show_default=False,
        ),
    ],
    format_: Annotated[
        PredictFormat | None,
        typer.Option("--format", help="How to write them.", show_default="by FILE's name, or csv"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write into this file instead of to stdout.")
    ] = None,
) -> None:
    """Predict with an exported model.

    It predicts a class with probabilities, or a number in the target's own
    unit. Rows are counted from 1. Columns that the model does not know are left
    out, and the target need not be there. If it is, you are told how good the
    predictions are.
    """
    from hpsearch.cli.reading import reading
    from hpsearch.files import write_files
    from hpsearch.model.files import load_model
    from hpsearch.reporting.predictions import predictions_bytes, score_text
    from hpsearch.text import plain

    format_ = format_ or _by_name(out)
    if format_ is PredictFormat.PARQUET and out is None and sys.stdout.isatty():
        raise HpsearchError("parquet is not text: write it with --out FILE, or into a pipe")
    loaded = load_model(model)
    with reading(make_console(sys.stderr)) as advance:
        rows = loaded.prepare(data, advance)
    outputs = loaded.outputs(rows.x)
    content = predictions_bytes(loaded, loaded.frame(rows, outputs), format_.value)
    if out is None:
        write_out(content)
    else:
        write_files({out: content})
    for note in rows.notes:
        typer.echo(f"note: {plain(note)}", err=True)
    if (score := score_text(loaded, rows, outputs)) is not None:
        typer.echo(plain(score), err=True)
    if out is not None:
        typer.echo(f"wrote {out}", err=True)


def _by_name(out: Path | None) -> PredictFormat:
    endings = {f".{each.value}": each for each in PredictFormat}
    return endings.get("" if out is None else out.suffix.lower(), PredictFormat.CSV)
