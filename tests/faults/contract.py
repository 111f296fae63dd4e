"""What hpsearch promises of a stored study, held against the database and against what a process was told.

The journal has a line for each commit that has returned. What stands there must be in the database, and in
both halves of it: hpsearch's own tables, and those of Optuna, which are read here without hpsearch.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution

from hpsearch.errors import StorageError
from hpsearch.records import VALID_METRIC, FloatArray, State, Trial
from hpsearch.store import Database
from hpsearch.store.audit import audit
from tests.studies import url

OPTUNA_STATE = {
    "RUNNING": State.RUNNING,
    "COMPLETE": State.COMPLETE,
    "PRUNED": State.PRUNED,
    "FAIL": State.FAILED,
}


@dataclass(frozen=True)
class Told:
    """What a process was told of a trial. outcome: of a finished one, all that must not change any more."""

    asked: str
    epochs: int
    curve: str
    outcome: str | None

    @classmethod
    def of(cls, trial: Trial, curve: FloatArray | None) -> Told:
        outcome = (trial.state.value, trial.value, trial.others, trial.loss, trial.best_epoch, trial.reason)
        return cls(
            asked=repr((trial.cohort, trial.params)),
            epochs=trial.epochs,
            curve=_digest(curve, trial.epochs),
            outcome=repr(outcome) if trial.state.finished else None,
        )


def _digest(curve: FloatArray | None, epochs: int) -> str:
    """Of the first epochs of a curve."""
    data = b"" if curve is None else curve[:epochs].tobytes()
    return hashlib.sha256(data).hexdigest()[:16]


class Journal:
    """Where a process writes down what it was told is stored, after each commit that has returned."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def tell(self, trials: Iterable[Trial], curves: Mapping[int, FloatArray]) -> None:
        """What has become of these trials is stored. In one write: it is there whole, or not at all."""
        line = {t.number: vars(Told.of(t, curves.get(t.number))) for t in trials}
        os.write(self._file, json.dumps(line).encode() + b"\n")


def told(journal: Path) -> dict[int, Told]:
    """The last that was told of each trial."""
    latest: dict[int, Told] = {}
    if journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            latest |= {int(number): Told(**fields) for number, fields in json.loads(line).items()}
    return latest


def violations(
    path: Path,
    name: str,
    promised: Mapping[int, Told] | None = None,
    planned: int | None = None,
    reader: Database | None = None,
) -> list[str]:
    """All that is not as promised, in words; nothing if the contract holds.

    Args:
        promised: what some process was told.
        planned: how many trials there are, of a study that should be complete.
        reader: the database at this path, where it is open already.
    """
    promised = promised or {}
    try:
        with nullcontext(reader) if reader else Database.open(url(path), create=True) as database:
            store = database.find(name)
            if store is None:
                return ["the study is gone"] if promised or planned else []
            trials, curves = store.trials(), dict(store.curves())
            counts = next(summary.counts for summary in database.studies() if summary.name == name)
    except StorageError as error:
        return [f"refused to be read: {error}"]
    found = [
        *_totals(trials, curves, counts, planned),
        *_kept(trials, curves, promised),
        *_mirror(path, name, trials, curves),
    ]
    if planned is not None:
        report = audit(url(path))
        found += [f"the audit says: {text}" for study in report.studies for text in study.damages]
        found += [f"the audit says: {text}" for text in report.damages]
    return found


def _totals(
    trials: list[Trial], curves: Mapping[int, FloatArray], counts: Mapping[State, int], planned: int | None
) -> Iterator[str]:
    numbers = [trial.number for trial in trials]
    if numbers != list(range(len(numbers))):
        yield f"numbers are not 0, 1, …: {numbers}"
    if planned is not None and len(trials) != planned:
        yield f"{len(trials)} trials instead of {planned}"
    if Counter(trial.state for trial in trials) != +Counter(dict(counts)):
        yield f"the counts are wrong: {dict(counts)}"
    trained: dict[tuple[str, str], int] = {}
    for trial in trials:
        if planned is not None and not trial.state.finished:
            yield f"trial {trial.number} still runs"
        if len(curves.get(trial.number, ())) != trial.epochs:
            yield f"trial {trial.number} has {trial.epochs} epochs, but another curve"
        # Some samplers ask for a point again, but its weights and so its curve are another trial's own.
        same = repr(trial.params), _digest(curves.get(trial.number), 1)
        if trial.epochs and trial.state is not State.FAILED:
            if same in trained:
                yield f"trial {trial.number} is trial {trained[same]} once more"
            trained.setdefault(same, trial.number)


def _kept(
    trials: list[Trial], curves: Mapping[int, FloatArray], promised: Mapping[int, Told]
) -> Iterator[str]:
    """Whatever was told is there and as it was."""
    for number, before in promised.items():
        if number >= len(trials):
            yield f"trial {number} was told and is gone"
            continue
        curve = curves.get(number)
        now = Told.of(trials[number], curve)
        if now.asked != before.asked:
            yield f"trial {number} was asked as {before.asked}, now it is {now.asked}"
        if now.epochs < before.epochs:
            yield f"trial {number}: {before.epochs} epochs were told, {now.epochs} are there"
        elif _digest(curve, before.epochs) != before.curve:
            yield f"trial {number}: epochs 1 to {before.epochs} are not those that were told"
        if before.outcome is not None and (now.outcome, now.epochs) != (before.outcome, before.epochs):
            yield f"trial {number} was finished as {before.outcome}, now it is {now.outcome}"


def _mirror(path: Path, name: str, trials: list[Trial], curves: Mapping[int, FloatArray]) -> Iterator[str]:
    """Optuna's tables say the same."""
    connection = sqlite3.connect(path)
    try:
        (number,) = connection.execute(
            "SELECT study_id FROM studies WHERE study_name = ?", (name,)
        ).fetchone()
        mirror = _read_mirror(connection, number)
    finally:
        connection.close()
    numbers = [row["number"] for row in mirror]
    if sorted(numbers) != [trial.number for trial in trials]:
        yield f"Optuna has other trials: {numbers}"
        return
    for row in mirror:
        trial = trials[row["number"]]
        value = None if trial.state in (State.RUNNING, State.FAILED) else trial.value
        expected = {"state": trial.state, "params": trial.params, "value": value}
        for field, own in expected.items():
            if row[field] != own:
                yield f"trial {trial.number}: Optuna has the {field} {row[field]!r}, not {own!r}"
        metric = [] if trial.number not in curves else curves[trial.number][:, VALID_METRIC].tolist()
        steps = row["steps"]
        if trial.epochs and trial.epochs not in steps:
            yield f"trial {trial.number}: Optuna lacks its last epoch"
        for epoch, seen in steps.items():
            own = metric[epoch - 1] if epoch <= len(metric) else None
            if own is None or not (seen == own or (math.isnan(seen) and math.isnan(own))):
                yield f"trial {trial.number}: Optuna has {seen} at epoch {epoch}, not {own}"


def _read_mirror(connection: sqlite3.Connection, study: int) -> list[dict[str, Any]]:
    """Optuna's trials: number, state, params, value, and steps (intermediate values)."""
    of_study = "trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?)"
    params: dict[int, dict[str, Any]] = defaultdict(dict)
    for trial, name, number, text in connection.execute(
        f"SELECT trial_id, param_name, param_value, distribution_json FROM trial_params WHERE {of_study} "
        "ORDER BY param_id",
        (study,),
    ):
        params[trial][name] = _distribution(text).to_external_repr(number)
    values: dict[int, list[float]] = defaultdict(list)
    for trial, kind, number in connection.execute(
        f"SELECT trial_id, value_type, value FROM trial_values WHERE {of_study} AND objective = 0", (study,)
    ):
        values[trial].append(_number(kind, number))
    steps: dict[int, dict[int, float]] = defaultdict(dict)
    for trial, step, kind, number in connection.execute(
        "SELECT trial_id, step, intermediate_value_type, intermediate_value FROM trial_intermediate_values "
        f"WHERE {of_study}",
        (study,),
    ):
        steps[trial][step] = _number(kind, number)
    return [
        {
            "number": number,
            "state": OPTUNA_STATE[state],
            "params": params[trial],
            "value": values[trial][0] if len(values[trial]) == 1 else (values[trial] or None),
            "steps": steps[trial],
        }
        for trial, number, state in connection.execute(
            "SELECT trial_id, number, state FROM trials WHERE study_id = ?", (study,)
        )
    ]


@lru_cache(maxsize=1024)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _number(kind: str, number: float | None) -> float:
    special = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
    return special[kind] if number is None else number


def claimed(path: Path) -> bool:
    """Whether a claim is there. A killed process leaves one, which binds nobody, until another trains."""
    connection = sqlite3.connect(path)
    try:
        return bool(connection.execute("SELECT count(*) FROM hpsearch_claims").fetchone()[0])
    finally:
        connection.close()
