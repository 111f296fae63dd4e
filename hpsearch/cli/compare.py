"""`hpsearch compare`: two studies or trials against each other, on fresh seeds; a gate for CI."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hpsearch.cli import completion
from hpsearch.cli.common import (
    DeviceOption,
    StorageOption,
    WorkersOption,
    make_console,
    reading,
    show,
    storage_url,
    write_out,
)
from hpsearch.defaults import COMPARE_SEEDS, LEAST_SEEDS, MOST_REPEATS, REPEATS
from hpsearch.errors import HpsearchError, RegressionError

if TYPE_CHECKING:
    from hpsearch.results.contrast import Contrast


def compare(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="The study to compare with, or a trial such as digits:17.",
            show_default=False,
            autocompletion=completion.subjects,
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="The study or trial to judge.",
            show_default=False,
            autocompletion=completion.subjects,
        ),
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
            help="Exit with 4 if B is worse by more, e.g. by 0.5% (points of an accuracy) or 0.005.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with 4 unless such a loss is ruled out."),
    ] = False,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="S", min=LEAST_SEEDS, help="Train both on S fresh seeds.")
    ] = COMPARE_SEEDS,
    repeats: Annotated[
        int,
        typer.Option(
            "--repeats",
            metavar="R",
            min=1,
            max=MOST_REPEATS,
            help="Split, search and choose R times; 1 compares what both found on their own split.",
        ),
    ] = REPEATS,
    format_: Annotated[
        Literal["table", "json", "markdown"], typer.Option("--format", help="How to print it.")
    ] = "table",
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    storage: StorageOption = None,
    storage_b: Annotated[
        str | None,
        typer.Option("--storage-b", metavar="URL", help="Database of B.", show_default="that of A"),
    ] = None,
) -> None:
    """Compare two studies or trials: is B better than A?

    Each of the R repeats splits the rows anew, the same for both, searches as each
    study says, and scores the best trial by validation on the test set, trained on 3
    fresh seeds; so it takes about R times as long as both studies. The interval is
    over repeats. What is done is stored: the same command goes on after Ctrl-C.

    With --repeats 1, a study stands for its best trial: the best confirmed one, or
    the best by validation before `hpsearch confirm`. Both are retrained on fresh
    seeds and scored on the test set. Studies that share rows, split and seed (even
    from files with other columns) are compared seed by seed; otherwise the intervals
    also account for the different rows. The verdict is about these two
    configurations on this split: another seed may turn it.

    Exits with 4 if B is worse by more than --fail-if-worse allows; chance alone
    causes that in at most 5 % of comparisons. A pass does not rule out such a loss:
    the output says which loss it cannot rule out, and --strict lets B pass only if
    a larger loss than allowed is ruled out. Each look at the test set is counted.
    """
    from hpsearch import api
    from hpsearch.reporting.head_to_head import compare_sections, two_document
    from hpsearch.reporting.json_csv import json_text
    from hpsearch.reporting.markdown import sections_markdown
    from hpsearch.reporting.tables import sections_view

    if strict and fail_if_worse is None:
        raise HpsearchError("--strict: expected --fail-if-worse, too: it says how much worse B may be")
    err = make_console(sys.stderr)
    with reading("retraining both") as watch, reading("repeats of A, then of B", err) as repeating:
        found = api.compare(
            a,
            b,
            metric=metric,
            seeds=seeds,
            repeats=repeats,
            margin=fail_if_worse,
            storage=storage_url(storage),
            storage_b=storage_b,
            device=device,
            workers=workers,
            watch=watch,
            repeating=repeating,
            say=lambda text: err.print(text, soft_wrap=True),
        )
    if format_ == "json":
        write_out(json_text(two_document(found)))
    elif format_ == "markdown":
        write_out(sections_markdown(compare_sections(found)))
    else:
        show(lambda width: sections_view(compare_sections(found), width))
    _judge(found, strict)


def _judge(found: Contrast, strict: bool) -> None:
    """Raise what the regression test says against B; strict: also a larger loss that is not ruled out."""
    from hpsearch.reporting.head_to_head import (
        advice_for_strict,
        gate_sentence,
        more_of,
        strict_sentence,
        undecided,
    )

    tested = found.answer.regression
    if tested is None:
        return
    if tested.tripped:
        raise RegressionError(gate_sentence(found) or "")
    if strict and not tested.excluded:
        raise RegressionError(f"{strict_sentence(found)} {advice_for_strict(found)}")
    if undecided(found):
        raise HpsearchError(f"{gate_sentence(found)} {more_of(found)}")
