"""A first study file, commented: the one template of `hpsearch init`, with data and without.

What it lists is read from the schema and the registries, so that it cannot go out of date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from hpsearch.records import Task
from hpsearch.study.hyperparameters import ACTIVATIONS, OPTIMIZERS
from hpsearch.study.methods import SAMPLERS, STOPPING
from hpsearch.study.schema import Loss, Metric
from hpsearch.text import toml_value

Line = tuple[str, str]
"""(code, comment); a line without code is a comment alone, one without a comment is code alone."""

WIDTH = "units in each hidden layer"

_OWN_RATES: Sequence[Line] = (
    ("", f"optimizer = [{', '.join(map(toml_value, OPTIMIZERS))}]; each may have a rate of its own:"),
    ("", "adam.learning_rate = { low = 1e-4, high = 0.1, log = true }"),
)

_TASKS = " | ".join(Task)
_FOR_ONE = [name for name, sampler in SAMPLERS.items() if sampler.objectives != "several"]


@dataclass(frozen=True)
class Starter:
    """What differs between one first study and another.

    about: the comment at the top. data: lines of [data]. batch_size, loss, metric, momentum and activation:
    the whole line, with what is said of it.
    """

    name: str
    about: Sequence[str]
    data: Sequence[Line]
    batch_size: Line
    loss: Line
    metric: Line
    learning_rate: str = "{ low = 1e-4, high = 1.0, log = true }"
    momentum: Line = ("momentum = 0.9", "a good default where the learning rate is tuned")
    activation: Line = ('activation = "relu"', "the first choice; leaky_relu or prelu where units die")
    width: Line = ("width = 64", WIDTH)
    weight_decay: Line = ("weight_decay = 1e-4", "")
    optimizer: Sequence[Line] = _OWN_RATES
    epochs: int = 27
    trials: int = 192

    def text(self) -> str:
        """The study file."""
        return "\n".join(map(_written, self._lines())) + "\n"

    def _lines(self) -> list[Line]:
        return [
            *(("", line) for line in self.about),
            ("[study]", ""),
            (f"name = {toml_value(self.name)}", ""),
            ("seed = 0", "everything random follows from it"),
            ("", ""),
            ("[data]", ""),
            *self.data,
            ("", ""),
            ("[space]", "a plain value is fixed, a list is a choice, low and high are a range"),
            (f"learning_rate = {self.learning_rate}", "tune this one first"),
            ('schedule = "cosine"', "the rate falls to 0 by the last epoch: where a trial ends is no luck"),
            self.momentum,
            self.batch_size,
            ("depth = { low = 1, high = 4 }", "linear layers, the last one included: 1 is a linear model"),
            self.width,
            self.activation,
            self.weight_decay,
            *self.optimizer,
            (
                "",
                "also init, warmup, dropout, batch_norm (the last two train in torch, several times slower):",
            ),
            ("", "docs/study-file.md has all of them"),
            ("", ""),
            ("[train]", ""),
            (f"epochs = {self.epochs}", "the most that a trial gets"),
            self.loss,
            self.metric,
            ("", ""),
            ("[search]", ""),
            ('sampler = "tpe"', " | ".join(_FOR_ONE)),
            (f"trials = {self.trials}", "the total, also over resumes"),
            ('stopping = "halving"', " | ".join(STOPPING)),
            ("", 'time_limit = "10m"'),
        ]


def template(file: str, name: str) -> str:
    """A study of a built-in source, to be edited."""
    return Starter(
        name,
        [f"A study for hpsearch. Run it:  hpsearch run {file}"],
        [
            ('source = "digits"', "a built-in name, or the path of a table, of a folder or .zip of class"),
            ("", "folders of images, of IDX or .npz files"),
            ("", 'target = "price"                # tables: the column to predict'),
            ("", f'task = "regression"             # {_TASKS}'),
            ("", "image_size = [32, 32]           # images"),
            ("split = { valid = 0.2, test = 0.2 }", "the test set is kept back: no trial sees it"),
        ],
        batch_size=("batch_size = [16, 32, 64, 128, 256]", ""),
        loss=("", f'loss = "cross_entropy"          # by task: {" | ".join(get_args(Loss))}'),
        metric=("", f'metric = "accuracy"             # what is ranked: {" | ".join(get_args(Metric))}'),
        learning_rate="{ low = 1e-3, high = 1.0, log = true }",
        momentum=("momentum = { low = 0.0, high = 0.95 }", ""),
        activation=('activation = ["relu", "tanh", "sigmoid"]', " | ".join(ACTIVATIONS)),
        trials=256,
    ).text()


def _written(line: Line) -> str:
    code, comment = line
    if not comment:
        return code
    return f"{f'{code} ':<34}# {comment}" if code else f"# {comment}"
