"""`hpsearch confirm`: the best trials on fresh seeds, scored once on the test set."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from hpsearch.cli.common import (
    DeviceOption,
    StorageOption,
    StudyArgument,
    WorkersOption,
    reading,
    show,
    storage_url,
    write_out,
)
from hpsearch.defaults import CONFIRM_SEEDS, LEAST_SEEDS, TOP


def confirm(
    study: StudyArgument,
    top: Annotated[
        int, typer.Option("--top", metavar="K", min=1, help="Take the best K complete trials.")
    ] = TOP,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="S", min=LEAST_SEEDS, help="Retrain each on S fresh seeds.")
    ] = CONFIRM_SEEDS,
    resample: Annotated[
        bool,
        typer.Option("--resample", help="Also split training and validation rows anew with each seed."),
    ] = False,
    format_: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    storage: StorageOption = None,
) -> None:
    """Retrain the best trials on fresh seeds, score them once.

    The best of many trials is partly luck. Fresh seeds change initial weights and
    row order, the test set brings new rows: the score that remains is the one you
    can count on. Ranks are intervals: trials that cannot be told apart share them.

    The result is stored, and `hpsearch report` shows it first. Each look at
    the test set is counted. Asking for the same again trains nothing.
    """
    from hpsearch import api
    from hpsearch.reporting.finalists import confirmation_document
    from hpsearch.reporting.json_csv import json_text
    from hpsearch.reporting.tables import finalists_view

    with reading("retraining finalists") as watch:
        found = api.confirm(
            study,
            storage=storage_url(storage),
            top=top,
            seeds=seeds,
            resampled=resample,
            device=device,
            workers=workers,
            watch=watch,
        )
    if format_ == "json":
        write_out(json_text(confirmation_document(found)))
    else:
        show(lambda width: finalists_view(found, width))
