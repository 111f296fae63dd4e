"""What may be typed next at the command line: studies, trials, columns. Nothing here trains or writes."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from glob import escape, glob
from pathlib import Path

from hpsearch.defaults import DEFAULT_STORAGE

Candidate = tuple[str, str]
"""What may be typed, and what it is."""

_SEPARATORS = ",;\t|"
_WORDS = {"COMPLETE": "complete", "PRUNED": "stopped early", "FAILED": "diverged", "RUNNING": "unfinished"}


def studies(storage: str | None) -> Iterator[Candidate]:
    """Studies that are stored, by name."""
    from hpsearch.store import quick

    yield from ((name, "a stored study") for name in quick.study_names(storage or DEFAULT_STORAGE))


def shipped_studies() -> Iterator[Candidate]:
    """Studies that come with hpsearch, by name."""
    from hpsearch.running.shipped import shipped_names

    yield from ((name, "comes with hpsearch") for name in shipped_names())


def study_files(incomplete: str) -> Iterator[Candidate]:
    """Study files in the folder that is being typed, and in the folders there."""
    folder = os.path.dirname(incomplete)
    for pattern in ("*.toml", os.path.join("*", "*.toml")):
        for path in sorted(glob(os.path.join(escape(folder), pattern))):
            yield path, "a study file"


def trials(storage: str | None, study: str) -> Iterator[Candidate]:
    """Numbers of a stored study's trials, by its name or its file."""
    from hpsearch.store import quick

    found = quick.trial_states(storage or DEFAULT_STORAGE, _name(study))
    for number, state, epochs, value in found:
        shown = "" if value is None else f", {float(value):.4g}"
        yield str(number), f"{_WORDS.get(state.upper(), state)} after {epochs} epochs{shown}"


def _name(study: str) -> str:
    """The name of the study that is meant."""
    if not study.endswith(".toml"):
        return study
    import tomllib

    written = tomllib.loads(Path(study).read_text(encoding="utf-8"))
    name: str = written.get("study", {}).get("name") or Path(study).stem
    return name


def columns(source: str) -> Iterator[Candidate]:
    """Columns of a table: a text file's by its header alone, a Parquet file's by its schema."""
    path = Path(source)
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        names = pq.read_schema(path).names
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(line for line in file if line.strip())
        names = next(csv.reader([header], delimiter=max(_SEPARATORS, key=header.count)))
    yield from ((name.strip(), f"a column of {path.name}") for name in names if name.strip())
