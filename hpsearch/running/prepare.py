"""From a study file to what is trained: data, what follows from them, and the loop over both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data import Dataset, load_dataset
from hpsearch.errors import HpsearchError, StorageError, StudyFileError, nearest
from hpsearch.records import Progress
from hpsearch.store import StudyStore
from hpsearch.study.file import Study

if TYPE_CHECKING:
    from hpsearch.running.machine import Machine
    from hpsearch.running.pool import StopFlag
    from hpsearch.running.profile import Profile
    from hpsearch.running.workload import AnyWorkload
    from hpsearch.search import CohortSampler, SamplerFactory
    from hpsearch.train import Problem

_LAST_PATIENCE = 1.0
"""Seconds to wait for a database, to release a study in it, after it could not be written."""


@dataclass(frozen=True)
class Outcome:
    """What one run did.

    complete: all trials are finished, and no more begin. enough: why there are fewer than the study asks
    for, if so. profile: where the time went.
    """

    complete: bool
    enough: str | None
    profile: Profile


def prepare(study: Study, progress: Callable[[int, int], None] | None = None) -> tuple[Study, Dataset]:
    """Load the data, and fill in what follows from them: task, loss and metric.

    progress: is called with (done, total) while images are decoded.
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
    sizes, rows = study.space.values("batch_size") or (), len(dataset.train)
    lonely = next((size for size in range(2, rows) if rows % size == 1 and size in sizes), None)
    if lonely is not None:
        text = (
            f"batch size {lonely} leaves a last mini-batch of one row of {rows:,}, which "
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


def _networks(study: Study, dataset: Dataset, machine: Machine) -> AnyWorkload:
    from hpsearch.running.networks import Networks

    return Networks(make_problem(study, dataset, machine.device), study.space)


WORKLOADS: dict[str, Callable[[Study, Dataset, Machine], AnyWorkload]] = {"networks": _networks}
"""Workloads by name; another one is a line here."""


def make_workload(name: str, study: Study, dataset: Dataset, machine: Machine) -> AnyWorkload:
    """The workload of that name; the study and the dataset are those of `prepare`.

    Raises:
        HpsearchError: there is none.
    """
    if name not in WORKLOADS:
        known = ", ".join(WORKLOADS)
        raise HpsearchError(f'workload: expected one of {known}; found "{name}"{nearest(name, WORKLOADS)}')
    return WORKLOADS[name](study, dataset, machine)


def first_sampler(study: Study, sampler: SamplerFactory | None = None) -> CohortSampler:
    """The sampler of a study that is new; what it refuses is refused before anything is stored.

    Raises:
        HpsearchError: it cannot search this space, or finds no point that is allowed.
    """
    from hpsearch.search import History, make_sampler

    made, search = make_sampler(study, sampler), study.search
    if study.forbidden:
        count = min(search.cohort, search.trials)
        made(study.seed, 0, count, History(study.space, (), len(search.objectives)), study.enqueue[:count])
    return made


def train(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    machine: Machine,
    *,
    stop: StopFlag,
    workload: str = "networks",
    pool: str | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    warn: Callable[[str], None] = lambda text: None,
    provenance: Mapping[str, Any] | None = None,
    checkpoints: bool = True,
    sampler: SamplerFactory | CohortSampler | None = None,
) -> Outcome:
    """Train a stored study until it is complete or `stop` is set; everything finished is stored.

    workload, pool: names of what is trained (`WORKLOADS`) and where (`running.pool.make_pool`).
    provenance: of this run, to be stored. checkpoints: store weights at rungs. sampler: makes an Optuna
    sampler from a seed, in place of the one the study names; or the one that `first_sampler` made.
    """
    from hpsearch.running.loop import Runner
    from hpsearch.running.pool import make_pool
    from hpsearch.search import CohortSampler, make_sampler, make_stopping

    proposals = sampler if isinstance(sampler, CohortSampler) else make_sampler(study, sampler)
    rule = make_stopping(study)
    trained = make_workload(workload, study, dataset, machine)
    with closing(make_pool(pool, trained, machine.workers, warn)) as place:
        store.begin(provenance)
        try:
            runner = Runner(study, store, trained, proposals, rule, place, watch, warn, checkpoints)
            runner.run(stop)
        except StorageError:
            with suppress(StorageError):
                store.end(patience=_LAST_PATIENCE)
            raise
        except BaseException:
            store.end()
            raise
        store.end()
    return Outcome(runner.complete, runner.enough, runner.profile)
