"""`hpsearch confirm`: the best trials on fresh seeds, scored once on the test set."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from hpsearch.cli.common import (
    DeviceOption,
    StorageOption,
    StudyArgument,
    WorkersOption,
    make_console,
    show,
    storage_url,
    write_out,
)
from hpsearch.defaults import CONFIRM_SEEDS, LEAST_SEEDS, TOP


class ConfirmFormat(StrEnum):
    """How the outcome is written."""

    TABLE = "table"
    JSON = "json"


def confirm(
    study: StudyArgument,
    top: Annotated[
        int, typer.Option("--top", metavar="K", min=1, help="Of the complete trials, the best K.")
    ] = TOP,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="S", min=LEAST_SEEDS, help="Retrain each on S fresh seeds.")
    ] = CONFIRM_SEEDS,
    resample: Annotated[
        bool,
        typer.Option(
            "--resample", help="With each seed, split the rows of training and validation anew, too."
        ),
    ] = False,
    format_: Annotated[
        ConfirmFormat, typer.Option("--format", help="How to print it.")
    ] = ConfirmFormat.TABLE,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    storage: StorageOption = None,
) -> None:
    """Retrain the best trials on fresh seeds, score them once.

    The best of many trials is partly luck. Fresh seeds bring other initial
    weights and orders of the rows, the test set other rows: what is left of
    a trial's score there is what you can count on. Ranks are intervals:
    trials that cannot be told apart share them.

    The result is stored, and `hpsearch report` shows it first. Each look at
    the test set is counted. Ask for the same again and nothing is trained.
    """
    from hpsearch import api
    from hpsearch.cli.reading import reading
    from hpsearch.reporting.finalists import confirmation_document
    from hpsearch.reporting.json_csv import json_text
    from hpsearch.reporting.tables import finalists_view

    with reading(make_console(sys.stderr), what="retraining finalists") as watch:
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
    console = make_console(sys.stdout)
    if format_ is ConfirmFormat.JSON:
        write_out(json_text(confirmation_document(found)))
    else:
        show(finalists_view(found, console.width), console)
