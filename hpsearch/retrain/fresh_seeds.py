"""Configurations on fresh seeds: new initial weights and orders of rows, scored once on rows kept back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch import seeds
from hpsearch.data import Dataset, Part
from hpsearch.errors import NothingToShowError
from hpsearch.records import EVEN, VALID_LOSS, VALID_METRIC, FloatArray, Params, Trial
from hpsearch.results.confirmation import TEST, VALIDATION, Confirmation, Retrained
from hpsearch.results.frames import trials_frame
from hpsearch.results.scorings import CONFIRMATION, confirmation_of, pack
from hpsearch.retrain.decided import decide_on_validation
from hpsearch.running.machine import Machine
from hpsearch.running.pool import Pool, StopFlag, make_pool
from hpsearch.running.prepare import make_problem
from hpsearch.stats.score import BEST
from hpsearch.store import StudyStore
from hpsearch.study.file import FIXED, Study
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Lane, LaneResult, Problem, plan, train_lanes
from hpsearch.train.outcome import Outcome, outcome_of
from hpsearch.train.problem import Floats

_WEIGHTS = 0
"""All weights are drawn for this number: with one seed, equal layers begin from equal weights."""

Watch = Callable[[int, int], None]
"""Is called with (epochs that are done, all of them)."""


@dataclass(frozen=True)
class Candidate:
    """A configuration, the epochs that it is trained for, and its trial and parameters.

    whole: it is scored after the last of these epochs; otherwise after the best one by the mean validation
    curve of all fresh seeds, smoothed.
    """

    configuration: Configuration
    epochs: int
    trial: int | None = None
    params: Params = field(default_factory=dict)
    whole: bool = True


def candidate_of(study: Study, trial: Trial) -> Candidate:
    """The trial, to train for as long as in the search.

    Only a study that scores trials by their best epoch looks for one, unless the schedule is a cosine: its
    shape belongs to its length. No single curve has a say in it.
    """
    configuration = study.space.configuration(trial.params)
    whole = study.train.score != BEST or configuration.schedule == "cosine"
    return Candidate(configuration, trial.epochs, trial.number, trial.params, whole)


_EACH_SIDE = 10
"""Of a mean curve, an epoch is averaged with a tenth of all epochs on each side, and at least with one."""


def best_of_mean(curves: Sequence[FloatArray], epochs: int) -> int:
    """The best epoch, from 1, of the smoothed mean curve.

    curves: [epochs] by seed, more is better; shorter where it diverged, and then left out.
    """
    whole = [curve for curve in curves if len(curve) == epochs]
    if not whole:
        return epochs
    mean, ones = np.mean(whole, axis=0), np.ones(epochs)
    window = np.ones(2 * max(1, epochs // _EACH_SIDE) + 1)
    # The average of those that are there, in full at the ends, where `same` would take zeros for epochs.
    half = len(window) // 2
    smooth, count = (np.convolve(each, window)[half : half + epochs] for each in (mean, ones))
    return int((smooth / count).argmax()) + 1


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
    thresholds: bool = False,
    watch: Watch = lambda done, total: None,
) -> list[Retrained]:
    """Train all candidates on `count` fresh seeds; on one seed, all see the same mini-batches.

    The scored split is used once for each, after the epoch that its candidate is scored at; curves are on
    training and validation.

    Args:
        resampled: redraw the training and validation split for each seed, in the same sizes and class by
            class. The scored split stays the same, unless it is validation.
        first: number of the first seed, from 0.
        thresholds: whether the scored rows are decided at a threshold chosen on validation, of a study that
            chooses one and has a test set. Curves are at 0.5, like those of trials.
    """
    thresholds = thresholds and study.chooses_threshold and scored_part(dataset)[0] == TEST
    problems = [
        _problems(study, dataset, fresh_seed(study.seed, first + index), machine, resampled, thresholds)
        for index in range(count)
    ]
    scores, losses = np.full((2, len(candidates), count), np.nan)
    curves: dict[tuple[int, int], FloatArray] = {}
    outcomes: dict[tuple[int, int], Outcome] = {}
    kept: dict[int, dict[int, tuple[Floats, Floats]]] = {}
    epochs = {at: each.epochs for at, each in enumerate(candidates)}
    whole = {at: last for at, last in epochs.items() if candidates[at].whole}
    by_curve = {at: last for at, last in epochs.items() if at not in whole}
    with closing(make_pool(None, _FreshSeeds(problems), machine.workers)) as pool:
        told = _Told(pool, watch, count * (sum(whole.values()) + 2 * sum(by_curve.values())))

        def train(tiles: Iterable[_SeedTile]) -> None:
            for result in pool.results(pool.begin(list(tiles)), StopFlag(), told.tell):
                for lane in result.lanes:
                    assert isinstance(result.tile, _SeedTile)
                    assert isinstance(lane, _Scored)
                    at = lane.trial, result.tile.index
                    if result.tile.use is not _Use.SCORE:
                        curves[at] = lane.curve
                    if lane.outcome is not None:
                        outcomes[at] = lane.outcome
                    if lane.both is not None:
                        kept.setdefault(lane.trial, {})[result.tile.index] = lane.both
                    if lane.row is not None:
                        scores[at], losses[at] = lane.row[VALID_METRIC], lane.row[VALID_LOSS]
                told.done += len(result.lanes) * result.tile.last_epoch
            told.tell()

        def tiles(use: _Use, wanted: Mapping[int, int]) -> Iterator[_SeedTile]:
            for index, (problem, _) in enumerate(problems):
                lanes = [Lane(at, candidates[at].configuration, None, _WEIGHTS) for at in wanted]
                for tile in plan(problem, lanes, list(wanted.values()), 1) if lanes else ():
                    yield _SeedTile(index, tile.lanes, tile.last_epoch, use)

        train([*tiles(_Use.BOTH, whole), *tiles(_Use.CURVE, by_curve)])
        for at, last in by_curve.items():
            own = [study.sign * curves[at, index][:, VALID_METRIC] for index in range(count)]
            epochs[at] = best_of_mean(own, last)
        told.total -= count * sum(last - epochs[at] for at, last in by_curve.items())
        train(tiles(_Use.SCORE, {at: epochs[at] for at in by_curve}))
    decided = {at: decide_on_validation(problems, dict(sorted(own.items()))) for at, own in kept.items()}
    for at, found in decided.items():
        scores[at] = found.scores
        outcomes |= {(at, index): outcome for index, outcome in found.outcomes.items()}
    return [
        Retrained(
            each.trial,
            epochs[at],
            scores[at],
            losses[at],
            tuple(curves[at, index] for index in range(count)),
            dict(each.params),
            **_said(dataset, [outcomes[at, index] for index in range(count) if (at, index) in outcomes]),
            threshold=decided[at].threshold if at in decided else EVEN,
            decided=decided[at].valid if at in decided else np.empty(0),
        )
        for at, each in enumerate(candidates)
    ]


def _problems(
    study: Study, dataset: Dataset, seed: int, machine: Machine, resampled: bool, thresholds: bool
) -> tuple[Problem, Problem]:
    """With this seed: to train and validate, and the same with the scored split as validation.

    thresholds: whether the first one keeps outputs, too.
    """
    own = redivided(dataset, seed) if resampled else dataset
    _, part = scored_part(own)
    train, score = (
        replace(make_problem(study, each, machine.device), seed=seed)
        for each in (own, replace(own, valid=part))
    )
    return replace(train, keep_outputs=thresholds), replace(score, keep_outputs=True)


class _Use(Enum):
    """What a tile is trained for: its curve, its score, or both at the same epoch."""

    CURVE = 1
    SCORE = 2
    BOTH = 3


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
    use: _Use


@dataclass(frozen=True)
class _Scored(LaneResult):
    """row: of the last epoch, with the scored split as validation; None where it diverged or isn't asked.
    outcome: what it says of the scored rows, where it has a row. both: raw outputs for the validation and the
    scored rows, where it has a row and both are kept.
    """

    row: FloatArray | None = None
    outcome: Outcome | None = None
    both: tuple[Floats, Floats] | None = None


@dataclass(frozen=True)
class _FreshSeeds:
    """What the pool trains. problems: by seed index, the second one with the scored split as validation."""

    problems: Sequence[tuple[Problem, Problem]]

    def train(self, tile: _SeedTile) -> list[_Scored]:
        """Results by lane."""
        problem, scored = self.problems[tile.index]
        if tile.use is _Use.BOTH or (tile.use is _Use.SCORE and problem.keep_outputs):
            return _both(problem, scored, list(tile.lanes), tile.last_epoch)
        curve = tile.use is _Use.CURVE
        return [
            _Scored(
                result.trial,
                result.curve,
                None,
                None,
                row=None if curve or result.failure is not None else result.curve[-1],
                outcome=None if curve else _outcome(scored, result),
            )
            for result in train_lanes(problem if curve else scored, list(tile.lanes), tile.last_epoch)
        ]


def _both(problem: Problem, scored: Problem, lanes: list[Lane], last: int) -> list[_Scored]:
    """The last epoch is trained twice from the same weights, once for each split; it comes out the same."""
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
    outcomes: dict[int, Outcome | None] = dict.fromkeys(curves)
    kept: dict[int, tuple[Floats, Floats]] = {}
    if lanes:
        for result, other in zip(
            train_lanes(problem, lanes, last), train_lanes(scored, lanes, last), strict=True
        ):
            earlier = curves.get(result.trial, result.curve[:0])
            curves[result.trial] = np.concatenate([earlier, result.curve])
            # A score needs a finite loss on both splits.
            sound = result.failure is None and other.failure is None
            rows[result.trial] = other.curve[-1] if sound else None
            outcomes[result.trial] = _outcome(scored, other) if sound else None
            if sound and result.outputs is not None and other.outputs is not None:
                kept[result.trial] = result.outputs, other.outputs
    return [
        _Scored(number, curve, None, None, row=rows[number], outcome=outcomes[number], both=kept.get(number))
        for number, curve in curves.items()
    ]


def _outcome(scored: Problem, result: LaneResult) -> Outcome | None:
    return None if result.outputs is None else outcome_of(scored, result.outputs)


def _said(dataset: Dataset, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Fields of `Retrained`, of what each seed says of the same rows."""
    if not outcomes:
        return {}
    return {
        "counts": sum(each.counts for each in outcomes),
        "pairs": (outcomes[0].pairs * dataset.target_std + dataset.target_mean).astype(np.float32),
        "shares": np.mean([each.shares for each in outcomes], axis=0).astype(np.float32),
    }


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
    asked = {
        "trials": [trial.number for trial in finalists],
        "seeds": seeds,
        "resampled": resampled,
        "part": part,
        "rows": len(rows),
    }
    # Earlier versions stored none; then, and where there is nothing to choose it on, it is 0.5.
    chooses = study.chooses_threshold and part == TEST
    threshold = {"threshold": study.train.threshold if chooses else FIXED}
    scorings = store.scorings()
    known = next(
        (
            each
            for each in scorings
            if each.purpose == CONFIRMATION
            and {**asked, **threshold}.items() <= {"threshold": FIXED, **each.about}.items()
        ),
        None,
    )
    if known is None:
        repeats = train_fresh(
            study,
            dataset,
            candidates,
            seeds,
            machine=machine,
            resampled=resampled,
            thresholds=True,
            watch=watch,
        )
        about = {**asked, **(threshold if chooses else {}), "epochs": [each.epochs for each in repeats]}
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
