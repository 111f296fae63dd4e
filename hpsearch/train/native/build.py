"""Compiling `tile.c` for this processor, once, and loading it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from hpsearch import cache
from hpsearch.train.native.interface import LaneStruct, PartStruct, PlanStruct, header, interface_hash

_FOLDER = Path(__file__).parent
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-std=gnu11")
_VARIABLE = "HPSEARCH_KERNEL"


class Kernel:
    """The compiled functions of tile.c. They run without Python's lock.

    Raises:
        OSError: the library cannot be loaded, or has different structs or enums.
        AttributeError: it lacks a function.
    """

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.interface.restype = ctypes.c_uint32
        if self._library.interface() != interface_hash():
            raise OSError(f"{library.name} was compiled with different structs or enums")
        self.train_tile = self._library.train_tile
        self.train_tile.restype = ctypes.c_int32
        self.train_tile.argtypes = [
            ctypes.POINTER(LaneStruct),
            ctypes.c_int32,
            ctypes.POINTER(PartStruct),
            ctypes.POINTER(PartStruct),
            ctypes.POINTER(PlanStruct),
        ]
        self.vector_width = int(self._library.vector_width())


def source_hash() -> str:
    """Hash of the C sources with their interface: other sources may give other last bits."""
    return hashlib.sha256(_sources()).hexdigest()


def _sources() -> bytes:
    return b"\0".join([header().encode(), *(file.read_bytes() for file in sorted(_FOLDER.glob("*.[ch]")))])


def load_kernel() -> Kernel | None:
    """The kernel, compiled unless cached; None if that is impossible.

    HPSEARCH_KERNEL=off disables it. The user's cache folder keeps the library by a hash of source, flags,
    compiler and processor, so that one built for another machine is never loaded.
    """
    return _kernel_or_reason()[0]


def missing_kernel() -> str | None:
    """Why there is no kernel, or None if there is one."""
    return _kernel_or_reason()[1]


@lru_cache(maxsize=1)
def _kernel_or_reason() -> tuple[Kernel | None, str | None]:
    if os.environ.get(_VARIABLE, "").lower() in ("off", "0", "no"):
        return None, f"{_VARIABLE}=off"
    compiler = find_compiler()
    if compiler is None:
        return None, "no C compiler (cc) found"
    try:
        return _loaded(compiler), None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        # For an error in a header, the lines before it only name the including file.
        return None, f"{compiler} failed: {next((line for line in said if 'error:' in line), said[0])}"
    except (OSError, subprocess.SubprocessError, AttributeError) as error:
        return None, f"{compiler}: {error}"


def find_compiler() -> str | None:
    """$CC, cc or gcc, as a path."""
    return shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")


def compile_kernel(compiler: str, library: Path, *flags: str) -> None:
    """Compile `tile.c` to a shared library, with extra `flags`; writes interface.h beside it.

    Raises:
        subprocess.SubprocessError, OSError: it failed; `stderr` has the compiler's output.
    """
    (library.parent / "interface.h").write_text(header(), encoding="utf-8")
    found = [f"-I{library.parent}", f"-DINTERFACE={interface_hash()}u"]
    command = [compiler, *_FLAGS, *found, *flags, str(_FOLDER / "tile.c"), "-o", str(library), "-lm"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def _loaded(compiler: str) -> Kernel:
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=20).stdout
    identity = b"\0".join([_sources(), " ".join(_FLAGS).encode(), version, _processor_flags().encode()])
    name = f"tile-{hashlib.sha256(identity).hexdigest()[:24]}.so"
    kept = cache.cache_folder()
    if kept is not None and (kept / name).exists():
        try:
            return Kernel(kept / name)
        except (OSError, AttributeError):  # damaged: rebuilt below
            pass
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / name
        compile_kernel(compiler, made)
        kernel = Kernel(made)  # stays loaded when the file is gone
        if kept is not None:
            cache.put(kept, name, lambda path: shutil.copyfile(made, path))
    return kernel


def _processor_flags() -> str:
    """What `-march=native` depends on."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return "".join(sorted({line for line in lines if line.startswith(("flags", "model name"))}))
    except OSError:
        return platform.processor() + platform.machine()
