"""docs/architecture.md is the floor plan: it names the rooms that there are, on the floors that they have."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_floors import FLOORS, ROOT

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")
DECISIONS = (DOCS / "decisions.md").read_text(encoding="utf-8")


def test_the_floor_plan_names_every_room_on_its_floor() -> None:
    told: dict[int, set[str]] = {}
    for floor, names in re.findall(r"^\| (\d+) \| (.+?) \|", PAGE, re.MULTILINE):
        told.setdefault(int(floor), set()).update(re.findall(r"`(\w+)/?`", names))
    real = [set(floor) for floor in reversed(FLOORS) if floor != ("__main__",)]
    assert [told[floor] for floor in sorted(told)] == real


def test_the_files_it_sends_people_to_are_there() -> None:
    for name in re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", PAGE):
        assert (ROOT / name).is_file() or (ROOT.parent / name).is_file(), name


def test_decisions_have_an_index_and_each_stands_there_once() -> None:
    heads = re.findall(r"^## (.+)$", DECISIONS, re.MULTILINE)
    assert len(heads) == len(set(heads))
    assert re.findall(r"^- \[(.+)\]\(#", DECISIONS, re.MULTILINE) == heads


def test_decisions_name_files_that_are_there() -> None:
    for name in re.findall(r"`?([a-z_]+/[a-z_/]+\.(?:py|c|h|md))`?", DECISIONS):
        assert any((place / name).is_file() for place in (ROOT, ROOT.parent)), name
