"""All trials of a study as columns, in number order: what samplers learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from hpsearch.records import FloatArray, Params, State, Trial, Trials
from hpsearch.study.distributions import optuna_distributions
from hpsearch.study.space import Space

RUNNING, COMPLETE, PRUNED, FAILED = range(4)
"""States as numbers, as `History.state` has them."""

_CODES = {State.RUNNING: RUNNING, State.COMPLETE: COMPLETE, State.PRUNED: PRUNED, State.FAILED: FAILED}


class History:
    """Trials by number; `put` makes every change, in constant time.

    params: [n, parameters] float64 in Optuna's internal representation (a choice by its place); NaN where a
    parameter does not apply. state: [n] int8. epochs: [n] trained. value, loss: [n], NaN if a trial has none.
    others: [n, further objectives].
    """

    def __init__(self, space: Space, trials: Sequence[Trial] = (), others: int = 0) -> None:
        self.distributions = optuna_distributions(space)
        self._count, self._others = 0, others
        size = max(256, 2 * len(trials))
        self._params = np.empty((size, len(self.distributions)))
        self._state = np.empty(size, np.int8)
        self._epochs = np.empty(size, np.int32)
        self._numbers = np.empty((size, 2 + others))
        self._fill(trials)

    def __len__(self) -> int:
        return self._count

    @property
    def params(self) -> FloatArray:
        return self._params[: self._count]

    @property
    def state(self) -> NDArray[np.int8]:
        return self._state[: self._count]

    @property
    def epochs(self) -> NDArray[np.int32]:
        return self._epochs[: self._count]

    @property
    def partial(self) -> NDArray[np.bool_]:
        """[n] whether a trial is partly trained: stopped, or running beyond a rung.

        Samplers learn from both alike: the survivors are the best there are.
        """
        partial: NDArray[np.bool_] = (self.state == PRUNED) | ((self.state == RUNNING) & (self.epochs > 0))
        return partial

    @property
    def value(self) -> FloatArray:
        return self._numbers[: self._count, 0]

    @property
    def loss(self) -> FloatArray:
        return self._numbers[: self._count, 1]

    @property
    def others(self) -> FloatArray:
        return self._numbers[: self._count, 2:]

    def put(self, trial: Trial) -> None:
        """Add a trial with the next number, or update one."""
        at = trial.number
        if at == self._count:
            if at == len(self._state):
                self._grow()
            self._count += 1
            self._params[at] = self.internal([trial.params])[0]
        self._state[at] = _CODES[trial.state]
        self._epochs[at] = trial.epochs
        value = math.nan if trial.value is None else trial.value
        loss = math.nan if trial.loss is None else trial.loss
        self._numbers[at] = value, loss, *(trial.others or (math.nan,) * self._others)

    def internal(self, points: Sequence[Params]) -> FloatArray:
        """`internal` in this space."""
        return internal(self.distributions, points)

    def external(self, rows: FloatArray) -> list[Params]:
        """`external` in this space."""
        return external(self.distributions, rows)

    def _fill(self, trials: Sequence[Trial]) -> None:
        """Add all trials at once, by column: several times faster."""
        stored = Trials.join(trials)
        n = self._count = len(stored)
        for column, (name, d) in enumerate(self.distributions.items()):
            if isinstance(d, CategoricalDistribution):
                places = {choice: at for at, choice in enumerate(d.choices)}
                written = [places.get(params.get(name), math.nan) for params in stored.params]
            else:
                written = [params.get(name, math.nan) for params in stored.params]
            self._params[:n, column] = written
        self._state[:n] = [_CODES[state] for state in stored.state]
        self._epochs[:n] = stored.epochs
        # None becomes NaN.
        self._numbers[:n, 0] = np.array(stored.value, dtype=np.float64)
        self._numbers[:n, 1] = np.array(stored.loss, dtype=np.float64)
        nothing = (math.nan,) * self._others
        if self._others and n:
            self._numbers[:n, 2:] = [others or nothing for others in stored.others]

    def _grow(self) -> None:
        columns: tuple[NDArray[Any], ...] = self._params, self._state, self._epochs, self._numbers
        self._params, self._state, self._epochs, self._numbers = (
            np.concatenate([column, np.empty_like(column)]) for column in columns
        )


def external(distributions: Mapping[str, BaseDistribution], rows: FloatArray) -> list[Params]:
    """Values by name of rows [n, parameters] in Optuna's internal representation, without NaN."""
    items = list(distributions.items())
    return [
        {name: d.to_external_repr(x) for (name, d), x in zip(items, row, strict=True) if x == x}
        for row in rows.tolist()
    ]


def internal(distributions: Mapping[str, BaseDistribution], points: Sequence[Params]) -> FloatArray:
    """[points, parameters] in Optuna's internal representation; NaN where a point lacks the parameter."""
    items = list(distributions.items())
    rows = [
        [d.to_internal_repr(point[name]) if name in point else math.nan for name, d in items]
        for point in points
    ]
    return np.array(rows, dtype=np.float64).reshape(len(points), len(items))
