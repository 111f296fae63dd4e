"""A trained model as a value: its network, and all it takes to predict from users' rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data import Image
from hpsearch.data.columns import Columns
from hpsearch.records import EVEN, FloatArray, Task
from hpsearch.text import plain, threshold_text
from hpsearch.train.layers import Layer, build, raw_outputs
from hpsearch.train.predicting import Goal
from hpsearch.train.problem import Floats
from hpsearch.train.representation import decide, represent
from hpsearch.train.thresholds import shifted

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn

    from hpsearch.data.new_rows import Rows

NO_CLASS = -1
_MOST_SHOWN = 6


def _short(names: Sequence[str], noun: str) -> str:
    """How many there are, and the first of them."""
    more = ", …" if len(names) > _MOST_SHOWN else ""
    count = f"{len(names):,} {noun}{'' if len(names) == 1 else 'es' if noun.endswith('s') else 's'}"
    return f"{count} ({', '.join(map(plain, names[:_MOST_SHOWN]))}{more})"


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """One trial of a study, ready to predict.

    goal: task, the target's unit, loss and metric. target: name of the predicted column. classes: () in a
    regression. form: how features are made. ignored: columns of the training table that are not features.
    layers, arrays: the network, see train.layers. about: JSON-able, where the model comes from. threshold: of
    two classes, the probability of the second one above which it is predicted.
    """

    goal: Goal
    target: str
    classes: tuple[str, ...]
    form: Columns | Image
    ignored: tuple[str, ...]
    layers: tuple[Layer, ...]
    arrays: Mapping[str, Floats]
    about: dict[str, Any] = field(default_factory=dict)
    threshold: float = EVEN

    def __repr__(self) -> str:
        classes = f": {_short(self.classes, 'class')}" if self.classes else ""
        layers = ", ".join(
            f"Linear {each.arguments[0]} → {each.arguments[1]}" if each.module == "Linear" else each.module
            for each in self.layers
        )
        if isinstance(self.form, Columns):
            features = _short(self.features, "feature")
        else:
            features = f"images of {self.form.height} × {self.form.width} × {self.form.channels}"
        decides = f"\n{self.decides}" if self.decides else ""
        return (
            f'{self.task} model of "{plain(self.target)}"{classes}\n'
            f"features: {features}\n"
            f"network: {layers} ({sum(each.size for each in self.arrays.values()):,} numbers)"
            f"{decides}"
        )

    @property
    def decides(self) -> str:
        """How it decides, where that is not by the larger probability; otherwise ""."""
        if self.threshold == EVEN:
            return ""
        return (
            f'predicts "{plain(self.classes[1])}" where its probability is above '
            f"{threshold_text(self.threshold)}, a threshold chosen on validation"
        )

    @property
    def task(self) -> Task:
        return self.goal.task

    @property
    def metric(self) -> str:
        """The study's metric, in which `score` is."""
        return self.goal.metric

    @property
    def features(self) -> tuple[str, ...]:
        """Names of what goes into the network."""
        return self.form.features

    def predict(self, data: Path | str | DataFrame) -> DataFrame:
        """Predictions for any file or folder that training takes, or for a frame.

        Columns: row, from 1, or file; predicted, a class's name or a number in the target's own unit; in a
        classification p_<class>, the probability of each class.

        Warns of what the user should know of the data, such as unknown categories and columns.

        Raises:
            DataError: the data cannot be read, or lack a column.
        """
        rows = self.prepare(data)
        for note in rows.notes:
            warnings.warn(note, stacklevel=2)
        return self.frame(rows, self.outputs(rows.x))

    def prepare(
        self, data: Path | str | DataFrame, advance: Callable[[int, int], None] | None = None
    ) -> Rows:
        """The rows, prepared as in training. advance: see data.rows.read_rows."""
        from hpsearch.data.new_rows import Expected, read_rows

        return read_rows(data, Expected(self.form, self.target, self.classes, self.ignored), advance)

    @cached_property
    def network(self) -> nn.Sequential:
        """[n, features] → raw outputs [n, O]."""
        return build(self.layers, self.arrays)

    def outputs(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw outputs [n, O] of prepared rows [n, features]."""
        return raw_outputs(self.network, x)

    def decided(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw outputs [n, O] by which classes are decided; of probabilities they say nothing."""
        return shifted(outputs, self.threshold)

    def represented(self, outputs: NDArray[np.float32]) -> FloatArray:
        """What raw outputs mean: [n, classes] probabilities, or [n] numbers in the target's own unit."""
        found = represent(self.task, outputs, self.goal.representation)
        if self.task is Task.BINARY:
            return np.column_stack([1 - found, found])
        return found if self.classes else found * self.goal.std + self.goal.mean

    def frame(self, rows: Rows, outputs: NDArray[np.float32]) -> DataFrame:
        """Predictions as `predict` returns them, of prepared rows and their raw outputs."""
        import pandas as pd

        found = self.represented(outputs)
        names: dict[str, Any] = {"row": np.arange(1, len(rows.x) + 1)}
        if rows.files:
            names = {"file": pd.Series(rows.files, dtype="str")}
        if not self.classes:
            return pd.DataFrame({**names, "predicted": found})
        chosen = pd.Series([self.classes[place] for place in decide(self.decided(outputs))], dtype="str")
        shares = {f"p_{name}": found[:, place] for place, name in enumerate(self.classes)}
        return pd.DataFrame({**names, "predicted": chosen, **shares})

    def score(self, rows: Rows, outputs: NDArray[np.float32]) -> tuple[float, int] | None:
        """The study's metric on the rows with a known target, and their number; None without any.

        NaN where it is not defined on these rows: an AUC of a single class, R² of equal targets.
        """
        if rows.truth is None:
            return None
        known = rows.truth != NO_CLASS if self.classes else ~np.isnan(rows.truth)
        if not known.any():
            return None
        return self.goal.score(self.decided(outputs[known]), rows.truth[known]), int(known.sum())
