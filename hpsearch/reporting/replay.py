"""Whether trials came out the same when they were trained again, as views and documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hpsearch.errors import plural
from hpsearch.records import Segment
from hpsearch.reporting.details import lane_text
from hpsearch.reporting.provenance import written
from hpsearch.reporting.tables import spaced, two_columns
from hpsearch.retrain.replay import Replay, Replayed, RunDifference
from hpsearch.text import STATE_WORDS, json_value, plain

REPLAY_FORMAT = "hpsearch.replay/1"
_SHOWN = 20
_OF_A_PIECE = ("first_epoch", "cohort", "run", "lane", "width")


def verdict(trial: Replayed) -> str:
    """ "identical (27 epochs)", or where the curve differs and by how much."""
    if trial.identical:
        return f"identical ({plural(trial.epochs, 'epoch')})"
    by = f"largest difference {trial.largest:.2g}"
    return f"differs from epoch {trial.differs_from} on ({trial.failure or by})"


def replay_view(found: Replay) -> RenderableType:
    """The trials, all or those that differ, and what is recorded otherwise of the runs that trained them."""
    same = sum(trial.identical for trial in found.trials)
    head = Text(plain(found.study), style="bold")
    head.append(f"   {same:,} of {plural(len(found.trials), 'trial')} identical", style="not bold")
    shown = [t for t in found.trials if len(found.trials) <= _SHOWN or not t.identical]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for trial in shown[:_SHOWN]:
        where = "" if trial.piece is None else f"   {_trained_by(trial.piece)}"
        table.add_row(f"  trial {trial.trial}", STATE_WORDS[trial.state], Text(verdict(trial) + where))
    more = [Text(f"  … and {len(shown) - _SHOWN:,} more that differ: --format json shows all")]
    blocks: list[RenderableType] = [head]
    if shown:
        blocks.append(Group(table, *(more if len(shown) > _SHOWN else ())))
    blocks += [_run_block(run) for run in found.runs if run.fields]
    if not found.identical and (silent := list(_silent(found))):
        runs = ", ".join(f"run {run}" if run else "the time before runs were recorded" for run in silent)
        blocks.append(Text(f"{runs}: nothing recorded differs from now, so the record does not say why"))
    return spaced(blocks)


def _trained_by(piece: Segment) -> str:
    return f"trained by run {piece.run}{lane_text(piece)}" if piece.run else ""


def _silent(found: Replay) -> Iterator[int]:
    """Runs whose pieces differ although all that is recorded is the same."""
    pieces = (trial.piece for trial in found.trials)
    differing = {piece.run for piece in pieces if piece is not None}
    yield from (each.run for each in found.runs if each.run in differing and not each.fields)


def _run_block(each: RunDifference) -> RenderableType:
    which = "before runs were recorded"
    if each.begun is not None:
        which = f"run {each.run}, {each.begun.astimezone():%Y-%m-%d %H:%M}"
    head = Text(f"recorded differently from now: {which}, {plural(len(each.trials), 'trial')}")
    changes = (
        (f"  {name}", f"{written(then)} → {written(now)}") for name, (then, now) in each.fields.items()
    )
    return Group(head, two_columns(changes))


def replay_document(found: Replay) -> dict[str, Any]:
    """The same as `hpsearch.replay/1`; an infinite difference is null."""
    return {
        "format": REPLAY_FORMAT,
        "study": found.study,
        "identical": found.identical,
        "runs": [_run_row(each) for each in found.runs],
        "trials": [_trial_row(trial) for trial in found.trials],
    }


def _run_row(each: RunDifference) -> dict[str, Any]:
    return {
        "run": each.run,
        "begun": None if each.begun is None else each.begun.isoformat(),
        "trials": list(each.trials),
        "differences": {name: {"then": then, "now": now} for name, (then, now) in each.fields.items()},
    }


def _trial_row(trial: Replayed) -> dict[str, Any]:
    return {
        "trial": trial.trial,
        "state": str(trial.state),
        "epochs": trial.epochs,
        "identical": trial.identical,
        "differs_from": trial.differs_from,
        "largest_difference": json_value(trial.largest),
        "failure": trial.failure,
        "pieces": [{name: int(getattr(piece, name)) for name in _OF_A_PIECE} for piece in trial.pieces],
    }
