"""What is left of a study before it runs: trials, epochs, memory and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from hpsearch.data import Dataset
from hpsearch.records import Params, Trial
from hpsearch.running.forecast import (
    Begun,
    Pace,
    Plan,
    Seconds,
    cost_of,
    expected_share,
    later_share,
    one_trial,
    seconds_left,
    shares,
)
from hpsearch.running.machine import Machine
from hpsearch.running.networks import Networks
from hpsearch.running.prepare import make_problem
from hpsearch.search import History, Stopping, make_sampler, make_stopping, trials_left
from hpsearch.study.file import Study
from hpsearch.train import Lane, Tile, plan, train_lanes
from hpsearch.train.memory import lane_bytes

_PROBE_SECONDS = 0.05
"""How long the probe of this machine's speed should take, by the cost model."""

_PROBED = 0.3
"""Relative error that a pace may have which was only probed."""


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
    seconds: Seconds | None
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
    wide = sorted((sum(lane_bytes(problem, lane) for lane in tile.lanes) for tile in tiles), reverse=True)
    workload, new = Networks(problem, study.space), range(len(trials), len(trials) + left)
    return Estimate(
        left,
        len(running),
        epochs,
        at_most,
        -(-left // study.search.cohort),
        sum(wide[: machine.workers]),
        _seconds(study, workload, tiles, machine.workers, new, running),
        asked,
        rule.rungs,
    )


def _seconds(
    study: Study,
    workload: Networks,
    tiles: Sequence[Tile],
    workers: int,
    new: range,
    running: Sequence[Trial],
) -> Seconds | None:
    """How long it takes if trials cost what these tiles' lanes do; None where a probe would take long."""
    pace = _probe(workload, tiles) if tiles else None
    if pace is None:
        return None
    rule, costs = make_stopping(study), [workload.cost(lane) for tile in tiles for lane in tile.lanes]
    lane, tile = cost_of(costs, pace)
    ahead = Plan(
        ways=shares(rule, new) if new else {},
        new=len(new),
        cost=lane,
        cohort=study.search.cohort,
        workers=workers,
        tile=tile,
        together=max(cost.together for cost in costs),
        kinds=len({cost.kind for cost in costs}),
        unfinished=[Begun(rule.pauses(trial.number), trial.epochs, lane) for trial in running],
        share=expected_share(study),
        later=later_share(study),
    )
    return seconds_left(ahead, 0.0, _PROBED)


def mean_epochs(rule: Stopping, study: Study) -> tuple[float, bool]:
    """Epochs that a trial gets on average, and whether that is only the most that it may get."""
    search, share, later = study.search, expected_share(study), later_share(study)
    first = min(1.0, search.cohort / search.trials)
    mean = share * first + later * (1 - first)
    ways = shares(rule, range(search.trials))
    one = Plan(ways, new=1, cost=0.0, cohort=1, workers=1, share=share, later=mean)
    return one_trial(one)[0], share == 1 and search.stopping != "none"


def _probe(workload: Networks, tiles: Sequence[Tile]) -> Pace | None:
    """The pace of this machine, by a few lanes of a usual tile; tiles: of one epoch."""
    cheap = sorted(tiles, key=lambda tile: tile.cost / len(tile.lanes))
    tile, problem = cheap[len(cheap) // 2], workload.problem
    few = max(1, min(len(tile.lanes), int(_PROBE_SECONDS * len(tile.lanes) / max(tile.cost, 1e-9))))
    if tile.cost / len(tile.lanes) > 10 * _PROBE_SECONDS:
        return None
    train_lanes(problem, tile.lanes[:1], 1)  # what is done once: compiling, importing
    began = perf_counter()
    train_lanes(problem, tile.lanes[:few], 1)
    taken = perf_counter() - began
    costs, pace = [workload.cost(lane) for lane in tile.lanes[:few]], Pace()
    pace.add(costs[0].kind, taken, max(cost.tile for cost in costs) + sum(cost.lane for cost in costs))
    return pace
