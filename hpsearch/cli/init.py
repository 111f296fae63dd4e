"""`hpsearch init`: a commented study file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.common import TargetOption, reading, write_out

if TYPE_CHECKING:
    from hpsearch.running.first_study import FirstStudy


def init(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DATA",
            help="Name of the study, for a template NAME.toml. Or the data to study: a file, a folder of "
            "images or a built-in name.",
        ),
    ] = "study",
    target: TargetOption = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="binary, multiclass, regression or positive_regression.",
            show_default="inferred from the target",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write this file.", show_default="NAME.toml")
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            metavar="EFFORT",
            help="Data: how much to search: quick, good or best. What each costs here is said.",
            show_default="quick",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="List the studies that come with hpsearch, and write nothing.")
    ] = False,
) -> None:
    """Write a commented study file: a template, or one that suits DATA."""
    from hpsearch import api

    if list_:
        _list()
        return
    with reading() as watch:
        made = api.init(name, target=target, task=task, out=out, force=force, effort=effort, watch=watch)
    typer.echo(f"wrote {made.path}{_cost_text(made)}", err=True)
    verb = "edit it" if made.effort is None else "look at it"
    typer.echo(f"next: {verb}, then  hpsearch run {made.path}", err=True)


def _cost_text(made: FirstStudy) -> str:
    """What the file's study costs, and what those of other efforts would."""
    from hpsearch.text import clock_range

    here, others = "", []
    for cost in made.costs:
        time = f", about {clock_range(cost.seconds.low, cost.seconds.high)}" if cost.seconds else ""
        said = f"{cost.effort}: {cost.trials} trials{time}"
        if cost.effort == made.effort:
            here = f"; effort {said}"
        else:
            others.append(said)
    return f"{here}\n--effort {' · '.join(others)}" if here else ""


def _list() -> None:
    """The studies that come with hpsearch, one a line."""
    from hpsearch import stored

    found = stored.shipped_studies()
    width = max((len(each.name) for each in found), default=0)
    write_out("".join(f"{each.name:<{width}}  {each.about}\n" for each in found))
    for folder in {each.path.parent for each in found}:
        typer.echo(f"run one:  hpsearch run NAME   (the files are in {folder})", err=True)
