"""The public functions of hpsearch; the command line calls the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.defaults import DEFAULT_STORAGE
from hpsearch.errors import HpsearchError
from hpsearch.records import Progress, StudyRecord, Trial
from hpsearch.results.frames import Report, with_note
from hpsearch.retrain.stored import reload
from hpsearch.running.pool import resources
from hpsearch.running.prepare import prepare, train
from hpsearch.running.resume import open_study
from hpsearch.store import Database
from hpsearch.study.file import Study, load_study

if TYPE_CHECKING:
    from pandas import DataFrame

    from hpsearch.search import SamplerFactory


@dataclass(frozen=True)
class Result:
    """A study after a run, as pandas frames with the columns of `report` and `curves`."""

    study: str
    complete: bool
    trials: DataFrame
    curves: DataFrame


def run(
    study: Study | str | Path,
    *,
    storage: str = DEFAULT_STORAGE,
    device: str = "auto",
    workers: int | None = None,
    time_limit: float | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    checkpoints: bool = True,
    sampler: SamplerFactory | None = None,
) -> Result:
    """Create or resume a study and train it; all that is stored comes back as frames.

    Args:
        study: from `load_study`, or a study file's path. storage: an SQLAlchemy URL.
        device: auto, cpu, cuda or mps. workers: training threads, by default one a core.
        time_limit: seconds, instead of the study file's own; training ends at the next rung.
        checkpoints: store the weights of what goes on at a rung, so that going on repeats at most one rung.
        sampler: called with a seed for each cohort, returns one of Optuna's samplers or of OptunaHub's, which
            is used instead of the study's own. To go on with the study, pass the same again.

    Raises:
        HpsearchError: with a message for the user; nothing is left half-written.
    """
    from hpsearch.results.frames import curves_frame, trials_frame
    from hpsearch.running.pool import StopFlag, resources
    from hpsearch.running.provenance import run_provenance

    if not isinstance(study, Study):
        study = load_study(study)
    if workers is not None and workers < 1:
        raise HpsearchError(f"workers: expected at least 1; found {workers}")
    study, dataset = prepare(study)
    device, workers = resources(device, workers)
    with Database.open(storage, create=True) as database:
        said = run_provenance(study, dataset, device, workers)
        store, study = open_study(database, study, dataset, said)
        limit = study.search.time_limit if time_limit is None else time_limit
        outcome = train(
            study,
            dataset,
            store,
            device=device,
            workers=workers,
            stop=StopFlag(limit),
            watch=watch,
            provenance=said,
            checkpoints=checkpoints,
            sampler=sampler,
        )
        record = replace(store.record)
        return Result(
            study.name,
            outcome.complete,
            trials_frame(record, store.trials()),
            curves_frame(record, store.curves()),
        )


_TWO_FEATURES = 2


def needs_data(record: StudyRecord) -> bool:
    """Whether the report of a study has pictures that its data are needed for."""
    summary = record.data_summary
    plane = summary.get("features") == _TWO_FEATURES and summary.get("classes")
    return summary.get("image") is not None or bool(plane)


def full_report(report: Report, trials: Sequence[Trial]) -> tuple[Report, dict[str, bytes]]:
    """The report, and its pictures as PNGs by file name; nothing is trained for it but what they show.

    What cannot be had, since the data are gone or changed, is a line in the report's notes.
    """
    if not needs_data(report.record):
        return report, {}
    try:
        study, dataset = reload(report.record)
    except HpsearchError as error:
        return with_note(report, f"no pictures of the data: {error}"), {}
    from hpsearch.reporting.images import illustrations

    device, _ = resources("auto", None)
    try:
        return report, illustrations(study, dataset, {t.number: t for t in trials}, report, device)
    except HpsearchError as error:
        return with_note(report, f"no pictures: {error}"), {}
