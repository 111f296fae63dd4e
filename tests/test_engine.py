"""Whole studies in this process: exact totals, exact resumes, exact replays, honest states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hpsearch
from hpsearch.data import Dataset
from hpsearch.errors import StudyBusyError, StudyChangedError, StudyFileError
from hpsearch.records import Progress, State
from hpsearch.running.machine import Machine
from hpsearch.running.pool import StopFlag
from hpsearch.running.prepare import prepare, train
from hpsearch.running.resume import open_study
from hpsearch.search import make_stopping
from hpsearch.store import Database
from hpsearch.study.file import load_study
from hpsearch.train import Lane, Problem, initial_state, train_lanes
from hpsearch.train.solo import train_solo
from tests.studies import assert_same, stored, url, write_study, write_table_study
from tests.studies import hpsearch as command_line


def run(path: Path, database: Path, **options: object) -> hpsearch.Result:
    return hpsearch.run(load_study(path), storage=url(database), **options, confirm=False)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An undisturbed study of 40 trials in cohorts of 16, and its database."""
    folder = tmp_path_factory.mktemp("whole")
    path = write_study(folder)
    run(path, folder / "whole.db")
    return path, folder / "whole.db"


def test_a_study_ends_with_exactly_its_trials_all_finished(whole: tuple[Path, Path]) -> None:
    trials, curves = stored(whole[1])
    assert len(trials) == 40
    states = [trial[3] for trial in trials]
    assert State.RUNNING not in states
    assert {State.COMPLETE, State.PRUNED} <= set(states)
    for number, _, _, state, epochs, value, loss, best_epoch, reason, _ in trials:
        curve = curves[number]  # type: ignore[index]
        assert len(curve) == epochs
        if state is State.FAILED:
            assert (value, loss, best_epoch) == (None, None, None)
        else:
            assert value == curve[-1, 3]
            assert best_epoch == epochs
            assert loss == curve[best_epoch - 1, 2]
        assert (reason is None) == (state is State.COMPLETE)
        assert epochs == {State.COMPLETE: 9}.get(state, epochs)


def test_trials_stop_where_halving_on_the_stored_curves_says(whole: tuple[Path, Path]) -> None:
    """The decisions again, from what is stored: by cohort, each rung's best third goes on."""
    trials, curves = stored(whole[1])
    rule = make_stopping(load_study(whole[0]))
    with Database.open(url(whole[1])) as database:
        store = database.study("small")
        last = store.last_cohort()
    assert last is not None
    assert rule.rungs == (1, 3, 9)
    for rung in rule.rungs[:-1]:
        values = sorted((curve[rung - 1, 3] for curve in curves.values() if len(curve) >= rung), reverse=True)
        stopped = [curves[t[0]][rung - 1, 3] for t in trials if t[3] is State.PRUNED and t[4] == rung]  # type: ignore[index]
        assert stopped
        assert max(stopped) <= values[max(1, len(values) // 3) - 1] or len(stopped) < len(values) * 2 / 3


def test_running_it_again_trains_nothing(whole: tuple[Path, Path], tmp_path: Path) -> None:
    told: list[Progress] = []
    before = whole[1].read_bytes()
    result = run(whole[0], whole[1], watch=told.append)
    assert result.complete
    assert sum(progress.epochs for progress in told) == 0
    assert len(result.trials) == 40
    trials, _ = stored(whole[1])
    assert len(trials) == 40
    assert len(whole[1].read_bytes()) == len(before)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(
    whole: tuple[Path, Path], tmp_path: Path, workers: int
) -> None:
    run(whole[0], tmp_path / "other.db", workers=workers)
    assert_same(whole[1], tmp_path / "other.db")


def test_stopping_at_every_rung_and_going_on_changes_nothing(
    whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, dataset = prepare(load_study(whole[0]))
    monkeypatch.setattr("hpsearch.running.loop._COMMIT_EVERY", 0.0)  # a stop after every tile
    stops = 0
    for _ in range(100):
        with Database.open(url(tmp_path / "stopped.db"), create=True) as database:
            store, study = open_study(database, study, dataset, {})
            stop = StopFlag()

            def ask(progress: Progress, stop: StopFlag = stop) -> None:
                if progress.epochs:  # as soon as this run has stored anything
                    stop.ask()

            outcome = train(study, dataset, store, Machine("cpu", 1), stop=stop, watch=ask)
        if outcome.complete:
            break
        stops += 1
    assert stops >= 3
    assert_same(whole[1], tmp_path / "stopped.db")


def test_a_time_limit_ends_at_a_rung_and_the_study_goes_on(whole: tuple[Path, Path], tmp_path: Path) -> None:
    result = run(whole[0], tmp_path / "limited.db", time_limit=1e-9)
    assert not result.complete
    assert run(whole[0], tmp_path / "limited.db").complete
    assert_same(whole[1], tmp_path / "limited.db")


def test_more_trials_go_on_from_the_stored_ones(tmp_path: Path) -> None:
    path = write_study(tmp_path, trials=16)
    run(path, tmp_path / "a.db")
    first, _ = stored(tmp_path / "a.db")
    more = load_study(path, ["search.trials=24"])
    assert len(hpsearch.run(more, storage=url(tmp_path / "a.db"), confirm=False).trials) == 24
    again, _ = stored(tmp_path / "a.db")
    assert again[:16] == first
    # The file still says 16; trials that have begun are never dropped.
    assert len(run(path, tmp_path / "a.db").trials) == 24


def test_any_trial_can_be_trained_again_from_its_record(whole: tuple[Path, Path]) -> None:
    """Bit for bit by the trainer that made it, and within rounding by the textbook loop."""
    study, dataset = prepare(load_study(whole[0]))
    problem = Problem.from_dataset(dataset, "cross_entropy", "accuracy", study.seed)
    trials, curves = stored(whole[1])
    for number, _, params, state, epochs, *_ in trials[::5]:
        if state is State.FAILED:
            continue
        configuration = study.space.configuration(params)  # type: ignore[arg-type]
        lane = Lane(number, configuration, initial_state(problem, number, configuration))  # type: ignore[arg-type]
        assert np.array_equal(train_lanes(problem, [lane], epochs)[0].curve, curves[number])  # type: ignore[arg-type, index]
        if configuration.learning_rate * 1 / (1 - configuration.momentum) < 0.5:
            solo = train_solo(problem, [lane], epochs)[0].curve  # type: ignore[arg-type]
            np.testing.assert_allclose(solo[:, 2], curves[number][:, 2], rtol=1e-3)  # type: ignore[index]


def test_the_test_part_is_not_touched(whole: tuple[Path, Path], tmp_path: Path) -> None:
    study, dataset = prepare(load_study(whole[0]))
    poisoned = replace(
        dataset, test=replace(dataset.test, x=dataset.test.x * np.nan, y=dataset.test.y * 0 - 7)
    )
    with Database.open(url(tmp_path / "poisoned.db"), create=True) as database:
        store, study = open_study(database, study, poisoned, {})
        train(study, poisoned, store, Machine("cpu", 2), stop=StopFlag())
    assert_same(whole[1], tmp_path / "poisoned.db")


def test_a_diverged_trial_fails_with_its_reason_and_never_ranks(tmp_path: Path) -> None:
    path = write_study(tmp_path, source="diabetes", trials=24)
    study = load_study(path, ['space.activation="none"', "space.learning_rate=[0.01, 1e20]"])
    result = hpsearch.run(study, storage=url(tmp_path / "d.db"), confirm=False)
    failed = result.trials[result.trials.param_learning_rate == 1e20]
    assert len(failed) > 3
    assert set(failed.state) == {"failed"}
    assert failed["rank"].isna().all()
    assert failed.reason.str.fullmatch(
        r"diverged: (training|validation) loss (NaN|infinite) in epoch \d"
    ).all()
    assert result.trials[result.trials["rank"] == 1].state.tolist() == ["complete"]


def test_an_error_in_training_keeps_what_was_finished(
    whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hpsearch.train

    calls = []

    def breaks(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 7:
            raise RuntimeError("the machine is on fire")
        return train_lanes(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(hpsearch.train, "train_lanes", breaks)
    with pytest.raises(RuntimeError, match="on fire"):
        run(whole[0], tmp_path / "broken.db")
    monkeypatch.undo()
    assert stored(tmp_path / "broken.db")[1]
    run(whole[0], tmp_path / "broken.db")
    assert_same(whole[1], tmp_path / "broken.db")


# -- what is refused ---------------------------------------------------------------------------------


def test_a_changed_study_file_is_refused_with_the_differences(whole: tuple[Path, Path]) -> None:
    changed = load_study(whole[0], ["space.width=24", "search.sampler=random", "search.trials=99"])
    with pytest.raises(StudyChangedError) as caught:
        hpsearch.run(changed, storage=url(whole[1]), confirm=False)
    message = str(caught.value)
    assert "space.width: stored 16, now 24" in message
    assert 'search.sampler: stored "tpe", now "random"' in message
    assert "search.trials" not in message
    assert len(stored(whole[1])[0]) == 40


def test_changed_data_are_refused(tmp_path: Path) -> None:
    path, write = write_table_study(tmp_path)
    run(path, tmp_path / "d.db")
    write(0.1)
    with pytest.raises(StudyChangedError, match=r"different data: t\.csv has changed \(sha256 \w{12}… then"):
        run(path, tmp_path / "d.db")


def test_a_study_that_is_being_trained_is_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    study, dataset = prepare(load_study(path))
    with Database.open(url(tmp_path / "b.db"), create=True) as database:
        store, study = open_study(database, study, dataset, {})
        store.begin()
        with pytest.raises(StudyBusyError, match="process"):
            run(path, tmp_path / "b.db")
        store.end()
    assert run(path, tmp_path / "b.db").complete


def test_python_use_names_what_does_not_fit(tmp_path: Path) -> None:
    path = write_study(tmp_path, source="diabetes")
    with pytest.raises(StudyFileError, match="does not fit a regression task"):
        hpsearch.run(
            load_study(path, ["train.loss=cross_entropy"]), storage=url(tmp_path / "x.db"), confirm=False
        )
    assert not (tmp_path / "x.db").exists()


def test_widths_and_hidden_lists_are_searched_too(tmp_path: Path) -> None:
    path = tmp_path / "w.toml"
    path.write_text(
        '[data]\nsource = "wine"\n[space]\nlearning_rate = 0.05\nhidden = [[], [20], [20, 10], [7, 7, 7]]\n'
        "init_scale = { low = 0.5, high = 2.0 }\nnesterov = [true, false]\n[train]\nepochs = 4\n"
        '[search]\ntrials = 12\nstopping = "none"\nsampler = "qmc"\n'
    )
    result = hpsearch.run(path, storage=url(tmp_path / "w.db"), confirm=False)
    assert set(result.trials.param_hidden) == {"", "20", "20-10", "7-7-7"}
    assert (result.trials.state == "complete").all()
    assert (result.trials.epochs == 4).all()
    path.write_text(
        path.read_text().replace("hidden = [[], [20], [20, 10], [7, 7, 7]]", "width = { low = 4, high = 90 }")
    )
    assert (
        hpsearch.run(path, storage=url(tmp_path / "w2.db"), confirm=False).trials.state == "complete"
    ).all()


def test_sizes_of_the_data(whole: tuple[Path, Path]) -> None:
    dataset: Dataset = prepare(load_study(whole[0]))[1]
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (90, 30, 30)


def test_without_a_compiler_studies_run_stacked_and_exactly(whole: tuple[Path, Path], tmp_path: Path) -> None:
    """The whole study through torch: stopped half-way, on one thread and on two, and near the native one."""
    for name, workers in (("one", 1), ("two", 2)):
        database = url(tmp_path / f"{name}.db")
        for limit in (["--time", "0.000001s"], []):
            done = command_line(
                "run", whole[0], "--storage", database, "--workers", workers, *limit, HPSEARCH_KERNEL="off"
            )
            assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "one.db", tmp_path / "two.db")
    stacked, native = stored(tmp_path / "one.db")[1], stored(whole[1])[1]
    first = [number for number in range(16) if len(native[number]) and np.isfinite(native[number][0, 2])]
    for number in first:
        np.testing.assert_allclose(stacked[number][0], native[number][0], rtol=1e-4)


def test_a_lane_that_diverges_when_trained_again_fails_and_the_study_goes_on(
    whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another machine, whose rounding tips an unstable trial over."""
    import hpsearch.train

    run(whole[0], tmp_path / "t.db", time_limit=1e-9)
    assert run(whole[0], tmp_path / "t.db", time_limit=1e-9).trials.state.eq("running").any()
    victims: list[int] = []

    def tips(problem: Problem, lanes: list[Lane], last_epoch: int) -> list[object]:
        results = train_lanes(problem, lanes, last_epoch)
        caught_up = [(lane.state is None and last_epoch > 1) or not victims for lane in lanes]
        if not victims and caught_up[0]:
            victims.append(results[0].trial)
            results[0] = replace(results[0], state=None, failure="diverged: training loss NaN in epoch 1")
        return list(results)

    monkeypatch.setattr(hpsearch.train, "train_lanes", tips)
    result = run(whole[0], tmp_path / "t.db")
    assert result.complete
    lost = result.trials[result.trials.trial == victims[0]].iloc[0]
    assert lost.state == "failed"


def test_another_engine_is_warned_about_and_recorded(whole: tuple[Path, Path], tmp_path: Path) -> None:
    database = url(tmp_path / "e.db")
    words = ["run", whole[0], "--storage", database]
    assert command_line(*words, "--time", "0.000001s").returncode == 0
    done = command_line(*words, HPSEARCH_KERNEL="off")
    assert done.returncode == 0
    assert "environment changed since the last run" in done.stderr
    assert "engine native" in done.stderr
    assert "→ torch" in done.stderr
    with Database.open(database) as opened:
        first, second = opened.study("small").runs()
    assert first.provenance["engine"].startswith("native")
    assert second.provenance["engine"] == "torch"


def test_r2_of_equal_targets_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,y\n" + "\n".join(f"{n % 7},{1.5 if n else 9.5}" for n in range(40)))
    path = write_study(tmp_path, source="t.csv", trials=6)
    path.write_text(
        path.read_text().replace('"t.csv"', '"t.csv"\ntarget = "y"\ntask = "regression"') + "[x]\n"[:0]
    )
    with pytest.raises(StudyFileError, match="R² needs validation targets that differ"):
        hpsearch.run(load_study(path, ["train.metric=r2"]), storage=url(tmp_path / "r.db"), confirm=False)


def test_the_command_to_go_on_with_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from hpsearch.cli.terminal_watch import TerminalWatch

    secret = "postgresql+psycopg://bob:s3cret@db/x"
    watch = TerminalWatch(Console(), "x.toml", secret)
    for typed in (["run", "x.toml", "--storage", secret], ["run", "x.toml", f"--storage={secret}"]):
        monkeypatch.setattr("sys.argv", ["hpsearch", *typed])
        assert "s3cret" not in watch.resume_command
        assert "bob" in watch.resume_command
    monkeypatch.setattr("sys.argv", ["python"])
    assert "s3cret" not in watch.resume_command
