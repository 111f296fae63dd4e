"""`hpsearch compare`: two stored studies or trials on fresh seeds, and the gate for CI."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpsearch as package
from hpsearch.api import confirm
from hpsearch.errors import HpsearchError
from hpsearch.records import FloatArray, Segment, State, StudyRecord, Trial
from hpsearch.reporting.head_to_head import (
    advice_for_strict,
    anytime_grid,
    compare_sections,
    gate_sentence,
    sentences,
    strict_sentence,
    two_document,
    verdict,
)
from hpsearch.reporting.markdown import sections_markdown
from hpsearch.reporting.tables import sections_view
from hpsearch.results.contrast import Anytime, Arm, Choice, Contrast, Margin, Pairing, anytime, read_margin
from hpsearch.retrain.contrast import Subject, compare_two
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import make_problem
from hpsearch.store import Database
from hpsearch.text import is_share, plain
from tests.studies import hpsearch, url, write_study

NO_STOPPING = 'stopping = "none"\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies of iris: `small`, the same on another split, one that learns nothing, and one of numbers."""
    folder = tmp_path_factory.mktemp("versus")
    storage = url(folder / "x.db")
    text = write_study(folder, more=NO_STOPPING, trials=12).read_text()
    slow = text.replace("low = 1e-3, high = 3.0", "low = 1e-6, high = 2e-6")
    numbers = text.replace('"iris"', '"diabetes"').replace("1e-3, high = 3.0", "1e-3, high = 0.01")
    written = {
        "small": text,
        "other": text.replace("seed = 3", "seed = 4"),
        "slow": slow,
        "numbers": numbers,
        "numbers-other": numbers.replace("seed = 3", "seed = 4"),
        "by-loss": text.replace("epochs = 9", 'epochs = 9\nmetric = "log_loss"'),
    }
    for name, content in written.items():
        path = folder / f"{name}.toml"
        path.write_text(content.replace('name = "small"', f'name = "{name}"'))
        package.run(path, storage=storage, workers=1, confirm=False)
    return folder / "x.db"


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "x.db"
    copy.write_bytes(made.read_bytes())
    return copy


def compared(path: Path, a: str, b: str, **settings: Any) -> Contrast:
    """A and B, such as "small" or "small:3", on five seeds."""
    with Database.open(url(path)) as stored:
        names = [text.partition(":") for text in (a, b)]
        stores = {name: stored.study(name) for name, _, _ in names}
        one, other = (Subject(stores[name], int(n) if n else None) for name, _, n in names)
        return compare_two(one, other, **{"seeds": 5, "machine": Machine("cpu", 1), **settings})


def best_trial(path: Path, name: str) -> Trial:
    with Database.open(url(path)) as stored:
        trials = stored.study(name).trials()
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    return min(complete, key=lambda t: (-(t.value or 0), t.loss, t.number))


def test_studies_stand_for_their_best_trials_on_seeds_that_nothing_was_chosen_on(database: Path) -> None:
    found = compared(database, "small", "slow")
    assert [side.trial for side in found.arms] == [best_trial(database, n).number for n in ("small", "slow")]
    assert (found.paired, found.part, found.arms[0].choice) == (True, "test", Choice.VALIDATION)
    assert found.arms[0].epochs == best_trial(database, "small").best_epoch
    assert found.finding == "worse"
    gap = found.differences[1]
    assert gap is not None
    assert gap.mean == pytest.approx(np.mean(found.arms[1].scores - found.arms[0].scores))
    confirmed = confirm("small", storage=url(database), top=3, seeds=5, workers=1)
    again = compared(database, "small", "slow")
    assert (again.arms[0].trial, again.arms[0].choice) == (confirmed.best.trial, Choice.CONFIRMED)
    seen = {curve.tobytes() for curve in confirmed.best.curves}
    assert not seen & {curve.tobytes() for curve in again.arms[0].curves}


def test_a_trial_is_scored_as_if_it_were_trained_on_its_own(database: Path) -> None:
    from hpsearch.retrain.fresh_seeds import fresh_seed
    from hpsearch.retrain.reload import reload
    from hpsearch.train.lanes import Lane
    from hpsearch.train.solo import train_solo

    found = compared(database, "small:2", "small:5", seeds=3)
    with Database.open(url(database)) as stored:
        study, dataset = reload(stored.study("small").record)
        trials = stored.study("small").trials()
    for side in found.arms:
        assert side.epochs == trials[side.trial].best_epoch
        for index in range(3):
            problem = replace(
                make_problem(study, dataset, "cpu"), seed=fresh_seed(study.seed, 1_000_000 + index)
            )
            test = replace(problem, x_valid=dataset.test.x, y_valid=dataset.test.y)
            lane = Lane(0, study.space.configuration(side.params))
            (alone,) = train_solo(test, [lane], side.epochs)
            assert side.scores[index] == pytest.approx(alone.curve[-1, 3], abs=1.5 / len(dataset.test))
            assert side.losses[index] == pytest.approx(alone.curve[-1, 2], rel=1e-3)


def test_another_metric_is_the_one_that_is_scored(database: Path) -> None:
    found = compared(database, "small", "by-loss", metric="log_loss")
    for side in found.arms:
        assert side.scores == pytest.approx(side.losses)
    assert not found.maximize
    assert (found.arms[0].search, found.arms[1].search is None) == (None, False)
    with pytest.raises(HpsearchError, match=r"found accuracy and log_loss.*--metric accuracy"):
        compared(database, "small", "by-loss")


def test_other_splits_do_not_pair_and_widen_the_interval(database: Path) -> None:
    found = compared(database, "small", "other")
    assert not found.paired
    gap = found.differences[1]
    assert gap is not None
    assert gap.low is not None
    assert gap.high is not None
    share = np.mean(found.arms[0].scores)
    assert (gap.high - gap.low) / 2 >= 1.9 * np.sqrt(share * (1 - share) / found.arms[0].rows)
    assert any("test rows" in line for line in two_document(found)["remarks"])
    numbers = compared(database, "numbers", "numbers-other")
    assert any("is not known" in line for line in two_document(numbers)["remarks"])
    with pytest.raises(HpsearchError, match="rmse on different rows"):
        compared(database, "numbers", "numbers-other", margin=Margin(1, True))


def test_looks_at_the_test_part_are_counted_once(database: Path) -> None:
    def looks(name: str) -> list[dict[str, Any]]:
        with Database.open(url(database)) as stored:
            return [scoring.about for scoring in stored.study(name).scorings()]

    compared(database, "small:1", "small:4")
    compared(database, "small:1", "small:4")
    assert [(about["trials"], about["seeds"]) for about in looks("small")] == [([1, 4], 5)]
    found = compared(database, "small:1", "slow:4")
    assert [about["trials"] for about in looks("small")] == [[1, 4], [1]]
    assert [about["trials"] for about in looks("slow")] == [[4]]
    assert (len(found.arms[0].uses), len(found.arms[1].uses)) == (2, 1)
    assert any("small has looked at its test set 2 times" in line for line in two_document(found)["remarks"])


def test_what_a_search_had_at_any_time() -> None:
    def piece(trial: int, cohort: int, first: int, metrics: Sequence[float]) -> Segment:
        curve = np.zeros((len(metrics), 4))
        curve[:, 3] = metrics
        return Segment(trial, cohort, first, curve, seconds=1.0)

    record = StudyRecord("s", {}, "maximize", "multiclass", "accuracy", "", seconds=2.0)
    trials = [
        Trial(0, 0, {}, State.COMPLETE, epochs=3),
        Trial(1, 0, {}, State.PRUNED, epochs=2),
        Trial(2, 1, {}, State.RUNNING, epochs=1),
    ]
    pieces = [
        piece(0, 0, 1, [0.5, 0.7]),
        piece(0, 1, 3, [0.6]),
        piece(1, 0, 1, [np.nan, 0.4]),
        piece(2, 1, 1, [0.9]),
    ]
    found = anytime(record, trials, pieces)
    assert found.trials.tolist() == [0, 1, 2, 2]
    assert found.epochs.tolist() == [2, 4, 5, 6]
    assert found.seconds.tolist() == [0.5, 1.0, 1.5, 2.0]
    assert found.best.tolist() == [0.7, 0.7, 0.7, 0.9]
    assert [found.at("epochs", budget) for budget in (2, 5.9, 6)] == [0.7, 0.7, 0.9]
    assert np.isnan(found.at("seconds", 0.1))
    lower = anytime(replace(record, direction="minimize"), trials, pieces)
    assert lower.best.tolist() == [0.5, 0.4, 0.4, 0.4]
    assert anytime(record, [], []).spent("epochs") == 0


def test_anytime_curves_end_at_what_is_stored(database: Path) -> None:
    found = compared(database, "small", "slow")
    with Database.open(url(database)) as stored:
        store = stored.study("small")
        trials, seconds = store.trials(), store.record.seconds
    search = found.arms[0].search
    assert search is not None
    assert search.best[-1] == max(trial.value or 0 for trial in trials)
    assert search.spent("trials") == len(trials)
    assert search.spent("epochs") == sum(trial.epochs for trial in trials)
    assert search.spent("seconds") == pytest.approx(seconds)
    grid = anytime_grid(found)
    assert grid is not None
    whole = next(row for row in grid.rows if row[0] == f"{len(trials)} trials")
    assert whole[1] == f"{100 * search.best[-1]:.1f}%"
    assert anytime_grid(compared(database, "small:1", "slow")) is None


# -- the command line ----------------------------------------------------------------------------


def test_the_same_study_twice_is_no_regression(database: Path) -> None:
    words = ("compare", "small", "small", "--repeats", 1, "--seeds", 3, "--fail-if-worse", "0")
    words = (*words, "--storage", url(database))
    done = hpsearch(*words, "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["format"] == "hpsearch.compare/1"
    assert document["a"]["scores"] == document["b"]["scores"]
    assert (document["difference"]["mean"], document["difference"]["low"]) == (0, None)
    assert document["finding"] == "no detectable difference"
    assert document["regression"]["tripped"] is False
    assert document["a"]["anytime"]["best"][-1] == best_trial(database, "small").value
    assert len(document["a"]["learning"]) == document["a"]["epochs"]
    table = hpsearch(*words)
    assert table.returncode == 0
    assert "with a seed they come out the same" in table.stdout


def test_a_planted_regression_ends_with_4_and_an_improvement_does_not(database: Path, tmp_path: Path) -> None:
    other = tmp_path / "y.db"
    other.write_bytes(database.read_bytes())
    words = ("--repeats", 1, "--seeds", 4, "--fail-if-worse", "0.5%")
    words = (*words, "--storage", url(database), "--storage-b", url(other))
    done = hpsearch("compare", "small", "slow", "--format", "markdown", *words)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert "hpsearch: Regression: B is worse than A by more than 0.5 points" in done.stderr
    number = best_trial(database, "slow").number
    assert done.stdout.startswith(f"## slow \\#{number} against small \\#")
    assert "| A | small" in done.stdout
    better = hpsearch("compare", "slow", f"small#{best_trial(database, 'small').number}", *words)
    assert better.returncode == 0, better.stderr
    assert "B is better" in better.stdout
    assert "No regression" in better.stdout
    with Database.open(url(other)) as stored:
        assert [s.about["seeds"] for s in stored.study("slow").scorings()] == [4]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("small", "smal"), 'did you mean "small"'),
        (("small", "slow", "--fail-if-worse=-1%"), "expected a percentage such as 0.5%"),
        (("small", "numbers", "--format", "json"), "expected the same task; found multiclass and regression"),
    ],
)
def test_what_cannot_be_compared_is_said(made: Path, words: tuple[str, ...], said: str) -> None:
    before = made.read_bytes()
    done = hpsearch("compare", *words, "--storage", url(made))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert made.read_bytes() == before


def test_trials_and_metrics_that_are_not_there(made: Path) -> None:
    with pytest.raises(HpsearchError, match="expected a trial from 0 to 11; found trial 99"):
        compared(made, "small", "small:99")
    with pytest.raises(HpsearchError, match=r'for a multiclass task; found acuracy; did you mean "accuracy"'):
        compared(made, "small", "slow", metric="acuracy")


# -- words ---------------------------------------------------------------------------------------


def of_scores(
    a: FloatArray,
    b: FloatArray,
    metric: str = "accuracy",
    margin: Margin | None = None,
    pairing: Pairing = Pairing.SEEDS,
) -> Contrast:
    sides = tuple(
        Arm(1, 2, own, own, (), {"depth": depth}, f"{plain(name)} #1", study=name, rows=100)
        for name, depth, own in (("old", 1, a), ("new\x1b[31m|<b>", 2, b))
    )
    return Contrast("", metric, is_share(metric), sides, 0, len(a), "test", 100, pairing, margin)


def test_margins() -> None:
    points, number = read_margin("0.5%"), read_margin(" .005 ")
    assert points.absolute("accuracy") == number.absolute("accuracy") == 0.005
    assert points.relative("accuracy") == number.relative("rmse") == 0
    assert (points.absolute("rmse"), points.relative("rmse")) == (0, 0.005)
    assert [points.text(m) for m in ("accuracy", "rmse")] == ["0.5 points", "0.5 % of A's"]
    assert [number.text(m) for m in ("accuracy", "rmse")] == ["0.5 points", "0.005"]
    for wrong in ("", "%", "-1", "nan", "inf%", "1e999", "0,5%", "٣"):
        with pytest.raises(HpsearchError, match="expected a percentage"):
            read_margin(wrong)


def test_a_regression_says_why() -> None:
    a = np.linspace(0.90, 0.92, 10)
    lost = np.where(np.arange(10) < 8, np.nan, a)
    points = Margin(0.5, True)
    diverged = of_scores(a, lost, margin=points)
    assert gate_sentence(diverged) == "Regression: B diverged with 8 of 10 fresh seeds, A with 0."
    assert "A diverged with 0 and B diverged with 8" in verdict(diverged)
    worse = of_scores(a, a - 0.05 + 0.001 * np.sin(np.arange(10)), margin=points)
    assert "more than 0.5 points, with 95 % confidence by at least 4." in (gate_sentence(worse) or "")
    slower = of_scores(10 * a, 10 * a * (1.05 + 0.001 * np.sin(np.arange(10))), "rmse", Margin(2, True))
    assert slower.regression is not None
    assert slower.regression.tripped
    fine = of_scores(10 * a, 10 * a * (1.05 + 0.001 * np.sin(np.arange(10))), "rmse", Margin(9, True))
    assert fine.regression is not None
    assert not fine.regression.tripped
    assert "B is worse" in verdict(fine)  # but by less than is allowed
    more = of_scores(a, np.where(np.arange(10) == 0, np.nan, a + 0.05))
    assert more.finding == "no clear answer"  # better where it did not diverge


def test_names_are_shown_and_not_obeyed() -> None:
    from rich.console import Console

    found = of_scores(np.linspace(0.8, 0.9, 5), np.linspace(0.7, 0.9, 5), margin=Margin(1, True))
    console = Console(width=80, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(sections_view(compare_sections(found), 80))
    assert "\x1b[31m" not in capture.get()
    text = sections_markdown(compare_sections(found))
    assert "\x1b" not in text
    assert "<b>" not in text.replace("\\<b", "")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows[:4]} == {rows[0].count("|")}
    assert Anytime(*np.zeros((2, 0), np.int64), *np.zeros((2, 0))).spent("trials") == 0


# -- rows, and what may be said of them ----------------------------------------------------------


def tables(folder: Path, classes: np.ndarray[Any, Any], **columns: FloatArray) -> Path:
    """A study file `small` of a table with these columns and classes."""
    names = list(columns)
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), classes, strict=True)]
    folder.mkdir(exist_ok=True)
    (folder / "rows.csv").write_text("\n".join([",".join([*names, "label"]), *lines]) + "\n")
    path = write_study(folder, name=folder.name, source="rows.csv", trials=4, more=NO_STOPPING)
    path.write_text(path.read_text().replace("[space]", 'target = "label"\n[space]'))
    return path


def test_files_with_the_same_rows_pair_and_those_with_others_do_not(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    kind = np.array(["no", "yes"])[(random.random(120) < 0.5).astype(int)]
    one, two, three = random.normal(size=(3, 120)) + (kind == "yes")
    place = np.arange(120)
    in_order = np.sort(kind)
    written = {
        "narrow": (kind, {"a": one, "b": two}),
        "other-columns": (kind, {"b": 1000 + 7 * two, "c": three}),
        "no-column-shared": (kind, {"d": three}),
        "other-rows": (kind, {"a": three, "b": three}),  # the targets alone are the same
        "shuffled": (random.permutation(kind), {"d": three}),
        "by-class": (in_order, {"a": one}),
        "by-class-too": (in_order, {"d": two}),  # of sorted targets the order says nothing
        "by-class-shared": (in_order, {"a": one, "e": place + 0.0}),
    }
    for name, (classes, columns) in written.items():
        package.run(tables(tmp_path / name, classes, **columns), storage=url(tmp_path / "x.db"), workers=1)

    def pairing(a: str, b: str) -> Pairing:
        return compared(tmp_path / "x.db", a, b, seeds=3).pairing

    assert pairing("narrow", "other-columns") is Pairing.SEEDS
    assert pairing("narrow", "no-column-shared") is Pairing.SEEDS
    assert pairing("by-class", "by-class-shared") is Pairing.SEEDS
    assert pairing("narrow", "other-rows") is Pairing.NOTHING
    assert pairing("no-column-shared", "shuffled") is Pairing.NOTHING
    assert pairing("by-class", "by-class-too") is Pairing.NOTHING
    found = compared(tmp_path / "x.db", "narrow", "other-columns", seeds=3)
    document = two_document(found)
    assert (document["paired"], document["same_rows"]) == (True, True)
    assert any("files differ, but hold the same rows" in line for line in document["remarks"])


def test_the_same_test_rows_with_other_seeds_count_no_other_rows(tmp_path: Path) -> None:
    """`digits` with parts of its own: another study.seed divides training and validation alone."""
    random = np.random.default_rng(4)
    parts = {name: (random.normal(size=(rows, 3)), rows) for name, rows in (("train", 80), ("test", 60))}
    arrays = {f"x_{name}": x.astype(np.float32) for name, (x, _) in parts.items()}
    arrays |= {f"y_{name}": (x[:, 0] + x[:, 1] ** 2 > 0.5).astype(int) for name, (x, _) in parts.items()}
    np.savez(tmp_path / "rows.npz", **arrays)
    for name, seed in (("one", 3), ("two", 4)):
        path = write_study(tmp_path, name=name, source="rows.npz", trials=4, more=NO_STOPPING)
        path.write_text(path.read_text().replace("seed = 3", f"seed = {seed}"))
        package.run(path, storage=url(tmp_path / "x.db"), workers=1)
    found = compared(tmp_path / "x.db", "one", "two", seeds=3, metric="log_loss", margin=Margin(1, False))
    assert found.pairing is Pairing.ROWS
    assert not found.counts_rows
    document = two_document(found)
    assert (document["paired"], document["same_rows"]) == (False, True)
    assert any("on these test rows" in line for line in document["remarks"])


def test_what_is_said_of_seeds_does_not_contradict_what_is_said_of_rows() -> None:
    random = np.random.default_rng(3)
    a, b = 0.93 + 0.002 * random.normal(size=10), 0.90 + 0.002 * random.normal(size=10)
    apart = of_scores(a, b, pairing=Pairing.NOTHING)
    assert apart.finding == "no detectable difference"  # 100 other rows would change as much
    assert apart.by_seed is not None
    assert apart.by_seed.better.value == 0  # and yet each seed is worse
    said = " ".join(sentences(apart))
    assert "no detectable difference" in said
    assert "probability" not in said
    assert "standard deviations" not in said
    document = two_document(apart)["difference"]
    assert (document["interval_about"], document["b_better_about"]) == ("seeds and rows", "seeds")
    assert "probability" in " ".join(sentences(of_scores(a, b)))
    few = of_scores(np.array([0.9, 0.9, 0.9, 0.9, 0.9, 0.9]), np.array([0.91, 0.91, 0.91, 0.91, 0.91, 0.98]))
    assert few.finding == "no detectable difference"
    assert "probability" not in " ".join(sentences(few))  # 100 % (54 … 100 %) would say the opposite


def test_a_gate_says_what_loss_it_cannot_exclude() -> None:
    random = np.random.default_rng(3)
    a = 0.93 + 0.02 * random.normal(size=10)
    noisy = of_scores(a, a - 0.01 + 0.05 * random.normal(size=10), margin=Margin(0.5, True))
    gate = noisy.regression
    assert gate is not None
    assert gate.loss is not None
    assert (gate.tripped, gate.excluded, gate.loss > 0.005) == (False, False, True)
    loss = (
        f"with these 100 test rows and 10 seeds a loss of up to {100 * gate.loss:#.2g} points is not excluded"
    )
    assert loss in (gate_sentence(noisy) or "")
    assert strict_sentence(noisy) == f"--strict: a loss of more than 0.5 points is not excluded: {loss}."
    assert "No regression" not in (gate_sentence(noisy) or "")
    even = of_scores(a, a + 0.0001 * random.normal(size=10), margin=Margin(0.5, True))
    assert strict_sentence(even) is None
    assert "No regression: with 95 % confidence B" in (gate_sentence(even) or "")
    document = two_document(noisy)["regression"]
    assert (document["loss_not_excluded"], document["excluded"]) == (gate.loss, False)


def test_more_seeds_are_advised_only_where_they_can_help() -> None:
    random = np.random.default_rng(5)
    a = 0.93 + 0.02 * random.normal(size=8)
    noise = 0.05 * random.normal(size=8)
    noise -= noise.mean()
    worse = of_scores(a, a - 0.02 + noise, margin=Margin(0.5, True))
    assert (worse.regression and worse.regression.tripped, strict_sentence(worse) is None) == (False, False)
    assert advice_for_strict(worse) == (
        "B's estimated loss, 2.0 points, is already more: seeds will not help"
    )
    near = of_scores(a, a - 0.001 + noise, margin=Margin(0.5, True))
    assert advice_for_strict(near) == "Compare on more seeds: --seeds 32"


def test_strict_fails_where_a_loss_is_not_excluded(database: Path) -> None:
    words = ("compare", "small", "other", "--repeats", 1, "--seeds", 3)
    words = (*words, "--storage", url(database), "--fail-if-worse")
    loose = hpsearch(*words, "0.5%")
    assert loose.returncode == 0, loose.stderr
    assert "is not excluded" in " ".join(loose.stdout.split())
    strict = hpsearch(*words, "0.5%", "--strict")
    assert strict.returncode == 4
    assert "hpsearch: --strict: a loss of more than 0.5 points is not excluded: with these" in strict.stderr
    assert hpsearch(*words, "90%", "--strict").returncode == 0
    alone = hpsearch("compare", "small", "other", "--strict", "--storage", url(database))
    assert (alone.returncode, "--strict: expected --fail-if-worse" in alone.stderr) == (2, True)


def test_no_clear_answer_says_why() -> None:
    a = np.linspace(0.50, 0.52, 12)
    lost = np.where(np.arange(12) < 4, np.nan, a + 0.4 + 0.01 * np.sin(np.arange(12)))
    assert verdict(of_scores(a, lost)).endswith(
        "no clear answer: better where both were trained to the end, but it diverged with 4 of 12 seeds, "
        "A with 0."
    )
