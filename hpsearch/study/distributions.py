"""A space in Optuna's words; the one place where the two are translated."""

from __future__ import annotations

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpsearch.study.space import Choice, Range, Space


def optuna_distributions(space: Space) -> dict[str, BaseDistribution]:
    """Distributions of the searched hyper-parameters, in the space's order."""
    return {name: _distribution(entry) for name, entry in space.searched.items()}


def _distribution(entry: Choice | Range) -> BaseDistribution:
    if isinstance(entry, Choice):
        return CategoricalDistribution(entry.values)
    if entry.integer:
        return IntDistribution(int(entry.low), int(entry.last), entry.log, int(entry.step or 1))
    return FloatDistribution(entry.low, entry.last, entry.log, entry.step)
