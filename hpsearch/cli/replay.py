"""`hpsearch replay`: train stored trials again and say whether they come out the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Literal

import typer

from hpsearch.cli import completion
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
from hpsearch.errors import HpsearchError


def replay(
    study: StudyArgument,
    trials: Annotated[
        list[str],
        typer.Argument(
            metavar="TRIAL",
            help="Numbers of trials, ranges such as 0-15, or all.",
            show_default=False,
            autocompletion=completion.trials,
        ),
    ],
    format_: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    storage: StorageOption = None,
) -> None:
    """Retrain trials and compare their curves bit for bit.

    Says "identical", or the first epoch that differs, by how much at most, and what
    changed since the run that trained the trial: versions, processor, threads,
    device, code. Stopped and diverged trials are replayed as far as they got.
    Nothing is stored.

    Exits with 0 if all are identical, 1 if some differ, and 2 if the data have
    changed, so that no replay is possible.
    """
    from hpsearch import api
    from hpsearch.reporting.json_csv import json_text
    from hpsearch.reporting.replay import replay_document, replay_view

    numbers = trial_numbers(trials)
    with reading("retraining") as watch:
        found = api.replay(
            study, numbers, storage=storage_url(storage), device=device, workers=workers, watch=watch
        )
    if format_ == "json":
        write_out(json_text(replay_document(found)))
    else:
        show(lambda width: replay_view(found))
    raise typer.Exit(0 if found.identical else 1)


def trial_numbers(words: list[str]) -> Iterator[int] | None:
    """The numbers of "3", "0-15" and the like, one after the other; None for all trials.

    Raises:
        HpsearchError: a word is none of these.
    """
    ranges = []
    for word in words:
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", word, re.ASCII)
        numbers = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
        if not numbers and word != "all":
            raise HpsearchError(f"TRIAL: expected a number, a range such as 0-15, or all; found {word}")
        ranges.append(numbers)
    return None if "all" in words else chain(*ranges)
