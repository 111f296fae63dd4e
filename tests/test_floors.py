"""The floors of the house: lower rooms know nothing of higher ones, and no modules import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hpsearch

ROOT = Path(hpsearch.__file__).parent

FLOORS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("extras",),
    ("api",),
    ("stored",),
    ("result",),
    ("reporting",),
    ("model",),
    ("retrain",),
    ("running",),
    ("results",),
    ("search", "train", "store"),
    ("data",),
    ("study",),
    ("stats",),
    ("text",),
    ("records", "seeds", "cache", "defaults", "errors", "files", "telling"),
)
"""From the roof down. A room may import lower floors; rooms of one floor do not know each other."""

PLAIN = ("records", "seeds", "cache", "defaults", "errors", "files", "telling", "text")
"""Modules of plain values, which may use each other."""


def rooms() -> list[str]:
    """Folders and modules of the package, without its front door `__init__`."""
    found = [path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    return sorted(set(found) - {"__init__"})


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of each import anywhere in a file, those for type checkers and inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            inner = [f"{module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if is_module(name)]
            yield from ((node.lineno, name) for name in modules)
            if len(modules) < len(inner):
                yield node.lineno, module


def is_module(name: str) -> bool:
    """Whether a dotted name is a module or package of hpsearch, and no function or class in one."""
    path = ROOT.parent.joinpath(*name.split("."))
    return name.startswith("hpsearch.") and (path.with_suffix(".py").exists() or path.is_dir())


def files_of(room: str) -> list[Path]:
    folder = ROOT / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def floor_of(room: str) -> int:
    return next(at for at, floor in enumerate(FLOORS) if room in floor)


def test_every_room_has_a_floor() -> None:
    assert set(rooms()) == {room for floor in FLOORS for room in floor}


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_lower_floors_alone(room: str) -> None:
    wrong = []
    for path in files_of(room):
        for line, module in imports(path):
            parts = module.split(".")
            if parts[0] != "hpsearch" or len(parts) == 1:
                continue
            other = parts[1]
            if other == room or other not in rooms() or (room in PLAIN and other in PLAIN):
                continue
            if floor_of(other) <= floor_of(room):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {
        ".".join(("hpsearch", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in ROOT.rglob("*.py")
    }
    arrows = {
        name: {module for _, module in imports(path) if module in modules and module != name}
        for name, path in modules.items()
        if name != "hpsearch"
    }
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail[trail.index(name) :], name))
        if name in done or name not in arrows:
            return
        for other in sorted(arrows[name]):
            walk(other, (*trail, name))
        done.add(name)

    for name in sorted(arrows):
        walk(name, ())


OWNERS = {
    "torch": {"train", "search", "reporting", "extras", "model"},
    "sqlalchemy": {"store"},
    "pandas": {"data", "results", "reporting", "model", "extras", "api", "result"},
    "sklearn": {"data", "train"},
    "matplotlib": {"reporting", "extras"},
    "PIL": {"data", "reporting"},
    "pydantic": {"study", "model", "cli", "store"},
    "optuna": {"search", "store", "study", "running", "extras"},
    "scipy": {"stats", "search", "train", "results", "extras", "data"},
    "statsmodels": {"stats"},
    "scikit_posthocs": {"stats"},
    "vl_convert": {"reporting"},
    "plotext": {"extras"},
    "tensorboard": {"extras"},
    "onnx": {"model"},
    "typer": {"cli"},
}
"""The rooms that know a big library."""

MOST_LINES = 700


@pytest.mark.parametrize("room", rooms())
def test_few_rooms_know_a_big_library(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files_of(room)
        for line, module in imports(path)
        if room not in OWNERS.get(module.split(".")[0], {room})
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_search_talks_to_optunas_samplers() -> None:
    talking = {
        path.relative_to(ROOT).parts[0]
        for path in ROOT.rglob("*.py")
        if any(module.startswith("optuna.samplers") for _, module in imports(path))
    }
    assert talking == {"search"}


SKIN = {
    "cli", "api", "stored", "extras", "reporting", "records", "errors", "text", "defaults", "files",
    "study.schema",  # reads `--time`, as study files write durations
}  # fmt: skip
"""What commands may import of hpsearch: what does the work, and what prints."""


def test_commands_parse_call_and_print() -> None:
    """No command reaches below `api` and `stored`; what is only the type of a value does not count."""
    wrong = []
    for path in files_of("cli"):
        typed = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                typed.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        for line, module in imports(path):
            inner = module.removeprefix("hpsearch.")
            if module != inner and line not in typed and not {inner, inner.partition(".")[0]} & SKIN:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_the_core_imports_no_extra() -> None:
    core = [room for room in rooms() if room not in ("cli", "extras")]
    using = [
        path
        for room in core
        for path in files_of(room)
        if any(m.startswith("hpsearch.extras") for _, m in imports(path))
    ]
    assert not using


def test_files_stay_readable() -> None:
    long = [
        p.name for p in ROOT.rglob("*.py") if len(p.read_text(encoding="utf-8").splitlines()) > MOST_LINES
    ]
    assert not long
