"""How good the points are that a sampler asks for: whole searches on landscapes, without training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import optuna

from benchmarks.landscapes import Landscape
from hpsearch.records import Curves, FloatArray, State, Trial
from hpsearch.running.live import Ledger
from hpsearch.search import History, Stopping, Words, make_stopping
from hpsearch.search.ask import Ask, Draw
from hpsearch.search.sampler import make_draw
from hpsearch.study.file import Study
from hpsearch.study.schema import DataSection, SearchSection, TrainSection

STOCK = "Optuna's TPESampler"


@dataclass(frozen=True)
class Search:
    """What came of a search.

    regret: of the best so far, after each trial; with curves, after each rung. epochs: trained until then.
    asking: seconds that the sampler took for all trials.
    """

    regret: FloatArray
    epochs: FloatArray
    asking: float


def study_of(landscape: Landscape, **search: Any) -> Study:
    """The study that a user would write to search a landscape; its data are never read."""
    return Study(
        name=landscape.name,
        seed=0,
        data=DataSection(source="digits"),
        space=landscape.space,
        train=TrainSection(metric="accuracy" if landscape.maximize else "loss", epochs=landscape.epochs),
        search=SearchSection.model_validate(search),
    )


def run(sampler: str, landscape: Landscape, seed: int, trials: int, cohort: int) -> Search:
    """A search without stopping: with a sampler by its name in a study file, or with Optuna's own TPE."""
    if sampler == STOCK:
        return stock(landscape, seed, trials, cohort)
    study = study_of(landscape, sampler=sampler, cohort=cohort, stopping="none")
    return search(make_draw(study), landscape, study, seed, trials=trials)


def search(
    draw: Draw, landscape: Landscape, study: Study, seed: int, *, trials: int = 10**9, epochs: int = 10**9
) -> Search:
    """The loop of `hpsearch run` with what the landscape knows in place of training.

    It ends when so many trials are finished, or so many epochs are trained.
    """
    pool = Pool(landscape, study, make_stopping(study))
    cohort, asking = 0, 0.0
    while pool.ledger.finished < trials and pool.trained < epochs:
        pool.stop()
        asking += pool.refill(draw, seed, cohort, trials)
        pool.train()
        cohort += 1
    order = np.array(pool.found)
    return Search(np.minimum.accumulate(landscape.regret(order[:, 0])), order[:, 1], asking)


class Pool:
    """The slots of a study, filled and emptied as the engine's loop does it."""

    def __init__(self, landscape: Landscape, study: Study, rule: Stopping) -> None:
        self._landscape, self._study, self._rule = landscape, study, rule
        self._sign = 1.0 if landscape.maximize else -1.0
        self._points: list[FloatArray] = []
        self.ledger = Ledger(study, rule, (), Curves.join({}), lambda trial: 0)
        self.found: list[tuple[float, int]] = []
        self.trained = 0

    def refill(self, draw: Draw, seed: int, cohort: int, trials: int) -> float:
        """New trials in the free slots, up to so many in all; the seconds that asking took."""
        history, first = self.ledger.history, len(self._points)
        free = min(self._study.search.cohort - len(self.ledger.running), trials - first)
        if free <= 0:
            return 0.0
        pinned = np.full((free, len(history.distributions)), np.nan)
        began = perf_counter()
        points = draw(Ask(seed, cohort, first, pinned), history)
        took = perf_counter() - began
        for at, params in enumerate(history.external(points)):
            self.ledger.put(Trial(first + at, cohort, params))
        self._points.extend(points)
        return took

    def train(self) -> None:
        """What runs goes on to its next rung."""
        pieces: dict[tuple[int, int], list[int]] = {}
        for number in self.ledger.running:
            before = self.ledger.trials[number].epochs
            target = next(epoch for epoch in self._rule.pauses(number) if epoch > before)
            pieces.setdefault((before, target), []).append(number)
        for (before, target), numbers in sorted(pieces.items()):
            epochs = np.arange(before + 1, target + 1)
            metrics = self._landscape.curves(np.array([self._points[n] for n in numbers]), epochs)
            for number, metric in zip(numbers, metrics, strict=True):
                loss = -self._sign * metric
                curve = np.column_stack([loss, metric, loss, metric])
                self.ledger.put(self.ledger.after(number, self.ledger.grow(number, curve, False), None))
                self.trained += len(epochs)
                self.found.append((self._sign * float((self._sign * metric).max()), self.trained))

    def stop(self) -> None:
        """The worst of those that have arrived at a rung end there."""
        arrived: dict[tuple[int, Any], list[int]] = {}
        for number in sorted(self.ledger.running):
            at = self.ledger.trials[number].epochs, self.ledger.group(number)
            arrived.setdefault(at, []).append(number)
        for (epoch, group), numbers in arrived.items():
            curves = {number: self.ledger.turned(number) for number in numbers}
            stopped = self._rule.judge(self.ledger.rung(epoch, group), curves, Words("metric", self._sign))
            for number in stopped:
                self.ledger.put(replace(self.ledger.trials[number], state=State.PRUNED))


def stock_study(landscape: Landscape, seed: int) -> optuna.Study:
    """An empty study of Optuna's own, with its TPESampler as it is."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "maximize" if landscape.maximize else "minimize"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=seed))


def stock(landscape: Landscape, seed: int, trials: int, cohort: int) -> Search:
    """Optuna's TPESampler, asked `cohort` times before it is told anything."""
    study = stock_study(landscape, seed)
    distributions = History(landscape.space).distributions
    values, asking = np.empty(0), 0.0
    for first in range(0, trials, cohort):
        began = perf_counter()
        asked = [study.ask(dict(distributions)) for _ in range(min(cohort, trials - first))]
        asking += perf_counter() - began
        rows = [[d.to_internal_repr(trial.params[n]) for n, d in distributions.items()] for trial in asked]
        found = landscape.values(np.array(rows))
        for trial, value in zip(asked, found.tolist(), strict=True):
            study.tell(trial, value)
        values = np.append(values, found)
    regret = np.minimum.accumulate(landscape.regret(values))
    return Search(regret, landscape.epochs * np.arange(1.0, trials + 1), asking)
