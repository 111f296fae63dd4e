"""`hpsearch export`: a trained model as files that hold no code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hpsearch.cli import completion
from hpsearch.cli.common import StorageOption, StudyArgument, storage_url, write_out


def export(
    study: StudyArgument,
    trial: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Export this trial.",
            show_default="the best confirmed one, or the best",
            autocompletion=completion.trials,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write into this folder.", show_default="STUDY-model"),
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also write model.onnx; needs hpsearch[onnx].")
    ] = False,
    storage: StorageOption = None,
) -> None:
    """Write a trial as a model that predicts.

    Writes model.safetensors and model.json. The trial is retrained up to its best
    epoch for the weights. model.json holds the preprocessing, the classes and the
    model's origin. Prints ten lines of Python that load it without hpsearch.

    `hpsearch predict DIR DATA` predicts with it.
    """
    from hpsearch import api
    from hpsearch.text import plain

    exported = api.export(
        study,
        trial=trial,
        out=out,
        onnx=onnx,
        storage=storage_url(storage),
        say=lambda text: typer.echo(text, err=True),
    )
    for note in exported.notes:
        typer.echo(f"note: {plain(note)}", err=True)
    for path in exported.files:
        typer.echo(f"wrote {path}", err=True)
    typer.echo(summary_of(exported.model.about), err=True)
    typer.echo(f"in Python:  hpsearch.load_model({str(exported.folder)!a}).predict(frame)", err=True)
    write_out(exported.snippet)


def summary_of(about: dict[str, Any]) -> str:
    """Which trial it is, and how good."""
    from hpsearch.text import metric_text

    trial, validation = about["trial"], about["validation"]
    metric = validation["metric"]
    text = (
        f"trial {trial['number']} after epoch {trial['epoch']}: validation {metric} "
        f"{metric_text(metric, validation['value'])}"
    )
    if confirmed := about.get("confirmed"):
        shown = metric_text(metric, confirmed["mean"])
        text += f"; its configuration has {shown} on {confirmed['rows']:,} {confirmed['part']} rows"
        text += f" (mean of {confirmed['seeds']} fresh seeds)"
    return text
