"""Salvage: copy the sound rows of a damaged database into a new one, so that its studies can resume.

A sound study is copied unchanged. For a damaged one, Optuna's tables are rebuilt, and:

- a trial with a damaged curve or outcome restarts: it keeps its number and hyper-parameters, and resuming the
  study trains it again. Its curve comes out the same, a function of the study's seed and the trial's number;
  the stopping rule decides anew, among all trials there are by then.
- a trial without even hyper-parameters keeps its number, so that the others keep theirs, and is marked as
  failed: "lost: …".
- a cohort is rebuilt from the pieces of curves trained in it. A damaged run keeps no provenance, a damaged
  queued point no values, and a damaged scoring no outcome, but it still counts. Damaged weights of running
  trials are dropped and trained again.
- a study with a damaged record is not copied: nothing says what its numbers mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path

from hpsearch.defaults import DEFAULT_STORAGE
from hpsearch.errors import StorageError
from hpsearch.files import unfinished
from hpsearch.records import Cohort, Run, Scoring, Segment, State, Trial
from hpsearch.running.checkup import Finding, storage_findings
from hpsearch.store.audit import Audit, Damage, Examined, audit
from hpsearch.store.connection import check_place
from hpsearch.store.database import Database
from hpsearch.store.reading import COHORTS, QUEUE, RUNS, SCORINGS
from hpsearch.store.study import Contents

_NOT_READABLE = "its row in the damaged database could not be read"


@dataclass(frozen=True)
class Salvaged:
    """A copied study. whole: number of unchanged trials. lost: what happened to the rest."""

    name: str
    whole: int
    lost: list[Damage]


@dataclass(frozen=True)
class Salvage:
    """What became of a damaged storage.

    findings: how it is. copied: studies in the new file. damaged: names of studies that are not, since their
    record is damaged. others: names of Optuna's own studies, which are not copied either.
    """

    findings: Sequence[Finding]
    copied: Sequence[Salvaged]
    damaged: Sequence[str]
    others: Sequence[str]


def salvage(new: str | Path, *, storage: str = DEFAULT_STORAGE) -> Salvage:
    """Copy what is sound of a storage into a new SQLite file.

    Raises:
        StorageError: the file exists already or cannot be written, or nothing can be copied.
    """
    found = audit(storage)
    copied = copy_sound(found, Path(new))
    there = {study.name for study in copied}
    left = [study.name for study in found.studies if study.name not in there]
    return Salvage(list(storage_findings(found)), copied, left, found.others)


def copy_sound(audit: Audit, path: Path) -> list[Salvaged]:
    """Copy sound rows into a new SQLite file, atomically; returns the copied studies.

    Raises:
        StorageError: the file exists or cannot be written, or no study has a sound record.
    """
    shown = f"sqlite:///{path}"
    if os.path.lexists(path):
        raise StorageError(f"{shown}: expected a new file; found an existing one. Name another.")
    check_place(path, shown, create=True)
    studies = [study for study in audit.studies if study.record is not None]
    if not studies:
        raise StorageError(
            f"{audit.shown}: expected a study with a sound record; found none, so nothing can be salvaged"
        )
    beside = unfinished(path)
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
        lost.append(Damage("", "its training time is now the sum over its sound trials"))
    unfinished = {trial.number for trial in trials if trial.epochs and not trial.state.finished}
    queue = study.numbered(QUEUE)
    lost += [Damage(f"queued point {at}", "left empty") for at, point in queue if point is None]
    contents = Contents(
        runs=_runs(study, lost),
        cohorts=_cohorts(study, trials, segments, lost),
        trials=trials,
        segments=segments,
        queued=[{} if point is None else point.params for _, point in queue],
        taken={at: point.trial for at, point in queue if point and point.trial is not None},
        scorings=_scorings(study, lost),
        checkpoints={number: kept for number, kept in study.checkpoints.items() if number in unfinished},
        created=study.created,
    )
    database.create_study(record, contents)
    return Salvaged(study.name, len(trials) - changed, lost)


def _trial(study: Examined, number: int, lost: list[Damage]) -> Trial:
    """The trial to store; appends what happened to a damaged one to `lost`."""
    if number in study.whole:
        return study.trials[number]
    asked = study.trials.get(number) or study.asked.get(number)
    if asked is not None:
        lost.append(Damage(f"trial {number}", "restarts: resuming the study trains it again"))
        return Trial(number, asked.cohort, asked.params, started=asked.started)
    lost.append(Damage(f"trial {number}", "lost: it keeps its number, marked as failed"))
    cohort = min((at for at, c in study.found[COHORTS][1].items() if number in c.lanes), default=0)
    time, reason = study.created.replace(tzinfo=UTC), f"lost: {_NOT_READABLE}"
    return Trial(number, cohort, {}, State.FAILED, reason=reason, started=time, finished=time)


def _runs(study: Examined, lost: list[Damage]) -> list[Run]:
    runs = []
    for number, run in study.numbered(RUNS):
        if run is None:
            lost.append(Damage(f"run {number}", "its provenance is lost"))
            run = Run(number, {"lost": _NOT_READABLE}, study.created.replace(tzinfo=UTC))
        runs.append(run)
    return runs


def _scorings(study: Examined, lost: list[Damage]) -> list[Scoring]:
    scorings = []
    for number, scoring in study.numbered(SCORINGS):
        if scoring is None:
            lost.append(Damage(f"scoring {number}", "its outcome is lost"))
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
    numbers, sound = study.found[COHORTS]
    for number in range(max(numbers.stop, 1 + max(pieces, default=-1))):
        cohort = sound.get(number)
        if cohort is None:
            lost.append(Damage(f"cohort {number}", "rebuilt from the curves trained in it"))
            there = pieces.get(number, ())
            cohort = Cohort(number, {p.trial: (p.first_epoch - 1, p.last_epoch) for p in there})
        cohorts.append(cohort)
    return cohorts
