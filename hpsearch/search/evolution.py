"""Evolution: CMA-ES for numbers, NSGA-II and NSGA-III for several objectives."""

from __future__ import annotations

import hashlib
import warnings
from typing import Any, Literal

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import NSGAIIISampler, NSGAIISampler
from optuna.trial import TrialState, create_trial

from hpsearch import seeds
from hpsearch.records import FloatArray
from hpsearch.search.ask import Ask, UnitCube, filled, pin
from hpsearch.search.history import RUNNING, History, external, internal
from hpsearch.search.optuna_private import generation_key, non_domination_rank
from hpsearch.search.simple import Random
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.file import Study

Direction = Literal["minimize", "maximize"]

_SIGMA = 1 / 6
"""Initial step, as in Optuna: a sixth of the range."""


def losses(history: History, numbers: NDArray[np.intp], maximize: bool) -> FloatArray:
    """[numbers, objectives] to minimise; the numbers rise.

    Diverged trials get the worst value of any trial up to the last number: later trials must not change what
    was learned before.
    """
    end = int(numbers[-1]) + 1
    value = history.value[:end]
    values = np.column_stack([-value if maximize else value, history.others[:end]])
    known = np.where(np.isfinite(values), values, -np.inf).max(axis=0, initial=0.0)
    own = values[numbers]
    return np.where(np.isfinite(own), own, known)


class CohortCMA:
    """CMA-ES (Hansen 2016) by the library behind Optuna's sampler; a generation is a cohort.

    Generation g learns from trials gP … (g + 1)P − 1 once all have finished; trials requested before then
    come from an earlier generation. Choices are random, as in Optuna's sampler. On convergence it restarts at
    a random point.
    """

    def __init__(self, study: Study) -> None:
        distributions, cohort = optuna_distributions(study.space), study.search.cohort
        self._maximize = study.direction == "maximize"
        self._random = Random(study)
        self._numeric = {
            name: d for name, d in distributions.items() if not isinstance(d, CategoricalDistribution)
        }
        self._columns = [at for at, name in enumerate(distributions) if name in self._numeric]
        self._cube = UnitCube(self._numeric or distributions)
        self._population = max(4 + int(3 * np.log(max(len(self._numeric), 1))), cohort)
        self._all = UnitCube(distributions)
        # A cache: the optimiser after the generations whose trials have this digest.
        self._kept: tuple[tuple[int, int, bytes], Any] | None = None

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        points = self._random(ask, history)
        if not self._numeric:
            return points
        optimizer = self._learned(ask.seed, history)
        optimizer.reseed_rng(ask.integer("cmaes sampler"))
        drawn = np.array([optimizer.ask() for _ in range(ask.count)])
        points[:, self._columns] = self._cube.inner(np.clip(drawn, 0, 1))
        return pin(points, ask.pinned)

    def _learned(self, seed: int, history: History) -> Any:
        size = self._population
        running = np.flatnonzero(history.state == RUNNING)
        generations = int(running[0] if len(running) else len(history)) // size
        generation, optimizer = 0, self._begin(seed, 0)
        if self._kept is not None:
            (before, for_seed, digest), kept = self._kept
            if for_seed == seed and before <= generations and digest == self._digest(history, before):
                generation, optimizer = before, kept
        for at in range(generation, generations):
            numbers = np.arange(at * size, (at + 1) * size)
            known = losses(history, numbers, self._maximize)[:, 0]
            rows = filled(history, numbers, seed, self._all)[:, self._columns]
            optimizer.tell(list(zip(self._cube.points(rows), known, strict=True)))
            if optimizer.should_stop():
                optimizer = self._begin(seed, at + 1)
        self._kept = (generations, seed, self._digest(history, generations)), optimizer
        return optimizer

    def _begin(self, seed: int, generation: int) -> Any:
        from cmaes import CMA

        axes = self._cube.axes
        mean = np.full(axes, 0.5)
        if generation:
            mean = seeds.generator(seed, "cmaes restart", generation).random(axes)
        bounds = np.tile([0.0, 1.0], (axes, 1))
        return CMA(mean=mean, sigma=_SIGMA, bounds=bounds, population_size=self._population, seed=0)

    def _digest(self, history: History, generations: int) -> bytes:
        end = generations * self._population
        digest = hashlib.blake2b(history.params[:end].tobytes(), digest_size=16)
        digest.update(history.value[:end].tobytes())
        return digest.digest()


class CohortNSGA2:
    """Optuna's NSGA-II (Deb et al. 2002); the population is a cohort.

    Optuna's selection picks the parents, the best of all trials with a value; its sampler creates the
    children. Carrying parents from generation to generation gives the same, up to ties in the last front, but
    would need a record of who was a parent.
    """

    kind: Any = NSGAIISampler

    def __init__(self, study: Study) -> None:
        self._distributions, self._maximize = optuna_distributions(study.space), study.direction == "maximize"
        self._population = max(study.search.cohort, 2)
        self._random, self._cube = Random(study), UnitCube(self._distributions)

    def __call__(self, ask: Ask, history: History) -> FloatArray:
        finished = np.flatnonzero((history.state != RUNNING) | history.partial)
        if len(finished) < self._population:
            return self._random(ask, history)
        known = losses(history, finished, self._maximize)
        ranks = non_domination_rank(known, n_below=self._population)
        # Whole fronts until there are enough; Optuna selects among these.
        last = np.partition(ranks, self._population - 1)[self._population - 1]
        elite = ranks <= last
        study = self._study(ask, history, finished[elite], known[elite])
        return asked_of(study, self._distributions, ask)

    def _study(
        self, ask: Ask, history: History, numbers: NDArray[np.intp], known: FloatArray
    ) -> optuna.Study:
        """An in-memory study whose finished trials are generation 0."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = self.kind(population_size=self._population, seed=ask.integer("nsga sampler"))
        study = quiet_study(["minimize"] * known.shape[1], sampler)
        whole = external(self._distributions, filled(history, numbers, ask.seed, self._cube))
        for params, values in zip(whole, known.tolist(), strict=True):
            study.add_trial(
                create_trial(
                    state=TrialState.COMPLETE,
                    params=params,
                    distributions=dict(self._distributions),
                    values=values,
                    system_attrs={generation_key(sampler): 0},
                )
            )
        return study


class CohortNSGA3(CohortNSGA2):
    """The same with Optuna's NSGA-III (Deb & Jain 2014), for more than two objectives."""

    kind = NSGAIIISampler


def asked_of(study: optuna.Study, distributions: dict[str, BaseDistribution], ask: Ask) -> FloatArray:
    """[count, parameters] from asking the study one trial after another, pinned values included."""
    asked = [study.ask(fixed_distributions=dict(distributions)).params for _ in range(ask.count)]
    return pin(internal(distributions, asked), ask.pinned)


def quiet_study(directions: list[Direction], sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    """An in-memory study, without Optuna's log line."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(directions=directions, sampler=sampler)
    finally:
        optuna.logging.set_verbosity(before)
