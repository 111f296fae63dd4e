"""What a run's numbers depend on: the study's settings, its data, and the process that trains it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import optuna

import hpsearch
from hpsearch.data import Dataset
from hpsearch.running.machine import Machine
from hpsearch.study.file import FIXED, Study
from hpsearch.train import engine_name
from hpsearch.train.device import torch_device

_MAY_CHANGE = (
    "search.trials",
    "search.time_limit",
    "search.epoch_limit",
    "search.give_up",
    "compare",
    "study.baselines",
)
"""Settings of how far a study goes and what it reports; any other change makes trials incomparable."""


def may_change(key: str) -> bool:
    """Whether a setting may differ between two runs of a study; key: such as "search.trials"."""
    return any(key == allowed or key.startswith(f"{allowed}.") for allowed in _MAY_CHANGE)


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as it reads back from JSON, where a tuple is a list."""
    read: dict[str, Any] = json.loads(json.dumps(document))
    return read


def settings(study: Study) -> dict[str, Any]:
    """Every key of the study, to be compared with another's: also what its document leaves out."""
    document = plain(study.document())
    threshold = study.train.threshold if study.chooses_threshold else FIXED
    return {**document, "train": {**document["train"], "score": study.train.score, "threshold": threshold}}


def changes(stored: Any, written: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of each difference between two documents."""
    if isinstance(stored, dict) and isinstance(written, dict):
        for name in [*stored, *(name for name in written if name not in stored)]:
            yield from changes(stored.get(name), written.get(name), _below(key, name))
    elif stored != written:
        yield key, f"{key}: stored {json.dumps(stored)}, now {json.dumps(written)}"


def deciding(document: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """The settings that may not change, without empty ones, of which a newer hpsearch has more."""
    kept = {}
    for name, value in document.items():
        inner = _below(key, name)
        if may_change(inner):
            continue
        value = deciding(value, inner) if isinstance(value, dict) else value
        if value not in (None, {}, []):
            kept[name] = value
    return kept


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


DECIDES_BITS = (
    "split",
    "engine",
    "device",
    "dtype",
    "processor",
    "capability",
    "code",
    "torch",
    "numpy",
    "optuna",
    "sklearn",
)
"""Fields on which the numbers of trials, or the choice of the trials, depend."""

_PACKAGE = Path(hpsearch.__file__).parent
_CODE = ("records.py", "seeds.py", "study", "data", "search", "train", "running", "retrain")
"""The code that makes numbers; the rest stores and shows them."""

_HASH = 16
"""Hexadecimal digits of the hashes that are made here."""


def run_provenance(study: Study, dataset: Dataset, machine: Machine) -> dict[str, Any]:
    """Everything that the numbers of a run depend on, as JSON-able values: what each run is stored with.

    study: hash of all settings but those that may change between two runs. data: sha256 of the source's
    content. split: hash of the prepared rows of the three splits in their order, which also tells whether a
    library prepares them differently. The rest is `provenance`.
    """
    return {
        "study": study_hash(study),
        "data": dataset.hash,
        "split": split_hash(dataset),
        "seed": study.seed,
        **provenance(machine),
        "dtype": str(dataset.train.x.dtype),
    }


def provenance(machine: Machine) -> dict[str, Any]:
    """Versions, processor, device and threads of this process, as JSON-able values.

    code: hash of the modules that numbers come from. commit: of the git checkout that hpsearch runs from, if
    it does. capability: the vector instructions that torch uses.
    """
    device, engine = machine.device, engine_name(machine.device)
    return {
        "hpsearch": hpsearch.__version__,
        "code": code_hash(),
        **({"commit": commit} if (commit := checkout_commit(_PACKAGE.parent)) else {}),
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "numpy": np.__version__,
        "optuna": optuna.__version__,
        "sklearn": metadata.version("scikit-learn"),
        "sqlite": sqlite3.sqlite_version,
        **_processor(),
        **(torch_device(device) if engine == "torch" else {"device": device}),
        "engine": engine,
        "workers": machine.workers,
        "platform": platform.platform(terse=True),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields whose values differ, with both; one that only one side has says nothing."""
    return {
        key: (value, now[key])
        for key, value in before.items()
        if key in now and json.dumps(value) != json.dumps(now[key])
    }


def study_hash(study: Study) -> str:
    """Of the settings that must stay as they are, and the seed; another name is the same study."""
    deciders = deciding(study.document())
    deciders["study"] = {"seed": study.seed}
    return _hash(json.dumps(deciders, sort_keys=True).encode())


def split_hash(dataset: Dataset) -> str:
    """Of the rows of the splits and their order, bit for bit."""
    digest = hashlib.sha256()
    for part in (dataset.train, dataset.valid, dataset.test):
        for array in (part.x, part.y):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:_HASH]


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Of the modules that numbers come from, so that changes between two commits count, too."""
    digest = hashlib.sha256()
    for name in _CODE:
        place = _PACKAGE / name
        for path in sorted(place.rglob("*.[pch]*")) if place.is_dir() else [place]:
            if path.suffix in (".py", ".c", ".h"):
                digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:_HASH]


def checkout_commit(folder: Path) -> str | None:
    """The commit that a git checkout stands at; None where the folder is not the root of one."""
    try:
        git = folder / ".git"
        if git.is_file():  # of a further work tree
            git = folder / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        common = git / "commondir"
        shared = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
        with suppress(FileNotFoundError):
            return (shared / name).read_text(encoding="utf-8").strip()
        packed = (shared / "packed-refs").read_text(encoding="utf-8").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)
    except (OSError, UnicodeDecodeError):
        return None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_HASH]


def _processor() -> dict[str, str]:
    """The processor's name and, where it says what it can, the vector instructions that torch will use."""
    known: dict[str, str] = {}
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            key, _, value = line.partition(":")
            known.setdefault(key.strip(), value.strip())
    found = {"processor": known.get("model name") or platform.processor() or platform.machine()}
    return found | ({"capability": _capability(set(known["flags"].split()))} if "flags" in known else {})


def _capability(flags: set[str]) -> str:
    """As torch names and chooses it, whose import takes a second."""
    asked = os.environ.get("ATEN_CPU_CAPABILITY", "").upper()
    wide = {"avx512vl", "avx512bw", "avx512dq", "avx512f", "fma"} <= flags
    narrow = {"avx2", "fma"} <= flags
    if asked in ("DEFAULT", "AVX2", "AVX512"):
        return asked
    return "AVX512" if wide else "AVX2" if narrow else "DEFAULT"
