"""Repeat a comparison on other splits: split, search, choose and train on fresh seeds, all anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hpsearch.data import Dataset
from hpsearch.data.same import same_rows
from hpsearch.errors import HpsearchError
from hpsearch.records import StudyRecord, Trial
from hpsearch.results.confirmation import TEST, Retrained
from hpsearch.results.contrast import Rows
from hpsearch.results.repeats import REPEAT, Asked, Repeat, about_repeat, pack_repeat, repeats_in
from hpsearch.retrain.fresh_seeds import Watch, scored_part
from hpsearch.running.machine import Machine
from hpsearch.running.pool import StopFlag
from hpsearch.running.prepare import prepare, train
from hpsearch.running.resume import new_record
from hpsearch.search import SamplerFactory
from hpsearch.store import Database, StudyStore
from hpsearch.study.file import Study


@dataclass(frozen=True)
class Searched:
    """A study that was trained, or that a repeat trains for one number alone."""

    study: Study
    dataset: Dataset
    record: StudyRecord
    trials: Sequence[Trial]


Choose = Callable[[Searched], Sequence[Retrained]]
"""Chooses each arm's best trial, and trains it on fresh seeds."""


def repeat(
    store: StudyStore,
    base: Searched,
    asked: Asked,
    choose: Choose,
    machine: Machine,
    *,
    search: bool = True,
    sampler: SamplerFactory | None = None,
    watch: Watch = lambda done, total: None,
) -> dict[int, Repeat]:
    """The wanted repeats by number: those that are stored, and the others, stored as soon as they are done.

    Args:
        base: the study itself, whose trials are those of the repeat with its seed. search: whether `choose`
            needs trials. sampler: of the user's, in place of the study's own. watch: is called with (repeats
            that are done, all of them).

    Raises:
        HpsearchError: the rows cannot be split so that the study can be trained on them.
    """
    found = repeats_in(store.record.name, store.scorings(), asked)
    for number, seed in asked.seeds_by_repeat.items():
        if number not in found:
            watch(number, asked.count)
            try:
                anew = _anew(base, seed, machine, search, sampler)
            except HpsearchError as error:
                raise HpsearchError(
                    f"repeat {number + 1} of {asked.count}, on another split: {error}"
                ) from None
            part, _ = scored_part(anew.dataset)
            own = Repeat(tuple(choose(anew)), *_rows(base, anew.dataset))
            store.add_scoring(REPEAT, about_repeat(asked, number, own, part), pack_repeat(own, asked.seeds))
            found[number] = own
    watch(asked.count, asked.count)
    return found


def _anew(
    base: Searched, seed: int, machine: Machine, search: bool, sampler: SamplerFactory | None
) -> Searched:
    """The study with another seed, and so with another split, searched in a database that is thrown away.

    What of a repeat is worth keeping is its scores: its trials are those of a study with that seed.
    """
    if seed == base.study.seed:
        return base
    study, dataset = prepare(replace(base.study, seed=seed))
    record = new_record(study, dataset)
    if not search:
        return Searched(study, dataset, record, ())
    with Database.open("sqlite://", create=True) as database:  # in memory
        store = database.create_study(record)
        stop = StopFlag(study.search.time_limit)
        train(study, dataset, store, machine, stop=stop, checkpoints=False, sampler=sampler)
        return Searched(study, dataset, store.record, store.trials())


def _rows(base: Searched, other: Dataset) -> tuple[Rows, float]:
    """How the rows that a repeat scores are to those of others, and the scored by all others."""
    from hpsearch.data.builtin import GENERATED  # takes scikit-learn's import

    if base.study.data.source in GENERATED:
        return Rows.NEW, 0.0
    name, part = scored_part(other)
    which = "test" if name == TEST else "valid"
    if other is not base.dataset and same_rows(base.dataset, other, (which,)):
        return Rows.SAME, 0.0
    chosen_on = len(other.train) + (len(other.valid) if name == TEST else 0)
    return Rows.SPLIT, len(part) / chosen_on
