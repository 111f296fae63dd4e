"""The commands about what is stored: list, show, delete, compact, dump and load."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hpsearch.cli import common, completion
from hpsearch.cli.common import StorageOption, StudyArgument, storage_url, storage_words, write_out
from hpsearch.errors import HpsearchError, plural

if TYPE_CHECKING:
    from hpsearch.result import Dumped


def list_studies(
    format_: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
    storage: StorageOption = None,
) -> None:
    """List the stored studies."""
    from hpsearch import stored
    from hpsearch.reporting.details import list_document, list_view
    from hpsearch.reporting.json_csv import json_text

    studies = stored.studies(storage=storage_url(storage))
    if format_ == "json":
        write_out(json_text(list_document(studies)))
    else:
        common.show(lambda width: list_view(studies, width, storage_words(storage)))


def show(
    study: StudyArgument,
    trial: Annotated[
        int | None,
        typer.Argument(
            metavar="TRIAL",
            help="Number of a trial of the study.",
            show_default=False,
            autocompletion=completion.trials,
        ),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Show how a study was set up, or one of its trials."""
    from hpsearch import stored
    from hpsearch.reporting.details import study_view, trial_view

    if trial is None:
        setup = stored.show(study, storage=storage_url(storage))
        words = storage_words(storage)
        common.show(lambda width: study_view(setup.record, setup.counts, setup.runs, setup.activity, words))
    else:
        found = stored.show_trial(study, trial, storage=storage_url(storage))
        common.show(
            lambda width: trial_view(
                found.record, found.trials, found.number, found.curve, width, found.segments
            )
        )


def delete(
    study: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    storage: StorageOption = None,
) -> None:
    """Delete a study with all its trials and curves."""
    from hpsearch import stored
    from hpsearch.text import plain

    def ask(what: str) -> bool:
        if not yes and not sys.stdin.isatty():
            raise HpsearchError(f"{plain(what)}: no terminal to ask on; to delete it, add --yes")
        return yes or typer.confirm(f"Delete {plain(what)}?", err=True)

    deleted = stored.delete(study, storage=storage_url(storage), ask=ask)
    typer.echo("nothing was deleted" if deleted is None else f"deleted {plain(deleted)}", err=True)
    raise typer.Exit(1 if deleted is None else 0)


def compact(storage: StorageOption = None) -> None:
    """Rewrite the database to reclaim space.

    Each run already reuses the space of deleted studies and finished trials, and cuts it off the end of the
    file. This also closes the gaps in between, and makes files of older versions do the same from now on.
    It needs as much free space as the file takes.
    """
    from hpsearch import stored
    from hpsearch.text import bytes_text

    done = stored.compact(storage=storage_url(storage))
    typer.echo(f"{done.url}: {bytes_text(done.before)} before, {bytes_text(done.after)} now", err=True)


def dump(
    study: StudyArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A new .json file, or a new folder for Parquet tables.")
    ],
    storage: StorageOption = None,
) -> None:
    """Write a whole stored study to files.

    They hold settings, trials, curves, runs and all that resuming needs. OUT is one JSON file if it ends in
    .json; otherwise a folder with trials.parquet, curves.parquet and study.json. hpsearch load stores the
    study again exactly as it was, also in another database.
    """
    from hpsearch import stored
    from hpsearch.text import bytes_text

    done = stored.dump(study, out, storage=storage_url(storage))
    typer.echo(f"{_what(done)} written to {out} ({bytes_text(done.size)})", err=True)


def load(
    source: Annotated[Path, typer.Argument(metavar="IN", help="What `hpsearch dump` wrote.")],
    storage: StorageOption = None,
) -> None:
    """Store a study that hpsearch dump wrote, exactly as it was."""
    from hpsearch import stored

    done = stored.load(source, storage=storage_url(storage))
    typer.echo(f"{_what(done)} stored in {done.place}", err=True)
    typer.echo(f"next: hpsearch report {done.study}{storage_words(storage)}", err=True)


def _what(done: Dumped) -> str:
    from hpsearch.text import plain

    return f"study {plain(done.study)}: {plural(done.trials, 'trial')}, {plural(done.epochs, 'epoch')}"
