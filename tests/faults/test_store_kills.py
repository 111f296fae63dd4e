"""Processes that store are killed and their disks fail, thousands of times: nothing lost, nothing doubled."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults import contract, made_up
from tests.faults.kills import KillLoop, undisturbed
from tests.faults.shim import Control
from tests.faults.warm import Warm

KILLS = int(os.environ.get("HPSEARCH_KILLS", "2000"))
SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_ends_it_what_was_told_is_stored_and_the_end_is_the_same(
    storing: Warm, control: Control, in_memory: Path, seed: int, tell: Callable[[object], None]
) -> None:
    database, journal = in_memory / "whole.db", in_memory / "told"
    live = partial(storing.start, "tests.faults.made_up:live", database, journal, control=control.path)
    whole = undisturbed(database, control, live)
    assert contract.violations(database, made_up.NAME, contract.told(journal), made_up.TRIALS) == []
    tally = KillLoop(storing, control, in_memory, whole, seed).run(-(-KILLS // len(SEEDS)))
    tell(tally)
    assert not tally.failures
