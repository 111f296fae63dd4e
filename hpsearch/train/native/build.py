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
from typing import ClassVar

from hpsearch import cache

_FOLDER = Path(__file__).parent
_SOURCES = ("tile.c", "vector.h", "batch.h", "product.h", "judge.h", "activate.h", "net.h")
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-std=gnu11")
_VARIABLE = "HPSEARCH_KERNEL"


class LaneStruct(ctypes.Structure):
    """`Lane` of tile.c."""

    _fields_: ClassVar = [
        ("layers", ctypes.c_int32),
        ("units", ctypes.c_void_p),
        ("activation", ctypes.c_int32),
        ("biases", ctypes.c_int32),
        ("optimizer", ctypes.c_int32),
        ("nesterov", ctypes.c_int32),
        ("slope", ctypes.c_float),
        ("learning_rate", ctypes.c_float),
        ("momentum", ctypes.c_float),
        ("weight_decay", ctypes.c_float),
        ("beta2", ctypes.c_float),
        ("epsilon", ctypes.c_float),
        ("sizes", ctypes.c_void_p),
        ("parameters", ctypes.c_void_p),
        ("velocity", ctypes.c_void_p),
        ("second", ctypes.c_void_p),
        ("curve", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
        ("done", ctypes.c_int32),
        ("evaluating", ctypes.c_double),
    ]


class PartStruct(ctypes.Structure):
    """`Part` of batch.h."""

    _fields_: ClassVar = [
        ("rows", ctypes.c_int64),
        ("x", ctypes.c_void_p),
        ("class", ctypes.c_void_p),
        ("target", ctypes.c_void_p),
    ]


class PlanStruct(ctypes.Structure):
    """`Plan` of tile.c."""

    _fields_: ClassVar = [
        ("loss", ctypes.c_int32),
        ("metric", ctypes.c_int32),
        ("representation", ctypes.c_int32),
        ("keep_last", ctypes.c_int32),
        ("batch", ctypes.c_int64),
        ("epochs", ctypes.c_int32),
        ("orders", ctypes.c_void_p),
    ]


class Kernel:
    """The compiled functions of tile.c. They run without Python's lock."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
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
    """Of the C sources: kernels of other sources may give other last bits."""
    return hashlib.sha256(b"\0".join((_FOLDER / name).read_bytes() for name in _SOURCES)).hexdigest()


def load_kernel() -> Kernel | None:
    """The kernel, compiled if it is not in the cache yet; None where that cannot be done.

    HPSEARCH_KERNEL=off does without it. The library is kept in the user's cache folder by the hash of
    source, flags, compiler and processor, so that none is ever loaded that was made for another machine.
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
        return None, "no C compiler (cc) was found"
    try:
        return _loaded(compiler), None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        return None, f"{compiler} failed: {said[0]}"
    except (OSError, subprocess.SubprocessError, AttributeError) as error:
        return None, f"{compiler}: {error}"


def find_compiler() -> str | None:
    """$CC, cc or gcc, as a path."""
    return shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")


def compile_kernel(compiler: str, library: Path, *flags: str) -> None:
    """Compile `tile.c` to a shared library, with `flags` besides the usual ones.

    Raises:
        subprocess.SubprocessError, OSError: that failed; what the compiler said is in `stderr`.
    """
    command = [compiler, *_FLAGS, *flags, str(_FOLDER / _SOURCES[0]), "-o", str(library), "-lm"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def _loaded(compiler: str) -> Kernel:
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=20).stdout
    sources = [(_FOLDER / name).read_bytes() for name in _SOURCES]
    identity = b"\0".join([*sources, " ".join(_FLAGS).encode(), version, _processor_flags().encode()])
    name = f"tile-{hashlib.sha256(identity).hexdigest()[:24]}.so"
    kept = cache.cache_folder()
    if kept is not None and (kept / name).exists():
        try:
            return Kernel(kept / name)
        except (OSError, AttributeError):  # damaged: made anew below
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
