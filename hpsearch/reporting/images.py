"""The pictures of a report for which trials are trained again: decision boundaries and contact sheets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hpsearch.data import Dataset
from hpsearch.errors import HpsearchError
from hpsearch.records import FloatArray, Task, Trial
from hpsearch.reporting.sections import BOUNDARY, TRAINING, WRONG
from hpsearch.reporting.write import has_images
from hpsearch.results.frames import Report, with_note
from hpsearch.retrain.reload import reload, retrain
from hpsearch.running.prepare import make_problem
from hpsearch.study.arms import DEEP, LINEAR, kind_of
from hpsearch.study.file import Study
from hpsearch.text import metric_text, significant
from hpsearch.train import Problem, choose_device

_SIDE = 320
"""Points of the plane in each direction."""
_MARGIN = 0.08
"""Of the points' span, around them."""
_PICTURES = 24
_ROWS = 4096
"""Rows that go through the network at once."""


def with_images(report: Report, trials: Sequence[Trial]) -> tuple[Report, dict[str, bytes]]:
    """The report, and its images as PNGs by file name; nothing is trained for it but what they show.

    What cannot be had, since the data are gone or changed, is a line in the report's notes.
    """
    if not has_images(report):
        return report, {}
    try:
        study, dataset = reload(report.record)
        by_number = {trial.number: trial for trial in trials}
        return report, illustrations(study, dataset, by_number, report, choose_device("auto"))
    except HpsearchError as error:
        return with_note(report, f"no images of the data: {error}"), {}


def illustrations(
    study: Study, dataset: Dataset, trials: Mapping[int, Trial], report: Report, device: str
) -> dict[str, bytes]:
    """PNGs by file name: what the best trials see, as far as the data can be looked at.

    Of classes in the plane of two numeric features, the boundary that the best linear and the best deep trial
    draw; of pictures, some of them, and those that the best trial gets most wrong.

    Raises:
        HpsearchError: a trial cannot be trained again.
    """
    best = [trials[number] for number in report.ranked["trial"].tolist()]
    problem = make_problem(study, dataset, device)
    drawn: dict[str, bytes] = {}
    if best and in_a_plane(dataset):
        drawn[BOUNDARY] = _boundary(study, problem, dataset, _linear_and_deep(study, best))
    if dataset.image is not None:
        drawn[TRAINING] = _some_pictures(dataset)
        if best:
            drawn[WRONG] = _wrong_pictures(study, problem, dataset, best[0])
    return drawn


def in_a_plane(dataset: Dataset) -> bool:
    """Whether the data are classes, few enough to be drawn, over two numeric features."""
    from hpsearch.reporting.boundary import MOST_CLASSES

    numeric = not any("=" in name for name in dataset.features)  # column=value is one of a text's
    return (
        len(dataset.features) == 2
        and numeric
        and dataset.image is None
        and 2 <= len(dataset.classes) <= MOST_CLASSES
    )


def predict(study: Study, problem: Problem, trial: Trial, x: NDArray[np.float32]) -> FloatArray:
    """What the trial, after its best epoch, says of rows [M, features], as `represent` has it.

    Raises:
        HpsearchError: it diverges when it is trained again.
    """
    import torch

    from hpsearch.train.representation import represent
    from hpsearch.train.solo import build_model

    assert trial.best_epoch is not None
    assert study.data.task is not None
    state = retrain(study, problem, trial, trial.best_epoch)
    model = build_model(problem, study.space.configuration(trial.params), state).eval()
    with torch.inference_mode():
        parts = [
            model(torch.from_numpy(x[start : start + _ROWS]).to(problem.device)).cpu().numpy()
            for start in range(0, len(x), _ROWS)
        ]
    return represent(Task(study.data.task), np.concatenate(parts), problem.representation)


def _shares(dataset: Dataset, represented: FloatArray) -> FloatArray:
    """[M, classes] probabilities."""
    if dataset.task is Task.BINARY:
        return np.column_stack([1 - represented, represented])
    return represented


def _linear_and_deep(study: Study, best: list[Trial]) -> list[Trial]:
    """The best linear and the best deep trial, or the best one where there are not both."""
    firsts: dict[object, Trial] = {}
    for trial in best:
        firsts.setdefault(kind_of(study.space, trial.params), trial)
    return [firsts[kind] for kind in (LINEAR, DEEP) if kind in firsts]


def _boundary(study: Study, problem: Problem, dataset: Dataset, trials: list[Trial]) -> bytes:
    from hpsearch.reporting.boundary import Panel, Plane, boundary_png

    points = dataset.train.x
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = low - _MARGIN * (high - low), high + _MARGIN * (high - low)
    across, up = (np.linspace(low[axis], high[axis], _SIDE, dtype=np.float32) for axis in range(2))
    grid = np.stack(np.meshgrid(across, up), axis=2).reshape(-1, 2)
    panels = []
    for trial in trials:
        shares = _shares(dataset, predict(study, problem, trial, grid)).reshape(_SIDE, _SIDE, -1)
        kind = kind_of(study.space, trial.params)
        metric = study.train.metric or ""
        # "best": of so many epochs one flatters; a linear model of xor has its lucky ones.
        title = f"{kind}: trial {trial.number}, best validation {metric} {metric_text(metric, trial.value)}"
        panels.append(Panel(title, shares))
    plane = Plane(
        (f"{dataset.features[0]} (standardised)", f"{dataset.features[1]} (standardised)"),
        (float(low[0]), float(high[0]), float(low[1]), float(high[1])),
        points,
        dataset.train.y.astype(np.int64),
        dataset.classes,
    )
    return boundary_png(plane, panels)


def _some_pictures(dataset: Dataset) -> bytes:
    from hpsearch.reporting.contact_sheet import contact_sheet

    part = dataset.train
    # Evenly over the part: the first ones are often all of one class.
    rows = np.linspace(0, len(part) - 1, min(_PICTURES, len(part))).round().astype(np.int64)
    captions = [_target_text(dataset, y) for y in part.y[rows]]
    title = f"{dataset.name}: {len(rows)} of {len(part):,} training images"
    return contact_sheet(dataset.displayed(part.x[rows]), captions, title)


def _wrong_pictures(study: Study, problem: Problem, dataset: Dataset, trial: Trial) -> bytes:
    from hpsearch.reporting.contact_sheet import contact_sheet

    part = dataset.valid
    represented = predict(study, problem, trial, part.x)
    rows, captions = zip(*_most_wrong(dataset, represented), strict=True)
    what = f"most wrong of {len(part):,} validation images"
    title = f"{dataset.name}: {what} (label → trial {trial.number})"
    return contact_sheet(dataset.displayed(part.x[list(rows)]), captions, title)


def _most_wrong(dataset: Dataset, represented: FloatArray) -> Iterator[tuple[int, str]]:
    """Rows of the validation set with captions, the worst first.

    The worst are those whose class is given the least probability; for numbers, those that are farthest off.
    """
    y = dataset.valid.y
    if not dataset.classes:
        for row in np.argsort(-np.abs(represented - y), kind="stable")[:_PICTURES].tolist():
            yield row, f"{_target_text(dataset, y[row])}\n→ {_target_text(dataset, represented[row])}"
        return
    shares, labels = _shares(dataset, represented), y.astype(np.int64)
    own = shares[np.arange(len(labels)), labels]
    for row in np.argsort(own, kind="stable")[:_PICTURES].tolist():
        taken = int(shares[row].argmax())
        yield row, f"{dataset.classes[labels[row]]}\n→ {dataset.classes[taken]} {shares[row, taken]:.0%}"


def _target_text(dataset: Dataset, y: np.floating | np.integer) -> str:
    """A target as the user knows it: its class, or its number in its own unit."""
    if dataset.classes:
        return dataset.classes[int(y)]
    return significant(float(y) * dataset.target_std + dataset.target_mean, 3)
