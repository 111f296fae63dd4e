"""Configurations on fresh seeds: new initial weights and orders of rows, scored once on rows kept back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hpsearch import seeds
from hpsearch.data import Dataset, Part
from hpsearch.errors import NothingToShowError
from hpsearch.records import VALID_LOSS, VALID_METRIC, FloatArray, Params, Trial
from hpsearch.results.confirmation import Confirmation, Retrained
from hpsearch.results.frames import trials_frame
from hpsearch.results.scorings import CONFIRMATION, TEST, VALIDATION, confirmation_of, pack
from hpsearch.running.machine import Machine
from hpsearch.running.pool import Pool, StopFlag, make_pool
from hpsearch.running.prepare import make_problem
from hpsearch.store import StudyStore
from hpsearch.study.file import Study
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, LaneResult, Problem, plan, train_lanes

_WEIGHTS = 0
"""All weights are drawn for this number: with one seed, equal layers begin from equal weights."""

Watch = Callable[[int, int], None]
"""Is called with (epochs that are done, all of them)."""


@dataclass(frozen=True)
class Candidate:
    """A configuration, the epochs after which it is scored, and its trial and parameters."""

    configuration: Configuration
    epochs: int
    trial: int | None = None
    params: Params = field(default_factory=dict)


def candidate_of(study: Study, trial: Trial) -> Candidate:
    """The trial, to train for the epochs after which it was best."""
    epochs = trial.best_epoch or trial.epochs
    return Candidate(study.space.configuration(trial.params), epochs, trial.number, trial.params)


def scored_part(dataset: Dataset) -> tuple[str, Part]:
    """The split on which nothing was chosen: "test", or "validation" in a study without a test set."""
    return (TEST, dataset.test) if len(dataset.test) else (VALIDATION, dataset.valid)


def fresh_seed(seed: int, index: int) -> int:
    """The seed of repeat `index`, from 0: initial weights and row orders that no trial has seen."""
    return seeds.integer(seed, "comparison", index)


def train_fresh(
    study: Study,
    dataset: Dataset,
    candidates: Sequence[Candidate],
    count: int,
    *,
    machine: Machine,
    resampled: bool = False,
    first: int = 0,
    watch: Watch = lambda done, total: None,
) -> list[Retrained]:
    """Train all candidates on `count` fresh seeds; on one seed, all see the same mini-batches.

    The scored split is used once, after a candidate's last epoch; curves are on training and validation.

    Args:
        resampled: redraw the training and validation split for each seed, in the same sizes and class by
            class. The scored split stays the same, unless it is validation.
        first: number of the first seed, from 0.
    """
    problems: list[tuple[Problem, Problem]] = []
    tiles: list[_SeedTile] = []
    for index in range(count):
        seed = fresh_seed(study.seed, first + index)
        own = redivided(dataset, seed) if resampled else dataset
        _, part = scored_part(own)
        problem, scored = (
            replace(make_problem(study, each, machine.device), seed=seed)
            for each in (own, replace(own, valid=part))
        )
        problems.append((problem, scored))
        lanes = [Lane(n, each.configuration, None, _WEIGHTS) for n, each in enumerate(candidates)]
        planned = plan(problem, lanes, [each.epochs for each in candidates], 1)
        tiles += [_SeedTile(index, tile.lanes, tile.last_epoch) for tile in planned]
    scores, losses = np.full((2, len(candidates), count), np.nan)
    curves: dict[tuple[int, int], FloatArray] = {}
    with closing(make_pool(None, _FreshSeeds(problems), machine.workers)) as pool:
        told = _Told(pool, watch, count * sum(each.epochs for each in candidates))
        for result in pool.results(pool.begin(tiles), StopFlag(), told.tell):
            for lane in result.lanes:
                assert isinstance(result.tile, _SeedTile)
                assert isinstance(lane, _Scored)
                at = lane.trial, result.tile.index
                curves[at] = lane.curve
                if lane.row is not None:
                    scores[at], losses[at] = lane.row[VALID_METRIC], lane.row[VALID_LOSS]
            told.done += len(result.lanes) * result.tile.last_epoch
        told.tell()
    return [
        Retrained(
            each.trial,
            each.epochs,
            scores[number],
            losses[number],
            tuple(curves[number, index] for index in range(count)),
            dict(each.params),
        )
        for number, each in enumerate(candidates)
    ]


@dataclass
class _Told:
    """Tells a watch how many of `total` epochs are done, those inside of tiles too; it never goes back.

    done: in the tiles that have ended.
    """

    pool: Pool
    watch: Watch
    total: int
    done: int = 0
    most: int = 0

    def tell(self) -> None:
        inside = sum(each.epochs for tile in self.pool.going() for each in tile.lanes.values())
        self.most = min(self.total, max(self.most, self.done + int(inside)))
        self.watch(self.most, self.total)


@dataclass(frozen=True)
class _SeedTile:
    """A tile on the seed of that index."""

    index: int
    lanes: Sequence[Lane]
    last_epoch: int


@dataclass(frozen=True)
class _Scored(LaneResult):
    """row: of the last epoch, with the scored split as validation; None where it diverged."""

    row: FloatArray | None = None


@dataclass(frozen=True)
class _FreshSeeds:
    """What the pool trains. problems: by seed index, the second one with the scored split as validation."""

    problems: Sequence[tuple[Problem, Problem]]

    def train(self, tile: _SeedTile) -> list[_Scored]:
        """Results by lane.

        The last epoch is trained twice from the same weights, which comes out the same: once for each split.
        """
        problem, scored = self.problems[tile.index]
        lanes, last = list(tile.lanes), tile.last_epoch
        curves: dict[int, FloatArray] = {}
        if last > 1:
            before = train_lanes(problem, lanes, last - 1)
            curves = {result.trial: result.curve for result in before}
            lanes = [
                replace(lane, state=result.state)
                for lane, result in zip(lanes, before, strict=True)
                if result.state is not None
            ]
        rows: dict[int, FloatArray | None] = dict.fromkeys(curves)
        if lanes:
            for result, other in zip(
                train_lanes(problem, lanes, last), train_lanes(scored, lanes, last), strict=True
            ):
                earlier = curves.get(result.trial, result.curve[:0])
                curves[result.trial] = np.concatenate([earlier, result.curve])
                # A score needs a finite loss on both splits.
                sound = result.failure is None and other.failure is None
                rows[result.trial] = other.curve[-1] if sound else None
        return [_Scored(number, curve, None, None, row=rows[number]) for number, curve in curves.items()]


def redivided(dataset: Dataset, seed: int) -> Dataset:
    """The data set with training and validation rows redrawn, each with as many rows of each class as before.

    Features stay as prepared, with the statistics of the study's own training split.
    """
    x = np.concatenate([dataset.train.x, dataset.valid.x])
    y = np.concatenate([dataset.train.y, dataset.valid.y])
    was_valid = np.arange(len(x)) >= len(dataset.train)
    group: NDArray[np.int64] = y.astype(np.int64) if dataset.classes else np.zeros(len(y), np.int64)
    random = seeds.generator(seed, "resampled split")
    valid = np.zeros(len(x), bool)
    for value in np.unique(group):
        rows = random.permutation(np.flatnonzero(group == value))
        valid[rows[: int(was_valid[group == value].sum())]] = True
    return replace(dataset, train=Part(x[~valid], y[~valid]), valid=Part(x[valid], y[valid]))


def confirm_stored(
    study: Study,
    dataset: Dataset,
    store: StudyStore,
    machine: Machine,
    *,
    top: int,
    seeds: int,
    resampled: bool = False,
    watch: Watch = lambda done, total: None,
) -> Confirmation:
    """`api.confirm` of a study that is open, with its data.

    Raises:
        NothingToShowError: no trial is complete.
    """
    trials = store.trials()
    complete = complete_trials(store, trials, "confirm")
    finalists = complete[:top]
    candidates = [candidate_of(study, trial) for trial in finalists]
    part, rows = scored_part(dataset)
    about = {
        "trials": [trial.number for trial in finalists],
        "epochs": [candidate.epochs for candidate in candidates],
        "seeds": seeds,
        "resampled": resampled,
        "part": part,
        "rows": len(rows),
    }
    scorings = store.scorings()
    known = next((each for each in scorings if (each.purpose, each.about) == (CONFIRMATION, about)), None)
    if known is None:
        repeats = train_fresh(
            study, dataset, candidates, seeds, machine=machine, resampled=resampled, watch=watch
        )
        known = store.add_scoring(CONFIRMATION, about, pack(repeats, len(complete)))
        scorings = store.scorings()  # including any that another process has added
    found = confirmation_of(store.record, trials, scorings, known.number)
    assert found is not None
    return found


def complete_trials(store: StudyStore, trials: Sequence[Trial], use: str) -> list[Trial]:
    """The complete trials with a finite value, best first; use: what they are needed for.

    Raises:
        NothingToShowError: there are none.
    """
    record = store.record
    frame = trials_frame(record, trials)
    numbers = frame["trial"][frame["rank"].notna()].tolist()
    if not numbers:
        raise NothingToShowError(
            f"study {record.name}: expected a complete trial to {use}; found none. "
            f"To train more: hpsearch run {record.origin or record.name}"
        )
    return [trials[number] for number in numbers]
