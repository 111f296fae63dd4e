"""Whether trials came out the same when they were trained again, as views and documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hpsearch.errors import plural
from hpsearch.records import Segment
from hpsearch.reporting.tables import spaced
from hpsearch.retrain.replay import Replay, Replayed, RunDifference
from hpsearch.text import STATE_WORDS, json_value, plain, toml_value

REPLAY_FORMAT = "hpsearch.replay/1"
_SHOWN = 20


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
        blocks.append(Text(f"of {runs} nothing is recorded otherwise than now: the record does not say why"))
    return spaced(blocks)


def _trained_by(piece: Segment) -> str:
    if not piece.run:
        return ""
    lane = f", lane {piece.lane + 1} of {piece.width}" if piece.width else ""
    return f"trained by run {piece.run}{lane}"


def _silent(found: Replay) -> Iterator[int]:
    """Runs whose pieces differ although all that is recorded is the same."""
    pieces = (trial.piece for trial in found.trials)
    differing = {piece.run for piece in pieces if piece is not None}
    yield from (each.run for each in found.runs if each.run in differing and not each.fields)


def _run_block(each: RunDifference) -> RenderableType:
    which = "before runs were recorded"
    if each.begun is not None:
        which = f"run {each.run}, {each.begun.astimezone():%Y-%m-%d %H:%M}"
    head = Text(f"recorded otherwise than now: {which}, {plural(len(each.trials), 'trial')}")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, (then, now) in each.fields.items():
        table.add_row(Text(f"  {plain(name)}"), Text(f"{_written(then)} → {_written(now)}"))
    return Group(head, table)


def _written(value: Any) -> str:
    return plain(value) if isinstance(value, str) else toml_value(value)


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
        "pieces": _piece_rows(trial.pieces),
    }


def _piece_rows(pieces: Sequence[Segment]) -> list[dict[str, int]]:
    names = ("first_epoch", "cohort", "run", "lane", "width")
    return [{name: int(getattr(piece, name)) for name in names} for piece in pieces]
