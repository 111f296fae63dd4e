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
    from hpsearch.results.contrast import Contrast


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
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with 4 unless it is excluded that B is worse by more."),
    ] = False,
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
    """Compare two studies or trials: is B better than A?

    A study stands for its best trial: the best confirmed one, or the best by
    validation before `hpsearch confirm`. Both are retrained on fresh seeds and
    scored on the test set. Studies with the same rows (in files with other
    columns, too), split and seed are compared seed by seed, others with intervals
    that cover other rows, too.

    Exits with 4 if B is worse by more than --fail-if-worse allows; seeds alone
    bring that about in at most 5 % of comparisons. That B passes does not exclude
    such a loss: you are told which loss is not excluded, and with --strict B
    passes only if a loss of more than is allowed is. Each look at the test set is
    counted.
    """
    from hpsearch import api
    from hpsearch.cli.reading import reading

    if strict and fail_if_worse is None:
        raise HpsearchError("--strict: expected --fail-if-worse, too, which says how much worse B may be")
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
    _judge(found, strict)


def _print(found: Contrast, format_: CompareFormat) -> None:
    from hpsearch.reporting.head_to_head import compare_sections, two_document
    from hpsearch.reporting.json_csv import json_text
    from hpsearch.reporting.markdown import sections_markdown
    from hpsearch.reporting.tables import sections_view

    if format_ is CompareFormat.JSON:
        write_out(json_text(two_document(found)))
    elif format_ is CompareFormat.MARKDOWN:
        write_out(sections_markdown(compare_sections(found)))
    else:
        console = make_console(sys.stdout)
        show(sections_view(compare_sections(found), console.width), console)


def _judge(found: Contrast, strict: bool) -> None:
    """Raise what the regression test says against B.

    strict: also where a loss of more than is allowed is not excluded.

    Raises:
        RegressionError: B is worse than is allowed, or may be if that is strict.
        HpsearchError: that cannot be told.
    """
    from hpsearch.reporting.head_to_head import (
        advice_for_strict,
        gate_sentence,
        strict_sentence,
        undecided,
    )

    if found.regression is None:
        return
    if found.regression.tripped:
        raise RegressionError(gate_sentence(found))
    if strict and not found.regression.excluded:
        raise RegressionError(f"{strict_sentence(found)} {advice_for_strict(found)}")
    if undecided(found):
        raise HpsearchError(f"{gate_sentence(found)} Compare on more seeds: --seeds {4 * found.seeds}")
