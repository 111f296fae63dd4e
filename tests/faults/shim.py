"""Control of shim.c: what becomes of a process's writes, and what its clock says."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from enum import IntEnum
from pathlib import Path
from types import TracebackType

SOURCE = Path(__file__).with_name("shim.c")
_FIELDS = ("calls", "at", "action", "error", "fails", "delay", "shift")


class Action(IntEnum):
    """What happens at a chosen call."""

    DIE = 1
    TEAR = 2
    FAIL = 3


def missing() -> str | None:
    """Why there is no shim on this machine, if so."""
    return None if shutil.which("cc") else "needs a C compiler (cc) for tests/faults/shim.c"


def build(folder: Path) -> Path:
    """Compile the shim; returns the library."""
    library = folder / "shim.so"
    words = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", library, SOURCE, "-ldl"]
    subprocess.run(words, check=True)
    return library


class Control:
    """What the processes that were started with this file obey, from now on; a context manager.

    Properties of the same names as in shim.c's `struct control`: delay in microseconds, shift in seconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(8 * len(_FIELDS)))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 0)

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._page.close()

    @property
    def calls(self) -> int:
        """Writes, syncs and so on so far, of all processes together."""
        return int(struct.unpack_from("<q", self._page)[0])

    def strike(self, call: int, action: Action, error: int = 0, fails: int = 1) -> None:
        """At the `call`-th call from now: end the process, or let so many calls fail with this errno."""
        self._set(at=0)
        self._set(action=action, error=error, fails=fails, at=self.calls + call)

    def spare(self) -> None:
        """Let all calls pass from now on."""
        self._set(at=0)

    def delay(self, seconds: float) -> None:
        """Let each call take so much longer."""
        self._set(delay=round(seconds * 1e6))

    def shift(self, seconds: int) -> None:
        """Set the wall clock so much ahead of the machine's."""
        self._set(shift=seconds)

    def _set(self, **fields: int) -> None:
        for name, value in fields.items():
            struct.pack_into("<q", self._page, 8 * _FIELDS.index(name), value)
