"""`hpsearch dump` and `hpsearch load`: a whole study as files, and stored again from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.common import StorageOption, StudyArgument, storage_url, storage_words
from hpsearch.errors import HpsearchError, plural

if TYPE_CHECKING:
    from hpsearch.records import StudyRecord
    from hpsearch.store import Contents


def dump(
    study: StudyArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A new .json file, or a new folder for Parquet tables.")
    ],
    storage: StorageOption = None,
) -> None:
    """Write a whole stored study to files.

    They hold settings, trials, curves, runs and all that resuming needs.
    OUT is one JSON file if it ends in .json; otherwise a folder with trials.parquet, curves.parquet and
    study.json. hpsearch load stores the study again, exactly as it was, elsewhere too.
    """
    from hpsearch.api import study_name
    from hpsearch.files import write_files
    from hpsearch.store import Database
    from hpsearch.store.transfer import dump_json, dump_tables
    from hpsearch.text import bytes_text

    if out.exists() or out.is_symlink():
        raise HpsearchError(f"{out}: is there already; name another file or folder, or delete it")
    with Database.open(storage_url(storage)) as database:
        stored = database.study(study_name(study))
        contents = stored.contents()
    if out.suffix.lower() == ".json":
        files = {out: dump_json(stored.record, contents)}
    else:
        files = {out / name: data for name, data in dump_tables(stored.record, contents).items()}
    write_files(files, "another OUT", parents=out.suffix.lower() != ".json")
    size = bytes_text(sum(map(len, files.values())))
    typer.echo(f"{_what(stored.record, contents)} written to {out} ({size})", err=True)


def load(
    source: Annotated[Path, typer.Argument(metavar="IN", help="What `hpsearch dump` has written.")],
    storage: StorageOption = None,
) -> None:
    """Store a study that hpsearch dump wrote, exactly as it was."""
    from hpsearch.store import Database
    from hpsearch.store.transfer import read_dump

    record, contents = read_dump(source)
    with Database.open(storage_url(storage), create=True) as database:
        database.create_study(record, contents)
        url = database.url
    typer.echo(f"{_what(record, contents)} stored in {url}", err=True)
    typer.echo(f"next: hpsearch report {record.name}{storage_words(storage)}", err=True)


def _what(record: StudyRecord, contents: Contents) -> str:
    from hpsearch.text import plain

    epochs = sum(trial.epochs for trial in contents.trials)
    return f"study {plain(record.name)}: {plural(len(contents.trials), 'trial')}, {plural(epochs, 'epoch')}"
