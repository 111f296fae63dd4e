"""A new study that starts from the trials of another one, with changed settings.

A trial's curve is a function of the seed, the number its weights are drawn for, its configuration, the data
and how it is trained. So a fork has its parent's seed, data and `[train]` except for the epochs, and takes
over every finished trial that it could have trained itself: the configuration is a point of the new space, is
not forbidden, and would be computed the same way. These become its first trials, in order and without gaps.
Their numbers change, so each keeps the number its weights were drawn for (`records.Trial.weights`) and
replays the same. Curves, lanes and runs go with them.

`search.trials` counts what a fork trains itself: it ends with so many more than it took over, and its record
has the sum. In the record of a fork that an older version stored, which lacks `on_top`, it is the total.

With more epochs, complete trials count as stopped early; with fewer, trials that ended there count as
complete, and longer ones are left out. A cosine schedule spans all epochs, so its trials fit no other number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hpsearch.data import Dataset
from hpsearch.errors import HpsearchError, StorageError, StudyChangedError, plural
from hpsearch.records import Cohort, Params, Run, State, StudyRecord, Trial
from hpsearch.results.baselines import stored_baselines
from hpsearch.results.scorings import inherited
from hpsearch.running.prepare import make_problem
from hpsearch.running.provenance import changes, settings
from hpsearch.running.resume import new_record
from hpsearch.store import Contents, Database, StudyStore
from hpsearch.study.file import Study, name_from, study_from_document, threshold_of
from hpsearch.study.hyperparameters import HYPER_PARAMETERS, Configuration, Value
from hpsearch.study.points import read_point
from hpsearch.study.space import Choice, Entry, Fixed, Range, Space
from hpsearch.text import listed, parameter_text
from hpsearch.train import Lane, Problem
from hpsearch.train.engine import is_native
from hpsearch.train.planner import padded_widths

_FREE = (
    "study.name",
    "study.baselines",
    "data.source",
    "space",
    "train.epochs",
    "train.threshold",
    "search",
    "compare",
    "enqueue",
    "forbidden",
)
"""Settings in which a fork may differ from its parent; of the source, its name."""

_BOUND = ("search.objectives",)
"""Exceptions to these: how trials would score on other objectives is not known."""


@dataclass(frozen=True)
class Forked:
    """What came of forking: the study under its new name, how many trials it took over, and of how many.

    study: its `search.trials` is the total, those taken over included. trials: those taken over, under their
    new numbers; () where the fork was stored before. untried: what the new space has that none of them could
    try, such as "width above 32". own: trials that it trains itself.
    """

    study: Study
    taken: int
    finished: int
    trials: Sequence[Trial] = ()
    untried: Sequence[str] = ()

    @property
    def own(self) -> int:
        return max(0, self.study.search.trials - self.taken)

    @property
    def remark(self) -> str:
        """What a user should know of a fork that is new; "" of one that was stored before."""
        if not self.trials:
            return ""
        none = f"none of them tried {listed(self.untried, 'or')}; " if self.untried else ""
        return f"{none}{plural(self.own, 'trial')} of its own {'comes' if self.own == 1 else 'come'} on top"


def fork(
    database: Database, study: Study, dataset: Dataset, name: str, device: str = "cpu", dry: bool = False
) -> Forked:
    """Store the study under a new name, with the trials that fit of the stored study of its own name.

    An existing fork stays as it is, so the same command resumes it.

    Args:
        study, dataset: of `api.prepare`, under the parent's name. device: where the fork will train.
        dry: store nothing.

    Raises:
        UnknownStudyError: the parent is not stored. StorageError: another study has the new name.
        StudyChangedError: the study differs in what all trials have in common, or no trial fits it.
    """
    if name_from(name) != name:
        raise HpsearchError(f"--fork: expected a name of letters, digits, '.', '_' and '-'; found \"{name}\"")
    parent = database.study(study.name)
    forked = replace(study.as_begun(parent.record.document), name=name)
    trials = parent.trials()
    finished = [trial for trial in trials if trial.state.finished]
    known = database.find(name)
    if known is not None:
        origin = known.record.parent.get("study")
        if origin != study.name:
            raise StorageError(
                f'{database.url}: study "{name}" exists already'
                + (f', forked from "{origin}"' if origin else f' and is no fork of "{study.name}"')
                + "; choose another name for the fork"
            )
        taken_before = len(known.record.parent["trials"])
        if known.record.parent.get("on_top"):
            forked = _with_more(forked, taken_before)
        return Forked(forked, taken_before, len(finished))
    old = study_from_document(parent.record.document, parent.record.origin)
    _check_settings(parent.record, old, forked, dataset)
    fits = _Fits(old, forked, make_problem(old, dataset, device), make_problem(forked, dataset, device))
    taken = [(trial, moved) for trial in finished if (moved := fits.moved(trial)) is not None]
    if not taken:
        raise StudyChangedError(
            f'none of the {plural(len(finished), "finished trial")} of study "{study.name}" fits study '
            f'"{name}": its space, epochs or forbidden combinations differ. To start from scratch: '
            f"--set study.name={name}"
        )
    begun = [
        replace(new, number=at, cohort=0, weights=trial.drawn_as) for at, (trial, new) in enumerate(taken)
    ]
    forked = _with_more(forked, len(begun))
    if not dry:
        share = sum(trial.epochs for trial in begun) / max(1, sum(trial.epochs for trial in trials))
        numbers = {trial.number: at for at, (trial, _) in enumerate(taken)}
        _store(database, parent, forked, dataset, begun, numbers, parent.record.seconds * share)
    return Forked(forked, len(taken), len(finished), begun, tuple(untried(old.space, forked.space)))


def _with_more(study: Study, taken: int) -> Study:
    """The fork with the total that it ends with."""
    search = study.search.model_copy(update={"trials": study.search.trials + taken})
    return replace(study, search=search)


def untried(old: Space, new: Space) -> Iterator[str]:
    """What a trial of the new space can have, and none of the old one, in words."""
    for name, entry in new.searched.items():
        default = HYPER_PARAMETERS[name].default
        before = old.entries.get(name) or (None if default is None else Fixed(default))
        if before is None:
            yield name
        elif isinstance(entry, Range) and isinstance(before, Range):
            if entry.low < before.low:
                yield f"{name} below {before.low:g}"
            if entry.last > before.last:
                yield f"{name} above {before.last:g}"
        elif isinstance(entry, Range):
            yield f"{name} other than {listed([parameter_text(v) for v in old.values(name) or ()], 'or')}"
        elif values := [value for value in entry.values if not _could_be(before, value)]:
            yield f"{name} {listed([parameter_text(value) for value in values], 'or')}"


def _could_be(entry: Entry, value: Value) -> bool:
    if isinstance(entry, Range):
        return isinstance(value, int | float) and entry.low <= value <= entry.last
    return value in (entry.values if isinstance(entry, Choice) else (entry.value,))


def _check_settings(record: StudyRecord, old: Study, forked: Study, dataset: Dataset) -> None:
    """Check that what all trials have in common is as it was.

    Raises:
        StudyChangedError: it is not.
    """
    found = changes(settings(old), settings(forked))
    refused = [f"  {text}" for key, text in found if not _under(key, _FREE) or _under(key, _BOUND)]
    if dataset.hash != record.data_hash:
        content = f"{record.data_hash[:12]}…, now {dataset.hash[:12]}…"
        refused.append(f"  the content of {forked.data.source}: stored sha256 {content}")
    if refused:
        raise StudyChangedError(
            f'study "{forked.name}" cannot start from the trials of "{record.name}", which were trained '
            "differently:\n" + "\n".join(refused) + "\nChange this back, or start from scratch: "
            f"--set study.name={forked.name}"
        )


def _under(key: str, names: Iterable[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


@dataclass(frozen=True)
class _Fits:
    """Which trials of the old study the new one could have trained itself."""

    old: Study
    new: Study
    old_problem: Problem
    new_problem: Problem

    def moved(self, trial: Trial) -> Trial | None:
        """The finished trial in the new study, or None if that could not have trained it."""
        configuration = self.old.space.configuration(trial.params)
        params = point_of(self.new.space, configuration)
        if params is None or not self.new.allows(params) or not self._same_computation(trial, configuration):
            return None
        epochs = self.new.train.epochs
        if trial.epochs > epochs:
            return None
        if trial.state is State.COMPLETE and trial.epochs < epochs:
            reason = f"stopped at epoch {trial.epochs}, the last epoch of study {self.old.name}"
            return replace(trial, params=params, state=State.PRUNED, reason=reason)
        if trial.state is State.PRUNED and trial.epochs == epochs:
            return replace(trial, params=params, state=State.COMPLETE, reason=None)
        return replace(trial, params=params)

    def _same_computation(self, trial: Trial, configuration: Configuration) -> bool:
        """Whether both use the same learning rates and, where lanes are stacked, the same padded widths."""
        if configuration.schedule == "cosine" and self.old.train.epochs != self.new.train.epochs:
            return False
        lane = Lane(trial.number, configuration)
        if is_native(self.new_problem, lane):
            return True
        return padded_widths(self.old_problem, [lane]) == padded_widths(self.new_problem, [lane])


def point_of(space: Space, configuration: Configuration) -> Params | None:
    """The searched hyper-parameters of the trial with this configuration; None if it is not in the space."""
    values = {name: getattr(configuration, HYPER_PARAMETERS[name].field) for name in space.searched}
    params = space.active({name: value for name, value in values.items() if value is not None})
    if space.configuration(params) != configuration:
        return None
    complaints: list[str] = []
    if params:
        read_point(params, space, lambda key, text: complaints.append(text))
    return None if complaints else params


def _store(
    database: Database,
    parent: StudyStore,
    forked: Study,
    dataset: Dataset,
    trials: Sequence[Trial],
    numbers: Mapping[int, int],
    seconds: float,
) -> None:
    """Store the new study with its first trials, all or nothing.

    numbers: new ones by the parent's. seconds: the trials' training time.
    """
    segments = parent.segments(numbers)
    runs = {run.number: run for run in parent.runs()}
    used = sorted({segment.run for segment in segments} & runs.keys())
    places = {number: at for at, number in enumerate(used, start=1)}
    record = new_record(
        forked,
        dataset,
        provenance=parent.record.provenance,
        seconds=seconds,
        parent={
            "study": parent.record.name,
            "on_top": True,
            "scorings": inherited(parent.scorings(), parent.record.parent),
            "trials": list(numbers),
            "weights": [trial.drawn_as for trial in trials],
        },
    )
    known = stored_baselines(parent.scorings())
    if threshold_of(parent.record.document) != threshold_of(record.document):
        known = None  # they are decided otherwise, and are trained again
    contents = Contents(
        runs=[
            Run(place, {**runs[number].provenance, "copied_from": parent.record.name}, runs[number].begun)
            for number, place in places.items()
        ],
        cohorts=[Cohort(0, {trial.number: (0, trial.epochs) for trial in trials})],
        trials=list(trials),
        segments=[
            replace(segment, trial=numbers[segment.trial], cohort=0, run=places.get(segment.run, 0))
            for segment in segments
        ],
        queued=list(_untried(forked, trials)),
        # Of the same splits and metric: those of the fork come out the same.
        scorings=[] if known is None else [replace(known, number=1)],
    )
    database.create_study(record, contents)


def _untried(study: Study, trials: Sequence[Trial]) -> Iterator[Params]:
    """Points of `[[enqueue]]` due among the first trials that none of these has tried."""
    for point in study.enqueue[: len(trials)]:
        if not any(point.items() <= trial.params.items() for trial in trials):
            yield point
