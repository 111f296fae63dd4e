"""The samplers and the stopping rules: a new one is a file and a line here.

What a study file, its complaints, the template and the docs know of them stands here, so that nothing is
imported for it; `make` is imported when a study is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal


@dataclass(frozen=True)
class Method:
    """make: "module:name" of what makes it of a study. about: what it does, in a line."""

    make: str
    about: str

    def load(self) -> Any:
        """What `make` names; called with a study, it gives a search.Draw or a search.Stopping."""
        module, _, name = self.make.partition(":")
        return getattr(import_module(module), name)


@dataclass(frozen=True)
class Sampler(Method):
    """objectives: how many it is for. stock: import path of Optuna's own, which is asked instead where there
    are several. exhaustive: it tries every combination, and has no use for points that are given. learns:
    from earlier trials.
    """

    objectives: Literal["one", "several", "any"] = "any"
    stock: str | None = None
    exhaustive: bool = False
    learns: bool = True


_SEARCH = "hpsearch.search"

SAMPLERS: dict[str, Sampler] = {
    "random": Sampler(f"{_SEARCH}.simple:Random", "Optuna's random sampler", learns=False),
    "qmc": Sampler(
        f"{_SEARCH}.simple:QuasiRandom", "one scrambled Sobol sequence, by Optuna's sampler", learns=False
    ),
    "grid": Sampler(
        f"{_SEARCH}.simple:Grid", "every combination once, in any order", exhaustive=True, learns=False
    ),
    "tpe": Sampler(
        f"{_SEARCH}.tpe:CohortTPE",
        "multivariate TPE, fitted once a cohort",
        stock="optuna.samplers:TPESampler",
    ),
    "gp": Sampler(
        f"{_SEARCH}.gp:CohortGP",
        "expected improvement of a Gaussian process",
        stock="optuna.samplers:GPSampler",
    ),
    "cmaes": Sampler(
        f"{_SEARCH}.evolution:CohortCMA", "CMA-ES, whose generation is a cohort", objectives="one"
    ),
    "nsga2": Sampler(f"{_SEARCH}.evolution:CohortNSGA2", "NSGA-II, whose population is a cohort"),
    "nsga3": Sampler(
        f"{_SEARCH}.evolution:CohortNSGA3", "NSGA-III, whose population is a cohort", objectives="several"
    ),
}

STOPPING: dict[str, Method] = {
    "none": Method(f"{_SEARCH}.stopping:keep", "no trial is stopped"),
    "halving": Method(f"{_SEARCH}.stopping:halving", "one in `factor` survives a rung"),
    "hyperband": Method(
        f"{_SEARCH}.stopping:hyperband", "the same in brackets that start at different rungs"
    ),
    "median": Method(
        f"{_SEARCH}.stopping:median",
        "a trial stops when it is worse than the median of the complete ones at that epoch",
    ),
    "patience": Method(
        f"{_SEARCH}.stopping:patience", "a trial stops when the last epochs brought no improvement"
    ),
}


def exhaustive(sampler: str) -> bool:
    """Whether the sampler of this name or import path tries every combination."""
    return sampler in SAMPLERS and SAMPLERS[sampler].exhaustive
