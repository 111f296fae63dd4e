"""Running a study from beginning to end; the command line and Python use the same calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data import Dataset, load_dataset
from hpsearch.engine.defaults import DEFAULT_STORAGE
from hpsearch.engine.resume import open_study
from hpsearch.errors import HpsearchError, StorageError, StudyFileError
from hpsearch.records import Progress
from hpsearch.store import Database, StudyStore
from hpsearch.study.file import Study, load_study

if TYPE_CHECKING:
    from pandas import DataFrame

    from hpsearch.engine.pool import StopFlag
    from hpsearch.engine.profile import Profile
    from hpsearch.search import SamplerFactory
    from hpsearch.train import Problem

_LAST_PATIENCE = 1.0
"""Seconds to wait for a database, to release a study in it, after it could not be written."""


@dataclass(frozen=True)
class Outcome:
    """What one run did.

    complete: all trials are finished, and no more begin. enough: why there are fewer of them than the study
    says, if there are. profile: what the time was spent on.
    """

    complete: bool
    enough: str | None
    profile: Profile


@dataclass(frozen=True)
class Result:
    """A study after a run, as pandas frames with the columns of `report` and `curves`."""

    study: str
    complete: bool
    trials: DataFrame
    curves: DataFrame


def prepare(study: Study, progress: Callable[[int, int], None] | None = None) -> tuple[Study, Dataset]:
    """Load the data, and fill in what follows from them: task, loss and metric.

    progress: is called with (done, total) while pictures are decoded.
    """
    base = study.source.path.parent if study.source.path else None
    dataset = load_dataset(study.data, study.seed, base, study.source.complaint, progress)
    study = study.resolve(dataset.task)
    if study.train.metric == "r2" and min(dataset.valid.y) == max(dataset.valid.y):
        text = f"R² needs validation targets that differ; all {len(dataset.valid)} are equal. Use rmse or mae"
        raise StudyFileError([study.source.complaint(("train", "metric"), text)])
    if study.train.metric == "auc" and len(np.unique(dataset.valid.y)) < len(dataset.classes):
        text = "an AUC needs validation rows of every class; use accuracy, f1 or another split"
        raise StudyFileError([study.source.complaint(("train", "metric"), text)])
    _check_last_batch(study, dataset)
    return study, dataset


def _check_last_batch(study: Study, dataset: Dataset) -> None:
    """Refuse last mini-batches of a single row for batch normalisation, which needs a variance.

    Raises:
        StudyFileError: some batch size leaves one.
    """
    if study.train.last_batch != "keep" or True not in (study.space.values("batch_norm") or ()):
        return
    sizes = study.space.values("batch_size") or ()
    lonely = [size for size in sizes if isinstance(size, int) and len(dataset.train) % size == 1]
    if lonely:
        text = (
            f"batch size {lonely[0]} leaves a last mini-batch of one row of {len(dataset.train):,}, which "
            'has no variance for batch_norm; use last_batch = "drop" or another batch size'
        )
        raise StudyFileError([study.source.complaint(("train", "last_batch"), text)])


def make_problem(study: Study, dataset: Dataset, device: str) -> Problem:
    """What the study's trials are trained on; the study and the dataset are those of `prepare`."""
    from hpsearch.train import Problem, pads_widths

    train = study.train
    assert train.loss is not None
    assert train.metric is not None
    softplus = train.representation == "softplus"
    return Problem.from_dataset(
        dataset,
        f"softplus_{train.loss}" if softplus else train.loss,
        train.metric,
        study.seed,
        representation=train.representation or "identity",
        epochs=train.epochs,
        keep_last=train.last_batch == "keep",
        device=device,
        pad_widths=pads_widths(study.space),
    )


def train(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    *,
    device: str,
    workers: int,
    stop: StopFlag,
    watch: Callable[[Progress], None] = lambda progress: None,
    warn: Callable[[str], None] = lambda text: None,
    provenance: Mapping[str, Any] | None = None,
    checkpoints: bool = True,
    sampler: SamplerFactory | None = None,
) -> Outcome:
    """Train a stored study until it is complete or `stop` is set; everything finished is stored.

    provenance: of this run, to be stored. checkpoints: store weights at rungs. sampler: makes one of Optuna's
    from a seed, instead of the one that the study names.
    """
    from hpsearch.engine.pool import Pool
    from hpsearch.engine.runner import Runner
    from hpsearch.search import make_sampler, make_stopping
    from hpsearch.train import train_lanes

    proposals, rule = make_sampler(study, sampler), make_stopping(study)
    problem = make_problem(study, dataset, device)
    pool = Pool(problem, train_lanes, workers)
    store.begin(provenance)
    try:
        runner = Runner(
            study,
            store,
            problem,
            proposals,
            rule,
            pool,
            watch,
            warn,
            checkpoints,
        )
        runner.run(stop)
    except StorageError:
        with suppress(StorageError):
            store.end(patience=_LAST_PATIENCE)
        raise
    except BaseException:
        store.end()
        raise
    else:
        store.end()
    finally:
        pool.close()
    return Outcome(runner.complete, runner.enough, runner.profile)


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
    from hpsearch.engine.pool import StopFlag, resources
    from hpsearch.engine.provenance import run_provenance
    from hpsearch.report.frames import curves_frame, trials_frame

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
