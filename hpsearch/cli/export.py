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
    refit: Annotated[
        bool,
        typer.Option("--refit/--no-refit", help="Also train on the validation rows."),
    ] = True,
    storage: StorageOption = None,
) -> None:
    """Write a trial as a model that predicts.

    Writes model.safetensors and model.json. The trial is retrained for the weights,
    on the training and validation rows together: more rows, a better model. Its
    confirmed score is what to expect. With --no-refit it is trained as in the
    search, and its validation metric is checked. model.json holds the preprocessing, the classes and the
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
        refit=refit,
        storage=storage_url(storage),
        say=lambda text: typer.echo(text, err=True),
    )
    for note in exported.notes:
        typer.echo(f"note: {plain(note)}", err=True)
    for path in exported.files:
        typer.echo(f"wrote {path}", err=True)
    typer.echo(summary_of(exported.model.about), err=True)
    if exported.model.decides:
        typer.echo(exported.model.decides, err=True)
    typer.echo(f"in Python:  hpsearch.load_model({str(exported.folder)!a}).predict(frame)", err=True)
    write_out(exported.snippet)


def summary_of(about: dict[str, Any]) -> str:
    """Which trial it is, and how good."""
    from hpsearch.errors import plural
    from hpsearch.text import interval_text, metric_text

    trial, validation = about["trial"], about["validation"]
    metric, confirmed = validation["metric"], about.get("confirmed")
    value = f"validation {metric} {metric_text(metric, validation['value'])}"
    if refit := about.get("refit"):
        rows = f"{refit['rows']:,} training and validation rows"
        text = f"trial {trial['number']}, refitted on {rows} for {plural(refit['epochs'], 'epoch')}"
        if not confirmed:
            return f"{text}; not scored itself, and its {value} in the search flatters it"
    else:
        text = f"trial {trial['number']} after epoch {trial['epoch']}: {value}"
    if confirmed:
        shown = metric_text(metric, confirmed["mean"])
        if confirmed["low"] is not None:
            shown += f" ({interval_text(metric, confirmed['low'], confirmed['high'])})"
        text += f"; its configuration has {metric} {shown} on {confirmed['rows']:,} {confirmed['part']} rows"
        text += f" (mean of {confirmed['seeds']} fresh seeds)"
        text += ": expect about that, not scored itself" if refit else ""
    return text
