"""`hpsearch curves`: the learning curves of a study."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hpsearch.cli import completion
from hpsearch.cli.common import (
    StorageOption,
    StudyArgument,
    make_console,
    show,
    storage_url,
    write_out,
)
from hpsearch.errors import HpsearchError, NothingToShowError, plural

if TYPE_CHECKING:
    from hpsearch.records import Trial
    from hpsearch.results.frames import Report

_CHART = 16
"""Lines of a chart."""

Format = Literal["table", "csv", "json", "parquet"]


def curves(
    study: StudyArgument,
    trial: Annotated[
        list[int] | None,
        typer.Option(
            "--trial",
            metavar="N",
            help="Only this trial; repeat for more.",
            autocompletion=completion.trials,
        ),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to write them.")] = "table",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write into this file instead of to stdout.")
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write TensorBoard event files below this folder, by default of the best trials.",
        ),
    ] = None,
    chart: Annotated[
        bool,
        typer.Option(
            "--chart",
            help="Draw training and validation curves in the terminal, by default of the best trial.",
        ),
    ] = False,
    log: Annotated[
        bool,
        typer.Option("--log", help="With --chart: use a logarithmic epoch axis, which shows the beginning."),
    ] = False,
    storage: StorageOption = None,
) -> None:
    """Show losses and metrics epoch by epoch.

    With --tensorboard each trial becomes two runs, train and valid, and a row of
    the HParams table. The tags epoch/… and step/… hold the same values, by epoch
    and by optimiser step.
    """
    if format_ == "parquet" and out is None and sys.stdout.isatty():
        raise HpsearchError("parquet is binary: write it with --out FILE, or into a pipe")
    if tensorboard is not None and (out is not None or format_ != "table"):
        raise HpsearchError("--tensorboard writes its own files: leave out --out and --format")
    if chart and (out is not None or tensorboard is not None or format_ != "table"):
        raise HpsearchError("--chart is for the terminal: leave out --out, --format and --tensorboard")
    if log and not chart:
        raise HpsearchError("--log is for --chart: give both, or neither")
    from hpsearch import api

    found, trials = api.read_report(study, storage=storage_url(storage), only=trial or ())
    if not found.curves:
        raise NothingToShowError(
            f"study {found.record.name}: expected a trained epoch of the trials asked for; found none. "
            "`hpsearch report` lists the trials with their epochs"
        )
    if tensorboard is not None:
        _write_events(found, trials, _shown(found, trial), tensorboard)
        return
    if chart:
        _show_charts(found, _shown(found, trial) if trial else _shown(found, trial)[:1], log)
        return
    if format_ == "table" and out is None:
        from hpsearch.reporting.tables import curves_view

        show(lambda width: curves_view(found, _shown(found, trial), width))
        return
    content = _content(found, trial, format_)
    if out is None:
        write_out(content)
        return
    from hpsearch.files import write_files

    write_files({out: content})
    typer.echo(f"wrote {out}", err=True)


def _write_events(found: Report, trials: Sequence[Trial], numbers: list[int], folder: Path) -> None:
    """Write event files of these trials, and say how to look at them."""
    from shlex import quote
    from time import time

    from hpsearch.extras.tensorboard import event_files, folder_name
    from hpsearch.files import write_files
    from hpsearch.text import plain

    record = found.record
    files = event_files(record, trials, {number: found.curves[number] for number in numbers}, time())
    write_files({folder / path: content for path, content in files.items()}, "--tensorboard", parents=True)
    place = plain(quote(str(folder / folder_name(record.name))))
    typer.echo(
        f"wrote {plural(len(numbers), 'trial')}; to look at them: tensorboard --logdir {place}", err=True
    )


def _show_charts(found: Report, numbers: list[int], log: bool) -> None:
    """Draw the curves of these trials, one below the other."""
    from hpsearch.extras.terminal_chart import curve_chart

    console = make_console(sys.stdout)
    coloured = console.color_system is not None
    charts = [curve_chart(found, number, console.width, _CHART, coloured, log) for number in numbers]
    write_out("\n\n".join(chart for chart in charts if chart) + "\n")


def _shown(found: Report, numbers: list[int] | None) -> list[int]:
    """Which curves a table shows: those asked for, otherwise those of the best."""
    from hpsearch.reporting.grids import BEST_FEW, best_few

    if numbers:
        return [number for number in dict.fromkeys(numbers) if number in found.curves]
    return best_few(found) or list(found.curves)[:BEST_FEW]


def _content(found: Report, numbers: list[int] | None, format_: Format) -> bytes:
    from hpsearch.reporting.json_csv import csv_text, curve_rows, curves_document, json_text
    from hpsearch.reporting.tables import curves_view, plain_text

    if format_ == "table":
        return plain_text(curves_view(found, _shown(found, numbers), 100), 100).encode()
    if format_ == "csv":
        return csv_text(curve_rows(found)).encode()
    if format_ == "json":
        return json_text(curves_document(found)).encode()
    return curve_rows(found).to_parquet(index=False)
