"""`hpsearch enqueue`: points that a study tries next."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from hpsearch.cli.common import (
    StorageOption,
    StudyArgument,
    storage_url,
    storage_words,
    write_out,
)
from hpsearch.errors import HpsearchError, plural

_EXAMPLE = "NAME=VALUE such as learning_rate=0.1"


def enqueue(
    study: StudyArgument,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=VALUE",
            help="Values of searched hyper-parameters; the sampler chooses the rest.",
            show_default=False,
        ),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Queue a point that a study tries next, even while it runs.

    Without values, show the queue.
    """
    from hpsearch import api

    points = [_parsed(values)] if values else []
    queue = api.enqueue(study, *points, storage=storage_url(storage))
    waiting = queue.waiting
    for queued in waiting[-1:] if values else waiting:
        shown = "  ".join(f"{name}={value}" for name, value in queued.params.items())
        write_out(f"point {queued.position}: {shown}\n")
    write_out(
        f"{plural(len(waiting), 'point')} wait{'s' if len(waiting) == 1 else ''} in study {queue.study}\n"
    )
    if waiting:
        more = f" --trials {queue.begun + len(waiting)}" if queue.begun >= queue.total else ""
        command = f"hpsearch run {queue.origin or queue.study}{more}{storage_words(storage)}"
        print(f"next: {command}", file=sys.stderr)


def _parsed(values: list[str]) -> dict[str, Any]:
    """The typed values by name; what is not TOML is a string."""
    from hpsearch.text import typed_value

    point: dict[str, Any] = {}
    for typed in values:
        name, equals, text = typed.partition("=")
        if not equals or not name:
            raise HpsearchError(f"hpsearch enqueue: expected {_EXAMPLE}; found {typed}")
        if name in point:
            raise HpsearchError(f"hpsearch enqueue: expected each name once; found {name} twice")
        point[name] = typed_value(text)
    return point
