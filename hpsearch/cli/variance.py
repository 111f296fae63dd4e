"""`hpsearch variance`: how noisy a trial's gradients are, by batch size and by momentum."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from hpsearch.cli import completion
from hpsearch.cli.common import StorageOption, StudyArgument, show, storage_url, write_out
from hpsearch.errors import HpsearchError

_Number = TypeVar("_Number", int, float)


def variance(
    study: StudyArgument,
    trial: Annotated[
        int,
        typer.Argument(
            metavar="TRIAL",
            help="Number of a trial.",
            show_default=False,
            autocompletion=completion.trials,
        ),
    ],
    epochs: Annotated[
        str | None,
        typer.Option(
            metavar="E,E…",
            help="Measure at the weights after these epochs; 0 is before training.",
            show_default="0, 1 and the trial's best",
        ),
    ] = None,
    batch_sizes: Annotated[
        str | None,
        typer.Option(metavar="B,B…", help="Batch sizes.", show_default="1, 2, 4 … all rows"),
    ] = None,
    momenta: Annotated[
        str | None,
        typer.Option(
            metavar="ρ,ρ…",
            help="Momenta, from 0 to below 1, at the trial's own batch size.",
            show_default="0 … 0.99",
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            metavar="R",
            min=2,
            help="Random draws for each value.",
            show_default="1024, fewer for large batches",
        ),
    ] = None,
    format_: Annotated[
        Literal["table", "json", "csv"], typer.Option("--format", help="How to print it.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Also plot it into this file.")] = None,
    storage: StorageOption = None,
) -> None:
    """Measure how noisy a trial's gradients are.

    Measures the variance E‖g_B − g‖² by batch size and by momentum: g is the
    gradient on the whole training set, g_B that of a mini-batch of B rows, at the
    weights after some epochs, for which the trial is retrained.

    The table also gives the theory: σ²/B for independent rows, and
    σ²/B·(N−B)/(N−1) for mini-batches without replacement, as training draws them.
    Momentum's velocity (1−ρ) Σ ρᵏ g_(t−k) has variance V·(1−ρ)/(1+ρ) for
    independent mini-batches, and less where the mini-batches of an epoch share no
    row. None exceeds the variance of a single row's gradient.

    If a few rows dominate that variance, small mini-batches need many draws.
    """
    from hpsearch.extras.variance import Sweep, variance
    from hpsearch.extras.variance_output import variance_document, variance_png, variance_view
    from hpsearch.files import write_files
    from hpsearch.reporting.json_csv import csv_text, json_text

    sweep = Sweep(
        _numbers("--epochs", epochs, int),
        _numbers("--batch-sizes", batch_sizes, int),
        _numbers("--momenta", momenta, float),
        draws,
    )
    if out is not None and out.suffix.lower() != ".png":
        raise HpsearchError(f"--out: expected a file name that ends in .png; found {out}")
    if out is not None and not os.path.isdir(out.parent):
        raise HpsearchError(f"--out: expected a file in an existing folder; found {out}")
    found = variance(
        study, trial, sweep, storage=storage_url(storage), say=lambda text: typer.echo(text, err=True)
    )
    if out is not None:
        write_files({out: variance_png(found)})
        typer.echo(f"wrote {out}", err=True)
    if format_ == "json":
        write_out(json_text(variance_document(found)))
    elif format_ == "csv":
        write_out(csv_text(found.frame))
    else:
        show(lambda width: variance_view(found, width))


def _numbers(option: str, text: str | None, kind: Callable[[str], _Number]) -> list[_Number] | None:
    """The numbers of "1,2,4"; None where the option is not given."""
    if text is None:
        return None
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError:
        noun = "whole numbers" if kind is int else "numbers"
        raise HpsearchError(f'{option}: expected {noun} separated by commas; found "{text}"') from None
