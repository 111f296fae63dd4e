"""What is left of a study before it runs: trials, epochs, memory and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from hpsearch.data import Dataset
from hpsearch.records import Params, Trial
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import make_problem
from hpsearch.search import History, Stopping, make_sampler, make_stopping, trials_left
from hpsearch.study.file import Study
from hpsearch.train import Lane, Problem, Tile, plan, train_lanes
from hpsearch.train.memory import lane_bytes

_PROBE_SECONDS = 0.05
"""How long the probe of this machine's speed should take, by the cost model."""

_AVERAGED = 1_000
"""Trials over which the epochs of Hyperband's brackets are averaged."""


@dataclass(frozen=True)
class Estimate:
    """What is left of a study.

    trials: not begun yet. unfinished: begun. epochs: left to train; an upper bound (at_most) where the rule
    stops by the shape of curves. cohorts: at least. bytes: of the workers' tiles. seconds: None where the
    probe would take long. asked: the first new trials. rungs: epochs at
    which results are stored. complete: why nothing is left, if so.
    """

    trials: int
    unfinished: int
    epochs: int
    at_most: bool
    cohorts: int
    bytes: int
    seconds: float | None
    asked: Sequence[Params]
    rungs: Sequence[int]
    complete: str | None = None


def estimate(
    study: Study,
    dataset: Dataset,
    trials: Sequence[Trial],
    cohort: int,
    machine: Machine,
    *,
    ask: bool = True,
) -> Estimate:
    """Estimate it; the study and the dataset are those of `api.prepare`.

    trials: those stored. cohort: number of the next one, 0 for a new study. ask: estimate memory and time
    from the first new trials, which the sampler is asked for; otherwise from the last stored ones, if any,
    since some samplers take longer than the whole estimate.
    """
    sampler, rule = make_sampler(study), make_stopping(study)
    history = History(study.space, trials, len(study.search.objectives))
    left = trials_left(study, history, sampler.most)
    count = min(study.search.cohort, left)
    points = study.enqueue[len(history) : len(history) + count]
    wanted = count and (ask or not trials)
    asked = sampler(study.seed, cohort, count, history, points) if wanted else []
    running = [trial for trial in trials if not trial.state.finished]
    mean, at_most = mean_epochs(rule, study)
    whole = study.train.epochs
    epochs = round(left * mean + sum(whole - trial.epochs for trial in running) * mean / whole)
    problem = make_problem(study, dataset, machine.device)
    known = trials[-study.search.cohort :] if count else running
    configurations = [study.space.configuration(params) for params in asked or [t.params for t in known]]
    lanes = [Lane(place, configuration) for place, configuration in enumerate(configurations)]
    tiles = plan(problem, lanes, [1] * len(lanes), machine.workers)
    rate = _rate(problem, tiles, machine.workers) if tiles else None
    wide = sorted((sum(lane_bytes(problem, lane) for lane in tile.lanes) for tile in tiles), reverse=True)
    return Estimate(
        left,
        len(running),
        epochs,
        at_most,
        -(-left // study.search.cohort),
        sum(wide[: machine.workers]),
        None if rate is None else epochs * rate,
        asked,
        rule.rungs,
    )


def mean_epochs(rule: Stopping, study: Study) -> tuple[float, bool]:
    """Epochs that a trial gets on average, and whether that is only the most that it may get."""
    search, epochs = study.search, study.train.epochs
    if search.stopping not in ("halving", "hyperband"):
        return float(epochs), search.stopping != "none"
    totals = []
    for trial in range(_AVERAGED if search.stopping == "hyperband" else 1):
        pauses = (0, *rule.pauses(trial))
        pieces = np.diff(pauses)
        totals.append(float((pieces / search.factor ** np.arange(len(pieces))).sum()))
    return float(np.mean(totals)), False


def _rate(problem: Problem, tiles: Sequence[Tile], workers: int) -> float | None:
    """Seconds an epoch of an average lane, all workers busy: the cost model's, corrected by a probe.

    tiles: of one epoch.
    """
    cheap = sorted(tiles, key=lambda tile: tile.cost / len(tile.lanes))
    tile = cheap[len(cheap) // 2]
    few = max(1, min(len(tile.lanes), int(_PROBE_SECONDS * len(tile.lanes) / max(tile.cost, 1e-9))))
    if tile.cost / len(tile.lanes) > 10 * _PROBE_SECONDS:
        return None
    train_lanes(problem, tile.lanes[:1], 1)  # what is done once: compiling, importing
    began = perf_counter()
    train_lanes(problem, tile.lanes[:few], 1)
    taken = perf_counter() - began
    total, lanes = sum(each.cost for each in tiles), sum(len(each.lanes) for each in tiles)
    return taken * total / (tile.cost * few / len(tile.lanes)) / lanes / workers
