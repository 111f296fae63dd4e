"""`hpsearch run`: create or resume a study, train it and show what came out."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from hpsearch.cli import completion
from hpsearch.cli.common import (
    DeviceOption,
    StorageOption,
    WorkersOption,
    make_console,
    show,
    storage_url,
    storage_words,
)
from hpsearch.errors import HpsearchError


def run(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A study file, the name of a stored study, or of one that comes with hpsearch "
            "(hpsearch init --list).",
            show_default=False,
            autocompletion=completion.studies_to_run,
        ),
    ],
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Total number of trials, instead of the file's.", show_default=False
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="10m", help="Stop at the first rung after this time.", show_default=False),
    ] = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a key of the file, e.g. space.width=32, or width=32 for short.",
            show_default=False,
        ),
    ] = None,
    workers: WorkersOption = None,
    checkpoint: Annotated[
        Literal["none", "rung"],
        typer.Option(
            metavar="none|rung",
            help="Store weights at each rung, so that resuming repeats at most one rung.",
        ),
    ] = "rung",
    fork: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Start a new study from those finished trials of the stored one that fit it, "
            "and train as many as the file says on top.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and run nothing.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Show at the end where the time went.")] = False,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm/--no-confirm",
            help="Once complete, retrain the best 8 on 5 fresh seeds and score them on the test set.",
        ),
    ] = True,
) -> None:
    """Create or resume a study, train it and rank its trials."""
    from hpsearch import api, stored
    from hpsearch.cli.terminal_watch import INTERRUPTED, TerminalWatch

    overrides = list(set_ or [])
    overrides += [f"search.trials={trials}"] if trials is not None else []
    limit, url = _duration(time), storage_url(storage)
    err = make_console(sys.stderr)
    with TerminalWatch(err, study, storage) as watch:
        found = stored.find_study(study, url, overrides, watch.says)
        if dry_run:
            from hpsearch.cli.headers import dry_run_view, header_lines

            plan = api.estimate(found, storage=url, device=device, workers=workers, fork=fork, watch=watch)
            watch.say(header_lines(plan.study, plan.dataset))
            show(lambda width: dry_run_view(plan))
            return
        result = api.run(
            found,
            storage=url,
            device=device,
            workers=workers,
            time_limit=limit,
            fork=fork,
            confirm=confirm,
            checkpoints=checkpoint == "rung",
            watch=watch,
        )
    if len(result.trials):
        from hpsearch.reporting.tables import answer_view

        show(lambda width: answer_view(result.numbers, width, storage_words(storage)))
    if profile and result.profile is not None:
        watch.say_profile(result.profile)
    if not result.complete:
        why = "stopped" if result.stopped else "time limit reached"
        err.print(f"{why}; to resume:  {watch.resume_command}", soft_wrap=True)  # to be copied whole
        raise typer.Exit(INTERRUPTED if result.stopped else 0)


def _duration(typed: str | None) -> float | None:
    """Seconds of `--time`."""
    if typed is None:
        return None
    from hpsearch.study.schema import seconds

    try:
        length = float(seconds(typed))
    except ValueError:
        length = 0.0
    if not 0 < length < float("inf"):
        raise HpsearchError(f'--time: expected a duration such as "90s", "10m" or "1h30m"; found "{typed}"')
    return length
