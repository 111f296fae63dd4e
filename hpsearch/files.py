"""Writing files that are whole or not there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hpsearch.errors import HpsearchError


def write_files(contents: Mapping[Path, bytes], option: str = "--out", parents: bool = False) -> None:
    """Write files, each of them whole or not at all.

    Args:
        option: that says where, for the message. parents: make the folders of the files, too.

    Raises:
        HpsearchError: a file cannot be written.
    """
    for path, content in contents.items():
        if not path.name or os.path.isdir(path):
            raise HpsearchError(
                f"{path}: expected a file to write; found a folder. Name another with {option}"
            )
        beside = unfinished(path)
        try:
            if parents:
                path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(content)
            os.replace(beside, path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise HpsearchError(
                f"{path}: cannot be written: {error.strerror}. Choose another place with {option}"
            ) from None


def unfinished(path: Path) -> Path:
    """Where this process writes a file before it is whole: beside it, hidden, named after the process.

    Removes what killed processes have left there.
    """
    import psutil

    named = re.compile(re.escape(f".{path.name}.") + r"(\d{1,9})(-journal|-wal|-shm)?")
    with suppress(OSError):
        left = [(entry.path, named.fullmatch(entry.name)) for entry in os.scandir(path.parent)]
        for place, match in left:
            if match and not psutil.pid_exists(int(match.group(1))):
                with suppress(OSError):
                    os.unlink(place)
    return path.with_name(f".{path.name}.{os.getpid()}")
