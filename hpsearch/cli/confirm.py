"""`hpsearch confirm`: the best trials on fresh seeds, scored once on the test part."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from hpsearch.cli.common import (
    StorageOption,
    StudyArgument,
    make_console,
    show,
    storage_url,
    study_name,
    write_out,
)

TOP, SEEDS = 8, 5
"""Defaults, also at the end of `hpsearch run`."""


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
        int, typer.Option("--seeds", metavar="S", min=3, help="Train each on S fresh seeds.")
    ] = SEEDS,
    resample: Annotated[
        bool,
        typer.Option(
            "--resample", help="With each seed, divide the rows of training and validation anew, too."
        ),
    ] = False,
    format_: Annotated[
        ConfirmFormat, typer.Option("--format", help="How to print it.")
    ] = ConfirmFormat.TABLE,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to train.")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Training threads. [default: one a core]", show_default=False),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Train the best trials again on fresh seeds and score each once on the test part.

    The best of many trials is partly luck. Fresh seeds bring other initial
    weights and orders of the rows, the test part other rows: what is left of
    a trial's score there is what you can count on. Ranks are intervals:
    trials that cannot be told apart share them.

    What comes out is stored, and `hpsearch report` shows it first. Each look
    at the test part is counted. Asked again for the same, nothing is trained.
    """
    from hpsearch.cli.reading import reading
    from hpsearch.engine.again import reload
    from hpsearch.engine.confirm import confirm_stored
    from hpsearch.engine.pool import default_workers
    from hpsearch.report.document import json_text
    from hpsearch.report.finalists import confirmation_document, finalists_view
    from hpsearch.store import Database
    from hpsearch.train import choose_device

    err = make_console(sys.stderr)
    progress = reading(err, what="training finalists again")
    with Database.open(storage_url(storage)) as database, progress as watch:
        store = database.study(study_name(study))
        own, dataset = reload(store.record)
        chosen = choose_device(device)
        found = confirm_stored(
            own,
            dataset,
            store,
            top=top,
            seeds=seeds,
            resampled=resample,
            device=chosen,
            workers=workers or default_workers(chosen),
            watch=watch,
        )
    console = make_console(sys.stdout)
    if format_ is ConfirmFormat.JSON:
        write_out(json_text(confirmation_document(found)))
    else:
        show(finalists_view(found, console.width), console)
