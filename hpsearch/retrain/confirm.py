"""The best trials on fresh seeds, scored once on the rows that are kept back: what of their rank was luck."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpsearch.data import Dataset
from hpsearch.errors import NothingToShowError
from hpsearch.records import Trial
from hpsearch.results.confirmation import Confirmation
from hpsearch.results.frames import trials_frame
from hpsearch.results.scorings import CONFIRMATION, confirmation_of, pack
from hpsearch.retrain.fresh_seeds import Watch, candidate_of, scored_part, train_fresh
from hpsearch.running.machine import Machine
from hpsearch.store import StudyStore
from hpsearch.study.file import Study


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
    """`api.confirm` of a study that is open, with its data.

    Raises:
        NothingToShowError: no trial is complete.
    """
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
