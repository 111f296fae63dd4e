"""How far a run is and how long the rest takes: the forecast, what tiles tell from inside, the words."""

from __future__ import annotations

import math
from contextlib import closing
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import hpsearch
from hpsearch.cli.bars import PlainTimes
from hpsearch.cli.display import Display
from hpsearch.records import Progress, Trial
from hpsearch.running.forecast import Begun, Judged, Pace, Plan, play
from hpsearch.running.networks import Networks
from hpsearch.running.pool import POOLS, StopFlag, make_pool
from hpsearch.study.space import Choice, Space
from hpsearch.telling import Inside, Look, listening
from hpsearch.text import clock_range, progress_text, stop_text
from hpsearch.train import Lane, train_lanes
from hpsearch.train.cohort import train_cohort
from tests.made_up import curve, make_study
from tests.made_up import run as run_made_up
from tests.problems import make_problem
from tests.studies import url, write_study

RUNGS = (3, 9, 27)


# -- the forecast --------------------------------------------------------------------------------


def halving(new: int, cohort: int, workers: int = 1, **more: object) -> Plan:
    third = 1 / 3
    return Plan({RUNGS: 1.0}, new, 2.0, cohort, workers, share=third, later=third, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("cohort", [9, 27, 81])
def test_one_worker_takes_what_all_epochs_take(cohort: int) -> None:
    """A third goes on at each rung: 3 + 6/3 + 18/9 epochs a trial, of 2 seconds each."""
    assert play(halving(81, cohort)) == pytest.approx(81 * 7 * 2, rel=0.01)


def test_a_large_study_takes_as_long_by_trial_as_a_small_one() -> None:
    assert play(halving(100_000, 64)) == pytest.approx(100_000 * 7 * 2, rel=0.01)


def test_a_simulated_halving_takes_what_was_forecast() -> None:
    """Trial by trial, with random scores: the first cohort of 90, then those that fill its lanes."""
    random, total, cohort = np.random.default_rng(3), 360, 90
    stage_of, seconds, begun, ranks = dict[int, int](), 0.0, 0, [list[float](), list[float]()]
    while begun < total or stage_of:
        free = min(cohort - len(stage_of), total - begun)
        stage_of |= dict.fromkeys(range(begun, begun + free), 0)
        begun += free
        seconds += sum((3, 6, 18)[stage] * 2.0 for stage in stage_of.values())
        arrived = {n: (stage, random.random()) for n, stage in stage_of.items() if stage < 2}
        for stage, score in arrived.values():
            ranks[stage].append(score)
        needed = [sorted(all_)[-max(1, len(all_) // 3)] if all_ else 0.0 for all_ in ranks]
        stage_of = {n: stage + 1 for n, (stage, score) in arrived.items() if score >= needed[stage]}
    assert play(halving(total, cohort)) == pytest.approx(seconds, rel=0.12)


def test_workers_share_the_work_but_not_the_last_trial() -> None:
    assert play(halving(81, 81, workers=2)) == pytest.approx(81 * 7, rel=0.15)
    last = Plan({}, 0, 2.0, 81, 2, unfinished=[Begun(RUNGS, 9, 2.0, judged=True)])
    assert play(last) == 18 * 2


def test_who_is_still_to_be_judged_goes_on_by_chance() -> None:
    waiting = [Begun(RUNGS, 9, 2.0)] * 9
    assert play(Plan({}, 0, 2.0, 81, 1, share=1 / 3, later=1 / 3, unfinished=waiting)) == 3 * 18 * 2


def test_what_was_judged_counts_more_than_the_rule_says() -> None:
    judged = Judged()
    for number in range(1000):
        judged.add(1.0, went_on=number % 2 == 0)
    assert judged.share(1 / 3, 0.0) == pytest.approx(0.5, abs=0.01)
    assert judged.rest(1 / 3, 1 / 3, 1000, 0.0) < 1 / 3  # who has gone on raised what is needed
    assert judged.share(1 / 3, -1.0) < judged.share(1 / 3, 0.0) < judged.share(1 / 3, 1.0)


def test_a_kind_goes_at_its_own_pace_once_that_is_known() -> None:
    pace = Pace()
    assert not pace.known
    pace.add("fast", 10.0, 10.0)
    assert pace.of("slow") == pytest.approx(1.0)
    pace.add("slow", 100.0, 10.0)
    assert pace.of("fast") < 2.5
    assert pace.of("slow") > 8


def test_no_more_trials_begin_beyond_the_limit_of_epochs() -> None:
    whole = Plan({(9,): 1.0}, 1000, 1.0, 10, 1)
    limited = Plan({(9,): 1.0}, 1000, 1.0, 10, 1, epochs=180)
    assert play(whole) == pytest.approx(9000)
    assert play(limited) == pytest.approx(180)


# -- from inside a tile --------------------------------------------------------------------------


@pytest.mark.parametrize("trainer", [train_lanes, train_cohort])
def test_a_look_after_training_shows_the_whole_tile(trainer: object) -> None:
    problem, looks = make_problem(), list[Look]()
    lanes = [Lane(number, Space({"width": Choice([8])}).configuration({})) for number in range(3)]
    with listening(looks.append):
        results = trainer(problem, lanes, 3)  # type: ignore[operator]
    (look,) = looks
    seen = look()
    for result in results:
        inside = seen[result.trial]
        assert isinstance(inside, Inside)
        assert inside.epochs == 3
        assert inside.metrics == pytest.approx(result.curve[:, 3])


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_forgets_tiles_that_have_ended(name: str) -> None:
    problem = make_problem()
    networks = Networks(problem, Space({"width": Choice([8])}))
    lanes = [networks.lane(Trial(number, 0, {}), None) for number in range(4)]
    with closing(make_pool(name, networks, 2)) as pool:
        tiles = networks.tiles(lanes, [2] * 4, 2)
        for result in pool.results(pool.begin(tiles), StopFlag(), lambda: None):
            assert all(each.tile is not result.tile for each in pool.going())
        assert not pool.going()


def test_progress_never_goes_back_and_ends_with_all_that_is_stored() -> None:
    study = make_study({"learning_rate": {"low": 0.01, "high": 0.1}}, {"trials": 60, "cohort": 12})
    told: list[Progress] = []
    run_made_up(study, lambda trial: curve(np.full(9, (trial.number * 7 % 60) / 60)), watch=told.append)
    for name in ("finished", "epochs", "trained", "steps", "seconds"):
        values = [getattr(progress, name) for progress in told]
        assert values == sorted(values), name
    leading = [each.leading_value for each in told if each.leading_value is not None]
    assert leading == sorted(leading)
    last = told[-1]
    assert (last.trained, last.finished, last.leading_value) == (last.epochs, 60, last.best_value)


def test_a_stopped_trial_leads_until_a_complete_one_is_as_good() -> None:
    study = make_study({"learning_rate": {"low": 0.01, "high": 0.1}}, {"trials": 9, "stopping": "halving"})
    told: list[Progress] = []
    run_made_up(study, lambda trial: curve(np.linspace(0.5, 0.6 + trial.number / 100, 9)), watch=told.append)
    first = next(each for each in told if each.leading_value is not None)
    assert first.best_value is None
    assert first.leading_epoch == 1


# -- the words -----------------------------------------------------------------------------------

SEEN = Progress(
    73, 12_800, 3, 521, 12.5, 0.9889, 32, 581.25, 15_248, 0.9915, 1_076, 11, (3_605.0, 5_411.0), 12.2
)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_the_line_of_progress_fits_its_width(width: int) -> None:
    text = progress_text(SEEN, "balanced_accuracy", width)
    assert len(text) <= width
    assert "73/12,800 trials" in text
    assert "left" in text


def test_the_line_names_an_unfinished_leader_as_such() -> None:
    assert "best so far 99.2% (trial 1076, epoch 11)" in progress_text(SEEN, "accuracy", 200)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (38, 54, "0:35–0:55"),
        (0.2, 0.4, "0:01"),
        (3, 3.2, "0:03–0:04"),
        (3605, 5411, "1:00:00–1:35:00"),
        (0, 0, "0:01"),
    ],
)
def test_a_range_is_rounded_outwards_to_what_can_be_known(low: float, high: float, text: str) -> None:
    found = clock_range(low, high)
    assert found.removeprefix("0:00–") == text.removeprefix("0:00–")


def test_the_first_interrupt_says_how_long_the_rung_takes() -> None:
    assert stop_text(12.2) == "stopping at the next rung, about 12 s; Ctrl-C again to stop at once"
    assert stop_text(None) == "stopping at the next rung; Ctrl-C again to stop at once"
    out = StringIO()
    with Display(Console(file=out, width=120), "accuracy") as display:
        display.update(SEEN)
        display.stopping()
    assert out.getvalue().splitlines()[-1] == stop_text(12.2)


def test_a_log_gets_a_line_at_each_tenth_and_twice_a_minute() -> None:
    times = PlainTimes()
    seconds = np.arange(0, 600, 0.2)
    slow = [second for second in seconds if times.due(second, 0.0)]
    assert slow == pytest.approx(np.arange(5, 600, 30), abs=0.3)
    times = PlainTimes()
    steady = [second for second in seconds if times.due(second, second / 600)]
    assert len(steady) <= 30
    assert max(np.diff(steady)) <= 30.2
    assert not math.isnan(steady[0])


def test_a_line_in_a_notebook_is_overwritten_and_its_end_stays(tmp_path: Path) -> None:
    out = StringIO()
    path = write_study(tmp_path)
    hpsearch.run(path, storage=url(tmp_path / "n.db"), confirm=False, watch=hpsearch.ProgressLine(out))
    *before, end = out.getvalue().split("\r")
    assert all("\n" not in each and len(each) in (0, 100) for each in before)
    assert "/40 trials" in before[1]
    assert end.startswith("40 trials (")
    assert end.endswith("\n")


def test_a_log_has_plain_lines_only(tmp_path: Path) -> None:
    out = StringIO()
    with Display(Console(file=out, width=80), "accuracy") as display:
        for second in range(40):
            display.update(
                Progress(second, 40, 0, second, float(second), None, None, left=(40.0 - second,) * 2)
            )
    lines = out.getvalue().splitlines()
    assert 3 <= len(lines) <= 8
    assert all("left" in line and "\x1b" not in line for line in lines)
