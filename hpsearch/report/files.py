"""Writing files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hpsearch.errors import HpsearchError


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files, each of them whole or not at all.

    Raises:
        HpsearchError: a file cannot be written.
    """
    for path, content in contents.items():
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(content)
            os.replace(beside, path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise HpsearchError(
                f"{path}: cannot be written: {error.strerror}. Choose another place with --out"
            ) from None
