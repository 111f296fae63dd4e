"""New studies from the trials of old ones: which are taken over, and that they are still what they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from typer.testing import CliRunner

import hpsearch
from hpsearch.cli.app import app
from hpsearch.data import Dataset
from hpsearch.errors import HpsearchError, StorageError, StudyChangedError, UnknownStudyError
from hpsearch.records import Progress, State, Trial
from hpsearch.retrain.reload import reload, retrain
from hpsearch.running.fork import Forked, fork
from hpsearch.running.machine import Machine
from hpsearch.running.pool import StopFlag
from hpsearch.running.prepare import make_problem, prepare, train
from hpsearch.running.resume import open_study
from hpsearch.store import Contents, Database
from hpsearch.study.file import Study, load_study
from tests.studies import assert_same, stored, url, write_study
from tests.studies import hpsearch as command_line

NARROW = ("space.learning_rate={ low = 0.02, high = 0.3, log = true }",)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A study file of 40 trials, and the bytes of its database."""
    folder = tmp_path_factory.mktemp("parent")
    path = write_study(folder)
    hpsearch.run(path, storage=url(folder / "p.db"), confirm=False)
    return path, (folder / "p.db").read_bytes()


class Place:
    """A copy of the parent's database to fork in."""

    def __init__(self, parent: tuple[Path, bytes], folder: Path) -> None:
        self.file, self.path = parent[0], folder / "fork.db"
        self.path.write_bytes(parent[1])

    def prepared(self, *overrides: str) -> tuple[Study, Dataset]:
        return prepare(load_study(self.file, overrides))

    def fork(self, *overrides: str, name: str = "new") -> Forked:
        study, dataset = self.prepared(*overrides)
        with Database.open(url(self.path)) as database:
            return fork(database, study, dataset, name)

    def trials(self, name: str = "small") -> list[Trial]:
        with Database.open(url(self.path)) as database:
            return database.study(name).trials()

    def origins(self, name: str = "new") -> list[int]:
        with Database.open(url(self.path)) as database:
            numbers: list[int] = database.study(name).record.parent["trials"]
            return numbers


@pytest.fixture
def place(parent: tuple[Path, bytes], tmp_path: Path) -> Place:
    return Place(parent, tmp_path)


# -- which trials ------------------------------------------------------------------------------------


def test_a_narrower_space_takes_over_the_trials_inside_it(place: Place) -> None:
    before = place.trials()
    expected = [trial.number for trial in before if 0.02 <= trial.params["learning_rate"] <= 0.3]
    assert 5 < len(expected) < 35
    forked = place.fork(*NARROW)
    assert (forked.taken, forked.finished, forked.study.name) == (len(expected), 40, "new")
    assert place.origins() == expected
    after = place.trials("new")
    assert [trial.number for trial in after] == list(range(len(expected)))
    for old, new in zip((before[number] for number in expected), after, strict=True):
        assert new.drawn_as == old.number
        assert (new.params, new.state, new.epochs) == (old.params, old.state, old.epochs)
        assert (new.value, new.loss, new.best_epoch) == (old.value, old.loss, old.best_epoch)
        assert (new.reason, new.started, new.finished) == (old.reason, old.started, old.finished)
    curves, others = stored(place.path)[1], stored(place.path, "new")[1]
    assert all(np.array_equal(others[at], curves[number]) for at, number in enumerate(expected))
    assert place.trials() == before


def test_taken_over_trials_replay_under_their_new_numbers(place: Place) -> None:
    place.fork(*NARROW)
    assert any(trial.number != trial.drawn_as for trial in place.trials("new"))
    found = hpsearch.replay("new", storage=url(place.path))
    assert found.identical
    assert [run.run for run in found.runs] == [1]
    assert found.runs[0].fields.keys() <= {"study", "workers"}
    with Database.open(url(place.path)) as database:
        pieces = database.study("new").segments()
    assert {piece.run for piece in pieces} == {1}
    trial = place.trials("new")[-1]
    assert trial.number != trial.drawn_as
    parent = place.trials()[trial.drawn_as]
    assert np.array_equal(weights(place, "new", trial), weights(place, "small", parent))


def weights(place: Place, name: str, trial: Trial) -> np.ndarray:
    """What a report or `variance` trains again."""
    with Database.open(url(place.path)) as database:
        study, dataset = reload(database.study(name).record)
    problem = make_problem(study, dataset, "cpu")
    return retrain(study, problem, trial, trial.epochs).parameters


def test_a_fork_goes_on_and_ends_with_exactly_its_trials(place: Place, tmp_path: Path) -> None:
    settings = (*NARROW, "search.trials=30")
    taken = place.fork(*settings).taken
    whole = tmp_path / "whole.db"
    whole.write_bytes(place.path.read_bytes())
    for path, stopping in ((whole, False), (place.path, True)):
        complete = False
        while not complete:
            complete = _trained(path, *place.prepared(*settings), stopping)
    assert_same(whole, place.path, "new")
    trials = place.trials("new")
    assert len(trials) == taken + 30
    assert all(trial.state.finished for trial in trials)
    assert all(0.02 <= trial.params["learning_rate"] <= 0.3 for trial in trials)
    assert {trial.cohort for trial in trials[:taken]} == {0}
    assert {trial.cohort for trial in trials[taken:]} > {1}
    assert hpsearch.replay("new", storage=url(place.path)).identical
    mirror = optuna.load_study(study_name="new", storage=url(place.path)).trials
    assert [trial.params for trial in mirror] == [trial.params for trial in trials]
    for trial in trials:
        assert mirror[trial.number].value == trial.value


def _trained(path: Path, study: Study, dataset: Dataset, stopping: bool) -> bool:
    """Whether the fork is complete after a run, which is stopped when it has stored something."""
    with Database.open(url(path)) as database:
        store, study = open_study(database, fork(database, study, dataset, "new").study, dataset, {})
        stop = StopFlag()

        def watch(progress: Progress) -> None:
            if stopping and progress.epochs:
                stop.ask()

        return train(study, dataset, store, Machine("cpu", 2), stop=stop, watch=watch).complete


def test_a_wider_space_takes_over_all_with_the_values_that_they_had(place: Place) -> None:
    forked = place.fork(
        "space.learning_rate={ low = 1e-4, high = 10.0, log = true }",
        "space.width={ low = 8, high = 64 }",
        "space.nesterov=[false, true]",
        "space.weight_decay=[0.0, 0.1]",
    )
    assert forked.taken == 40
    for old, new in zip(place.trials(), place.trials("new"), strict=True):
        deep = {"width": 16} if old.params["depth"] > 1 else {"width": new.params["width"]}
        given = {"nesterov": False, "weight_decay": 0.0}
        assert new.params == {**old.params, **deep, **given}
        assert new.weights is None
    assert hpsearch.replay("new", storage=url(place.path)).identical


def test_a_value_that_is_fixed_now_takes_over_the_trials_with_it(place: Place) -> None:
    before = place.trials()
    place.fork('space.activation="tanh"', "space.batch_size=[16, 32]")
    expected = [t.number for t in before if t.params["activation"] == "tanh" and t.params["batch_size"] > 8]
    assert place.origins() == expected
    assert all("activation" not in trial.params for trial in place.trials("new"))


def test_forbidden_combinations_are_left_out(place: Place, tmp_path: Path) -> None:
    before = place.trials()
    file = tmp_path / "small.toml"
    file.write_text(place.file.read_text() + '\n[[forbidden]]\ndepth = 3\nactivation = "relu"\n')
    place.file = file
    place.fork()
    expected = [t.number for t in before if (t.params["depth"], t.params["activation"]) != (3, "relu")]
    assert len(expected) < 40
    assert place.origins() == expected


def test_points_to_try_first_are_still_tried(place: Place, tmp_path: Path) -> None:
    known = place.trials()[3].params
    file = tmp_path / "small.toml"
    points = "".join(
        f"\n[[enqueue]]\nlearning_rate = {rate!r}\ndepth = {depth}\n"
        for rate, depth in ((known["learning_rate"], known["depth"]), (0.125, 2))
    )
    file.write_text(place.file.read_text() + points)
    place.file = file
    place.fork("search.trials=44")
    with Database.open(url(place.path)) as database:
        assert [point.params for point in database.study("new").queue()] == [
            {"learning_rate": 0.125, "depth": 2}
        ]


def test_with_more_epochs_complete_trials_count_as_stopped(place: Place) -> None:
    before = place.trials()
    place.fork("train.epochs=27")
    after = place.trials("new")
    assert len(after) == 40
    for old, new in zip(before, after, strict=True):
        if old.state is State.COMPLETE:
            assert (new.state, new.epochs, new.value) == (State.PRUNED, 9, old.value)
            assert new.reason == "stopped at epoch 9, the last epoch of study small"
        else:
            assert (new.state, new.reason) == (old.state, old.reason)
    assert hpsearch.replay("new", storage=url(place.path)).identical


def test_with_fewer_epochs_trials_that_went_on_are_left_out(place: Place) -> None:
    before = place.trials()
    place.fork("train.epochs=3")
    assert place.origins() == [trial.number for trial in before if trial.epochs <= 3]
    for trial in place.trials("new"):
        assert (trial.state is State.COMPLETE) == (trial.epochs == 3)
        assert (trial.reason is None) == (trial.epochs == 3)


def test_a_schedule_over_all_epochs_fits_no_other_number_of_them(tmp_path: Path) -> None:
    path = write_study(tmp_path, trials=12)
    path.write_text(path.read_text().replace("width = 16", 'width = 16\nschedule = ["constant", "cosine"]'))
    hpsearch.run(path, storage=url(tmp_path / "c.db"), confirm=False)
    place = Place((path, (tmp_path / "c.db").read_bytes()), tmp_path)
    constant = [t.number for t in place.trials() if t.params["schedule"] == "constant"]
    assert 0 < len(constant) < 12
    assert place.fork(name="same").taken == 12
    place.fork("train.epochs=27")
    assert place.origins() == constant


def test_other_padding_of_stacked_lanes_fits_only_what_it_does_not_change(tmp_path: Path) -> None:
    """Dropout trains stacked in torch, where a study of many widths pads them; 16 is padded to itself."""
    for width, taken in ((16, 4), (20, 0)):
        folder = tmp_path / str(width)
        folder.mkdir()
        path = write_study(folder, trials=4)
        text = path.read_text().replace("width = 16", f"width = {width}\ndropout = 0.5")
        path.write_text(text.replace("depth = { low = 1, high = 3 }", "depth = 2"))
        hpsearch.run(path, storage=url(folder / "c.db"), confirm=False)
        place = Place((path, (folder / "c.db").read_bytes()), folder)
        if taken:
            assert place.fork("space.width={ low = 4, high = 64 }").taken == taken
            assert hpsearch.replay("new", storage=url(place.path)).identical
        else:
            with pytest.raises(StudyChangedError, match="none of the 4 finished trials"):
                place.fork("space.width={ low = 4, high = 64 }")


def test_a_fork_of_a_fork_keeps_the_weights_of_the_first(place: Place) -> None:
    place.fork(*NARROW)
    study, dataset = place.prepared(*NARROW, "study.name=new", "space.batch_size=[16, 32]")
    with Database.open(url(place.path)) as database:
        fork(database, study, dataset, "newer")
    first, second = place.origins(), place.origins("newer")
    assert 0 < len(second) < len(first)
    assert [trial.drawn_as for trial in place.trials("newer")] == [first[number] for number in second]
    assert hpsearch.replay("newer", storage=url(place.path)).identical


def test_a_trial_that_is_taken_over_and_has_to_be_trained_again_comes_out_the_same(tmp_path: Path) -> None:
    """As after a salvage: initial weights and dropout's masks are those of its number in the parent."""
    path = write_study(tmp_path, trials=8)
    path.write_text(path.read_text().replace("width = 16", "width = 16\ndropout = 0.3"))
    hpsearch.run(path, storage=url(tmp_path / "d.db"), confirm=False)
    place = Place((path, (tmp_path / "d.db").read_bytes()), tmp_path)
    depths = [trial.params["depth"] for trial in place.trials()]
    at = next(n for n, depth in enumerate(depths) if depth > 1 and 1 in depths[:n])
    place.fork("space.depth={ low = 2, high = 3 }")
    assert hpsearch.replay("new", storage=url(place.path)).identical
    with Database.open(url(place.path)) as database:
        store = database.study("new")
        trials, cohorts, runs = store.trials(), store.cohorts(), store.runs()
        lost = trials[place.origins().index(at)]
        assert lost.drawn_as == at != lost.number
        trials[lost.number] = Trial(lost.number, 0, lost.params, started=lost.started)
        kept = [segment for segment in store.segments() if segment.trial != lost.number]
        record = store.record
    with Database.open(url(tmp_path / "salvaged.db"), create=True) as database:
        database.create_study(record, Contents(runs, cohorts, trials, kept))
        study, dataset = reload(record)
        store = database.study("new")
        assert train(study, dataset, store, Machine("cpu", 2), stop=StopFlag()).complete
        again = store.curves()[lost.number]
    curve = stored(tmp_path / "d.db")[1][at]
    epochs = min(len(again), len(curve))  # other trials are there to be judged against
    assert np.array_equal(again[:epochs], curve[:epochs])


def test_unfinished_trials_stay_behind(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    for _ in range(2):  # the second ends with survivors of the first cohort
        hpsearch.run(path, storage=url(tmp_path / "u.db"), time_limit=1e-9, confirm=False)
    place = Place((path, (tmp_path / "u.db").read_bytes()), tmp_path)
    trials = place.trials()
    finished = [trial.number for trial in trials if trial.state.finished]
    assert 0 < len(finished) < len(trials)
    place.fork()
    assert place.origins() == finished


@pytest.mark.parametrize(
    ("override", "untried"),
    [
        ("space.learning_rate={ low = 0.02, high = 9.0, log = true }", ["learning_rate above 3"]),
        ("space.learning_rate={ low = 1e-4, high = 0.5, log = true }", ["learning_rate below 0.001"]),
        ('space.activation=["relu", "gelu", "elu"]', ["activation gelu or elu"]),
        ("space.batch_size=[8, 16]", []),
        ("space.width={ low = 8, high = 64 }", ["width other than 16"]),
        ("space.depth=[1, 4]", ["depth 4"]),
        ("space.weight_decay=[0.0, 0.1]", ["weight_decay 0.1"]),
    ],
)
def test_a_fork_says_which_values_none_of_its_trials_tried(
    place: Place, override: str, untried: list[str]
) -> None:
    assert list(place.fork(override).untried) == untried


def test_a_fork_that_takes_as_many_as_it_asks_for_still_trains_its_own(place: Place) -> None:
    """The parent has 40 trials, and so many are asked for: all are taken, and 40 new ones come on top."""
    override = 'space.activation=["relu", "tanh", "sigmoid", "elu"]'
    forked = place.fork(override)
    assert (forked.taken, forked.own, forked.study.search.trials) == (40, 40, 80)
    study, _ = place.prepared(override)
    assert hpsearch.run(study, storage=url(place.path), fork="new", confirm=False).complete
    trials = place.trials("new")
    assert len(trials) == 80
    assert {trial.params["activation"] for trial in trials[40:]} >= {"elu"}
    named = hpsearch.run("new", storage=url(place.path), confirm=False)  # resumed by its own name
    assert named.complete
    assert len(place.trials("new")) == 80


def test_a_fork_of_an_older_version_keeps_its_total(place: Place) -> None:
    """Its record does not say `on_top`: the number that it was begun with counts those taken over, too."""
    place.fork(*NARROW)
    with Database.open(url(place.path)) as database:
        record = database.study("new").record
        parent = {key: value for key, value in record.parent.items() if key != "on_top"}
        document = {**record.document, "search": {**record.document["search"], "trials": 40}}
        database.study("new").update_record(replace(record, parent=parent, document=document))
    study, _ = place.prepared(*NARROW)
    assert hpsearch.run(study, storage=url(place.path), fork="new", confirm=False).complete
    assert len(place.trials("new")) == 40


# -- the same command, and what is refused -----------------------------------------------------------


def test_the_same_command_goes_on_with_the_fork(place: Place) -> None:
    first = place.fork(*NARROW)
    before = place.path.read_bytes()
    again = place.fork(*NARROW)
    assert (again.taken, again.study.name) == (first.taken, "new")
    assert place.path.read_bytes() == before


def test_a_name_that_is_taken_unknown_or_no_name_is_refused(place: Place) -> None:
    place.fork(*NARROW)
    study, dataset = place.prepared("study.name=new", *NARROW)
    with Database.open(url(place.path)) as database:
        fork(database, study, dataset, "newer")
    with pytest.raises(StorageError, match='study "newer" exists already, forked from "new"'):
        place.fork(name="newer")
    with pytest.raises(StorageError, match='study "small" exists already and is no fork of "small"'):
        place.fork(name="small")
    with pytest.raises(UnknownStudyError, match="smell"):
        place.fork("study.name=smell")
    for name in ("", "a b", "../x", ".x", "ü", "x" * 101):
        with pytest.raises(HpsearchError, match="--fork: expected a name of letters"):
            place.fork(name=name)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("study.seed=4", "study.seed: stored 3, now 4"),
        ("data.source=wine", "the content of wine: stored sha256"),
        ("data.split.valid=0.3", "data.split.valid: stored 0.2, now 0.3"),
        ("train.metric=error", 'train.metric: stored "accuracy", now "error"'),
        ("train.last_batch=keep", 'train.last_batch: stored "drop", now "keep"'),
    ],
)
def test_what_all_trials_have_in_common_must_be_as_it_was(place: Place, override: str, says: str) -> None:
    before = place.path.read_bytes()
    with pytest.raises(StudyChangedError) as caught:
        place.fork(override)
    assert says in str(caught.value)
    assert "cannot start from the trials" in str(caught.value)
    assert place.path.read_bytes() == before


def test_a_space_that_no_trial_fits_is_refused_and_nothing_is_stored(place: Place) -> None:
    before = place.path.read_bytes()
    with pytest.raises(StudyChangedError, match='none of the 40 finished trials of study "small" fits'):
        place.fork("space.width=24", "space.depth=2")
    assert place.path.read_bytes() == before


def test_a_study_is_created_with_its_contents_or_not_at_all(place: Place) -> None:
    with Database.open(url(place.path)) as database:
        store = database.study("small")
        record = replace(
            store.record, name="half", document={**store.record.document, "study": {"name": "half"}}
        )
        contents = Contents(store.runs(), store.cohorts(), store.trials(), store.segments()[:-1])
        with pytest.raises(StorageError, match="expected 1 epoch as in its curve; found 3"):
            database.create_study(record, contents)
        assert database.find("half") is None
        database.create_study(record, replace(contents, segments=store.segments()))
        assert database.study("half").trials() == store.trials()


def test_what_is_shown_of_a_fork(place: Place) -> None:
    place.fork(*NARROW)
    shown = CliRunner().invoke(app, ["show", "new", "--storage", url(place.path)]).stdout
    assert f"forked from study small, with {len(place.origins())} trials" in shown
    assert "copied from study small" in shown
    trial = CliRunner().invoke(app, ["show", "new", "2", "--storage", url(place.path)]).stdout
    assert f"copied from trial {place.origins()[2]} of study small" in trial
    assert "run 1, cohort 0, lane" in trial


def test_the_command_forks_and_goes_on_with_the_fork(place: Place) -> None:
    words = ["run", place.file, "--storage", url(place.path), "--fork", "new", "--trials", 5]
    words += ["--set", "space.width=[16, 24]"]
    done = command_line(*words)
    assert done.returncode == 0, done.stderr
    assert "40 of 40 finished trials of small fit" in done.stderr
    assert "none of them tried width 24; 5 trials of its own come on top" in done.stderr
    trials = place.trials("new")
    assert len(trials) == 45
    assert {trial.state.finished for trial in trials} == {True}
    again = command_line(*words)
    assert "complete: all 45 trials are finished" in again.stderr
    assert "on top" not in again.stderr
    more = command_line(*words[:-4], "--trials", 7, *words[-2:])
    assert more.returncode == 0, more.stderr
    assert len(place.trials("new")) == 47
    refused = command_line(
        "run", place.file, "--storage", url(place.path), "--fork", "new", "--set", "space.width=8"
    )
    assert refused.returncode == 2
    assert "space.width" in refused.stderr
