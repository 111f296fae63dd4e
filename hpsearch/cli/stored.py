"""`hpsearch list`, `show` and `delete`: what is stored."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from hpsearch.cli import common
from hpsearch.cli.common import (
    StorageOption,
    StudyArgument,
    make_console,
    storage_url,
    write_out,
)
from hpsearch.errors import HpsearchError, NothingToShowError, StorageError, UnknownStudyError, check_trial


class ListFormat(StrEnum):
    """How the list is written."""

    TABLE = "table"
    JSON = "json"


def list_studies(
    format_: Annotated[ListFormat, typer.Option("--format", help="How to print it.")] = ListFormat.TABLE,
    storage: StorageOption = None,
) -> None:
    """List the stored studies."""
    from hpsearch.reporting.details import StoredStudy, list_document, list_view
    from hpsearch.reporting.json_csv import json_text
    from hpsearch.store import Database

    with Database.open(storage_url(storage)) as database:
        shown_url = database.url
        studies = [
            StoredStudy(s.name, s.task, s.metric, s.counts, s.best_value, s.created, s.seconds)
            for s in database.studies()
        ]
    if not studies:
        raise NothingToShowError(
            f"{shown_url}: no study is stored. To begin: hpsearch init, then hpsearch run"
        )
    if format_ is ListFormat.JSON:
        write_out(json_text(list_document(studies)))
        return
    console = make_console(sys.stdout)
    common.show(list_view(studies, console.width), console)


def show(
    study: StudyArgument,
    trial: Annotated[
        int | None,
        typer.Argument(metavar="TRIAL", help="Number of a trial of the study.", show_default=False),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Show how a study was set up, or one of its trials."""
    import numpy as np

    from hpsearch.api import study_name
    from hpsearch.records import CURVE_COLUMNS
    from hpsearch.reporting.details import study_view, trial_view
    from hpsearch.store import Database

    console = make_console(sys.stdout)
    with Database.open(storage_url(storage)) as database:
        stored = database.study(study_name(study))
        record = stored.record
        if trial is None:
            view = study_view(record, stored.counts(), stored.runs())
        else:
            check_trial(record.name, trial, sum(stored.counts().values()))
            trials, _ = stored.read(curves=False)
            curve = stored.curves([trial]).get(trial, np.empty((0, len(CURVE_COLUMNS))))
            view = trial_view(record, trials, trial, curve, console.width, stored.segments([trial]))
    common.show(view, console)


def delete(
    study: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    storage: StorageOption = None,
) -> None:
    """Delete a study with all its trials and curves."""
    from hpsearch.api import study_name
    from hpsearch.errors import plural
    from hpsearch.store import Database
    from hpsearch.text import plain

    with Database.open(storage_url(storage)) as database:
        name = study_name(study)
        try:
            trials = plural(sum(database.study(name).counts().values()), "trial")
        except UnknownStudyError:
            raise
        except StorageError:
            trials = "trials that cannot be read any more"
        what = f"study {plain(name)} with {trials} in {database.url}"
        if not yes:
            if not sys.stdin.isatty():
                raise HpsearchError(f"{what}: nobody is there to ask; to delete it, add --yes")
            if not typer.confirm(f"Delete {what}?", err=True):
                typer.echo("nothing was deleted", err=True)
                raise typer.Exit(1)
        database.delete_study(name)
    typer.echo(f"deleted {what}", err=True)


def compact(storage: StorageOption = None) -> None:
    """Rewrite the database to reclaim space.

    Room that deleted studies and finished trials leave is used again, and cut
    off the end of the file after each run; this also closes what is left
    between, and makes files of older versions do so from now on. It needs as
    much free space as the file takes.
    """
    from hpsearch.store import Database
    from hpsearch.text import bytes_text

    with Database.open(storage_url(storage)) as database:
        before, after = database.compact()
        shown = f"{bytes_text(before)} before, {bytes_text(after)} now"
        typer.echo(f"{database.url}: {shown}", err=True)
