"""Optuna's tables written by its public calls: slow, but correct for any revision of the tables.

Used if the installed Optuna or the database has a revision of Optuna's tables that hpsearch does not know.
Own rows are written as always, in one transaction, and are the truth. The calls follow in transactions of
their own, so a process killed in between leaves Optuna's tables one commit behind; the next `begin` brings
them up to date. A new study is the exception: Optuna's row comes first, because it assigns the number. A
process killed in between leaves an empty study, which the next creation of that name takes over.

Trials are found by number: own rows store 0 as Optuna's trial_id. If Optuna already had a trial running, it
ends at the time of the call, shortly after the stored one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import datetime
from functools import cache, cached_property
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, create_trial

from hpsearch.errors import StorageError
from hpsearch.records import Segment, State, StudyRecord, Trial
from hpsearch.store import rows


@cache
def _warn(found: str) -> None:
    warnings.warn(
        f"this hpsearch does not know revision {found} of Optuna's tables: it fills them through Optuna's "
        "public API, one trial at a time, which is slower. A newer hpsearch may know the revision.",
        stacklevel=2,
    )


class Calls:
    """Optuna's tables of one database. url: with the password. shown: without. found: their revision."""

    def __init__(self, url: str, shown: str, found: str) -> None:
        self._url, self._shown, self._found = url, shown, found
        self._known: dict[int, dict[int, int]] = {}

    @cached_property
    def _storage(self) -> RDBStorage:
        """Optuna's own storage; creates missing tables.

        Raises:
            StorageError: the tables are older or newer than the installed Optuna's.
        """
        try:
            storage = RDBStorage(self._url)
        except RuntimeError:
            raise StorageError(
                f"{self._shown}: expected tables of the installed Optuna {optuna.__version__}; found schema "
                f"{self._found}. Upgrade an older one with `optuna storage upgrade --storage URL`; a newer "
                "one needs a newer Optuna."
            ) from None
        _warn(self._found)
        return storage

    def check(self) -> None:
        """Check that the installed Optuna can use the database.

        Raises:
            StorageError: it cannot.
        """
        _ = self._storage

    def has(self, study_id: int, name: str) -> bool:
        """Whether the study still exists: Optuna's own commands may have deleted it."""
        return self._id(name) == study_id

    def _id(self, name: str) -> int | None:
        try:
            return self._storage.get_study_id_from_name(name)
        except KeyError:
            return None

    def create(self, record: StudyRecord) -> int | None:
        """The number of a new study, or of an empty one of this name; None if one with trials exists."""
        study_id, ways = self._id(record.name), rows.directions(record)
        if study_id is None:
            study_id = self._storage.create_new_study(ways, record.name)
        elif self._storage.get_n_trials(study_id) or self._storage.get_study_directions(study_id) != ways:
            return None
        self._storage.set_study_system_attr(study_id, rows.METRIC_NAMES, rows.metric_names(record))
        self._known.pop(study_id, None)
        return study_id

    def delete(self, study_id: int) -> None:
        """Delete a study with its trials."""
        self._storage.delete_study(study_id)

    def tell(self, target: Any, trials: Iterable[Trial], segments: Iterable[Segment]) -> None:
        """Bring Optuna's tables up to date with own rows. segments: all pieces of these trials' curves.

        Raises:
            StorageError: another program has added trials to the study.
        """
        steps: dict[int, dict[int, float]] = {}
        for segment in segments:
            steps.setdefault(segment.trial, {}).update(rows.kept_metrics(target.kept, segment))
        ids = self._known.get(target.study_id)
        if ids is None:
            found = self._storage.get_all_trials(target.study_id, deepcopy=False)
            ids = self._known[target.study_id] = {
                trial.number: self._storage.get_trial_id_from_study_id_trial_number(
                    target.study_id, trial.number
                )
                for trial in found
            }
        for trial in trials:
            told = steps.get(trial.number, {})
            if trial.number in ids:
                self._renew(target, ids[trial.number], trial, told)
                continue
            trial_id = self._storage.create_new_trial(target.study_id, _frozen(target, trial, told))
            if self._storage.get_trial_number_from_id(trial_id) != trial.number:
                expected = "only hpsearch's trials in Optuna's tables"
                raise target.refusal(trial.number, expected, "trials of another program")
            ids[trial.number] = trial_id

    def _renew(self, target: Any, trial_id: int, trial: Trial, steps: dict[int, float]) -> None:
        there = self._storage.get_trial(trial_id)
        if there.state.is_finished():
            return
        for step, value in steps.items():
            if step not in there.intermediate_values:
                self._storage.set_trial_intermediate_value(trial_id, step, value)
        if trial.state.finished:
            for key, value in rows.attributes(trial).items():
                self._storage.set_trial_user_attr(trial_id, key, value)
            state = rows.OPTUNA_STATE[trial.state]
            self._storage.set_trial_state_values(trial_id, state, _values(target, trial))


def _values(target: Any, trial: Trial) -> list[float] | None:
    known = rows.optuna_values_of(target.name, trial, target.objectives)
    return (
        [rows.plain(value) for value in (trial.value, *trial.others) if value is not None] if known else None
    )


def _frozen(target: Any, trial: Trial, steps: dict[int, float]) -> FrozenTrial:
    """The trial as a template for Optuna, with naive local times."""
    template = create_trial(
        state=rows.OPTUNA_STATE[trial.state],
        params=dict(trial.params),
        distributions={name: target.distributions[name][0] for name in trial.params},
        values=_values(target, trial),
        intermediate_values=steps,
        user_attrs=rows.attributes(trial) if trial.state.finished else {},
    )
    template.datetime_start = _local(trial.started)
    template.datetime_complete = _local(trial.finished) if trial.state is not State.RUNNING else None
    return template


def _local(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone().replace(tzinfo=None)
