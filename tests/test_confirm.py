"""Confirming: the best trials on fresh seeds, scored once on rows that nothing else touches, and counted."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hpsearch as package
from hpsearch.api import confirm
from hpsearch.data import Dataset, Part
from hpsearch.errors import HpsearchError
from hpsearch.records import FloatArray, State, Trial
from hpsearch.reporting.finalists import (
    finalists_methods,
    finalists_warnings,
    rank_text,
    uses_sentence,
    verdict,
)
from hpsearch.results.confirmation import Confirmation, Finalist, Use, confirmed_frame
from hpsearch.retrain.fresh_seeds import (
    Candidate,
    candidate_of,
    confirm_stored,
    fresh_seed,
    redivided,
    train_fresh,
)
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import make_problem, prepare
from hpsearch.store import Database
from hpsearch.study.file import Study, load_study
from hpsearch.study.space import read_space
from hpsearch.train import train_lanes
from hpsearch.train.lanes import Lane
from hpsearch.train.solo import train_solo
from tests.studies import command, hpsearch, url, write_study, write_table_study


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study file, and the database of its run without a confirmation."""
    folder = tmp_path_factory.mktemp("confirm")
    path = write_study(folder, more='stopping = "none"\n', trials=20)
    package.run(path, storage=url(folder / "x.db"), confirm=False)
    return path, folder / "x.db"


@pytest.fixture
def database(made: tuple[Path, Path], tmp_path: Path) -> Path:
    copy = tmp_path / "x.db"
    copy.write_bytes(made[1].read_bytes())
    return copy


@pytest.fixture
def opened(made: tuple[Path, Path]) -> tuple[Study, Dataset]:
    return prepare(load_study(made[0]))


def confirmed(database: Path, **settings: int) -> Confirmation:
    return confirm("small", storage=url(database), workers=1, **settings)


def test_finalists_are_the_best_trials_trained_again_by_the_book(
    database: Path, opened: tuple[Study, Dataset]
) -> None:
    study, dataset = opened
    found = confirmed(database, top=4, seeds=3)
    with Database.open(url(database)) as stored:
        trials = stored.study("small").trials()
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    best = sorted(complete, key=lambda t: (-(t.value or 0), t.loss, t.number))[:4]
    assert [each.trial for each in found.finalists] == [trial.number for trial in best]
    assert (found.part, found.rows, found.complete) == ("test", len(dataset.test), len(complete))
    for each, trial in zip(found.finalists, best, strict=True):
        assert (each.epochs, each.selected, each.params) == (trial.best_epoch, trial.value, trial.params)
        configuration = study.space.configuration(trial.params)
        for index in range(3):
            problem = replace(make_problem(study, dataset, "cpu"), seed=fresh_seed(study.seed, index))
            # Straight through, instead of up to the last epoch and then once for each part.
            (straight,) = train_lanes(problem, [Lane(0, configuration)], each.epochs)
            assert straight.curve.tobytes() == each.curves[index].tobytes()
            test = replace(problem, x_valid=dataset.test.x, y_valid=dataset.test.y)
            (alone,) = train_solo(test, [Lane(0, configuration)], each.epochs)
            assert each.scores[index] == pytest.approx(alone.curve[-1, 3], abs=1.5 / len(dataset.test))
            assert each.losses[index] == pytest.approx(alone.curve[-1, 2], rel=1e-3)


def test_the_test_part_changes_scores_and_nothing_else(opened: tuple[Study, Dataset]) -> None:
    study, dataset = opened
    candidates = [Candidate(study.space.configuration({**FIXED, "depth": depth}), 5) for depth in (1, 2)]
    shuffled = replace(dataset, test=Part(dataset.test.x, np.roll(dataset.test.y, 7)))
    as_it_is, other = (
        train_fresh(study, each, candidates, 3, machine=Machine("cpu", 1)) for each in (dataset, shuffled)
    )
    for a, b in zip(as_it_is, other, strict=True):
        assert [curve.tobytes() for curve in a.curves] == [curve.tobytes() for curve in b.curves]
        assert (a.scores != b.scores).any()


FIXED = {"learning_rate": 0.1, "momentum": 0.5, "batch_size": 16, "activation": "tanh"}


def test_candidates_with_equal_configurations_come_out_equal_and_apart(opened: tuple[Study, Dataset]) -> None:
    study, dataset = opened
    same = Candidate(study.space.configuration({**FIXED, "depth": 2}), 3)
    a, b, c = train_fresh(study, dataset, [same, same, replace(same, epochs=2)], 3, machine=Machine("cpu", 2))
    assert a.curves[0].tobytes() == b.curves[0].tobytes()
    assert [len(curve) for curve in c.curves] == [2, 2, 2]
    assert c.curves[1].tobytes() == a.curves[1][:2].tobytes()


def test_fresh_seeds_come_out_the_same_in_the_pool_that_the_environment_names(
    opened: tuple[Study, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, dataset = opened
    candidates = [Candidate(study.space.configuration({**FIXED, "depth": depth}), 3) for depth in (1, 2)]
    found = []
    for pool in ("threads", "processes"):
        monkeypatch.setenv("HPSEARCH_POOL", pool)
        found.append(train_fresh(study, dataset, candidates, 2, machine=Machine("cpu", 2), resampled=True))
    for threads, processes in zip(*found, strict=True):
        assert threads.scores.tobytes() == processes.scores.tobytes()
        assert threads.losses.tobytes() == processes.losses.tobytes()
        assert [c.tobytes() for c in threads.curves] == [c.tobytes() for c in processes.curves]
    monkeypatch.setenv("HPSEARCH_POOL", "thread")
    with pytest.raises(HpsearchError, match='pool: expected one of threads, processes; found "thread"'):
        train_fresh(study, dataset, candidates, 2, machine=Machine("cpu", 2))


def test_what_diverges_has_no_score_and_keeps_its_curve(opened: tuple[Study, Dataset]) -> None:
    study, dataset = opened
    wild = Candidate(
        study.space.configuration({**FIXED, "learning_rate": 1e30, "depth": 3, "activation": "relu"}), 9
    )
    calm = Candidate(study.space.configuration({**FIXED, "depth": 3}), 9)
    lost, kept = train_fresh(study, dataset, [wild, calm], 3, machine=Machine("cpu", 1))
    assert np.isnan(lost.scores).all()
    assert all(1 <= len(curve) < 9 for curve in lost.curves)
    assert np.isfinite(kept.scores).all()


def test_asked_again_nothing_is_trained_and_no_look_is_counted(database: Path) -> None:
    first = confirmed(database, top=3, seeds=3)
    before = database.read_bytes()
    again = confirmed(database, top=3, seeds=3)
    assert database.read_bytes() == before
    assert [each.scores.tobytes() for each in again.finalists] == [
        e.scores.tobytes() for e in first.finalists
    ]
    more = confirmed(database, top=3, seeds=4)
    for a, b in zip(first.finalists, more.finalists, strict=True):
        assert b.scores[:3].tobytes() == a.scores.tobytes()  # a seed gives the same, however many there are
    assert [(use.trials, use.seeds) for use in more.uses] == [(3, 3), (3, 4)]
    assert "2 times" in uses_sentence(more)
    # The first is read again, and tells of both looks.
    assert [(use.trials, use.seeds) for use in confirmed(database, top=3, seeds=3).uses] == [(3, 3), (3, 4)]


def test_two_processes_at_once_make_one_look(database: Path) -> None:
    words = command("confirm", "small", "--top", 3, "--storage", url(database), "--format", "json")
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    a, b = (json.loads(out) for out, _ in outputs)
    assert a["finalists"] == b["finalists"]
    with Database.open(url(database)) as stored:
        assert len(stored.study("small").scorings()) == 1


def test_rows_divided_anew_keep_sizes_classes_and_the_test_part(opened: tuple[Study, Dataset]) -> None:
    _, dataset = opened
    own = redivided(dataset, 5)
    assert own.test.x is dataset.test.x
    for name in ("train", "valid"):
        before, after = getattr(dataset, name), getattr(own, name)
        assert np.array_equal(np.bincount(before.y), np.bincount(after.y))
    both = [np.concatenate([d.train.x, d.valid.x]) for d in (dataset, own)]
    assert np.array_equal(np.unique(both[0], axis=0), np.unique(both[1], axis=0))
    assert not np.array_equal(own.valid.x, dataset.valid.x)
    assert not np.array_equal(own.valid.x, redivided(dataset, 6).valid.x)


def test_with_rows_divided_anew_scores_vary_by_split_too(database: Path) -> None:
    found = confirm("small", storage=url(database), top=3, seeds=5, resampled=True)
    assert found.resampled
    assert any("splits into" in line for line in finalists_methods(found))
    fixed = confirm("small", storage=url(database), top=3, seeds=5)
    assert [e.scores.tolist() for e in fixed.finalists] != [e.scores.tolist() for e in found.finalists]


def test_without_a_test_part_the_reader_is_told(tmp_path: Path) -> None:
    path = write_study(tmp_path, more='stopping = "none"\n', trials=8)
    path.write_text(path.read_text().replace('"iris"', '"iris"\nsplit = { valid = 0.3, test = 0 }'))
    package.run(path, storage=url(tmp_path / "x.db"), confirm=False)
    found = confirmed(tmp_path / "x.db", top=2, seeds=3)
    assert found.part == "validation"
    for each in found.finalists:
        assert each.scores.tobytes() == each.validation("accuracy").tobytes()
    assert any("no test set" in line for line in finalists_warnings(found))


# -- the command line ----------------------------------------------------------------------------


def test_a_run_ends_with_a_confirmation_once(tmp_path: Path) -> None:
    path = write_study(tmp_path, trials=24)
    words = ("run", path, "--storage", url(tmp_path / "x.db"))
    quiet = hpsearch(*words, "--no-confirm")
    assert quiet.returncode == 0
    assert "not confirmed on fresh seeds" in quiet.stdout
    told = hpsearch(*words)
    assert told.returncode == 0
    assert ": test accuracy" in told.stdout
    assert hpsearch(*words).stdout == told.stdout
    shown = hpsearch("report", "small", *words[2:]).stdout
    assert shown.index("confirmed: ") < shown.index(" by validation\n")
    # One that was asked for is not replaced by the default one.
    assert hpsearch("confirm", "small", "--top", 2, "--seeds", 4, *words[2:]).returncode == 0
    assert "over 4 fresh seeds" in hpsearch(*words).stdout
    assert "each on 4 fresh seeds" in hpsearch("report", "small", *words[2:]).stdout
    with Database.open(url(tmp_path / "x.db")) as database:
        assert len(database.study("small").scorings()) == 2


def test_json_has_every_number_and_csv_the_confirmed_ones(database: Path) -> None:
    found = confirmed(database, top=3, seeds=3)
    words = ("--storage", url(database))
    document = json.loads(hpsearch("report", "small", "--format", "json", *words).stdout)
    own = json.loads(
        hpsearch("confirm", "small", "--top", 3, "--seeds", 3, "--format", "json", *words).stdout
    )
    assert document["confirmation"] == own
    assert [row["trial"] for row in own["finalists"]] == [each.trial for each in found.ranked]
    for row, each in zip(own["finalists"], found.ranked, strict=True):
        assert row["scores"] == each.scores.tolist()
        assert row["mean"] == each.scores.mean()
    text = hpsearch("report", "small", "--format", "csv", *words).stdout.splitlines()
    heads = text[0].split(",")
    assert heads[-3:] == ["confirmed", "confirmed_low", "confirmed_high"]
    rows = {int(line.split(",")[1]): line.split(",")[-3] for line in text[1:]}
    assert {number for number, cell in rows.items() if cell} == {each.trial for each in found.finalists}
    assert float(rows[found.best.trial]) == found.best.scores.mean()


def test_what_cannot_be_confirmed_is_said(tmp_path: Path, database: Path) -> None:
    words = ("--storage", url(database))
    for wrong in (("--seeds", 2), ("--top", 0)):
        done = hpsearch("confirm", "small", *wrong, *words)
        assert done.returncode == 2
        assert str(wrong[0]) in done.stderr
    done = hpsearch("confirm", "smal", *words)
    assert done.returncode == 2
    assert 'did you mean "small"' in done.stderr
    path, write = write_table_study(tmp_path)
    assert hpsearch("run", path, "--no-confirm", "--storage", url(tmp_path / "t.db")).returncode == 0
    write(1.0)
    done = hpsearch("confirm", "small", "--storage", url(tmp_path / "t.db"))
    assert done.returncode == 2
    assert "has changed since the study started" in done.stderr


def test_nothing_complete_is_nothing_to_confirm(tmp_path: Path) -> None:
    path = write_study(tmp_path, trials=4, more='stopping = "none"\n')
    text = path.read_text().replace("low = 1e-3, high = 3.0", "low = 1e28, high = 1e30")
    text = text.replace("low = 1, high = 3", "low = 3, high = 4").replace(
        '["relu", "tanh", "sigmoid"]', '"relu"'
    )
    path.write_text(text)
    done = hpsearch("run", path, "--storage", url(tmp_path / "x.db"))
    assert done.returncode == 0, done.stderr
    done = hpsearch("confirm", "small", "--storage", url(tmp_path / "x.db"))
    assert done.returncode == 3
    assert "expected a complete trial" in done.stderr


def test_looks_go_with_a_dump_and_with_a_fork(
    database: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    found = confirmed(database, top=3, seeds=3)
    words = ("--storage", url(database))
    assert hpsearch("dump", "small", tmp_path / "d.json", *words).returncode == 0
    assert hpsearch("load", tmp_path / "d.json", "--storage", url(tmp_path / "y.db")).returncode == 0
    with Database.open(url(tmp_path / "y.db")) as other, Database.open(url(database)) as own:
        assert other.study("small").scorings() == own.study("small").scorings()
    done = hpsearch("run", made[0], "--fork", "second", "--trials", 24, *words)
    assert done.returncode == 0, done.stderr
    assert "1 confirmation of small" in " ".join(done.stdout.split())
    assert len(found.uses) == 1


# -- words ---------------------------------------------------------------------------------------


def of_scores(*scores: list[float], part: str = "test", uses: int = 1) -> Confirmation:
    finalists = tuple(
        Finalist(n, 5, np.array(own), np.array(own), selected=0.99) for n, own in enumerate(scores)
    )
    use = (Use("confirmation", len(scores), len(scores[0])),) * uses
    return Confirmation("accuracy", True, part, 100, len(scores[0]), False, 40, finalists, use)


def test_clear_winners_ties_and_divergence_in_words() -> None:
    random = np.random.default_rng(1)
    near = (0.9 + 0.01 * random.normal(size=(3, 8))).tolist()
    tie = verdict(of_scores(*near))
    assert "cannot be told apart (rank 1–3); 0, the first by validation on fresh seeds, has" in tie
    clear = of_scores([each + 0.05 for each in near[0]], *near[1:])
    assert verdict(clear).startswith("Trial 0 is better than the other 2: accuracy 95.")
    assert verdict(of_scores([np.nan] * 5, [np.nan] * 5)).startswith("Every finalist diverged")
    assert verdict(of_scores(near[0])).startswith("Trial 0 has accuracy 9")
    assert rank_text(1, 3) == "1–3"
    assert rank_text(2, 2) == "2"
    assert uses_sentence(of_scores(*near)) == "This is the first look at the test set."
    assert "3 times (3 confirmations)" in uses_sentence(of_scores(*near, uses=3))


def with_validation(validation: FloatArray, scores: FloatArray, part: str = "test") -> Confirmation:
    """Finalists with these values [finalists, seeds] after their last epoch."""
    finalists = tuple(
        Finalist(n, 1, s, s, tuple(np.array([[0, 0, 1.0, v]]) for v in own), selected=0.9 - n / 100)
        for n, (own, s) in enumerate(zip(validation, scores, strict=True))
    )
    return Confirmation("accuracy", True, part, 100, scores.shape[1], False, 40, finalists)


def test_the_first_is_chosen_by_validation_on_fresh_seeds_and_not_by_its_score() -> None:
    near = 0.01 * np.random.default_rng(3).normal(size=(3, 8))
    validation = near + np.array([[0.8], [0.9], [0.7]])
    scores = near + np.array([[0.85], [0.8], [0.8]])
    found = with_validation(validation, scores)
    assert [each.trial for each in found.ranked] == [1, 0, 2]
    assert [each.trial for each in found.above] == [0]
    assert "Trials 1 and 2 cannot be told apart" in verdict(found)
    assert "Trial 0 scores clearly better there" in verdict(found)
    frame = confirmed_frame(found)
    assert frame["difference"].iloc[1] == pytest.approx(scores[0].mean() - scores[1].mean())
    assert frame["again"].tolist() == pytest.approx(validation.mean(1)[[1, 0, 2]])
    # What diverged on a seed comes later; where validation is what is scored, the search's own values decide.
    lost = scores.copy()
    lost[1, 0] = np.nan
    assert [each.trial for each in with_validation(validation, lost).ranked] == [0, 2, 1]
    assert [each.trial for each in with_validation(validation, scores, "validation").ranked] == [0, 1, 2]


def test_the_interval_of_the_first_covers_its_true_score() -> None:
    """Eight near equal finalists: of the one with the best score, intervals cover far less than they say."""
    random = np.random.default_rng(0)
    covered = {"by validation": 0, "by score": 0}
    for level in random.normal(0, 0.3, size=(1000, 8)):
        validation, scores = (level[:, None] + random.normal(size=(8, 5)) for _ in "ab")
        found = with_validation(validation, scores)
        for name, place in (("by validation", found.order[0]), ("by score", int(scores.mean(1).argmax()))):
            interval = found.finalists[place].estimate
            assert interval is not None
            assert interval.low is not None
            assert interval.high is not None
            covered[name] += interval.low <= level[place] <= interval.high
    assert 930 <= covered["by validation"] <= 970
    assert covered["by score"] < 930


def test_without_a_cosine_a_study_of_best_epochs_is_scored_at_the_best_of_the_mean_curve(
    opened: tuple[Study, Dataset],
) -> None:
    """By the book: the mean curve over seeds, averaged over three epochs, and one look at the test set."""
    study, dataset = opened
    by_best = replace(study, train=study.train.model_copy(update={"score": "best"}))
    trial = Trial(0, 0, {**FIXED, "depth": 3, "learning_rate": 1.0}, epochs=9, best_epoch=2)
    cosine = replace(by_best, space=read_space({"schedule": "cosine"}, lambda key, text: None))
    assert [candidate_of(own, trial).whole for own in (study, by_best)] == [True, False]
    assert candidate_of(cosine, replace(trial, params={})).whole
    candidate = candidate_of(by_best, trial)
    (found,) = train_fresh(by_best, dataset, [candidate], 3, machine=Machine("cpu", 2))
    mean = np.mean([curve[:, 3] for curve in found.curves], axis=0)
    smooth = [mean[max(0, at - 1) : at + 2].mean() for at in range(9)]
    assert found.epochs == int(np.argmax(np.round(smooth, 12))) + 1
    (straight,) = train_fresh(
        study, dataset, [replace(candidate, epochs=found.epochs, whole=True)], 3, machine=Machine("cpu", 1)
    )
    assert found.scores.tobytes() == straight.scores.tobytes()
    assert [len(curve) for curve in found.curves] == [9, 9, 9]
    assert found.validation("accuracy").tolist() == [curve[found.epochs - 1, 3] for curve in found.curves]


def test_confirming_leaves_a_running_study_alone(database: Path, opened: tuple[Study, Dataset]) -> None:
    study, dataset = opened
    with Database.open(url(database)) as stored:
        trainer = stored.study("small")
        trainer.begin()
        other = stored.study("small")
        confirm_stored(study, dataset, other, top=2, seeds=3, machine=Machine("cpu", 1))
        trainer.commit(seconds=1.0)
        trainer.end()
        assert len(trainer.scorings()) == 1
