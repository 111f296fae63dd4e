"""A first study file for somebody's data, by the practical guide: what to fix, what to tune, and why."""

from __future__ import annotations

import numpy as np

from hpsearch.data import Dataset
from hpsearch.records import Task
from hpsearch.study.file import FITTING_LOSSES, FITTING_METRICS
from hpsearch.text import plain, toml_value

_BATCHES = ((500, 16), (5_000, 32), (20_000, 64))
"""(rows below which, rows in a mini-batch); 128 for more."""

_UNBALANCED = 0.7
"""Share of the largest class from which accuracy flatters a model that always says so."""

_KINDS = {
    Task.BINARY: "two classes: one output o, BCE with logits; o > 0 is the second class",
    Task.MULTICLASS: "several classes: an output each, cross entropy with logits; the largest wins",
    Task.REGRESSION: "continuous output: the squared error; l1 minds outliers less",
    Task.POSITIVE_REGRESSION: "continuous, never negative: softplus(o), squared error; poisson for counts",
}


def study_text(dataset: Dataset, source: str, target: str | None, task: str | None, name: str) -> str:
    """The study file.

    source: as it is to stand there, a path relative to it. target, task: what was asked for.
    """
    rows = len(dataset.train)
    batch = next((size for below, size in _BATCHES if rows < below), 128)
    return "\n".join(
        [
            f"# {plain(dataset.name)}: a first study, by the practical guide. What is not tuned here has",
            "# values that do well nearly everywhere; the learning rate is: nothing else matters as much.",
            "[study]",
            f"name = {toml_value(name)}",
            _line("seed = 0", "everything random follows from it"),
            "",
            *_data_lines(dataset, source, target, task),
            "",
            _line("[space]", "a plain value is fixed, a list is a choice, low and high are a range"),
            "learning_rate = { low = 1e-4, high = 1.0, log = true }    # tune this one first",
            _line("momentum = 0.9", "a good default where the learning rate is tuned"),
            _line(f"batch_size = {batch}", f"{rows:,} training rows: {rows // batch:,} steps an epoch"),
            _line(
                "depth = { low = 1, high = 4 }",
                "linear layers: 1 is a linear model, to see whether more helps",
            ),
            _line(f"width = {_width(dataset)}", "units in each hidden layer"),
            _line('activation = "relu"', "the first choice; leaky_relu or prelu where units die"),
            "weight_decay = 1e-4",
            "",
            *_train_lines(dataset, 81 if rows < 2_000 else 27),
            "",
            "[search]",
            _line('sampler = "tpe"', "random | qmc | grid | tpe | gp | cmaes"),
            _line("trials = 192", "the total, also over resumes; about one in nine is trained to its end"),
            _line('stopping = "halving"', "one in three trials goes on at each rung"),
            "",
        ]
    )


def _line(code: str, comment: str) -> str:
    return f"{code:<33} # {comment}"


def _data_lines(dataset: Dataset, source: str, target: str | None, task: str | None) -> list[str]:
    lines = ["[data]", f"source = {toml_value(source)}"]
    if target is not None:
        lines.append(f"target = {toml_value(target)}")
    lines.append(_line(f"task = {toml_value(task or str(dataset.task))}", _KINDS[dataset.task]))
    if dataset.task is Task.REGRESSION and _never_negative(dataset):
        lines.append(
            '# never negative here: task = "positive_regression" fits softplus(o); loss = "poisson" counts'
        )
    if dataset.image is not None:
        side = f"image_size = [{dataset.image.height}, {dataset.image.width}]"
        lines.append(_line(side, "smaller ones train faster; n_images = 1000 takes fewer"))
    if dataset.classes:
        shown = ", ".join(dataset.classes[:8]) + (", …" if len(dataset.classes) > 8 else "")
        lines.append(f"# classes: {plain(shown)}")
    rows = [len(part) for part in (dataset.train, dataset.valid, dataset.test)]
    there = f"{rows[0]:,} rows to train, {rows[1]:,} to rank, {rows[2]:,} kept back"
    lines.append(_line("split = { valid = 0.2, test = 0.2 }", there))
    return lines


def _never_negative(dataset: Dataset) -> bool:
    """Whether no target is below 0, in its own unit."""
    parts = (dataset.train, dataset.valid, dataset.test)
    least = min(float(part.y.min()) for part in parts if len(part))
    return least * dataset.target_std + dataset.target_mean >= -1e-6 * dataset.target_std


def _train_lines(dataset: Dataset, epochs: int) -> list[str]:
    losses, metrics = FITTING_LOSSES[dataset.task], FITTING_METRICS[dataset.task]
    metric, why = metrics[0], "what is ranked, on the validation part"
    if dataset.classes:
        counts = np.bincount(dataset.train.y.astype(np.int64))
        largest = counts.max() / counts.sum()
        if largest >= _UNBALANCED:
            metric = "balanced_accuracy"
            why = f"{100 * largest:.0f}% of the rows are of one class: accuracy would flatter"
    return [
        "[train]",
        _line(f"epochs = {epochs}", "the most that a trial gets"),
        _line(f"loss = {toml_value(losses[0])}", f"for this task: {' | '.join(losses)}"),
        _line(f"metric = {toml_value(metric)}", why),
        f"# or {' | '.join(name for name in metrics if name != metric)}",
    ]


def _width(dataset: Dataset) -> int:
    """Units in each hidden layer: about as many as a small picture or a usual table wants."""
    return 100 if len(dataset.features) >= 500 else 64 if len(dataset.features) >= 5 else 16
