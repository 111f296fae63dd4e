"""What hpsearch does with studies, in public: run, report, confirm, compare, export, predict …

Each command of the command line parses, calls one of these functions or of those in `stored`, and prints.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.defaults import (
    COMPARE_SEEDS,
    CONFIRM_SEEDS,
    DEFAULT_STORAGE,
    LEAST_SEEDS,
    MOST_REPEATS,
    REPEATS,
    TOP,
)
from hpsearch.errors import Complaint, HpsearchError, NothingToShowError, StudyFileError, check_trial
from hpsearch.records import Params, Progress, Trial
from hpsearch.result import Plan, Predictions, Queue, Result
from hpsearch.running.watch import Beginning, Ending, Progressing, Watch
from hpsearch.stored import find_study, open_storage, study_name
from hpsearch.study.file import Study, study_from_document

if TYPE_CHECKING:
    from pandas import DataFrame

    from hpsearch.data import Dataset
    from hpsearch.data.describe import DataFacts
    from hpsearch.model.export import Exported
    from hpsearch.model.model import Model
    from hpsearch.results.confirmation import Confirmation
    from hpsearch.results.contrast import Contrast
    from hpsearch.results.frames import Report
    from hpsearch.retrain.replay import Replay
    from hpsearch.running.baselines import Beside
    from hpsearch.running.estimate import Estimate
    from hpsearch.running.first_study import FirstStudy
    from hpsearch.running.fork import Forked
    from hpsearch.running.machine import Machine
    from hpsearch.running.pool import StopFlag
    from hpsearch.search import SamplerFactory
    from hpsearch.store import Database, StudyStore

_SILENT = Watch()


# -- running -------------------------------------------------------------------------------------


def run(
    study: Study | str | Path,
    *,
    storage: str = DEFAULT_STORAGE,
    device: str = "auto",
    workers: int | None = None,
    time_limit: float | None = None,
    fork: str | None = None,
    confirm: bool = True,
    checkpoints: bool = True,
    sampler: SamplerFactory | None = None,
    watch: Watch | Callable[[Progress], None] = _SILENT,
) -> Result:
    """Create or resume a study and train it; of a complete one, confirm the best and answer its question.

    Args:
        study: from `load_study`, a study file's path, or a name: a stored study's, or that of one that comes
            with hpsearch, such as "xor". storage: an SQLAlchemy URL.
        device: auto, cpu, cuda or mps. workers: training threads, by default one a core.
        time_limit: seconds, instead of the study file's own; training ends at the next rung.
        fork: start a new study of this name from the finished trials of the stored one that fit it; the
            study's number of trials is then of those that the fork trains itself.
        confirm: when the study is complete, retrain the best 8 on 5 fresh seeds and score them once on the
            test set, unless that was done already.
        checkpoints: store the weights of what goes on at a rung, so that resuming repeats at most one rung.
        sampler: called with a seed for each cohort, returns one of Optuna's samplers or of OptunaHub's, which
            is used instead of the study's own. To resume the study, pass the same again.
        watch: hears how far the run is, and of what the user should know; or a function that is told of each
            progress.

    Raises:
        HpsearchError: with a message for the user; nothing is left half-written.
    """
    from hpsearch.results.scorings import CONFIRMATION
    from hpsearch.running.baselines import Beside
    from hpsearch.running.machine import Machine
    from hpsearch.running.pool import StopFlag
    from hpsearch.running.prepare import first_sampler, prepare, train
    from hpsearch.running.provenance import run_provenance
    from hpsearch.running.resume import is_complete, open_study

    watch = watch if isinstance(watch, Watch) else Progressing(watch)
    # Made when something is to be trained: where there is a GPU it takes torch's import.
    machine = cache(lambda: Machine.of(device, workers))
    if not isinstance(study, Study):
        study = find_study(study, storage, say=watch.says)
    study, dataset = prepare(study, watch.reads)
    with open_storage(storage, create=True) as database:
        new = database.find(fork or study.name) is None
        asks = first_sampler(study, sampler) if new else sampler
        if fork is not None:
            study = _forked(database, study, dataset, fork, machine().device, watch).study
        asked, store = study.search.trials, database.find(study.name)
        nothing_left = None if store is None else is_complete(study, store)
        if store is not None and nothing_left:
            store, study = open_study(database, study, dataset, {})
            watch.finds_complete(study, dataset, asked, nothing_left)
            confirm = confirm and not any(each.purpose == CONFIRMATION for each in store.scorings())
            with Beside(study, dataset, store) as beside:
                return _finish(study, dataset, store, machine, confirm, watch, sampler, beside)
        said, warnings = run_provenance(study, dataset, machine()), list[str]()
        store, study = open_study(database, study, dataset, said, warnings.append)
        stop = StopFlag(study.search.time_limit if time_limit is None else time_limit)
        watch.begins(_beginning(study, dataset, store, machine(), asked, stop, warnings))
        with Beside(study, dataset, store) as beside:
            outcome = train(
                study,
                dataset,
                store,
                machine(),
                stop=stop,
                watch=watch.progresses,
                warn=watch.warns,
                provenance=said,
                checkpoints=checkpoints,
                sampler=asks,
            )
            watch.ends(Ending(study, store.counts(), database.url, outcome.enough))
            if outcome.complete:
                ended = _finish(study, dataset, store, machine, confirm, watch, sampler, beside)
                return replace(ended, profile=outcome.profile)
            beside.store(patience=0)
            return Result(_report_so_far(store), False, stopped=stop.asked, profile=outcome.profile)


def estimate(
    study: Study | str | Path,
    *,
    storage: str = DEFAULT_STORAGE,
    device: str = "auto",
    workers: int | None = None,
    fork: str | None = None,
    watch: Watch = _SILENT,
) -> Plan:
    """What `run` would do with these arguments; nothing is stored, and only a probe is trained.

    Raises:
        StudyChangedError: `run` would refuse, since the study or its data are not what is stored.
    """
    from hpsearch.running.machine import Machine
    from hpsearch.running.prepare import prepare
    from hpsearch.running.resume import check_unchanged, is_complete

    if not isinstance(study, Study):
        study = find_study(study, storage, say=watch.says)
    study, dataset = prepare(study, watch.reads)
    machine = Machine.of(device, workers)
    with open_storage(storage, create=True) as database:
        taken: Sequence[Trial] = ()
        if fork is not None:
            forked = _forked(database, study, dataset, fork, machine.device, watch, dry=True)
            study, taken = forked.study, forked.trials
        complete, store = None, database.find(study.name)
        if store is not None:
            check_unchanged(store.record, database.url, study, dataset)
            complete = is_complete(study, store)
        left = _left(study, dataset, store, machine, ask=True, taken=taken)
    return Plan(study, dataset, machine, replace(left, complete=complete))


def fork(
    study: Study | str | Path, name: str, *, storage: str = DEFAULT_STORAGE, device: str = "auto"
) -> Forked:
    """Start a new study from the finished trials of a stored one that fit it.

    Args:
        study: the changed study, under its parent's name: from `load_study`, or a study file's path. Its
            number of trials is of those that the fork is to train itself.
        name: of the new study. device: on which it will be trained.

    Raises:
        UnknownStudyError: the parent is not stored. StorageError: another study has the new name.
        StudyChangedError: the study differs in what all trials have in common, or no trial fits it.
    """
    from hpsearch.running import fork as forking
    from hpsearch.running.prepare import prepare
    from hpsearch.train import choose_device

    if not isinstance(study, Study):
        study = find_study(study, storage)
    study, dataset = prepare(study)
    with open_storage(storage) as database:
        return forking.fork(database, study, dataset, name, choose_device(device))


def enqueue(study: Study | str | Path, *points: Mapping[str, Any], storage: str = DEFAULT_STORAGE) -> Queue:
    """Have a stored study try these points next, also while it runs; returns all that wait.

    Args:
        points: values of searched hyper-parameters by name; the sampler chooses those that are left out.

    Raises:
        HpsearchError: a point is not in the space, is forbidden, or the sampler is a grid.
    """
    from hpsearch.study.methods import exhaustive

    with open_storage(storage) as database:
        store = database.study(study_name(study))
        stored = study_from_document(store.record.document, store.record.origin)
        if points and exhaustive(stored.search.sampler):
            raise HpsearchError(
                f"study {stored.name}: its sampler, {stored.search.sampler}, tries every combination anyway"
            )
        if points:
            store.enqueue([_point(stored, given) for given in points])
        waiting = tuple(queued for queued in store.queue() if queued.trial is None)
        begun = sum(store.counts().values())
        return Queue(stored.name, waiting, begun, stored.search.trials, store.record.origin)


def _point(study: Study, given: Mapping[str, Any]) -> Params:
    from hpsearch.study.points import read_point
    from hpsearch.study.toml import unusable

    complaints = [Complaint("hpsearch enqueue", ".".join(key), text) for key, text in unusable(given)]
    if complaints:
        raise StudyFileError(complaints)
    point = read_point(
        given,
        study.space,
        lambda key, text: complaints.append(Complaint("hpsearch enqueue", key, text)),
    )
    if complaints:
        raise StudyFileError(complaints)
    if point.keys() == study.space.active(point).keys() and not study.allows(point):
        raise HpsearchError(f"study {study.name}: one of its forbidden combinations holds there")
    return point


# -- looking at a stored study -------------------------------------------------------------------


def report(study: Study | str | Path, *, storage: str = DEFAULT_STORAGE, images: bool = False) -> Result:
    """A stored study with everything that reports are made from; nothing is trained for its numbers.

    images: also decision boundaries or contact sheets, for which its best trials are retrained.

    Raises:
        NothingToShowError: no trial is finished. HpsearchError: there is no such study.
    """
    from hpsearch.results.scorings import report_of
    from hpsearch.running.resume import is_complete

    with open_storage(storage) as database:
        store = database.study(study_name(study))
        found, trials = report_of(store)
        stored = study_from_document(store.record.document, store.record.origin)
        complete = is_complete(stored, store) is not None
    if not images:
        return Result(found, complete)
    from hpsearch.reporting.images import with_images

    found, drawn = with_images(found, trials)
    return Result(found, complete, drawn)


def read_report(
    study: Study | str | Path,
    *,
    storage: str = DEFAULT_STORAGE,
    only: Sequence[int] = (),
    curves: bool = True,
) -> tuple[Report, Sequence[Trial]]:
    """The numbers of a stored study, and its trials.

    only: numbers of the trials that are wanted, all when empty; the ranks are then none of the study's.
    """
    from hpsearch.results.scorings import report_of

    with open_storage(storage) as database:
        return report_of(database.study(study_name(study)), only=only, curves=curves)


def curves(
    study: Study | str | Path, trials: Sequence[int] = (), *, storage: str = DEFAULT_STORAGE
) -> DataFrame:
    """Learning curves of a stored study, one row a trial and epoch; trials: all when empty.

    Raises:
        NothingToShowError: no trial is finished. HpsearchError: there is no such study or trial.
    """
    from hpsearch.results.frames import curves_frame

    found, _ = read_report(study, storage=storage, only=trials)
    return curves_frame(found.record, found.curves)


# -- retraining ----------------------------------------------------------------------------------


def confirm(
    study: Study | str | Path,
    *,
    storage: str = DEFAULT_STORAGE,
    top: int = TOP,
    seeds: int = CONFIRM_SEEDS,
    resampled: bool = False,
    device: str = "auto",
    workers: int | None = None,
    watch: Callable[[int, int], None] = _SILENT.retrains,
) -> Confirmation:
    """Retrain the best trials of a stored study on fresh seeds and score each once on the test set.

    What comes out is stored, and counted as a look at the test set; asked for again, it is read.

    Args:
        study: its name, or its study file. top: how many of the best complete trials by validation.
        seeds: each with other initial weights and orders of the rows; at least 3.
        resampled: with each seed, split the rows of training and validation anew.
        device: auto, cpu, cuda or mps. workers: training threads, by default one a core.
        watch: is called with (epochs that are done, all of them).

    Raises:
        NothingToShowError: no trial is complete.
        HpsearchError: there is no such study, or its data cannot be read or have changed.
    """
    from hpsearch.retrain.fresh_seeds import confirm_stored
    from hpsearch.retrain.reload import reload
    from hpsearch.running.machine import Machine

    _check_least(top=(top, 1), seeds=(seeds, LEAST_SEEDS))
    with open_storage(storage) as database:
        store = database.study(study_name(study))
        own, dataset = reload(store.record)
        machine = Machine.of(device, workers)
        return confirm_stored(
            own, dataset, store, machine, top=top, seeds=seeds, resampled=resampled, watch=watch
        )


def _check_least(**given: tuple[int, int]) -> None:
    """Refuse a number, by its name, that is below the least that it may be."""
    for name, (value, least) in given.items():
        if value < least:
            raise HpsearchError(f"{name}: expected at least {least}; found {value}")


def compare(
    a: Study | str | Path,
    b: Study | str | Path,
    *,
    metric: str | None = None,
    seeds: int = COMPARE_SEEDS,
    repeats: int = REPEATS,
    margin: str | None = None,
    storage: str = DEFAULT_STORAGE,
    storage_b: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    watch: Callable[[int, int], None] = _SILENT.retrains,
    repeating: Callable[[int, int], None] = _SILENT.repeats,
    say: Callable[[str], None] = _SILENT.says,
) -> Contrast:
    """Retrain two studies or trials on fresh seeds and score them on the test set: is B better than A?

    With two repeats or more, the verdict is about the studies: each repeat splits the rows anew, the same for
    both, searches, and trains the best trial by validation on a few fresh seeds. Repeats are stored, so that
    the same call goes on where an earlier one ended.

    Args:
        a, b: a study, which stands for its best trial, or a trial such as "digits:17".
        metric: that both are scored by; their own by default. seeds: at least 3.
        repeats: how often; 1 compares the configurations that both found on their own split.
        margin: how much worse B may be, such as "0.5%" or "0.005", if that is to be tested.
        storage_b: database of B; that of A by default.
        watch, repeating: are called with (pieces of work that are done, all of them), and with repeats.
        say: is told what takes a while.

    Raises:
        NothingToShowError: a study has no complete trial.
        HpsearchError: they cannot be compared, or data cannot be read or have changed.
    """
    from hpsearch.results.contrast import read_margin
    from hpsearch.retrain.contrast import Subject, compare_two
    from hpsearch.running.machine import Machine

    _check_least(seeds=(seeds, LEAST_SEEDS), repeats=(repeats, 1))
    if repeats > MOST_REPEATS:
        raise HpsearchError(f"repeats: expected at most {MOST_REPEATS:,}; found {repeats:,}")
    machine = Machine.of(device, workers)
    allowed = None if margin is None else read_margin(margin)
    (name_a, trial_a), (name_b, trial_b) = _subject(a), _subject(b)
    with ExitStack() as stack:
        # Databases and a study that both share are opened once.
        first = stack.enter_context(open_storage(storage))
        shared = storage_b in (None, storage)
        second = first if shared else stack.enter_context(open_storage(storage_b or storage))
        store = first.study(name_a)
        other = store if shared and name_a == name_b else second.study(name_b)
        return compare_two(
            Subject(store, trial_a),
            Subject(other, trial_b),
            metric=metric,
            seeds=seeds,
            margin=allowed,
            repeats=repeats,
            machine=machine,
            watch=watch,
            repeating=repeating,
            say=say,
        )


def _subject(given: Study | str | Path) -> tuple[str, int | None]:
    """The study, and of "digits:17" or "digits#17" the number of the trial."""
    found = re.fullmatch(r"(.+)[:#]([0-9]+)", str(given), re.ASCII)
    if isinstance(given, Study) or found is None or os.path.isfile(given):
        return study_name(given), None
    return study_name(found[1]), int(found[2])


def replay(
    study: Study | str | Path,
    trials: Iterable[int] | None = None,
    *,
    storage: str = DEFAULT_STORAGE,
    device: str = "auto",
    workers: int | None = None,
    watch: Callable[[int, int], None] = _SILENT.retrains,
) -> Replay:
    """Retrain trials of a stored study from their records alone, and compare their whole curves bit for bit.

    Args:
        study: its name, or its study file. trials: their numbers; all that have an epoch by default.

    Raises:
        StudyChangedError: the data have other content now, so that nothing could come out the same.
        NothingToShowError: none of the trials has an epoch.
        HpsearchError: there is no such study or trial, or its data cannot be read.
    """
    from hpsearch.retrain.replay import replay_stored
    from hpsearch.running.machine import Machine

    with open_storage(storage) as database:
        store = database.study(study_name(study))
        return replay_stored(store, trials, Machine.of(device, workers), watch)


# -- models --------------------------------------------------------------------------------------


def export(
    study: Study | str | Path,
    *,
    trial: int | None = None,
    out: str | Path | None = None,
    onnx: bool = False,
    refit: bool = True,
    storage: str = DEFAULT_STORAGE,
    say: Callable[[str], None] = _SILENT.says,
) -> Exported:
    """Write a trial of a stored study as a model that predicts.

    Args:
        trial: its number; the best confirmed one by default, or the best by validation.
        refit: train it on the training and validation rows together, for its confirmed number of epochs. No
            row is left to score that network but the test set's, so the confirmed score of its configuration
            is what to expect of it. Otherwise its weights are those that its validation metric is of.
        out: the folder, "STUDY-model" by default. onnx: write model.onnx, too; needs hpsearch[onnx].
        say: is told what takes a while.

    Raises:
        NothingToShowError: no trial has a rank. HpsearchError: the trial has no weights, its data are gone,
            or a file cannot be written.
    """
    from hpsearch.model.export import choose_trial, make_model, write_model
    from hpsearch.model.onnx_graph import check_onnx
    from hpsearch.retrain.reload import reload
    from hpsearch.train import choose_device

    if onnx:
        check_onnx()
    found, trials = read_report(study, storage=storage, curves=False)
    record = found.record
    if trial is not None:
        check_trial(record.name, trial, len(trials), "--trial")
    chosen = trials[choose_trial(found, trial)]
    own, dataset = reload(record)
    rows = " on the training and validation rows" if refit else ""
    say(f"training trial {chosen.number} again{rows}")
    model = make_model(record, own, dataset, chosen, choose_device("auto"), found.confirmation, refit)
    return write_model(model, Path(out) if out is not None else Path(f"{record.name}-model"), onnx)


def predict(model: Model | str | Path, data: Path | str | DataFrame) -> DataFrame:
    """What an exported model says of a file, a folder or a frame.

    Args:
        model: from `load_model`, or the folder that `export` wrote.

    Raises:
        HpsearchError: it is no model, or the data cannot be read or lack a column.
    """
    from hpsearch.model.files import load_model

    loaded = load_model(model) if isinstance(model, str | Path) else model
    return loaded.predict(data)


def predictions(
    model: Model | str | Path, data: Path | str | DataFrame, watch: Callable[[int, int], None] = _SILENT.reads
) -> Predictions:
    """What `predict` says, and what it says it of. watch: is called with (images decoded, all of them)."""
    from hpsearch.model.files import load_model

    loaded = load_model(model) if isinstance(model, str | Path) else model
    rows = loaded.prepare(data, watch)
    outputs = loaded.outputs(rows.x)
    return Predictions(loaded, rows, outputs, loaded.frame(rows, outputs))


def describe(
    source: str | Path,
    *,
    target: str | None = None,
    task: str | None = None,
    columns: Mapping[str, Any] | None = None,
    watch: Callable[[int, int], None] = _SILENT.reads,
) -> DataFacts:
    """What is read from a file, folder or archive: columns, classes, splits, and what was inferred.

    Args:
        source: as `data.source` of a study file. target: tables: the column to predict.
        task: inferred from the target by default. columns: as `[data.columns]` of a study file.

    Raises:
        HpsearchError: it cannot be read.
    """
    from hpsearch.data.describe import describe
    from hpsearch.study.schema import DataSection

    def complain(key: tuple[str, ...], text: str) -> Complaint:
        asked = f"--{key[-1]}" if key[-1] in ("target", "task") else ".".join(key)
        return Complaint(str(source), asked, text)

    data = {"source": str(source), "target": target, "task": task, "columns": columns}
    return describe(DataSection.model_validate(data), None, complain, watch)


def init(
    name: str = "study",
    *,
    target: str | None = None,
    task: str | None = None,
    out: str | Path | None = None,
    force: bool = False,
    effort: str | None = None,
    watch: Callable[[int, int], None] = _SILENT.reads,
) -> FirstStudy:
    """Write a commented study file.

    Args:
        name: of the study, or the data to study: a file, a folder or a built-in name.
        target: tables: the column to predict. task: inferred from the target by default. effort: for
            data: "quick" (the default), "good" or "best". out: the file. force: overwrite it.

    Raises:
        HpsearchError: the data cannot be read, or do not say what is predicted; or the file exists already.
    """
    from hpsearch.running.first_study import first_study

    return first_study(name, target, task, None if out is None else Path(out), force, effort, watch)


# -- parts of a run ------------------------------------------------------------------------------


def _forked(
    database: Database,
    study: Study,
    dataset: Dataset,
    name: str,
    device: str,
    watch: Watch,
    dry: bool = False,
) -> Forked:
    from hpsearch.running import fork as forking

    made = forking.fork(database, study, dataset, name, device, dry)
    watch.forks(study.name, made.taken, made.finished)
    if made.remark:
        watch.says(f"         {made.remark}")
    return made


def _beginning(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    machine: Machine,
    asked: int,
    stop: StopFlag,
    warnings: Iterable[str],
) -> Beginning:
    from hpsearch.running.checkup import slow_text
    from hpsearch.train import missing_kernel

    notes = []
    if machine.device == "cpu" and (reason := missing_kernel()):
        notes.append(slow_text(reason))
    left = partial(_left, study, dataset, store, machine, ask=False)  # the run is about to ask anyway
    return Beginning(
        study, dataset, machine, asked, store.counts(), left, stop, tuple(warnings), tuple(notes)
    )


def _left(
    study: Study,
    dataset: Dataset,
    store: StudyStore | None,
    machine: Machine,
    *,
    ask: bool,
    taken: Sequence[Trial] = (),
) -> Estimate:
    """What is left of a study that may not be stored yet.

    ask: as running.estimate has it. taken: trials that a fork that is not stored begins with.
    """
    from hpsearch.running.estimate import estimate

    last = None if store is None else store.last_cohort()
    trials = taken if store is None else store.trials()
    return estimate(study, dataset, trials, 0 if last is None else last.number + 1, machine, ask=ask)


def _finish(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    machine: Callable[[], Machine],
    confirm: bool,
    watch: Watch,
    sampler: SamplerFactory | None,
    beside: Beside,
) -> Result:
    """Confirm the best of a complete study, answer the question that it asks, and store its baselines."""
    if confirm:
        from hpsearch.retrain.fresh_seeds import confirm_stored

        # Without a complete trial there is nothing to confirm, and the report says so.
        with suppress(NothingToShowError):
            confirm_stored(
                study, dataset, store, machine(), top=TOP, seeds=CONFIRM_SEEDS, watch=watch.retrains
            )
    note = None
    if study.compare is not None:
        from hpsearch.retrain.contrast import answer

        note = answer(study, dataset, store, machine, watch, sampler)
    beside.store(watch.says)
    found = _report_so_far(store)
    if note is not None:
        from hpsearch.results.frames import with_note

        found = with_note(replace(found, notes=()), note)
    return Result(found, True)


def _report_so_far(store: StudyStore) -> Report:
    """The report of a study, of which perhaps nothing is finished."""
    from hpsearch.results.frames import Report, trials_frame
    from hpsearch.results.scorings import report_of

    try:
        return report_of(store)[0]
    except NothingToShowError:
        return Report(store.record, trials_frame(store.record, []), {})
