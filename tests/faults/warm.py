"""A process that has imported everything and forks others: a real process for milliseconds, not seconds.

What it starts runs in a process of its own, which may be killed like any other.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import resource
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

_PATIENCE = 120.0
"""Seconds after which a process that should have ended counts as hanging."""

_STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Limits:
    """In bytes. file: size of the largest that may be written. memory: what may be had on top."""

    file: int | None = None
    memory: int | None = None


class Child:
    """A process that was started; it stays known by its number until `wait` has returned its code."""

    def __init__(self, warm: Warm, pid: int, out: Path, err: Path) -> None:
        self.pid, self._warm, self._out, self._err = pid, warm, out, err
        self._ended = os.pidfd_open(pid)
        self.returncode: int | None = None

    def running_after(self, seconds: float) -> bool:
        """Whether it still runs after so long; returns as soon as it has ended."""
        return not select.select([self._ended], [], [], seconds)[0]

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = _PATIENCE) -> int:
        """Its exit code, or minus the number of the signal that ended it."""
        if self.returncode is None:
            if hangs := self.running_after(seconds):
                self.send(signal.SIGKILL)
                self.running_after(_PATIENCE)
            os.close(self._ended)
            self.returncode = os.waitstatus_to_exitcode(int(self._warm.ask({"reap": self.pid})))
            assert not hangs, f"still running after {seconds:.0f} s:\n{self.err}"
        return self.returncode

    @property
    def out(self) -> str:
        """What it has written to stdout."""
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")


class Warm:
    """The warm process; a context manager that ends it.

    modules: what it imports; with ".*", all modules of a package, and with ":function", what it calls, so
    that all that is loaded late is there. preload: a library that comes first.
    """

    def __init__(self, folder: Path, *modules: str, preload: Path | None = None) -> None:
        self._folder, self._started = folder, 0
        before = {} if preload is None else {"LD_PRELOAD": str(preload)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "COLUMNS": "120", **before},
        )
        assert self._read() == "ready"

    def __enter__(self) -> Warm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_PATIENCE)

    def start(
        self,
        function: str,
        *arguments: object,
        limits: Limits | None = None,
        control: Path | None = None,
    ) -> Child:
        """Call `module:function` with plain values in a new process.

        control: what the shim that was preloaded obeys (shim.py).
        """
        self._started += 1
        out, err = (self._folder / f"{self._started}.{name}" for name in ("out", "err"))
        for path in (out, err):
            path.touch()
        limits = limits or Limits()
        request = {
            "function": function,
            "arguments": [str(a) if isinstance(a, Path) else a for a in arguments],
            "out": str(out),
            "err": str(err),
            "file": limits.file,
            "memory": limits.memory,
            "control": None if control is None else str(control),
        }
        return Child(self, int(self.ask(request)), out, err)

    def hpsearch(self, *words: object, limits: Limits | None = None, control: Path | None = None) -> Child:
        """Start the command line."""
        call = "tests.faults.warm:command_line"
        return self.start(call, list(map(str, words)), limits=limits, control=control)

    def ask(self, request: Mapping[str, Any]) -> str:
        """Send a request to the warm process; returns its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        assert answer, "the warm process has ended; its complaint is above"
        return answer


def command_line(words: list[str]) -> NoReturn:
    """What the script `hpsearch` does."""
    from hpsearch.cli.app import main

    sys.argv = ["hpsearch", *words]
    main()


def _serve(modules: list[str]) -> None:
    """Import the modules, then do what the lines of stdin say until it is closed; nobody outlives that."""
    for module in modules:
        _import(module)
    gc.freeze()  # what is never collected is never copied, either
    requests, answers = os.dup(0), os.fdopen(os.dup(1), "w")
    print("ready", file=answers, flush=True)
    children: set[int] = set()
    for line in os.fdopen(requests, closefd=False):
        request = json.loads(line)
        if "reap" in request:
            answer = os.waitpid(request["reap"], 0)[1]
            children.remove(request["reap"])
        else:
            answer = _fork()
            if answer == 0:
                os.close(requests)
                os.close(answers.fileno())
                _become(request)
            children.add(answer)
        print(answer, file=answers, flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)


def _import(module: str) -> None:
    path, _, function = module.partition(":")
    name, star, _ = path.partition(".*")
    package = importlib.import_module(name)
    if function:
        getattr(package, function)()
    if star:
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)


def _fork() -> int:
    """The child's number, 0 in the child: no signal reaches it before it is what it should be."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    if pid := os.fork():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    return pid


def _receive_signals() -> None:
    """A signal that came before there was anything to stop ends the process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _become(request: dict[str, Any]) -> NoReturn:
    """Be the process that was asked for."""
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["out"], os.O_WRONLY),
        (2, request["err"], os.O_WRONLY),
    ):
        os.dup2(os.open(path, flags), number)
    if request["control"]:
        assert ctypes.CDLL(None).hpsearch_shim(request["control"].encode()) == 0
    if request["file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file"], resource.RLIM_INFINITY))
    if request["memory"]:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + request["memory"], resource.RLIM_INFINITY))
    code = 1
    try:
        module, function = request["function"].split(":")
        call = getattr(importlib.import_module(module), function)
        _receive_signals()
        call(*request["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1:])
