"""`hpsearch init`: a commented study file to begin with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from hpsearch.errors import HpsearchError


def init(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME|DATA]",
            help="Name of the study; NAME.toml is written. Or the data to study: a file, a folder of "
            "pictures or a built-in name.",
        ),
    ] = "study",
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Tables: the column to predict.", show_default=False)
    ] = None,
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
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented study file: a template, or for DATA."""
    if _is_data(name):
        path = out or Path(f"{_stem(name)}.toml")
        text = _suited(name, target, task, path)
    elif target is not None or task is not None:
        raise HpsearchError(f'--target and --task are for data; there is no file, folder or source "{name}"')
    else:
        path = out or Path(name if name.endswith(".toml") else f"{name}.toml")
        from hpsearch.study.starter import template

        text = template(str(path), path.stem)
    _write(path, text, force)
    typer.echo(f"wrote {path}", err=True)
    typer.echo(f"next: {'look at it' if _is_data(name) else 'edit it'}, then  hpsearch run {path}", err=True)


def _is_data(name: str) -> bool:
    if os.path.exists(name) and not name.endswith(".toml"):
        return True
    if not name.replace("_", "").isalpha() or name == "study":
        return bool(os.path.dirname(name)) and not name.endswith(".toml")
    from hpsearch.data.builtin import BUILT_IN

    return name in BUILT_IN


def _stem(name: str) -> str:
    """The study's name: the data's, without suffixes."""
    from hpsearch.study.file import name_from

    return name_from(Path(os.path.abspath(name)).name.split(".")[0])


def _suited(source: str, target: str | None, task: str | None, path: Path) -> str:
    """A study of the data at `source`, which are read for it."""
    from hpsearch.cli.common import make_console
    from hpsearch.cli.reading import reading
    from hpsearch.data import load_dataset
    from hpsearch.errors import Complaint, nearest
    from hpsearch.records import Task
    from hpsearch.running.first_study import study_text
    from hpsearch.study.schema import DataSection

    def complain(key: tuple[str, ...], text: str) -> Complaint:
        asked = f"--{key[-1]}" if key[-1] in ("target", "task") else key[-1]
        return Complaint(f"hpsearch init {source}", asked, text)

    tasks = [str(known) for known in Task]
    if task is not None and task not in tasks:
        near = nearest(task, tasks)
        raise HpsearchError(f'--task: expected one of {", ".join(tasks)}; found "{task}"{near}')
    data = DataSection.model_validate({"source": source, "target": target, "task": task})
    with reading(make_console(sys.stderr)) as progress:
        dataset = load_dataset(data, 0, None, complain, progress)
    shown = source
    if os.path.exists(source) and not os.path.isabs(source):
        shown = Path(os.path.relpath(source, path.parent)).as_posix()
    return study_text(dataset, shown, target, task, path.stem)


def _write(path: Path, text: str, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise HpsearchError(f"{path}: exists already; choose another name, or --force to overwrite") from None
    except OSError as error:
        raise HpsearchError(f"{path}: cannot be written: {error.strerror}") from None
