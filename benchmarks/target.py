"""How long hpsearch takes to what the best of its peers has found after a minute."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from pathlib import Path
from statistics import mean, median, stdev

from benchmarks.confirm import FRESH, confirm
from benchmarks.digits import ROOT, STUDY
from benchmarks.measure import Part, Row, Series, versus
from benchmarks.peers import launch
from benchmarks.peers.launch import PEERS, SECONDS, Found, Peer, PeerError
from hpsearch.records import Params, State
from hpsearch.store import Database

SEEDS = range(5)

LEAST = SECONDS / 10
"""Seconds that hpsearch searches at least, so that its winner is that of a tenth of the time."""

GOAL = 10

HOW = f"""\
The target of a seed is the best validation accuracy that a peer has seen in any epoch of any trial within
{SECONDS:.0f} s. All peers search at seed 0; the best of them is the rival, and searches at the other seeds,
too. A seed is the study's: it divides the data as well. hpsearch runs through its Python API in a process
of its own; whenever it tells of its progress, the best value among all stored trials, complete or not, is
read from the database, and so is the clock, which began with the process. It ends once it has the target,
but not before {LEAST:.0f} s. Data are prepared before anybody's clock begins. All peers train with
`benchmarks/solo.py`, tensors in memory, one thread a process. Ray keeps its actors from trial to trial,
which is not its default and spares it an import of torch a trial; SMAC trains a configuration from fresh
weights at each budget, as it does.

The winners (hpsearch's when it ended, the rival's after {SECONDS:.0f} s) are trained with {FRESH} fresh
seeds each; the validation set chooses the epoch, and the test set, which no search has seen, is scored
once, at that epoch. The difference is given with its standard error over the {len(SEEDS)} searches.
"""


@dataclass(frozen=True)
class Ours:
    """What hpsearch did: when it had the target (infinity: never), when it ended, and what it had then."""

    reached: float
    ended: float
    series: Series
    params: Params

    @property
    def best(self) -> float:
        return self.series[-1][1]


def ours(seed: int, accuracy: float) -> Ours:
    """Let hpsearch search the digits study until it has a validation accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "digits.db"
        numbers = [time.time(), accuracy, LEAST, SECONDS]
        command = [sys.executable, "-m", "benchmarks.ours", str(database), str(seed), *map(str, numbers)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        with Database.open(f"sqlite:///{database}") as opened:
            trials = opened.study(STUDY.stem).trials()
    said = json.loads(done.stdout)
    scored = [(t.value, -t.loss, -t.number, t) for t in trials if t.value is not None and t.loss is not None]
    best = max(entry for entry in scored if entry[-1].state is not State.FAILED)[-1]
    reached = inf if said["reached"] is None else float(said["reached"])
    series = [(at, value) for at, value in said["series"]]
    return Ours(reached, float(said["ended"]), series, best.params)


def target() -> Part:
    """Seconds to the peers' accuracy, and what both sides' winners are worth on fresh seeds."""
    first = {peer: _search(peer) for peer in PEERS}
    found = {peer: outcome for peer, outcome in first.items() if isinstance(outcome, Found)}
    rival = max(found, key=lambda peer: (found[peer].best, -found[peer].after))
    theirs = [launch.search(rival, seed) for seed in SEEDS]
    mine = [ours(seed, their.best) for seed, their in zip(SEEDS, theirs, strict=True)]
    rows = [
        *_time_rows(rival, mine, theirs),
        *(_peer_row(peer, outcome, mine[0]) for peer, outcome in first.items()),
        *_confirmed_rows(rival, mine, theirs),
    ]
    # Each line goes on to the end of its search.
    lines = {"hpsearch": [[*one.series, (one.ended, one.best)] for one in mine]}
    for peer, outcome in found.items():
        searches = theirs if peer is rival else [outcome]
        lines[peer.name] = [[*one.series, (SECONDS, one.best)] for one in searches]
    return Part("Time to the peers' accuracy", rows, HOW + "\n" + _table(mine, theirs), lines)


def _search(peer: Peer) -> Found | str:
    """What a peer has found at the first seed, or why nothing."""
    try:
        return launch.search(peer, SEEDS[0])
    except PeerError as error:
        return str(error)


def _time_rows(rival: Peer, mine: Sequence[Ours], theirs: Sequence[Found]) -> list[Row]:
    took, after = median(one.reached for one in mine), median(one.after for one in theirs)
    work = f"digits, seconds to the best peer's validation accuracy, median of {len(SEEDS)} seeds"
    return [
        versus(work, f"{took:.1f}", f"{rival.name}, {SECONDS:.0f} s", f"{SECONDS:.0f}", SECONDS / took, GOAL),
        versus(work, f"{took:.1f}", f"{rival.name}, when it had it", f"{after:.1f}", after / took),
    ]


def _peer_row(peer: Peer, outcome: Found | str, mine: Ours) -> Row:
    work = f"digits, seed {SEEDS[0]}: best validation accuracy, and the seconds after which it was there"
    had = f"{mine.best:.4f} ({mine.series[-1][0]:.1f})"
    if isinstance(outcome, str):
        return Row(work, had, peer.name, outcome)
    return Row(
        work, had, f"{peer.name}, {outcome.epochs:,} epochs", f"{outcome.best:.4f} ({outcome.after:.1f})"
    )


def _confirmed_rows(rival: Peer, mine: Sequence[Ours], theirs: Sequence[Found]) -> list[Row]:
    own = [confirm(seed, one.params) for seed, one in zip(SEEDS, mine, strict=True)]
    other = [confirm(seed, one.params) for seed, one in zip(SEEDS, theirs, strict=True)]
    return [
        _confirmed_row("validation accuracy", rival, [s.valid for s in own], [s.valid for s in other]),
        _confirmed_row("accuracy on the test set", rival, [s.test for s in own], [s.test for s in other]),
    ]


def _confirmed_row(what: str, rival: Peer, own: Sequence[float], other: Sequence[float]) -> Row:
    differences = [a - b for a, b in zip(own, other, strict=True)]
    error = stdev(differences) / sqrt(len(differences))
    return Row(
        f"digits, {len(SEEDS)} winners, each confirmed on {FRESH} fresh seeds: mean {what}",
        f"{mean(own):.4f}",
        f"{rival.name}, {SECONDS:.0f} s",
        f"{mean(other):.4f}",
        f"{mean(differences):+.4f} ± {error:.4f}",
    )


def _table(mine: Sequence[Ours], theirs: Sequence[Found]) -> str:
    """Seed by seed, as a Markdown table."""
    lines = [
        "| seed | target | the rival had it after, s | hpsearch, s | hpsearch's best at its end |",
        "|---|---|---|---|---|",
    ]
    for seed, own, other in zip(SEEDS, mine, theirs, strict=True):
        lines.append(
            f"| {seed} | {other.best:.4f} | {other.after:.1f} | {own.reached:.1f} | {own.best:.4f} |"
        )
    return "\n".join(lines)
