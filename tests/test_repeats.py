"""Repeated comparisons: a repeat is a study of its own, the interval is right, and words say what about."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import hpsearch as package
from hpsearch.errors import HpsearchError
from hpsearch.reporting.comparison import by_repeat, comparison_document, conclusion, methods
from hpsearch.reporting.head_to_head import gate_sentence, two_document, verdict
from hpsearch.results.contrast import Contrast, Rows
from hpsearch.results.repeats import REPEAT, repeat_seed
from hpsearch.results.scorings import uses_of
from hpsearch.stats import difference
from hpsearch.store import Database
from tests.studies import hpsearch, url

STUDY = """
[study]
name = "{name}"
[data]
source = "iris"
[space]
activation = ["relu", "sigmoid"]
learning_rate = {{ low = 1e-2, high = 0.3, log = true }}
batch_size = 16
depth = 3
width = 8
[train]
epochs = 4
[search]
sampler = "random"
stopping = "none"
trials = 8
"""
COMPARE = """
[compare]
by = "activation"
baseline = "relu"
seeds = 4
repeats = {repeats}
"""


def write(folder: Path, repeats: int = 3, name: str = "s", more: str = "") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(STUDY.format(name=name) + more + COMPARE.format(repeats=repeats), encoding="utf-8")
    return path


def answered(path: Path, storage: str, *overrides: str) -> Contrast:
    """The comparison that a run of the study ends with."""
    study = package.load_study(path, overrides)
    found = package.run(study, storage=storage, workers=1, confirm=False).numbers.comparison
    assert found is not None
    return found


def means(found: Contrast, seeds: int = 3) -> list[float]:
    return [float(np.nanmean(arm.scores[:seeds])) for arm in found.arms]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contrast]:
    """A study file and its comparison over three repeats, in x.db beside it."""
    folder = tmp_path_factory.mktemp("repeats")
    path = write(folder)
    return path, answered(path, url(folder / "x.db"))


# -- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [0.0, 0.25, 2 / 3])
@pytest.mark.parametrize("count", [2, 10])
def test_the_interval_is_students_with_the_variance_of_overlapping_splits(overlap: float, count: int) -> None:
    random = np.random.default_rng(count)
    base, arm = random.normal(size=(2, count))
    found = difference(base, arm, True, paired=True, overlap=overlap, fewest=2)
    assert found is not None
    gaps = arm - base
    error = np.std(gaps, ddof=1) * np.sqrt(1 / count + overlap)
    assert found.ends == pytest.approx(stats.t.interval(0.95, count - 1, gaps.mean(), error))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(gaps.mean() / error), count - 1))
    plain = difference(base, arm, True, paired=True, fewest=2)
    assert plain is not None
    assert plain.p == pytest.approx(stats.ttest_rel(arm, base).pvalue)


def test_learners_of_equal_worth_are_told_apart_on_one_table_in_at_most_one_of_twenty() -> None:
    from benchmarks.repeats import equal_learners

    random = np.random.default_rng(1)
    told = {0.25: 0, 0.0: 0}
    for _ in range(300):
        base, arm = equal_learners(random, rows=200, test=40)
        for overlap in told:
            found = difference(base, arm, True, paired=True, overlap=overlap)
            told[overlap] += found is not None and found.p < 0.05
    assert stats.binomtest(told[0.25], 300, 0.05, alternative="greater").pvalue > 0.01
    assert told[0.0] > 45  # what a plain t-test would do


def test_a_repeat_is_the_study_of_another_seed(made: tuple[Path, Contrast], tmp_path: Path) -> None:
    path, found = made
    over = found.repeated
    assert over is not None
    assert (over.seeds, over.unit, found.answer is over) == (3, "repeat", True)
    assert [arm.scores[0] for arm in over.arms] == means(found)
    for number in (1, 2):
        seed = f"study.seed={repeat_seed(0, number)}"
        alone = answered(path, url(tmp_path / "alone.db"), seed, f"study.name=s{number}", "compare.repeats=1")
        assert [arm.scores[number] for arm in over.arms] == means(alone)
    (gap,) = (each for each in over.differences if each is not None)
    assert over.repeats is not None
    assert (over.repeats.rows, over.repeats.overlap) == (Rows.SPLIT, pytest.approx(30 / 120))
    gaps = over.arms[1].scores - over.arms[0].scores
    error = np.std(gaps, ddof=1) * np.sqrt(1 / 3 + 0.25)
    assert gap.ends == pytest.approx(stats.t.interval(0.95, 2, gaps.mean(), error))


def test_new_points_do_not_overlap_and_a_split_of_the_table_keeps_its_test_rows(tmp_path: Path) -> None:
    path = write(tmp_path, 2)
    text = path.read_text()
    path.write_text(text.replace('"iris"', '"xor"'))
    new = answered(path, url(tmp_path / "x.db"), "study.name=new").repeated
    random = np.random.default_rng(0)
    rows = [f"{a},{b},{'yes' if a > b else 'no'}" for a, b in random.normal(size=(90, 2))]
    parts = [("train", "valid", "test")[at % 3] for at in range(90)]
    lines = [f"{row},{part}" for row, part in zip(rows, parts, strict=True)]
    (tmp_path / "t.csv").write_text("a,b,c,part\n" + "\n".join(lines), encoding="utf-8")
    path.write_text(text.replace('"iris"', '"t.csv"\ntarget = "c"\nsplit = { column = "part" }'))
    same = answered(path, url(tmp_path / "x.db"), "study.name=same").repeated
    for over, rows_are, said in ((new, Rows.NEW, "draws new rows"), (same, Rows.SAME, "on these test rows")):
        assert over is not None
        assert over.repeats is not None
        assert (over.repeats.rows, over.repeats.overlap, over.seeds) == (rows_are, 0.0, 2)
        assert any(said in line for line in methods(over))


# -- stored --------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys, hpsearch
class Killer(hpsearch.Watch):
    def repeats(self, done, total):
        if done == 3:
            os.kill(os.getpid(), signal.SIGKILL)
hpsearch.run(sys.argv[1], storage=sys.argv[2], workers=1, confirm=False, watch=Killer())
"""


def repeats_of(storage: str, name: str = "s") -> list[tuple[int, bytes]]:
    with Database.open(storage) as database:
        found = database.study(name).scorings()
    return [(each.about["repeat"], each.data) for each in found if each.purpose == REPEAT]


def test_a_comparison_that_is_killed_goes_on_and_ends_the_same(
    made: tuple[Path, Contrast], tmp_path: Path
) -> None:
    path, whole = write(tmp_path, 4), url(made[0].parent / "x.db")
    storage = url(tmp_path / "killed.db")
    done = subprocess.run([sys.executable, "-c", KILLED, path, storage], check=False)
    assert done.returncode == -signal.SIGKILL
    assert repeats_of(storage) == repeats_of(whole)  # repeats 1 and 2: those of three
    so_far = package.report("s", storage=storage).numbers.comparison
    assert so_far is not None
    assert so_far.answer.seeds == 3
    assert any("3 of 4 repeats are done" in line for line in methods(so_far))
    began: list[int] = []

    class Heard(package.Watch):
        def repeats(self, done: int, total: int) -> None:
            began.append(done)

    package.run(path, storage=storage, workers=2, confirm=False, watch=Heard())
    assert began == [3, 4]
    fresh = answered(path, url(tmp_path / "fresh.db"))
    again = package.report("s", storage=storage).numbers.comparison
    assert again is not None
    assert comparison_document(again) == comparison_document(fresh)
    assert repeats_of(storage) == repeats_of(url(tmp_path / "fresh.db"))
    with Database.open(storage) as database:  # one look: repeats choose nothing, and list shows one study
        store = database.study("s")
        assert len(uses_of(store.record, store.scorings())) == 1
        assert [each.name for each in database.studies()] == ["s"]


def test_more_repeats_later_keep_those_that_are_there(made: tuple[Path, Contrast], tmp_path: Path) -> None:
    path, found = made
    copy = tmp_path / "x.db"
    copy.write_bytes((path.parent / "x.db").read_bytes())
    more = answered(path, url(copy), "compare.repeats=4", "compare.baseline=sigmoid")
    assert more.repeated is not None
    assert found.repeated is not None
    assert more.baseline.name == "sigmoid"
    for one, other in zip(found.repeated.arms, more.repeated.arms, strict=True):
        assert other.scores[:3].tolist() == one.scores.tolist()
    assert [number for number, _ in repeats_of(url(copy))] == [1, 2, 3]


# -- words ---------------------------------------------------------------------------------------


def test_words_say_what_a_verdict_is_about(made: tuple[Path, Contrast], tmp_path: Path) -> None:
    path, found = made
    assert conclusion(found).startswith("sigmoid against relu: accuracy ")
    assert ", 3 repeats): " in conclusion(found)
    (line,) = by_repeat(found)
    assert line.startswith("By repeat, sigmoid against relu, in points: ")
    assert len(line.partition("points: ")[2].split()) == 3
    assert "Nadeau & Bengio" in " ".join(methods(found))
    document = comparison_document(found)
    assert [document["repeats"][key] for key in ("asked", "done", "seeds", "rows")] == [3, 3, 3, "split"]
    base, arm = document["repeats"]["arms"]
    assert base["differences"] is None
    assert arm["differences"] == pytest.approx(np.subtract(arm["scores"], base["scores"]).tolist())
    assert len(document["arms"][1]["scores"]) == 4  # as ever: of this split's seeds
    shown = hpsearch("report", "s", "--storage", url(path.parent / "x.db"))
    assert " ".join(line.split()) in " ".join(shown.stdout.split())
    page = tmp_path / "out"
    assert hpsearch("report", "s", "--storage", url(path.parent / "x.db"), "--out", page).returncode == 0
    assert "one tick a repeat" in (page / "report.html").read_text(encoding="utf-8")
    once = answered(path, url(tmp_path / "once.db"), "compare.repeats=1")
    assert conclusion(once).startswith("sigmoid against relu, these two configurations on this split: ")
    assert by_repeat(once) == []
    assert comparison_document(once)["repeats"] is None


def test_the_plan_says_what_repeats_cost(made: tuple[Path, Contrast], tmp_path: Path) -> None:
    path, _ = made
    plan = hpsearch("run", path, "--dry-run", "--storage", url(tmp_path / "x.db"))
    assert "# [compare] repeats the study 2 more times, each on another split" in plan.stdout
    once = hpsearch(
        "run", path, "--dry-run", "--storage", url(tmp_path / "x.db"), "--set", "compare.repeats=1"
    )
    assert "repeats the study" not in once.stdout


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0", "greater than or equal to 1; found 0"),
        ("1000000000", "less than or equal to 1000; found 1000000000"),
        ("2.5", "found 2.5"),
        ('"ten"', "found"),
    ],
)
def test_bad_numbers_of_repeats(tmp_path: Path, written: str, said: str) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("repeats = 3", f"repeats = {written}"))
    done = hpsearch("run", path, "--storage", url(tmp_path / "x.db"))
    assert done.returncode == 2
    assert (
        f"{path}:{path.read_text()[: path.read_text().index('repeats =')].count(chr(10)) + 1}:" in done.stderr
    )
    assert "compare.repeats" in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "x.db").exists()


# -- two studies ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Studies that differ in their seed alone, and one that learns nothing."""
    folder = tmp_path_factory.mktemp("two")
    text = STUDY.format(name="a").replace("trials = 8", "trials = 4")
    for name, content in {
        "a": text,
        "b": text.replace("[study]", "[study]\nseed = 7"),
        "slow": text.replace("low = 1e-2, high = 0.3", "low = 1e-6, high = 2e-6"),
    }.items():
        path = folder / f"{name}.toml"
        path.write_text(content.replace('name = "a"', f'name = "{name}"'))
        package.run(path, storage=url(folder / "x.db"), workers=1, confirm=False)
    return url(folder / "x.db")


def compare(storage: str, a: str, b: str, **settings: Any) -> Contrast:
    return package.compare(a, b, storage=storage, workers=1, seeds=3, **{"repeats": 3, **settings})


def test_two_runs_of_one_study_file_are_not_told_apart(two: str) -> None:
    found = compare(two, "a", "b", margin="0")
    over = found.answer
    assert (over.seeds, over.paired, over.finding) == (3, True, "no detectable difference")
    assert over.arms[0].scores.tolist() == over.arms[1].scores.tolist()
    assert over.regression is not None
    assert not over.regression.tripped
    assert verdict(found).startswith("B (study b) against A (study a): accuracy ")
    document = two_document(found)
    assert any("Both come out the same in every repeat" in line for line in document["remarks"])
    assert document["repeats"]["arms"][1]["differences"] == [0.0, 0.0, 0.0]
    once = compare(two, "a", "b", repeats=1)
    assert ", these two configurations: accuracy" in verdict(once)


def test_the_gate_rests_on_repeats_which_are_stored(two: str) -> None:
    found = compare(two, "a", "slow", margin="0.1%")
    over = found.answer
    assert over.regression is not None
    assert over.regression.tripped == ((gate_sentence(found) or "").startswith("Regression"))
    assert "3 repeats" in verdict(found)
    began: list[int] = []
    again = compare(two, "a", "slow", repeating=lambda done, total: began.append(done))
    assert began == [3, 6]  # nothing is trained
    assert [arm.scores.tolist() for arm in again.answer.arms] == [arm.scores.tolist() for arm in over.arms]
    done = hpsearch("compare", "a", "slow", "--repeats", 3, "--fail-if-worse", "0.1%", "--storage", two)
    assert done.returncode == (4 if over.regression.tripped else 0), done.stderr
    assert "By repeat, slow" in done.stdout


def test_trials_are_repeated_without_a_search(two: str) -> None:
    found = compare(two, "a:0", "a:1", repeats=2)
    over = found.answer
    assert over.repeats is not None
    assert (over.seeds, over.repeats.searched) == (2, False)
    assert verdict(found).startswith("B (a #1) against A (a #0): accuracy ")
    assert any("trains the given hyper-parameters" in line for line in two_document(found)["remarks"])


@pytest.mark.parametrize("repeats", [0, -1, 1_000_000_000])
def test_bad_numbers_of_repeats_of_two(two: str, repeats: int) -> None:
    with pytest.raises(HpsearchError, match="repeats: expected at"):
        compare(two, "a", "b", repeats=repeats)
    done = hpsearch("compare", "a", "b", "--repeats", repeats, "--storage", two)
    assert done.returncode == 2
    assert "--repeats" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_of_the_command(two: str) -> None:
    done = hpsearch("compare", "a", "b", "--repeats", 2, "--format", "json", "--storage", two)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["repeats"]["done"] == 2
    assert document["finding"] == "no detectable difference"
