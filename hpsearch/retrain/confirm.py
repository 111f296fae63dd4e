"""The best trials on fresh seeds, scored once on the rows that are kept back: what of their rank was luck."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpsearch.data import Dataset
from hpsearch.defaults import CONFIRM_SEEDS, DEFAULT_STORAGE, LEAST_SEEDS, TOP
from hpsearch.errors import HpsearchError, NothingToShowError
from hpsearch.records import Trial
from hpsearch.results.confirmation import Confirmation
from hpsearch.results.frames import trials_frame
from hpsearch.results.scorings import CONFIRMATION, confirmation_of, pack
from hpsearch.retrain.fresh_seeds import Watch, candidate_of, scored_part, train_fresh
from hpsearch.retrain.stored import reload
from hpsearch.running.machine import Machine
from hpsearch.store import Database, StudyStore
from hpsearch.study.file import Study


def confirm(
    study: str,
    *,
    storage: str = DEFAULT_STORAGE,
    top: int = TOP,
    seeds: int = CONFIRM_SEEDS,
    resampled: bool = False,
    device: str = "auto",
    workers: int | None = None,
    watch: Watch = lambda done, total: None,
) -> Confirmation:
    """Train the best trials of a stored study on fresh seeds and score each once on the test set.

    What comes out is stored, and counted as a look at the test set; asked for again, it is read.

    Args:
        study: its name. storage: an SQLAlchemy URL. top: how many of the best complete trials by validation.
        seeds: each with other initial weights and orders of the rows; at least 3.
        resampled: with each seed, divide the rows of training and validation anew.
        device: auto, cpu, cuda or mps. workers: training threads, by default one a core.

    Raises:
        NothingToShowError: no trial is complete.
        HpsearchError: there is no such study, or its data cannot be read or have changed.
    """
    for name, value, least in (("top", top, 1), ("seeds", seeds, LEAST_SEEDS)):
        if value is not None and value < least:
            raise HpsearchError(f"{name}: expected at least {least}; found {value}")
    with Database.open(storage) as database:
        store = database.study(study)
        own, dataset = reload(store.record)
        machine = Machine.of(device, workers)
        return confirm_stored(
            own, dataset, store, machine, top=top, seeds=seeds, resampled=resampled, watch=watch
        )


def confirm_stored(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    machine: Machine,
    *,
    top: int,
    seeds: int,
    resampled: bool = False,
    watch: Watch = lambda done, total: None,
) -> Confirmation:
    """`confirm` of a study that is open, with its data."""
    trials = store.trials()
    complete = _by_rank(store, trials)
    if not complete:
        raise NothingToShowError(
            f"study {study.name}: expected a complete trial to confirm; found none. "
            f"To train more: hpsearch run {store.record.origin or study.name}"
        )
    finalists = complete[:top]
    candidates = [candidate_of(study, trial) for trial in finalists]
    part, rows = scored_part(dataset)
    about = {
        "trials": [trial.number for trial in finalists],
        "epochs": [candidate.epochs for candidate in candidates],
        "seeds": seeds,
        "resampled": resampled,
        "part": part,
        "rows": len(rows),
    }
    scorings = store.scorings()
    known = next((each for each in scorings if (each.purpose, each.about) == (CONFIRMATION, about)), None)
    if known is None:
        repeats = train_fresh(
            study,
            dataset,
            candidates,
            seeds,
            machine=machine,
            resampled=resampled,
            watch=watch,
        )
        scores, losses = (
            np.array([getattr(each, name) for each in repeats]) for name in ("scores", "losses")
        )
        data = pack(scores, losses, [each.curves for each in repeats], len(complete))
        known = store.add_scoring(CONFIRMATION, about, data)
        scorings = store.scorings()  # with those that another process has noted meanwhile
    found = confirmation_of(store.record, trials, scorings, known.number)
    assert found is not None
    return found


def _by_rank(store: StudyStore, trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials with a finite value, best first."""
    frame = trials_frame(store.record, trials)
    numbers = frame["trial"][frame["rank"].notna()].tolist()
    return [trials[number] for number in numbers]
