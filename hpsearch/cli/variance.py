"""`hpsearch variance`: how noisy a trial's gradients are, by batch size and by momentum."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hpsearch.cli.common import (
    StorageOption,
    StudyArgument,
    make_console,
    show,
    storage_url,
    write_out,
)
from hpsearch.errors import HpsearchError, check_trial

if TYPE_CHECKING:
    from hpsearch.extras.variance_output import Variance
    from hpsearch.records import StudyRecord, Trial

_Number = TypeVar("_Number", int, float)


class VarianceFormat(StrEnum):
    """How the measurement is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def variance(
    study: StudyArgument,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="Number of a trial.", show_default=False)],
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
        typer.Option(metavar="B,B…", help="Rows of a mini-batch.", show_default="1, 2, 4 … all rows"),
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
            show_default="1024, fewer where they take many rows",
        ),
    ] = None,
    format_: Annotated[
        VarianceFormat, typer.Option("--format", help="How to print it.")
    ] = VarianceFormat.TABLE,
    out: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw it into this file, too.")] = None,
    storage: StorageOption = None,
) -> None:
    """Measure how noisy a trial's gradients are.

    The variance is E‖g_B − g‖², by batch size and by momentum.
    g is the gradient of the whole training part, g_B that of a mini-batch of B
    rows, at the weights that the trial had after some epochs: it is retrained.

    Beside what is measured stand the laws: σ²/B for independent rows, and
    σ²/B·(N−B)/(N−1) for mini-batches without replacement, as training draws them.
    The velocity (1−ρ) Σ ρᵏ g_(t−k) that momentum keeps has V·(1−ρ)/(1+ρ) for
    independent mini-batches, and less where those of an epoch share no row.
    None exceeds the variance of one row's gradient.

    Where a few rows have most of that, small mini-batches need many draws.
    """
    chosen = _numbers("--epochs", epochs, int), _numbers("--batch-sizes", batch_sizes, int)
    rates = _numbers("--momenta", momenta, float)
    for rate in rates or ():
        if not 0 <= rate < 1:
            raise HpsearchError(f"--momenta: expected numbers from 0 to below 1; found {rate:g}")
    if out is not None and out.suffix.lower() != ".png":
        raise HpsearchError(f"--out: expected a file name that ends in .png; found {out}")
    if out is not None and not out.parent.is_dir():
        raise HpsearchError(f"--out: expected a file in a folder that is there; found {out}")
    found = _measured(*_stored(study, trial, storage), *chosen, rates, draws)
    if out is not None:
        from hpsearch.extras.variance_output import variance_png
        from hpsearch.files import write_files

        write_files({out: variance_png(found)})
        typer.echo(f"wrote {out}", err=True)
    _print(found, format_)


def _numbers(option: str, text: str | None, kind: Callable[[str], _Number]) -> list[_Number] | None:
    """The numbers of "1,2,4"; None where the option is not given."""
    if text is None:
        return None
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError:
        noun = "whole numbers" if kind is int else "numbers"
        raise HpsearchError(f'{option}: expected {noun} with commas between; found "{text}"') from None


def _stored(study: str, number: int, storage: str | None) -> tuple[StudyRecord, Trial]:
    from hpsearch.api import study_name
    from hpsearch.store import Database

    with Database.open(storage_url(storage)) as database:
        store = database.study(study_name(study))
        check_trial(store.record.name, number, sum(store.counts().values()))
        (trial,) = store.trials([number])
    return store.record, trial


def _measured(
    record: StudyRecord,
    trial: Trial,
    epochs: list[int] | None,
    batch_sizes: list[int] | None,
    momenta: list[float] | None,
    draws: int | None,
) -> Variance:
    from hpsearch.extras.variance import MOMENTA, Sweep, choose_epochs, measure_variance
    from hpsearch.retrain.stored import reload
    from hpsearch.running.prepare import make_problem
    from hpsearch.train import choose_device

    choose_epochs(trial, epochs)  # complains before the data are read
    study, dataset = reload(record)
    problem = make_problem(study, dataset, choose_device("auto"))
    sweep = Sweep(epochs, batch_sizes, momenta or MOMENTA, draws)
    return measure_variance(study, problem, trial, sweep, lambda text: typer.echo(text, err=True))


def _print(found: Variance, format_: VarianceFormat) -> None:
    from hpsearch.extras.variance_output import variance_document, variance_view
    from hpsearch.reporting.json_csv import csv_text, json_text

    if format_ is VarianceFormat.TABLE:
        console = make_console(sys.stdout)
        show(variance_view(found, console.width), console)
    elif format_ is VarianceFormat.JSON:
        write_out(json_text(variance_document(found)))
    else:
        write_out(csv_text(found.frame))
