"""The user's cache folder: compiled kernels and prepared data, each by the hash of what it was made from."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path | None:
    """The user's own folder, or None where it cannot be made or all others may write to it."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpsearch"
        folder.mkdir(parents=True, exist_ok=True)
        return None if folder.stat().st_mode & stat.S_IWOTH else folder
    except (OSError, RuntimeError):  # no home
        return None


def put(folder: Path, name: str, write: Callable[[Path], object]) -> None:
    """Let `write` make the file `name`, whole or not at all: another process may look at any moment.

    A cache that cannot be written is done without.
    """
    beside = folder / f".{os.getpid()}-{name}"
    try:
        write(beside)
        os.replace(beside, folder / name)
    except OSError:
        with suppress(OSError):
            beside.unlink()


def prune(folder: Path, pattern: str, kept: int, most_bytes: int) -> None:
    """Remove files of a pattern, but for those used last: `kept` at most, of `most_bytes` together."""
    found = []
    for path in folder.glob(pattern):
        with suppress(OSError):  # removed by another process
            about = path.stat()
            found.append((about.st_mtime, path, about.st_size))
    total = 0
    for place, (_, path, size) in enumerate(sorted(found, reverse=True)):
        total += size
        if place >= kept or total > most_bytes:
            with suppress(OSError):
                path.unlink()
