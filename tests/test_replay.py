"""Trials trained again from their records, and what is recorded of the runs that trained them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import hpsearch
from hpsearch.cli.app import app
from hpsearch.cli.replay import trial_numbers
from hpsearch.errors import HpsearchError, NothingToShowError, StudyChangedError, UnknownStudyError
from hpsearch.records import Segment, State
from hpsearch.reporting.replay import verdict
from hpsearch.retrain.replay import Replayed, first_difference
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import prepare
from hpsearch.running.provenance import checkout_commit, run_provenance, split_hash, study_hash
from hpsearch.running.resume import open_study
from hpsearch.store import Contents, Database
from hpsearch.study.file import load_study, study_from_document
from tests.studies import hpsearch as command_line
from tests.studies import url, write_study, write_table_study

PACKAGE = Path(hpsearch.__file__).parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study of 40 trials, some of which diverge, and its database."""
    folder = tmp_path_factory.mktemp("replay")
    path = write_study(folder, source="diabetes")
    path.write_text(
        path.read_text()
        .replace(
            'activation = ["relu", "tanh", "sigmoid"]', 'activation = "none"\nweight_decay = [0.0, 1e18]'
        )
        .replace("batch_size = [8, 16, 32]", "batch_size = [16, 32]")
    )
    hpsearch.run(path, storage=url(folder / "whole.db"), confirm=False)
    return path, folder / "whole.db"


def tampered(whole: Path, copy: Path, trial: int, epoch: int, by: float) -> None:
    """The study with one figure of one curve changed, as if trained so, under sound checksums.

    Its later pieces, from `epoch` on, are said to be of a second run with another numpy.
    """
    with Database.open(url(whole)) as database:
        store = database.study("small")
        record, runs, trials = store.record, store.runs(), store.trials()
        cohorts, segments = store.cohorts(), store.segments()
    changed = []
    for segment in segments:
        if segment.trial == trial and segment.first_epoch <= epoch <= segment.last_epoch:
            curve = segment.curve.copy()
            curve[epoch - segment.first_epoch, 2] += by
            segment = replace(segment, curve=curve, run=2)
        changed.append(segment)
    second = replace(runs[0], number=2, provenance={**runs[0].provenance, "numpy": "1.0", "workers": 77})
    with Database.open(url(copy), create=True) as database:
        database.create_study(record, Contents([*runs, second], cohorts, trials, changed))


# -- what comes out ----------------------------------------------------------------------------------


def test_every_trial_comes_out_the_same_whatever_became_of_it(whole: tuple[Path, Path]) -> None:
    before = whole[1].read_bytes()
    found = hpsearch.replay("small", storage=url(whole[1]), workers=1)
    assert found.identical
    assert [trial.trial for trial in found.trials] == list(range(40))
    assert {trial.state for trial in found.trials} == {State.COMPLETE, State.PRUNED, State.FAILED}
    with Database.open(url(whole[1])) as database:
        assert [trial.epochs for trial in database.study("small").trials()] == [
            t.epochs for t in found.trials
        ]
    assert [(run.run, run.trials) for run in found.runs] == [(1, tuple(range(40)))]
    assert found.runs[0].fields.keys() <= {"workers"}
    assert whole[1].read_bytes() == before  # nothing is stored


def test_the_command_says_identical_and_exits_with_0(whole: tuple[Path, Path]) -> None:
    done = command_line("replay", whole[0], "0-3", 17, "--storage", url(whole[1]))
    assert done.returncode == 0, done.stderr
    assert "5 of 5 trials identical" in done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines() if "identical (" in line] == [*"0123", "17"]
    assert "differs" not in done.stdout
    assert "recorded differently" not in done.stdout


def test_a_changed_figure_is_found_with_its_epoch_its_size_and_its_run(
    whole: tuple[Path, Path], tmp_path: Path
) -> None:
    with Database.open(url(whole[1])) as database:
        victim = next(t.number for t in database.study("small").trials() if t.state is State.COMPLETE)
    tampered(whole[1], tmp_path / "t.db", victim, 6, 0.25)
    done = command_line("replay", "small", "all", "--storage", url(tmp_path / "t.db"), "--format", "json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert (document["format"], document["identical"]) == ("hpsearch.replay/1", False)
    wrong = [trial for trial in document["trials"] if not trial["identical"]]
    assert [trial["trial"] for trial in wrong] == [victim]
    assert wrong[0]["differs_from"] == 6
    assert wrong[0]["largest_difference"] == pytest.approx(0.25, abs=1e-12)
    assert [piece["run"] for piece in wrong[0]["pieces"]] == [1, 1, 2]
    by_run = {run["run"]: run for run in document["runs"]}
    assert by_run[1]["differences"] == {}
    assert by_run[2]["trials"] == [victim]
    assert by_run[2]["differences"]["numpy"] == {"then": "1.0", "now": np.__version__}
    assert by_run[2]["differences"].keys() == {"numpy", "workers"}
    table = CliRunner().invoke(app, ["replay", "small", str(victim), "--storage", url(tmp_path / "t.db")])
    assert table.exit_code == 1
    assert "differs from epoch 6 on (largest difference 0.25)   trained by run 2, lane" in re.sub(
        r"(?<=\S)\n *(?=\S)", " ", table.stdout
    ).replace("0.25) trained", "0.25)   trained")
    assert f"numpy    1.0 → {np.__version__}" in table.stdout


def test_what_the_record_does_not_explain_is_said_to_be_so(whole: tuple[Path, Path], tmp_path: Path) -> None:
    with Database.open(url(whole[1])) as database:
        store = database.study("small")
        record, trial = store.record, store.trials()[0]
        first = replace(store.segments([0])[0], run=1)
        runs, cohorts = store.runs(), store.cohorts()[:1]
    wrong = replace(first, curve=first.curve + 1.0)
    running = replace(trial, state=State.RUNNING, epochs=len(first.curve), reason=None, finished=None)
    with Database.open(url(tmp_path / "w.db"), create=True) as database:
        database.create_study(record, Contents(runs, cohorts, [running], [wrong]))
    done = CliRunner().invoke(app, ["replay", "small", "0", "--storage", url(tmp_path / "w.db")])
    assert done.exit_code == 1
    assert "run 1: nothing recorded differs from now" in done.stdout


def test_pieces_of_another_engine_are_named_by_their_run(tmp_path: Path) -> None:
    path = write_study(tmp_path, trials=20, cohort=10)
    hpsearch.run(path, storage=url(tmp_path / "e.db"), time_limit=1e-9, confirm=False)
    second = command_line("run", path, "--storage", url(tmp_path / "e.db"), HPSEARCH_KERNEL="off")
    assert second.returncode == 0, second.stderr
    assert "environment changed since the last run" in second.stderr
    assert "engine native" in second.stderr
    found = hpsearch.replay("small", storage=url(tmp_path / "e.db"))
    assert [run.run for run in found.runs] == [1, 2]
    first, other = (run.fields.get("engine") for run in found.runs)
    assert first is None
    assert other is not None
    assert other[0] == "torch"
    for trial in found.trials:
        assert trial.identical or (trial.piece is not None and trial.piece.run == 2)
    assert not found.identical
    assert max(trial.largest for trial in found.trials if trial.epochs == 1) < 1e-5
    shown = CliRunner().invoke(app, ["show", "small", "--storage", url(tmp_path / "e.db")]).stdout
    assert re.search(r"2 +20\d\d-\d\d-\d\d \d\d:\d\d +.*engine native .* → torch", shown)


def test_a_trial_that_is_trained_again_beside_others_has_the_same_curve(whole: tuple[Path, Path]) -> None:
    alone = [hpsearch.replay("small", [number], storage=url(whole[1])).identical for number in (0, 7, 39)]
    assert alone == [True, True, True]


# -- what is refused ---------------------------------------------------------------------------------


def test_changed_data_are_refused_since_nothing_could_come_out_the_same(tmp_path: Path) -> None:
    path, write = write_table_study(tmp_path)
    hpsearch.run(path, storage=url(tmp_path / "d.db"), confirm=False)
    assert hpsearch.replay("small", storage=url(tmp_path / "d.db")).identical
    write(0.1)
    with pytest.raises(StudyChangedError, match=r"t\.csv has changed .* Restore the data"):
        hpsearch.replay("small", storage=url(tmp_path / "d.db"))
    (tmp_path / "t.csv").unlink()
    with pytest.raises(HpsearchError, match="cannot read its data again"):
        hpsearch.replay("small", storage=url(tmp_path / "d.db"))


def test_unknown_trials_and_studies_are_refused(whole: tuple[Path, Path], tmp_path: Path) -> None:
    for numbers in ([40], [0, -1], range(10**12)):
        with pytest.raises(HpsearchError, match=r"study small: expected a trial from 0 to 39; found trial"):
            hpsearch.replay("small", numbers, storage=url(whole[1]))
    with pytest.raises(UnknownStudyError):
        hpsearch.replay("smell", storage=url(whole[1]))
    with pytest.raises(HpsearchError, match="workers: expected at least 1"):
        hpsearch.replay("small", storage=url(whole[1]), workers=0)
    study, dataset = prepare(load_study(whole[0]))
    with Database.open(url(tmp_path / "n.db"), create=True) as database:
        open_study(database, study, dataset, {})
    with pytest.raises(NothingToShowError, match="none of these trials has trained"):
        hpsearch.replay("small", storage=url(tmp_path / "n.db"))


@pytest.mark.parametrize(
    ("words", "numbers"),
    [(["3"], [3]), (["0-2", "7"], [0, 1, 2, 7]), (["5-5"], [5]), (["all"], None), (["1", "all"], None)],
)
def test_trials_are_named_by_number_range_or_all(words: list[str], numbers: list[int] | None) -> None:
    found = trial_numbers(words)
    assert (None if found is None else list(found)) == numbers


@pytest.mark.parametrize("word", ["x", "3-1", "-1", "1-", "1.5", "", "²"])
def test_other_words_for_trials_are_refused(word: str) -> None:
    with pytest.raises(HpsearchError, match="TRIAL: expected a number, a range such as 0-15, or all"):
        trial_numbers(["1", word])


# -- comparing curves --------------------------------------------------------------------------------


def test_the_first_difference_of_two_curves() -> None:
    nan, inf = np.nan, np.inf
    curve = np.array([[1.0, 2.0], [3.0, nan], [inf, 6.0]])
    assert first_difference(curve, curve.copy()) == (None, 0.0)
    other = curve.copy()
    other[1, 0] = np.nextafter(3.0, 4.0)
    assert first_difference(curve, other) == (1, other[1, 0] - 3.0)
    other[2, 0] = 5.0
    assert first_difference(curve, other) == (1, inf)
    assert first_difference(curve, curve[:2]) == (2, inf)
    wide = np.column_stack([curve, [0.0, 0.5, 1.0]])  # an old study has no shares of dead units
    assert first_difference(curve, wide) == (None, 0.0)


def test_a_replay_that_diverges_says_why() -> None:
    pieces = (Segment(3, 0, 1, np.empty((0, 4)), run=1),)
    reason = "diverged: training loss NaN in epoch 4"
    trial = Replayed(3, State.COMPLETE, 9, pieces, 4, np.inf, reason)
    assert verdict(trial) == f"differs from epoch 4 on ({reason})"
    assert verdict(Replayed(3, State.PRUNED, 1, pieces)) == "identical (1 epoch)"


# -- provenance --------------------------------------------------------------------------------------


def test_a_run_is_stored_with_everything_that_its_numbers_depend_on(whole: tuple[Path, Path]) -> None:
    with Database.open(url(whole[1])) as database:
        store = database.study("small")
        (run,), segments, record = store.runs(), store.segments(), store.record
    known = run.provenance
    study, dataset = prepare(load_study(whole[0]))
    assert (known["data"], known["seed"]) == (dataset.hash, 3)
    assert known["study"] == study_hash(study) == study_hash(study_from_document(record.document))
    assert known["split"] == split_hash(dataset)
    versions = ["python", "torch", "numpy", "optuna", "sqlite", "sklearn", "hpsearch", "code"]
    machine = ["processor", "device", "dtype", "engine", "workers", "platform"]
    assert {*versions, *machine} <= known.keys()
    assert {segment.run for segment in segments} == {run.number}
    assert all(0 <= segment.lane < segment.width for segment in segments)
    cohorts = {}
    for segment in segments:  # within a tile no two lanes have the same place
        cohorts.setdefault((segment.cohort, segment.first_epoch, segment.seconds), []).append(segment.lane)
    assert all(len(set(places)) == len(places) for places in cohorts.values())


def test_the_study_hash_is_of_what_decides_about_trials(whole: tuple[Path, Path]) -> None:
    def hashed(*overrides: str) -> str:
        return study_hash(prepare(load_study(whole[0], overrides))[0])

    assert (
        hashed() == hashed("search.trials=99") == hashed("study.name=other") == hashed("search.time_limit=5m")
    )
    others = [hashed(f"{key}") for key in ("study.seed=4", "space.width=24", "train.epochs=10")]
    assert len({hashed(), *others}) == 4


def test_the_split_hash_is_of_rows_bit_for_bit_and_their_order(whole: tuple[Path, Path]) -> None:
    dataset = prepare(load_study(whole[0]))[1]
    part = dataset.train
    x = part.x.copy()
    x[3, 1] = np.nextafter(x[3, 1], np.float32(9.0))
    turned = replace(part, x=part.x[::-1], y=part.y[::-1])
    variants = [dataset, replace(dataset, train=replace(part, x=x)), replace(dataset, train=turned)]
    variants.append(replace(dataset, train=dataset.valid, valid=part))
    assert len({split_hash(variant) for variant in variants}) == 4
    assert split_hash(dataset) == split_hash(replace(dataset, name="other"))


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git to compare with")
def test_the_commit_is_what_git_says(tmp_path: Path) -> None:
    def git(*words: str, cwd: Path = tmp_path) -> str:
        settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(["git", *settings, *words], cwd=cwd, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert checkout_commit(tmp_path) is None
    git("init")
    assert checkout_commit(tmp_path) is None  # no commit yet
    git("commit", "--allow-empty", "-m", "one")
    assert checkout_commit(tmp_path) == git("rev-parse", "HEAD")
    git("branch", "feature/x")
    git("pack-refs", "--all")
    assert checkout_commit(tmp_path) == git("rev-parse", "HEAD")
    git("worktree", "add", "further", "feature/x")
    git("commit", "--allow-empty", "-m", "two", cwd=tmp_path / "further")
    assert checkout_commit(tmp_path / "further") == git("rev-parse", "feature/x")
    assert checkout_commit(tmp_path / "further") != checkout_commit(tmp_path)
    git("checkout", "--detach")
    assert checkout_commit(tmp_path) == git("rev-parse", "HEAD")


def test_a_resume_is_warned_of_what_decides_and_of_nothing_else(whole: tuple[Path, Path]) -> None:
    study, dataset = prepare(load_study(whole[0]))
    now = run_provenance(study, dataset, Machine("cpu", 2))

    def told(**changed: object) -> list[str]:
        said: list[str] = []
        with Database.open(url(whole[1])) as database:
            open_study(database, study, dataset, {**now, **changed}, said.append)
        return said

    assert (
        told()
        == told(workers=64, sqlite="3.0", platform="Plan 9", hpsearch="9.9")
        == told(newer="field")
        == []
    )
    assert "numpy" in told(numpy="1.0")[0]
    (words,) = told(code="0123", capability="AVX9", split="ab")
    assert all(f"→ {value}" in words for value in ("0123", "AVX9", "ab"))
