"""`hpsearch compare`: two studies or trials against each other, on fresh seeds; a gate for CI."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.common import (
    DeviceOption,
    StorageOption,
    WorkersOption,
    make_console,
    show,
    storage_url,
    write_out,
)
from hpsearch.defaults import COMPARE_SEEDS, LEAST_SEEDS
from hpsearch.errors import HpsearchError, RegressionError

if TYPE_CHECKING:
    from hpsearch.results.versus import Versus


class CompareFormat(StrEnum):
    """How the outcome is written."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def compare(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="A study, or a trial such as digits:17, to compare with.", show_default=False
        ),
    ],
    b: Annotated[
        str, typer.Argument(metavar="B", help="The study or trial that is judged.", show_default=False)
    ],
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="M", help="Score both by this.", show_default="the studies' own"),
    ] = None,
    fail_if_worse: Annotated[
        str | None,
        typer.Option(
            "--fail-if-worse",
            metavar="MARGIN",
            help="Exit with 4 if B is worse by more, such as 0.5% (points of an accuracy) or 0.005.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="S", min=LEAST_SEEDS, help="Train both on S fresh seeds.")
    ] = COMPARE_SEEDS,
    format_: Annotated[
        CompareFormat, typer.Option("--format", help="How to print it.")
    ] = CompareFormat.TABLE,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    storage: StorageOption = None,
    storage_b: Annotated[
        str | None,
        typer.Option("--storage-b", metavar="URL", help="Database of B.", show_default="that of A"),
    ] = None,
) -> None:
    """Compare two studies or trials: is B better than A, and how surely?

    A study stands for its best trial: the best confirmed one, or the best by
    validation before `hpsearch confirm`. Both are trained again on fresh seeds
    and scored on the test part. Studies with the same data, split and seed are
    compared seed by seed, others with intervals that cover other rows, too.

    Exits with 4 if B is worse by more than --fail-if-worse allows; seeds alone
    bring that about in at most 5 % of comparisons. Each look at the test part is
    counted.
    """
    from hpsearch import api
    from hpsearch.cli.reading import reading

    with reading(make_console(sys.stderr), what="retraining both") as watch:
        found = api.compare(
            a,
            b,
            metric=metric,
            seeds=seeds,
            margin=fail_if_worse,
            storage=storage_url(storage),
            storage_b=storage_b,
            device=device,
            workers=workers,
            watch=watch,
        )
    _print(found, format_)
    _judge(found)


def _print(found: Versus, format_: CompareFormat) -> None:
    from hpsearch.reporting.json_csv import json_text
    from hpsearch.reporting.versus_output import versus_document, versus_markdown, versus_view

    if format_ is CompareFormat.JSON:
        write_out(json_text(versus_document(found)))
    elif format_ is CompareFormat.MARKDOWN:
        write_out(versus_markdown(found))
    else:
        console = make_console(sys.stdout)
        show(versus_view(found, console.width), console)


def _judge(found: Versus) -> None:
    """Raise what the regression test says against B.

    Raises:
        RegressionError: B is worse than is allowed.
        HpsearchError: that cannot be told.
    """
    from hpsearch.reporting.versus import gate_sentence, undecided

    if found.regression is None:
        return
    if found.regression.tripped:
        raise RegressionError(gate_sentence(found))
    if undecided(found):
        raise HpsearchError(f"{gate_sentence(found)} Compare on more seeds: --seeds {4 * found.seeds}")
