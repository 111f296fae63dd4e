"""`hpsearch enqueue`: points that a study tries next."""

from __future__ import annotations

import sys
import tomllib
from typing import Annotated, Any

import typer

from hpsearch.cli.common import (
    StorageOption,
    StudyArgument,
    storage_url,
    storage_words,
    study_name,
    write_out,
)
from hpsearch.errors import Complaint, HpsearchError, StudyFileError, plural

_EXAMPLE = "NAME=VALUE such as learning_rate=0.1"


def enqueue(
    study: StudyArgument,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]…",
            help="Values of searched hyper-parameters; the sampler chooses those that are left out.",
            show_default=False,
        ),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Have a stored study try a point next, also while it runs; without values, show what waits."""
    from hpsearch.store import Database
    from hpsearch.study.file import study_from_document
    from hpsearch.study.methods import exhaustive
    from hpsearch.study.points import read_point

    with Database.open(storage_url(storage)) as database:
        store = database.study(study_name(study))
        stored = study_from_document(store.record.document, store.record.origin)
        if values and exhaustive(stored.search.sampler):
            raise HpsearchError(
                f"study {stored.name}: its sampler, {stored.search.sampler}, tries every combination anyway"
            )
        if values:
            complaints: list[Complaint] = []
            point = read_point(
                _parsed(values),
                stored.space,
                lambda key, text: complaints.append(Complaint("hpsearch enqueue", key, text)),
            )
            if complaints:
                raise StudyFileError(complaints)
            if point.keys() == stored.space.active(point).keys() and not stored.allows(point):
                raise HpsearchError(
                    f"study {store.record.name}: one of its forbidden combinations holds there"
                )
            store.enqueue([point])
        waiting = [queued for queued in store.queue() if queued.trial is None]
        begun = sum(store.counts().values())
    for queued in waiting if not values else waiting[-1:]:
        shown = "  ".join(f"{name}={value}" for name, value in queued.params.items())
        write_out(f"point {queued.position}: {shown}\n")
    write_out(
        f"{plural(len(waiting), 'point')} wait{'s' if len(waiting) == 1 else ''} in study {stored.name}\n"
    )
    if waiting:
        total = begun + len(waiting)
        more = f" --trials {total}" if begun >= stored.search.trials else ""
        command = f"hpsearch run {store.record.origin or stored.name}{more}{storage_words(storage)}"
        print(f"next: {command}", file=sys.stderr)


def _parsed(values: list[str]) -> dict[str, Any]:
    """The typed values by name; what is no TOML value is a string."""
    point: dict[str, Any] = {}
    for typed in values:
        name, equals, text = typed.partition("=")
        if not equals or not name:
            raise HpsearchError(f"hpsearch enqueue: expected {_EXAMPLE}; found {typed}")
        if name in point:
            raise HpsearchError(f"hpsearch enqueue: expected each name once; found {name} twice")
        try:
            point[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            point[name] = text
    return point
