"""Bring back what is not stored: read a study's data again, and retrain its trials."""

from __future__ import annotations

from collections.abc import Iterable

from hpsearch.data import Dataset
from hpsearch.errors import HpsearchError, StudyChangedError
from hpsearch.records import StudyRecord, Trial
from hpsearch.running.prepare import prepare
from hpsearch.running.resume import read_otherwise
from hpsearch.study.file import Study, study_from_document
from hpsearch.train import Lane, LaneState, Problem, initial_state, train_lanes


def reload(record: StudyRecord) -> tuple[Study, Dataset]:
    """The stored study, and the data it started with.

    Raises:
        StudyChangedError: the data have other content now, or are read otherwise.
        HpsearchError: they are gone, or cannot be read.
    """
    try:
        study, dataset = prepare(study_from_document(record.document, record.origin))
    except HpsearchError as error:
        raise HpsearchError(
            f"study {record.name}: cannot read its data again:\n{error}.\nRestore the data where they were."
        ) from None
    if dataset.hash != record.data_hash:
        raise StudyChangedError(
            f"study {record.name}: {study.data.source} has changed since the study started "
            f"(sha256 {record.data_hash[:12]}… then, {dataset.hash[:12]}… now). Restore the data"
        )
    if said := read_otherwise(record, dataset):
        raise StudyChangedError(
            f"study {record.name}: {said} Retrain it with the hpsearch that it was run with"
        )
    return study, dataset


def retrain(study: Study, problem: Problem, trial: Trial, epoch: int) -> LaneState:
    """The trial after `epoch` epochs, retrained from its record; 0 is before the first step.

    Raises:
        HpsearchError: the trial diverges up to that epoch.
    """
    (state,) = retrain_through(study, problem, trial, [epoch])
    return state


def retrain_through(study: Study, problem: Problem, trial: Trial, epochs: Iterable[int]) -> list[LaneState]:
    """The trial after each of these rising epochs; it is trained only once.

    Raises:
        HpsearchError: the trial diverges up to the last of them.
    """
    configuration = study.space.configuration(trial.params)
    state = initial_state(problem, trial.drawn_as, configuration)
    states = []
    for epoch in epochs:
        if epoch > state.epoch:
            lane = Lane(trial.number, configuration, state if state.epoch else None, trial.weights)
            (result,) = train_lanes(problem, [lane], epoch)
            if result.state is None:
                raise HpsearchError(
                    f"study {study.name}: trial {trial.number} has no weights after epoch {epoch}: it "
                    f"{result.failure}. Choose an earlier epoch or another trial"
                )
            state = result.state
        states.append(state)
    return states
