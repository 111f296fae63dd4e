"""Ending processes at random; and the loop that does so to those that store, and checks what is left."""

from __future__ import annotations

import errno
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

from hpsearch.store import Database
from tests.faults import contract, made_up
from tests.faults.shim import Action, Control
from tests.faults.warm import Child, Warm
from tests.studies import assert_same, url

AT_A_MOMENT, BEFORE_A_WRITE, IN_A_WRITE = KILLS = (
    "killed at a moment",
    "killed before a write",
    "killed in a write",
)
DISK_FAILED = "refused by the disk"
BY_ITSELF = "ended by itself"

DISK_ERRORS = (errno.ENOSPC, errno.EIO)

SHARE = 0.06
"""Of a study, within which each process that writes it is ended."""


@dataclass(frozen=True)
class Whole:
    """A study's undisturbed run: the database, and what it took: seconds, and calls that change a file."""

    database: Path
    seconds: float
    calls: int


def undisturbed(database: Path, control: Control, start: Callable[[], Child]) -> Whole:
    """Let a process write a whole study; it is started with that control."""
    began = time.monotonic()
    before = control.calls
    child = start()
    assert child.wait() == 0, child.err
    return Whole(database, time.monotonic() - began, control.calls - before)


def disturb(
    child: Child, how: str, chance: random.Random, control: Control, whole: Whole, share: float = 1.0
) -> None:
    """End a process, which was started with that control, or let its disk fail.

    share: of what the undisturbed run took, within which it happens.
    """
    if how == AT_A_MOMENT:
        if child.running_after(chance.uniform(0, share * whole.seconds)):
            child.send(SIGKILL)
        return
    call = chance.randrange(1, int(share * whole.calls))
    if how == DISK_FAILED:
        control.strike(call, Action.FAIL, chance.choice(DISK_ERRORS), fails=chance.choice([1, 2, 10**6]))
    else:
        control.strike(call, Action.DIE if how == BEFORE_A_WRITE else Action.TEAR)


@dataclass
class Tally:
    """What a loop did. ends: how processes ended, and how often; failures: in words."""

    seed: int
    ends: Counter[str] = field(default_factory=Counter)
    studies: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(self.ends[how] for how in KILLS)

    def __str__(self) -> str:
        cases = self.kills + self.ends[DISK_FAILED]
        bound = "" if self.failures else f"; 95 % bound on the share of failures, 3/N: {3 / cases:.1e}"
        ends = ", ".join(f"{count:,} {how}" for how, count in sorted(self.ends.items()))
        found = f"{len(self.failures)} failures{bound}"
        return f"{cases:,} cases (seed {self.seed}) in {self.studies:,} studies, {found} ({ends})"


@dataclass
class KillLoop:
    """Studies that are written by processes which are killed at random, or whose disk fails.

    warm: has the store imported and the shim preloaded. whole: the same study, written at a stretch.
    bug: a mistake that the processes make (made_up.py).
    """

    warm: Warm
    control: Control
    folder: Path
    whole: Whole
    seed: int
    bug: str | None = None

    def run(self, kills: int) -> Tally:
        """Go on until so many were killed and a study is complete, or something is not as promised."""
        tally, chance = Tally(self.seed), random.Random(self.seed)
        while (tally.kills < kills or not tally.studies) and not tally.failures:
            self._study(tally, chance, kills)
            tally.studies += 1
        return tally

    def _study(self, tally: Tally, chance: random.Random, kills: int) -> None:
        folder = self.folder / f"{self.seed}-{tally.studies}"
        folder.mkdir()
        with Database.open(url(folder / "study.db"), create=True) as reader:
            while not tally.failures:
                how = BY_ITSELF if tally.kills >= kills else chance.choice((*KILLS, *KILLS, DISK_FAILED))
                code, complaint = self._process(folder, how, chance)
                tally.ends[how if code else BY_ITSELF] += 1
                found = self._found(folder, reader, code == 0)
                if code not in (0, made_up.REFUSED, -SIGKILL) or "Traceback" in complaint:
                    found.append(f"exit code {code}: {complaint}")
                tally.failures += [f"{folder.name}, {how}: {text}" for text in found]
                if code == 0:
                    break
        if not tally.failures:
            for path in folder.iterdir():
                path.unlink()

    def _process(self, folder: Path, how: str, chance: random.Random) -> tuple[int, str]:
        """One process that goes on with the study; its exit code, and what it said."""
        arguments = (folder / "study.db", folder / "told", self.bug)
        child = self.warm.start("tests.faults.made_up:live", *arguments, control=self.control.path)
        if how != BY_ITSELF:
            disturb(child, how, chance, self.control, self.whole, SHARE)
        code = child.wait()
        self.control.spare()
        return code, child.out + child.err

    def _found(self, folder: Path, reader: Database, complete: bool) -> list[str]:
        """What is not as promised."""
        database, told = folder / "study.db", contract.told(folder / "told")
        planned = made_up.TRIALS if complete else None
        found = contract.violations(database, made_up.NAME, told, planned, reader)
        return found or (_differences(self.whole.database, database) if complete else [])


def _differences(undisturbed: Path, database: Path) -> list[str]:
    """What a completed study has otherwise than the undisturbed one."""
    try:
        assert_same(undisturbed, database, made_up.NAME)
    except AssertionError as difference:
        return [f"not as undisturbed: {str(difference)[:300]}"]
    if contract.claimed(database):
        return ["it is still claimed"]
    expected, counted = (_seconds(path) for path in (undisturbed, database))
    return [] if counted == expected else [f"{counted} s instead of {expected} s are counted"]


def _seconds(path: Path) -> float:
    with Database.open(url(path)) as database:
        return database.study(made_up.NAME).record.seconds
