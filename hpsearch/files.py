"""Writing files that are whole or not there."""

from __future__ import annotations

import os
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
        beside = path.with_name(f".{path.name}.{os.getpid()}")
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
