"""`hpsearch compare`: two studies or trials against each other; for CI, whether one is a regression."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from enum import StrEnum
from typing import Annotated

import typer

from hpsearch.cli.common import StorageOption, make_console, show, storage_url, study_name, write_out
from hpsearch.errors import HpsearchError

REGRESSION = 4
"""Exit code."""


class CompareFormat(StrEnum):
    """How the outcome is written."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def compare(
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="A stored study, or a trial such as digits:17.", show_default=False),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="What is compared with it.", show_default=False)],
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC", help="Score by this one instead of the studies' own.", show_default=False
        ),
    ] = None,
    fail_if_worse: Annotated[
        str | None,
        typer.Option(
            metavar="0.5%",
            help="Exit with 4 if B is worse than A by more than this: points of a share such as accuracy, a "
            "share of A's score otherwise; without %, in the metric's unit.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="S", min=3, help="Train both on S fresh seeds.")] = 10,
    format_: Annotated[
        CompareFormat, typer.Option("--format", help="How to print it.")
    ] = CompareFormat.TABLE,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to train.")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Training threads. [default: one a core]", show_default=False),
    ] = None,
    storage: StorageOption = None,
    storage_b: Annotated[
        str | None,
        typer.Option("--storage-b", metavar="URL", help="Database of B, if another.", show_default=False),
    ] = None,
) -> None:
    """Compare two stored studies, by the best trial of each, or two trials.

    Both are trained on fresh seeds and scored on the test part: difference
    with interval, effect size, the probability that B is better, and how fast
    both studies got there.

    With --fail-if-worse, exits with 4 if B is shown to be worse by more than
    that (one-sided, 5 %): seeds alone do so in less than one of twenty
    comparisons. Each look at the test part is noted with both studies.
    """
    from hpsearch.engine.pool import default_workers
    from hpsearch.engine.versus import match, trial_name
    from hpsearch.report.document import json_text
    from hpsearch.report.versus import versus_document, versus_markdown, versus_view
    from hpsearch.store import Database
    from hpsearch.train import choose_device

    margin = _margin(fail_if_worse)
    device = choose_device(device)
    with ExitStack() as stack:
        sides = []
        for text, url in ((a, storage_url(storage)), (b, storage_b or storage_url(storage))):
            name, number = trial_name(text)
            database = stack.enter_context(Database.open(url))
            sides.append((text, database.study(study_name(name)), number))
        found = match(
            sides[0],
            sides[1],
            device=device,
            workers=workers or default_workers(device),
            seeds=seeds,
            metric=metric,
            margin=margin,
        )
    if format_ is CompareFormat.JSON:
        write_out(json_text(versus_document(found)))
    elif format_ is CompareFormat.MARKDOWN:
        write_out(versus_markdown(found))
    else:
        console = make_console(sys.stdout)
        show(versus_view(found, console.width), console)
    if found.regressed:
        raise typer.Exit(REGRESSION)


def _margin(typed: str | None) -> tuple[float, bool] | None:
    """The margin, and whether it is a share."""
    if typed is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)(?:e(-?\d+))?\s*(%?)\s*", typed, re.ASCII)
    if found is None:
        raise HpsearchError(
            f'--fail-if-worse: expected a margin from 0 up, such as 0.5% or 0.02; found "{typed}"'
        )
    value = float(f"{found[1]}e{found[2] or 0}")
    return (value / 100, True) if found[3] else (value, False)
