"""What counts of a trial's curve: the same in values, rungs and resumed studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hpsearch
from hpsearch.errors import StudyChangedError
from hpsearch.records import FloatArray, State, Trial
from hpsearch.store import Database
from hpsearch.study.file import load_study
from tests.made_up import curve, make_study, run, run_piecewise
from tests.studies import stored, url, write_study

SPACE = {"learning_rate": {"low": 1e-3, "high": 1.0, "log": True}}


def noisy(trial: Trial) -> FloatArray:
    random = np.random.default_rng(trial.number)
    return curve(random.normal(size=27), random.random(27))


def reference(score: str, values: FloatArray, maximize: bool) -> float:
    """The score of a curve that ends here, as the docs have it."""
    best = values.max() if maximize else values.min()
    return float(
        {"last": values[-1], "smoothed": values[-max(1, len(values) // 5) :].mean(), "best": best}[score]
    )


@pytest.mark.parametrize("score", ["last", "smoothed", "best"])
@pytest.mark.parametrize("minimize", [False, True])
@pytest.mark.parametrize("rule", ["halving", "median"])
def test_values_and_survivors_follow_the_score(score: str, minimize: bool, rule: str) -> None:
    made = make_study(SPACE, {"stopping": rule, "trials": 30, "cohort": 30}, epochs=27, minimize=minimize)
    study = made.__class__(**{**vars(made), "train": made.train.model_copy(update={"score": score})})
    done = run(study, noisy)
    for number, trial in done.trials.items():
        values = done.curves[number][:, 3]
        assert trial.value == pytest.approx(reference(score, values, not minimize))
        place = values.argmin() if minimize else values.argmax()
        assert trial.best_epoch == (place + 1 if score == "best" else len(values))
    if rule == "halving":
        first = [each[2, 3] for _, each in sorted(done.curves.items())]  # a fifth of 3 epochs is one
        best = np.argsort(np.array(first) * (1 if minimize else -1))[:10]
        gone_on = {number for number, trial in done.trials.items() if trial.epochs > 3}
        assert gone_on == set(best.tolist())


def test_halving_judges_the_smoothed_metric_also_after_a_kill(tmp_path: Path) -> None:
    made = make_study(SPACE, {"trials": 30, "cohort": 10, "min_epochs": 10}, epochs=30)
    study = made.__class__(**{**vars(made), "train": made.train.model_copy(update={"score": "smoothed"})})

    def longer(trial: Trial) -> FloatArray:
        return curve(np.random.default_rng(trial.number).normal(size=30))

    done = run(study, longer)
    at_10 = {number: each[8:10, 3].mean() for number, each in done.curves.items()}
    stopped = [number for number, trial in done.trials.items() if trial.state is State.PRUNED]
    assert 0 < len(stopped) < 30
    first = sorted(range(10), key=lambda number: -at_10[number])
    assert {number for number in range(10) if done.trials[number].epochs > 10} == set(first[:3])
    path = tmp_path / "pieces.db"
    assert run_piecewise(study, longer, path) > 2
    trials, _ = stored(path, "made-up")
    assert [(t[3], t[4], t[5], t[6], t[7]) for t in trials] == [
        (t.state, t.epochs, t.value, t.loss, t.best_epoch) for _, t in sorted(done.trials.items())
    ]


def test_a_study_from_before_the_score_could_be_chosen_goes_on_by_its_best_epochs(tmp_path: Path) -> None:
    """Its file does not name a score, nor does what is stored."""
    path, database = write_study(tmp_path, trials=12), url(tmp_path / "x.db")
    hpsearch.run(load_study(path, ["train.score=best"]), storage=database, confirm=False)
    with Database.open(database) as opened:
        assert "score" not in opened.study("small").record.document["train"]
    hpsearch.run(load_study(path, ["search.trials=24"]), storage=database, confirm=False)
    trials, curves = stored(tmp_path / "x.db")
    assert len(trials) == 24
    for number, _, _, state, _, value, *_ in trials:
        if state is not State.FAILED:
            assert value == curves[number][:, 3].max()  # type: ignore[index]
    with pytest.raises(StudyChangedError, match=r'train\.score: stored "best", now "last"'):
        hpsearch.run(load_study(path, ["train.score=last"]), storage=database, confirm=False)
    forked = hpsearch.fork(load_study(path, ["search.trials=30"]), "more", storage=database)
    assert forked.study.train.score == "best"
