"""`hpsearch export`: a trained model as files that hold no code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hpsearch.cli.common import (
    StorageOption,
    StudyArgument,
    storage_url,
    write_out,
)


def export(
    study: StudyArgument,
    trial: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Export this trial.", show_default="the best confirmed one, or the best"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write into this folder.", show_default="STUDY-model"),
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write model.onnx, too; needs hpsearch[onnx].")
    ] = False,
    storage: StorageOption = None,
) -> None:
    """Write a trial as a model that predicts.

    The files are model.safetensors and model.json. The weights are those after
    the trial's best epoch; it is retrained up to there. model.json has the
    preprocessing, the classes and where the model comes from. Ten lines of
    Python that load it without hpsearch are printed.

    `hpsearch predict DIR DATA` predicts with it.
    """
    from hpsearch import api
    from hpsearch.model.export import snippet
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
    write_out(snippet(exported))


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
