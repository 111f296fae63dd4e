"""Copying what is sound of a damaged database into a new one, in such a way that its studies can go on.

A sound study is copied whole, and comes out the same. Of a damaged one, Optuna's mirror is made anew, and:

- a trial whose curve or outcome is damaged is begun anew: it keeps its number and hyper-parameters, runs, and
  is trained when the study is resumed. Its curve comes out the same, because it is a function of the study's
  seed and the trial's number; whether it is stopped on the way is decided anew, among all trials there are.
- a trial of which not even the hyper-parameters are known keeps its number, so that the others keep theirs,
  and is failed: "lost: …".
- a cohort is put together from the pieces of curves that were trained in it; a run's provenance and a queued
  point are left empty, and so is a look at the rows that are kept back, which still counts; weights of
  running trials are left out, they are trained again.
- a study whose record is damaged is not copied: nothing says what its numbers mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path

from hpsearch.errors import StorageError
from hpsearch.records import Cohort, Run, Scoring, Segment, State, Trial
from hpsearch.store.audit import Audit, Damage, Examined
from hpsearch.store.connection import check_place
from hpsearch.store.database import Database
from hpsearch.store.schema import cohorts as cohorts_table
from hpsearch.store.schema import queue as queue_table
from hpsearch.store.schema import runs as runs_table
from hpsearch.store.schema import scorings as scorings_table
from hpsearch.store.study import Contents

_NOT_READABLE = "its row in the damaged database could not be read"


@dataclass(frozen=True)
class Salvaged:
    """A study that was copied. whole: trials that are as they were. lost: what became of all that is not."""

    name: str
    whole: int
    lost: list[Damage]


def salvage(audit: Audit, path: Path) -> list[Salvaged]:
    """Copy what is sound into a new SQLite file, which is there as a whole or not at all.

    Returns the studies that are in it; the others have no sound record.

    Raises:
        StorageError: there is a file already, it cannot be written, or nothing can be copied.
    """
    shown = f"sqlite:///{path}"
    if path.exists():
        raise StorageError(f"{shown}: expected the name of a new file; found one that exists. Name another.")
    check_place(path, shown, create=True)
    studies = [study for study in audit.studies if study.record is not None]
    if not studies:
        raise StorageError(f"{audit.shown}: found no study whose record is sound, so nothing can be copied")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with Database.open(f"sqlite:///{beside}", create=True) as database:
            salvaged = [_copy(database, study) for study in studies]
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return salvaged


def _copy(database: Database, study: Examined) -> Salvaged:
    assert study.record is not None
    lost: list[Damage] = []
    trials = [_trial(study, number, lost) for number in range(study.total)]
    changed = len(lost)
    segments = [piece for trial in trials if trial.epochs for piece in study.segments[trial.number]]
    record = study.record
    if study.tally is None:
        record = replace(record, seconds=sum(piece.seconds for piece in segments))
        lost.append(Damage("", "the seconds that it was trained are now the sum over its sound trials"))
    unfinished = {trial.number for trial in trials if trial.epochs and not trial.state.finished}
    queue = [study.queue.get(position) for position in study.expected[queue_table.name]]
    lost += [Damage(f"queued point {at}", "left empty") for at, point in enumerate(queue) if point is None]
    contents = Contents(
        runs=_runs(study, lost),
        cohorts=_cohorts(study, trials, segments, lost),
        trials=trials,
        segments=segments,
        queued=[{} if point is None else point.params for point in queue],
        taken={point.position: point.trial for point in queue if point and point.trial is not None},
        scorings=_scorings(study, lost),
        checkpoints={number: kept for number, kept in study.checkpoints.items() if number in unfinished},
        created=study.created,
    )
    database.create_study(record, contents)
    return Salvaged(study.name, len(trials) - changed, lost)


def _trial(study: Examined, number: int, lost: list[Damage]) -> Trial:
    """The trial as it goes on; what becomes of a damaged one is appended to `lost`."""
    if number in study.whole:
        return study.trials[number]
    asked = study.trials.get(number) or study.asked.get(number)
    if asked is not None:
        lost.append(
            Damage(f"trial {number}", "begun anew: it is trained again when you go on with the study")
        )
        return Trial(number, asked.cohort, asked.params, started=asked.started)
    lost.append(Damage(f"trial {number}", "lost: it keeps its number and is failed"))
    cohort = min((c.number for c in study.cohorts.values() if number in c.lanes), default=0)
    time, reason = study.created.replace(tzinfo=UTC), f"lost: {_NOT_READABLE}"
    return Trial(number, cohort, {}, State.FAILED, reason=reason, started=time, finished=time)


def _runs(study: Examined, lost: list[Damage]) -> list[Run]:
    runs = []
    for number in study.expected[runs_table.name]:
        run = study.runs.get(number)
        if run is None:
            lost.append(Damage(f"run {number}", "its provenance is lost"))
            run = Run(number, {"lost": _NOT_READABLE}, study.created.replace(tzinfo=UTC))
        runs.append(run)
    return runs


def _scorings(study: Examined, lost: list[Damage]) -> list[Scoring]:
    scorings = []
    for number in study.expected[scorings_table.name]:
        scoring = study.scorings.get(number)
        if scoring is None:
            lost.append(Damage(f"scoring {number}", "what came out is lost"))
            scoring = Scoring(number, "lost", {}, b"", study.created.replace(tzinfo=UTC))
        scorings.append(scoring)
    return scorings


def _cohorts(
    study: Examined, trials: Iterable[Trial], segments: Iterable[Segment], lost: list[Damage]
) -> list[Cohort]:
    pieces: dict[int, list[Segment]] = {trial.cohort: [] for trial in trials}
    for piece in segments:
        pieces.setdefault(piece.cohort, []).append(piece)
    cohorts = []
    told = study.expected[cohorts_table.name].stop
    for number in range(max(told, 1 + max(pieces, default=-1))):
        cohort = study.cohorts.get(number)
        if cohort is None:
            lost.append(Damage(f"cohort {number}", "put together from the curves that were trained in it"))
            there = pieces.get(number, ())
            cohort = Cohort(number, {p.trial: (p.first_epoch - 1, p.last_epoch) for p in there})
        cohorts.append(cohort)
    return cohorts
