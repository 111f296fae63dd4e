"""Two trials, of one study or of two, trained on fresh seeds and scored on rows that are kept back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hpsearch.data import Dataset
from hpsearch.engine.again import reload
from hpsearch.engine.fresh import Candidate, scored_part, train_fresh
from hpsearch.engine.scorings import COMPARISON, TEST, VALIDATION, confirmation_of
from hpsearch.errors import HpsearchError, NothingToShowError
from hpsearch.records import FloatArray, State, Task, Trial, Trials
from hpsearch.report.frames import finished_report
from hpsearch.report.versus import Match, Side
from hpsearch.store import StudyStore
from hpsearch.study.file import FITTING_METRICS, Study

SEEDS = 10


@dataclass(frozen=True)
class _Entry:
    """A side before it is scored."""

    name: str
    store: StudyStore
    study: Study
    dataset: Dataset
    trial: Trial
    how: str
    progress: pd.DataFrame


def match(
    a: tuple[str, StudyStore, int | None],
    b: tuple[str, StudyStore, int | None],
    *,
    device: str,
    workers: int,
    seeds: int = SEEDS,
    metric: str | None = None,
    margin: tuple[float, bool] | None = None,
) -> Match:
    """B against A; each is (its name for messages, the study, the trial's number or None for the best).

    The looks at the test part are noted with both studies.

    Args:
        metric: instead of the studies' own. margin: by how much B may be worse, and whether that is a share.

    Raises:
        NothingToShowError: a study has no complete trial.
        HpsearchError: the two cannot be compared, or data cannot be read.
    """
    first, second = (_entry(*each, metric) for each in (a, b))
    _check_comparable(first, second)
    paired = _same_rows(first.dataset, second.dataset)
    (part, rows_a), (part_b, rows_b) = (scored_part(each.dataset) for each in (first, second))
    if part != part_b:
        raise HpsearchError(
            f"{second.name}: expected a {part} part, as {first.name} has; found none. "
            "Compare studies that both keep rows back, or both don't"
        )
    scores = []
    for each in (first, second):
        # On the same rows both begin from the same seeds.
        study = replace(each.study, seed=first.study.seed) if paired else each.study
        candidate = Candidate(study.space.configuration(each.trial.params), each.trial.best_epoch or 1)
        (repeats,) = train_fresh(study, each.dataset, [candidate], seeds, device=device, workers=workers)
        scores.append(repeats.scores)
    notes = _note_looks(first, second, part, seeds)
    maximize = first.study.direction == "maximize"
    found = Match(
        first.study.train.metric or "",
        maximize,
        part,
        (len(rows_a), len(rows_b)),
        seeds,
        paired,
        _side(first, scores[0]),
        _side(second, scores[1]),
        notes=notes,
    )
    return replace(found, margin=_margin(found, margin))


def trial_name(text: str) -> tuple[str, int | None]:
    """The study and the trial of "digits", "digits:17" or "digits#17"."""
    found = re.fullmatch(r"(.+)[:#](\d+)", text, re.ASCII | re.DOTALL)
    return (text, None) if found is None else (found[1], int(found[2]))


def _entry(name: str, store: StudyStore, number: int | None, metric: str | None) -> _Entry:
    record = store.record
    trials = store.trials()
    report = finished_report(record, trials, {}, confirmation_of(record, trials, store.scorings()))
    how = f"trial {number}"
    if number is None:
        number = report.best
        if number is None:
            raise NothingToShowError(f"study {record.name}: expected a complete trial to compare; found none")
        how = "best on fresh seeds" if report.confirmation else "best by validation"
    elif number >= len(trials):
        raise HpsearchError(f"{name}: expected a trial from 0 to {len(trials) - 1}; found {number}")
    trial = trials[number]
    if trial.best_epoch is None:
        raise HpsearchError(
            f"{name}: expected a trial that was trained; trial {number} {trial.reason or 'has no epoch'}"
        )
    study, dataset = reload(record)
    if metric is not None:
        study = _with_metric(study, metric)
    return _Entry(name, store, study, dataset, trial, how, _progress(trials, record.direction == "maximize"))


def _with_metric(study: Study, metric: str) -> Study:
    fitting = FITTING_METRICS[Task(study.data.task or "")]
    if metric not in fitting:
        raise HpsearchError(
            f'--metric: expected one of {", ".join(fitting)} for a {study.data.task} task; found "{metric}"'
        )
    return replace(study, train=study.train.model_copy(update={"metric": metric}))


def _check_comparable(a: _Entry, b: _Entry) -> None:
    for what, values in (
        ("task", (a.study.data.task, b.study.data.task)),
        ("metric", (a.study.train.metric, b.study.train.metric)),
        ("classes", (a.dataset.classes, b.dataset.classes)),
    ):
        if values[0] != values[1]:
            hint = "; name one that both are scored by: --metric" if what == "metric" else ""
            raise HpsearchError(
                f"{a.name} and {b.name}: expected the same {what}; found {values[0]} and {values[1]}{hint}"
            )


def _same_rows(a: Dataset, b: Dataset) -> bool:
    return all(
        np.array_equal(getattr(getattr(a, name), axis), getattr(getattr(b, name), axis))
        for name in ("train", "valid", "test")
        for axis in ("x", "y")
    )


def _progress(trials: Trials | list[Trial], maximize: bool) -> pd.DataFrame:
    """See `report.versus.Side`."""
    given = Trials.join(trials)
    frame = pd.DataFrame(
        {
            "epochs": given.epochs,
            "value": np.array(given.value, dtype=np.float64),
            "started": np.array(given.started, dtype=np.float64),
            "finished": np.array(given.finished, dtype=np.float64),
            "complete": [state is State.COMPLETE for state in given.state],
        }
    )
    frame = frame[frame["finished"].notna()].sort_values("finished", kind="stable")
    value = frame["value"].where(frame["complete"])
    best = value.cummax() if maximize else value.cummin()
    return pd.DataFrame(
        {
            "trials": np.arange(1, len(frame) + 1),
            "epochs": frame["epochs"].cumsum(),
            "seconds": (frame["finished"] - frame["started"].min()) / 1e6,
            "best": best.ffill(),
        }
    ).reset_index(drop=True)


def _note_looks(a: _Entry, b: _Entry, part: str, seeds: int) -> tuple[str, ...]:
    """Note the look at the test part with both studies, as far as they can be written."""
    from hpsearch.errors import StorageError

    if part == VALIDATION:
        return (
            "There is no test part: the scores are from the validation part, on which the trials were "
            "chosen, too.",
        )
    notes = []
    for own, other in ((a, b), (b, a)):
        about: Mapping[str, Any] = {
            "trials": [own.trial.number],
            "seeds": seeds,
            "against": [other.store.record.name, other.trial.number],
            "metric": own.study.train.metric,
            "rows": len(own.dataset.test),
        }
        try:
            own.store.add_scoring(COMPARISON, about)
        except StorageError as error:
            notes.append(
                f"This look at the {TEST} part cannot be noted with {own.store.record.name}: {error}"
            )
    return tuple(notes)


def _margin(found: Match, margin: tuple[float, bool] | None) -> float | None:
    """In the metric's unit; a share is of points where the metric is one, otherwise of A's mean."""
    from hpsearch.report.text import is_share

    if margin is None:
        return None
    value, share = margin
    if not share:
        return value
    mean = 0.0 if found.a.estimate is None else abs(found.a.estimate.mean)
    return value if is_share(found.metric) else value * mean


def _side(entry: _Entry, scores: FloatArray) -> Side:
    return Side(
        entry.name,
        entry.store.record.name,
        entry.trial.number,
        entry.how,
        entry.trial.best_epoch or 1,
        entry.trial.params,
        scores,
        entry.progress,
    )
