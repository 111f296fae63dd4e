"""Lower layers know nothing of higher ones, siblings nothing of each other; few know the big libraries."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hpsearch"

MAY_IMPORT = {
    "cache": set(),
    "errors": set(),
    "records": set(),
    "seeds": set(),
    "study": set(),
    "data": {"study"},
    "search": {"study"},
    "train": {"study", "data"},
    "store": {"study"},
    "stats": set(),
    "report": {"study", "stats"},
    "engine": {"study", "data", "search", "train", "store", "stats", "report"},
    "cli": {"study", "data", "search", "train", "store", "stats", "report", "engine"},
}
EVERYWHERE = {"cache", "errors", "records", "seeds"}

OWNERS = {
    "torch": {"train", "engine", "cli", "search"},
    "sqlalchemy": {"store"},
    "pandas": {"data", "report", "engine"},
    "sklearn": {"data"},
    "matplotlib": {"report"},
    "PIL": {"data", "report"},
    "pydantic": {"study"},
    "optuna": {"search", "store", "study", "engine", "report"},
    "scipy": {"stats", "search", "train", "report"},
    "statsmodels": {"stats"},
    "scikit_posthocs": {"stats"},
    "vl_convert": {"report"},
    "plotext": {"report"},
    "onnx": {"engine"},
    "typer": {"cli"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    layer = layer_of(path)
    if layer in ("__init__", "__main__"):
        return
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "hpsearch" and len(parts) > 1:
            allowed = EVERYWHERE | MAY_IMPORT[layer] | {layer}
            assert parts[1] in allowed, f"{path.name} ({layer}) imports {module}"
        elif parts[0] in OWNERS:
            assert layer in OWNERS[parts[0]], f"{path.name} ({layer}) imports {module}"


def test_only_the_search_talks_to_optunas_samplers() -> None:
    talking = {layer_of(p) for p in FILES if any(m.startswith("optuna.samplers") for m in imports(p))}
    assert talking == {"search"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 700
