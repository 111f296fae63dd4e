"""What it costs to ask a sampler for points, by how many trials are stored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from statistics import median

import numpy as np
import optuna

from benchmarks.landscapes import Landscape, landscape, random_points, task_names
from benchmarks.measure import Part, Row, seconds
from benchmarks.quality import stock_study, study_of
from hpsearch.records import State, Trial
from hpsearch.search import History
from hpsearch.search.ask import Ask, Draw
from hpsearch.search.sampler import make_draw

SAMPLERS = ("random", "qmc", "tpe", "gp", "cmaes", "nsga2")
SIZES = (100, 1_000, 10_000, 100_000)
COHORT = 64

STOCK_SIZES = (100, 1_000, 5_000)
"""More takes the other side minutes."""

HOW = f"""\
Milliseconds a trial that a sampler takes to be asked for {COHORT} trials at once, in a study of so many
made-up trials on a space of seven hyper-parameters; the median of five cohorts, after a first one that may
prepare what the later ones use, as after a resume: `cmaes` then learns from all generations again, which took
{{first}}. The other side is asked for one trial in an in-memory study of as many."""


def made_up(place: Landscape, size: int) -> list[Trial]:
    """Complete trials at random points, with random values."""
    params = History(place.space).external(random_points(place.space, size, 1))
    values = np.random.default_rng(1).random(size).tolist()
    return [
        Trial(n, n // COHORT, params[n], State.COMPLETE, 1, value, 1 - value)
        for n, value in enumerate(values)
    ]


def milliseconds(draw: Draw, history: History) -> tuple[float, float]:
    """(of later cohorts, of the first one) a trial."""
    pinned = np.full((COHORT, len(history.distributions)), np.nan)
    numbers = count(len(history) // COHORT)

    def ask() -> float:
        request = Ask(0, next(numbers), len(history), pinned)
        return 1000 * seconds(lambda: draw(request, history)) / COHORT

    first = ask()
    return median(ask() for _ in range(5)), first


def stock_milliseconds(place: Landscape, trials: list[Trial]) -> float:
    """Of Optuna's TPESampler, asked for one trial; the median of five."""
    study, distributions = stock_study(place, 0), History(place.space).distributions
    study.add_trials(
        optuna.trial.create_trial(params=trial.params, distributions=distributions, value=trial.value)
        for trial in trials
    )
    return 1000 * median(seconds(lambda: study.ask(dict(distributions))) for _ in range(5))


def asking() -> Part:
    """A row a sampler, at each number of stored trials."""
    place = landscape(task_names(1)[0])
    trials = made_up(place, SIZES[-1])
    histories = [History(place.space, trials[:size]) for size in SIZES]
    other = [stock_milliseconds(place, trials[:size]) for size in STOCK_SIZES]
    rows, first = [], 0.0
    for sampler in SAMPLERS:
        draw = make_draw(study_of(place, sampler=sampler, cohort=COHORT))
        later, begun = zip(*(milliseconds(draw, history) for history in histories), strict=True)
        if sampler == "cmaes":
            first = COHORT * begun[-1] / 1000
        work = f"asking {sampler} for {COHORT} at {_sizes(SIZES)} stored trials, ms a trial"
        if sampler == "tpe":
            against = f"Optuna's TPESampler at {_sizes(STOCK_SIZES)}"
            rows.append(Row(work, _times(later), against, _times(other), wanted="≤ 2 ms"))
        else:
            rows.append(Row(work, _times(later)))
    return Part("Asking", rows, HOW.format(first=f"{first:.1f} s after {SIZES[-1]:,} trials"))


def _sizes(sizes: Sequence[int]) -> str:
    return " / ".join(f"{size:,}" for size in sizes)


def _times(milliseconds: Sequence[float]) -> str:
    return " / ".join(f"{took:.3g}" for took in milliseconds)
