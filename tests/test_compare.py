"""Comparisons: arms and their best trials, retraining on fresh seeds, intervals that are right, and words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from hpsearch.api import run
from hpsearch.cli.app import app
from hpsearch.data import Dataset
from hpsearch.errors import StorageError, StudyChangedError, StudyFileError
from hpsearch.records import State, Trial
from hpsearch.reporting.comparison import comparison_document, comparison_grid, conclusion, methods, warnings
from hpsearch.results.contrast import Arm, Contrast
from hpsearch.results.frames import Report
from hpsearch.results.scorings import COMPARISON, comparison_of, store_comparison, uses_of
from hpsearch.retrain.contrast import answer, compare_arms
from hpsearch.retrain.fresh_seeds import fresh_seed
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import make_problem
from hpsearch.running.watch import Watch
from hpsearch.stats import BETTER, EQUAL, WORSE, estimate
from hpsearch.store import Database
from hpsearch.study.file import Study, load_study
from hpsearch.train.lanes import Lane
from hpsearch.train.solo import train_solo
from tests.studies import finished_report, hpsearch, train_alone, url

GUIDE = sorted((Path(__file__).parents[1] / "studies/guide").glob("*.toml"))
HEAD = '[data]\nsource = "iris"\n[space]\n'
STUDY = """
[study]
name = "small"
[data]
source = "breast_cancer"
split = {{ valid = 0.2, test = {test} }}
[space]
activation = ["relu", "sigmoid"]
learning_rate = {{ low = 1e-3, high = 1.0, log = true }}
batch_size = 64
depth = 3
width = 8
[train]
epochs = 4
[search]
sampler = "random"
stopping = "none"
trials = 12
[compare]
by = "activation"
seeds = 4
repeats = 1
"""


# -- the study file ------------------------------------------------------------------------------

BAD = [
    ("momentum = [0.0, 0.9]", "", "compare.by: is missing; expected a searched hyper-parameter"),
    ("depth = [1, 2]", 'by = "dept"', 'compare.by: unknown hyper-parameter; did you mean "depth"? (expected'),
    (
        "depth = [1, 2]",
        'by = "momentum"',
        'compare.by: "momentum" is not searched: [space] lists no values for it',
    ),
    (
        "momentum = { low = 0.0, high = 0.9 }",
        'by = "momentum"',
        'compare.by: "momentum" is a range; expected a list of at most 12 values, such as momentum =',
    ),
    (
        "width = { low = 1, high = 40 }",
        'by = "width"',
        'compare.by: "width" has 40 values; expected a list of at most 12',
    ),
    ("depth = [2, 3]", 'by = "linear"', "compare.by: needs networks of both kinds: linear (depth 1"),
    (
        'activation = ["relu", "tanh"]',
        'by = "activation"\nbaseline = "than"',
        'compare.baseline: expected one of the arms relu, tanh; found "than"; did you mean "tanh"?',
    ),
    (
        "momentum = [0.0, 0.9]",
        'by = "momentum"\nbaseline = 0.5',
        "compare.baseline: expected one of the arms 0.0, 0.9; found 0.5",
    ),
    (
        'activation = ["relu", "tanh"]\ninit = ["default", "kaiming"]',
        'by = ["activation", "init"]\nbaseline = ["relu", "xavier"]',
        'compare.baseline: expected one of the arms ["relu", "default"], ["relu", "kaiming"], ["tanh", '
        '"default"], ["tanh", "kaiming"]; found ["relu", "xavier"]',
    ),
    ("depth = [1, 2]", 'by = ["depth", "depth"]', "compare.by: expected one hyper-parameter, or a list of"),
    (
        "momentum = [0.0, 0.9]",
        'by = "momentum"\nseeds = 2',
        "compare.seeds: expected greater than or equal to 3; found 2",
    ),
]


@pytest.mark.parametrize(("space", "section", "expected"), BAD)
def test_a_complaint_says_where_what_and_how(tmp_path: Path, space: str, section: str, expected: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f"{HEAD}{space}\n[compare]\n{section}\n", encoding="utf-8")
    with pytest.raises(StudyFileError) as caught:
        load_study(path)
    (complaint,) = caught.value.complaints
    line = 5 if complaint.key == "compare.by" and not section else 6 if complaint.key == "compare.by" else 7
    line += space.count("\n")
    assert str(complaint).startswith(f"{path}:{line}:1: {expected}")


@pytest.mark.parametrize(
    ("space", "section"),
    [
        ("momentum = [0, 0.9]", 'by = "momentum"\nbaseline = 0'),
        ("hidden = [[], [5, 5]]", 'by = "hidden"\nbaseline = [5, 5]'),
        ("hidden = [[], [5, 5]]", 'by = "linear"\nbaseline = "deep"'),
        ("depth = { low = 1, high = 3 }", 'by = "depth"'),
        (
            'activation = ["relu", "tanh"]\ninit = ["default", "kaiming"]',
            'by = ["activation", "init"]\nbaseline = ["relu", "default"]',
        ),
        ('activation = ["none", "relu"]', 'by = "linear"'),
    ],
)
def test_good_comparisons_survive_the_stored_document(tmp_path: Path, space: str, section: str) -> None:
    from hpsearch.study.arms import arm_values, baseline_arm, names_of
    from hpsearch.study.file import study_from_document

    path = tmp_path / "s.toml"
    path.write_text(f"{HEAD}{space}\n[compare]\n{section}\n", encoding="utf-8")
    study = load_study(path)
    again = study_from_document(json.loads(json.dumps(study.document())))
    assert study.compare is not None
    assert again.compare == study.compare
    assert baseline_arm(study.compare) in (None, *arm_values(study.space, names_of(study.compare)))


@pytest.mark.parametrize("path", GUIDE, ids=lambda path: path.stem)
def test_the_guides_studies_give_every_arm_its_share_of_whole_trials(path: Path) -> None:
    study = load_study(path)
    assert study.compare is not None
    assert study.compare.seeds >= 10
    assert study.search.sampler in ("qmc", "random")
    assert study.search.stopping == "none"
    index = (path.parents[2] / "reports/guide/README.md").read_text(encoding="utf-8")
    assert f"\n## {path.stem}\n" in index


# -- statistics ----------------------------------------------------------------------------------


def compared(scores: dict[str, Any], **settings: Any) -> Contrast:
    arms = tuple(
        Arm(at, 5, np.asarray(values, dtype=np.float64), name=name, trials=10, complete=10)
        for at, (name, values) in enumerate(scores.items())
    )
    given: dict[str, Any] = {"by": "activation", "metric": "accuracy", "maximize": True, "part": "test"}
    given |= {"base": 0, "seeds": len(arms[0].scores), "rows": 80}
    return Contrast(arms=arms, **(given | settings))


def test_intervals_and_p_are_those_of_a_paired_t_test_divided_by_the_comparisons() -> None:
    random = np.random.default_rng(0)
    base = random.normal(0.9, 0.02, 12)
    near, far = base + random.normal(0.001, 0.02, 12), base + random.normal(0.05, 0.02, 12)
    found = compared({"base": base, "near": near, "far": far})
    for each, values in zip(found.differences[1:], (near, far), strict=True):
        mean, error = (values - base).mean(), stats.sem(values - base)
        half = stats.t.ppf(1 - 0.025 / 2, 11) * error
        ends = (each.mean, each.low, each.high)
        assert ends == pytest.approx((mean, mean - half, mean + half))
        p = stats.ttest_rel(values, base).pvalue
        assert each.p == pytest.approx(min(1, 2 * p))
        assert (each.verdict == EQUAL) == (each.low < 0 < each.high) == (2 * p >= 0.05)
    assert [each.verdict for each in found.differences[1:]] == [EQUAL, BETTER]
    lower = compared({"base": base, "far": far}, metric="rmse", maximize=False)
    assert lower.differences[1].verdict == WORSE


def test_equal_arms_are_seldom_told_apart_and_intervals_cover() -> None:
    """Of studies with three equal arms 5 % may find a difference, and in 95 % all intervals must cover it."""
    random, studies, seeds, gain = np.random.default_rng(1), 600, 8, 0.7
    found_any = covered = 0
    for noise in random.normal(0, 1, (studies, 4, seeds)):
        scores = noise + random.normal(0, 2, seeds)  # what a seed does to all arms cancels
        equal = compared(dict(zip("abcd", scores, strict=True))).differences
        found_any += any(each.verdict != EQUAL for each in equal[1:])
        scores[1:] += gain
        better = compared(dict(zip("abcd", scores, strict=True))).differences
        covered += all(each.low < gain < each.high for each in better[1:])
    tolerance = 3 * np.sqrt(0.05 * 0.95 / studies)
    assert found_any / studies <= 0.05 + tolerance
    assert covered / studies >= 0.95 - tolerance
    assert covered / studies <= 0.99  # intervals as wide as the sea would cover, too


@pytest.mark.parametrize(("n", "verdict"), [(10, BETTER), (4, EQUAL)])
def test_differences_that_are_all_equal_have_no_interval(n: int, verdict: str) -> None:
    seeds = 0.5 + 0.01 * np.arange(n)
    found = compared({"a": seeds, "b": seeds + 0.1, "c": seeds}, rows=1000)
    _, b, c = found.differences
    assert (b.verdict, c.verdict) == (verdict, EQUAL)
    assert b.low is None
    assert b.p == pytest.approx(min(1.0, 2 * 2 * 0.5**n))  # all n signs equal, either way, two comparisons
    text = conclusion(found)
    assert "b +10.0 points (the same with every seed)" in text
    assert "c 0.0 points (the same with every seed), no detectable difference" in text
    assert "nan" not in text + str(comparison_grid(found).rows) + str([*methods(found), *warnings(found)])


def test_retrainings_that_diverged_are_counted_and_said() -> None:
    random, lost = np.random.default_rng(2), np.array([np.nan] * 3 + [0.5] * 5)
    found = compared({"a": random.normal(0.9, 0.01, 8), "b": lost, "c": np.full(8, np.nan)})
    assert [arm.name for arm, _ in found.compared] == ["b"]
    assert found.compared[0][1].seeds == (5, 5)
    said = "\n".join([*methods(found), *warnings(found)])
    assert "b: diverged with 3 of 8 seeds; its numbers are those of the other 5." in said
    assert "c: diverged with all 8 seeds; it is not compared." in said
    grid = comparison_grid(found)
    heads = [column.head for column in grid.columns]
    assert [row[heads.index("diverged")] for row in grid.rows] == ["", "3", "8"]


def test_better_in_its_whole_runs_but_diverging_more_often_is_no_clear_answer() -> None:
    base = np.array([0.5, 0.52, 0.51, 0.49, 0.5, 0.51])
    lost = np.where(np.arange(6) < 2, np.nan, base + np.array((0.2, 0.21, 0.2, 0.22, 0.2, 0.21)))
    found = compared({"a": base, "b": lost})
    assert found.differences[1].verdict == "no clear answer"
    assert conclusion(found).endswith(
        ": no clear answer: better where both were trained to the end, but it diverged with 2 of 6 seeds, "
        "a with 0."
    )
    assert compared({"a": lost, "b": base}).differences[1].verdict == "no clear answer"
    above = base + np.array((0.3, 0.31, 0.3, 0.32, 0.3, 0.33))
    assert compared({"a": above, "b": lost}).differences[1].verdict == "worse"


def test_words_carry_sign_unit_and_rows() -> None:
    base = np.array([0.5, 0.52, 0.51, 0.49])
    text = conclusion(
        compared({"linear": base, "deep": base + np.array((0.40, 0.41, 0.42, 0.41))}, by="linear")
    )
    assert text.startswith(
        "deep against linear, these two configurations on this split: accuracy +41.0 points ("
        "95 % interval +39.7 … +42.3, 4 seeds, "
    )
    assert text.endswith("80 test rows): deep is better.")
    rmse = {"metric": "rmse", "maximize": False, "part": "validation"}
    found = compared({"a": base * 100, "b": base * 100 - np.array((3.0, 3.1, 3.2, 3.1))}, **rmse)
    assert conclusion(found).startswith(
        "b against a, these two configurations on this split: rmse −3.10 (95 % interval −3.23 … −2.97, "
        "4 seeds, 80 val"
    )
    assert any("no test set" in line for line in [*methods(found), *warnings(found)])
    assert estimate(np.array([1.0, 2.0])) is None


# -- trained again -------------------------------------------------------------------------------


def stored(folder: Path, test: float = 0.3) -> tuple[Study, Dataset, list[Trial], Report]:
    path = folder / "small.toml"
    path.write_text(STUDY.format(test=test), encoding="utf-8")
    study, dataset = train_alone(path, url(folder / "x.db"))
    with Database.open(url(folder / "x.db")) as database:
        store = database.study("small")
        trials = store.trials()
        return study, dataset, trials, finished_report(store.record, trials, store.curves())


def test_arms_are_their_best_trials_trained_again_by_the_book(tmp_path: Path) -> None:
    study, dataset, trials, report = stored(tmp_path)
    found = compare_arms(study, dataset, trials, report, Machine("cpu", 2))
    assert (found.part, found.rows) == ("test", len(dataset.test))
    tops = {}
    for arm in found.arms:
        own = [trial for trial in trials if trial.params["activation"] == arm.name]
        complete = [trial for trial in own if trial.state is State.COMPLETE]
        best = min(complete, key=lambda t: (-(t.value or 0), t.loss, t.number))
        assert (arm.trials, arm.complete) == (len(own), len(complete))
        assert (arm.trial, arm.epochs) == (best.number, best.best_epoch)
        tops[arm.name] = best
        configuration = study.space.configuration(best.params)
        for seed, score in enumerate(arm.scores):
            problem = replace(
                make_problem(study, dataset, "cpu"),
                seed=fresh_seed(study.seed, seed),
                x_valid=dataset.test.x,
                y_valid=dataset.test.y,
            )
            (alone,) = train_solo(problem, [Lane(0, configuration)], arm.epochs or 0)
            assert score == pytest.approx(alone.curve[-1, 3], abs=1.5 / len(dataset.test))
    assert (
        found.baseline.name
        == max(tops.values(), key=lambda t: (t.value, -(t.loss or 0))).params["activation"]
    )
    assert len({fresh_seed(0, n) for n in range(50)} | {0}) == 51
    again = compare_arms(study, dataset, list(reversed(trials)), report, Machine("cpu", 1))
    assert all(np.array_equal(a.scores, b.scores) for a, b in zip(found.arms, again.arms, strict=True))


def test_without_a_test_part_the_validation_part_scores_and_the_reader_is_told(tmp_path: Path) -> None:
    study, dataset, trials, report = stored(tmp_path, test=0)
    found = compare_arms(study, dataset, trials, report, Machine("cpu", 1))
    assert (found.part, found.rows) == ("validation", len(dataset.valid))
    assert any("no test set" in line for line in [*methods(found), *warnings(found)])


def test_an_arm_without_a_complete_trial_is_told_and_not_compared(tmp_path: Path) -> None:
    study, dataset, trials, _ = stored(tmp_path)
    lost = [
        replace(t, state=State.FAILED, value=None) if t.params["activation"] == "sigmoid" else t
        for t in trials
    ]
    with Database.open(url(tmp_path / "x.db")) as database:
        report = finished_report(database.study("small").record, lost, {})
    found = compare_arms(study, dataset, lost, report, Machine("cpu", 1))
    (sigmoid,) = (arm for arm in found.arms if arm.name == "sigmoid")
    assert (sigmoid.trial, len(sigmoid.scores), sigmoid.complete) == (None, 0, 0)
    assert found.compared == []
    assert any("sigmoid: none of its" in line for line in [*methods(found), *warnings(found)])
    assert "nothing can be compared" in conclusion(found)


# -- the commands --------------------------------------------------------------------------------


def test_run_and_report_end_with_the_same_answer_and_files(tmp_path: Path) -> None:
    path, storage = tmp_path / "small.toml", ("--storage", url(tmp_path / "x.db"))

    def report(*arguments: object) -> str:
        result = CliRunner().invoke(app, ["report", "small", *storage, *map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result.stdout

    path.write_text(STUDY.format(test=0.3).replace('"breast_cancer"', '"data.csv"'), encoding="utf-8")
    random = np.random.default_rng(4)
    rows = [f"{a},{b},{c},{'yes' if a * b > 0 else 'no'}" for a, b, c in random.normal(size=(120, 3))]
    (tmp_path / "data.csv").write_text("a,b,c,answer\n" + "\n".join(rows), encoding="utf-8")
    path.write_text(path.read_text().replace("[space]", 'target = "answer"\n[space]'), encoding="utf-8")

    first = hpsearch("run", path, *storage)
    assert first.returncode == 0, first.stderr
    written = report("--format", "json", "--out", tmp_path / "out")
    document = json.loads(written)["comparison"]
    assert [arm["arm"] for arm in document["arms"]] == ["relu", "sigmoid"]
    assert all(len(arm["scores"]) == 4 for arm in document["arms"])
    assert document["conclusion"] in " ".join(first.stdout.split())
    assert json.loads((tmp_path / "out/report.json").read_text())["comparison"] == document
    assert (tmp_path / "out/comparison.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert "(comparison.png)" in text
    assert text.index("## Comparison") < text.index("### What matters")
    assert report("--format", "json") == written
    assert document["conclusion"] in " ".join(report().split())

    (tmp_path / "data.csv").unlink()
    assert report("--format", "json") == written  # it is read: nothing is trained for a report
    page = report("--format", "json", "--out", tmp_path / "again")
    assert page == written


def test_what_run_found_is_stored_once_and_read_bit_for_bit(tmp_path: Path) -> None:
    path, storage = tmp_path / "small.toml", url(tmp_path / "x.db")
    path.write_text(STUDY.format(test=0.3), encoding="utf-8")
    study, dataset = train_alone(path, storage)

    def says() -> str:
        return CliRunner().invoke(app, ["report", "small", "--storage", storage]).stdout

    assert "no comparison yet: `hpsearch run" in " ".join(says().split())
    trained: list[str] = []

    class Hearing(Watch):
        def says(self, text: str) -> None:
            trained.append(text)

    watch = Hearing()
    with Database.open(storage) as database:
        store = database.study("small")
        assert answer(study, dataset, store, lambda: Machine("cpu", 1), watch) is None
        assert answer(study, dataset, store, lambda: Machine("cpu", 1), watch) is None
        assert len(trained) == 1
        trials = store.trials()
        found = compare_arms(
            study, dataset, trials, finished_report(store.record, trials, store.curves()), Machine("cpu", 2)
        )
        again = comparison_of(store.record, trials, store.scorings())
        assert len(store.scorings()) == len(uses_of(store.record, store.scorings())) == 1
    assert again is not None
    assert comparison_document(again) == comparison_document(found)
    for one, other in zip(found.arms, again.arms, strict=True):
        assert one.scores.tobytes() == other.scores.tobytes()
        assert one.losses.tobytes() == other.losses.tobytes()
        assert one.params == other.params
    assert conclusion(again) in " ".join(says().split())


def test_an_answer_is_of_the_study_as_it_was_and_of_what_is_asked(tmp_path: Path) -> None:
    path, storage = tmp_path / "small.toml", url(tmp_path / "x.db")
    text = STUDY.format(test=0.3)
    path.write_text(text, encoding="utf-8")
    assert hpsearch("run", path, "--no-confirm", "--storage", storage).returncode == 0

    def notes_and_answer() -> tuple[list[str], Any]:
        words = ["report", "small", "--format", "json", "--storage", storage]
        document = json.loads(CliRunner().invoke(app, words).stdout)
        return document.get("notes", []), document.get("comparison")

    def looks() -> int:
        with Database.open(storage) as database:
            store = database.study("small")
            return len(uses_of(store.record, store.scorings()))

    nothing, first = notes_and_answer()
    assert (nothing, looks()) == ([], 1)
    path.write_text(text.replace("trials = 12", "trials = 14"), encoding="utf-8")
    train_alone(path, storage)
    (note,), earlier = notes_and_answer()
    assert note.startswith("the comparison covers 12 finished trials, of 14 now")
    assert earlier == first
    assert hpsearch("run", path, "--no-confirm", "--storage", storage).returncode == 0
    nothing, now = notes_and_answer()
    assert nothing == []
    assert sum(arm["trials"] for arm in now["arms"]) == 14
    same = [arm["trial"] for arm in now["arms"]] == [arm["trial"] for arm in first["arms"]]
    assert looks() == (1 if same else 2)  # the same trials have the same scores: no new look
    path.write_text(path.read_text().replace("seeds = 4", "seeds = 5"), encoding="utf-8")
    train_alone(path, storage)
    (note,), gone = notes_and_answer()
    assert note.startswith("no comparison yet")
    assert gone is None


def test_a_look_without_numbers_is_no_answer_and_no_second_look(tmp_path: Path) -> None:
    study, dataset, trials, report = stored(tmp_path)
    found = compare_arms(study, dataset, trials, report, Machine("cpu", 1))
    with Database.open(url(tmp_path / "x.db")) as database:
        store = database.study("small")
        # As it was noted before answers were stored.
        numbers = [arm.trial for arm in found.arms]
        about = {"by": found.by, "trials": numbers, "seeds": found.seeds, "rows": found.rows}
        store.add_scoring(COMPARISON, about)
        assert comparison_of(store.record, trials, store.scorings()) is None
        store_comparison(store, found)
        assert comparison_of(store.record, trials, store.scorings()) is not None
        assert len(store.scorings()) == 2
        assert len(uses_of(store.record, store.scorings())) == 1
        damaged = [replace(each, data=each.data[:-9]) for each in store.scorings()]
        with pytest.raises(StorageError, match="scoring 2 is not as hpsearch writes it"):
            comparison_of(store.record, trials, damaged)


def test_a_comparison_may_be_added_to_a_stored_study_and_changed(tmp_path: Path) -> None:
    path, storage = tmp_path / "small.toml", url(tmp_path / "x.db")
    whole = STUDY.format(test=0.3)
    path.write_text(whole[: whole.index("[compare]")], encoding="utf-8")
    train_alone(path, storage)
    path.write_text(whole, encoding="utf-8")
    assert run(path, storage=storage, confirm=False).complete
    path.write_text(whole.replace("seeds = 4", "seeds = 5"), encoding="utf-8")
    train_alone(path, storage)
    with Database.open(storage) as database:
        assert database.study("small").record.document["compare"]["seeds"] == 5
    path.write_text(whole.replace("width = 8", "width = 9"), encoding="utf-8")
    with pytest.raises(StudyChangedError, match=r"space\.width"):
        train_alone(path, storage)
