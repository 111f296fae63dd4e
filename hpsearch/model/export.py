"""From a stored trial to model files: retrain it from its record, write it and check it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.data import Dataset, Part
from hpsearch.errors import HpsearchError, NothingToShowError
from hpsearch.files import write_files
from hpsearch.model.files import ABOUT, ONNX, WEIGHTS, load_model, model_files, output_of
from hpsearch.model.model import Model
from hpsearch.model.onnx_graph import onnx_bytes
from hpsearch.records import EVEN, StudyRecord, Trial
from hpsearch.results.confirmation import Confirmation, Finalist
from hpsearch.retrain.reload import retrain
from hpsearch.running.machine import Machine
from hpsearch.running.prepare import make_problem
from hpsearch.running.provenance import run_provenance
from hpsearch.stats.score import SMOOTHED
from hpsearch.study.file import Study, score_of
from hpsearch.text import metric_text
from hpsearch.train.layers import arrays_of, layers_of
from hpsearch.train.predicting import Goal

if TYPE_CHECKING:
    from hpsearch.results.frames import Report

_CLOSE = 1e-4
"""Relative difference of the validation metric up to which a trial is the same: kernels round differently."""


_MEANING = {
    "softmax": (".softmax(1)", "a probability for each class"),
    "sigmoid": (".sigmoid()", "the probability of the second class"),
    "identity": (" * {std!r} + {mean!r}", "in the target's own unit"),
    "softplus": (".logaddexp(torch.zeros(())) * {std!r}", "in the target's own unit"),
    "relu": (".relu() * {std!r}", "in the target's own unit"),
}


@dataclass(frozen=True)
class Exported:
    """A written model. notes: sentences that the user should read."""

    model: Model
    folder: Path
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    @property
    def snippet(self) -> str:
        """Ten lines of Python that load the network with torch and safetensors alone, and use it."""
        model, folder = self.model, self.folder
        meaning, words = _MEANING[output_of(model)]
        meaning = meaning.format(std=model.goal.std, mean=model.goal.mean)
        if model.threshold != EVEN:
            words += f"; it is predicted above {model.threshold!r}"
        return f"""\
import json, torch
from safetensors.torch import load_file

with open({str(folder / ABOUT)!a}) as file:
    about = json.load(file)
layers = [getattr(torch.nn, each["module"])(*each["arguments"]) for each in about["network"]["layers"]]
network = torch.nn.ModuleDict({{"layers": torch.nn.Sequential(*layers)}}).eval()
network.load_state_dict(load_file({str(folder / WEIGHTS)!a}))
x = torch.zeros(1, {model.form.size})  # rows, prepared as about["preprocessing"] says
print(network["layers"](x){meaning})  # {words}
"""


def choose_trial(report: Report, number: int | None) -> int:
    """The trial asked for, or the best of the last confirmation, or the best by validation.

    Raises:
        NothingToShowError: no trial has a rank.
    """
    chosen = report.best if number is None else number
    if chosen is None:
        record = report.record
        raise NothingToShowError(
            f"study {record.name}: no trial has a validation {record.metric}, so there is no model to export"
        )
    return chosen


def make_model(
    record: StudyRecord,
    study: Study,
    dataset: Dataset,
    trial: Trial,
    device: str,
    confirmation: Confirmation | None = None,
    refit: bool = False,
) -> Model:
    """The trial, retrained: with its own weights, which its validation metric checks, or refitted.

    Args:
        study, dataset: as `stored.reload` returns them. confirmation: noted if it includes the trial,
            whose threshold is then that of the confirmed scores.
        refit: train on the training and validation rows together, for the epochs that the confirmation scored
            it after, or else for its own. Features stay as prepared on the training set.

    Raises:
        HpsearchError: it has no best epoch.
    """
    if trial.best_epoch is None:
        raise HpsearchError(
            f"study {record.name}: trial {trial.number} has no best epoch, so no weights to export: "
            f"{trial.reason or 'it has not been trained'}. Choose another one with --trial"
        )
    confirmed = _confirmed(trial, confirmation)
    epoch = confirmed.epochs if refit and confirmed is not None else trial.best_epoch
    problem = make_problem(study, together(dataset) if refit else dataset, device)
    state = retrain(study, problem, trial, epoch)
    configuration = study.space.configuration(trial.params)
    sizes = problem.features, configuration, problem.outputs
    form = dataset.columns or dataset.image
    assert form is not None
    goal = Goal(
        dataset.task,
        dataset.target_mean,
        dataset.target_std,
        problem.loss,
        problem.metric,
        problem.representation,
    )
    y = dataset.valid.y
    truth: Any = y if dataset.classes else y.astype(float) * dataset.target_std + dataset.target_mean
    model = Model(
        goal,
        dataset.target,
        dataset.classes,
        form,
        dataset.ignored,
        tuple(layers_of(*sizes)),
        arrays_of(*sizes, state),
    )
    again = None if refit else goal.score(model.outputs(dataset.valid.x), truth)
    about = _about(record, study, dataset, trial, again, confirmation)
    about["trial"]["epoch"] = epoch
    if refit:
        about["refit"] = {"rows": problem.rows, "epochs": epoch}
    about["run"] = run_provenance(study, dataset, Machine(device, 1))
    return replace(model, about=about, threshold=EVEN if confirmed is None else confirmed.threshold)


def together(dataset: Dataset) -> Dataset:
    """The data set with the validation rows among the training rows, too."""
    both = [np.concatenate([getattr(part, name) for part in (dataset.train, dataset.valid)]) for name in "xy"]
    return replace(dataset, train=Part(*both))


def _confirmed(trial: Trial, confirmation: Confirmation | None) -> Finalist | None:
    finalists = () if confirmation is None else confirmation.finalists
    return next((each for each in finalists if each.trial == trial.number), None)


def _about(
    record: StudyRecord,
    study: Study,
    dataset: Dataset,
    trial: Trial,
    again: float | None,
    confirmation: Confirmation | None,
) -> dict[str, Any]:
    confirmed = _confirmed(trial, confirmation)
    found = None if confirmed is None else confirmed.estimate
    about: dict[str, Any] = {
        "trial": {
            "study": record.name,
            "number": trial.number,
            "epoch": trial.best_epoch,
            "params": trial.params,
            "weights_drawn_for": trial.drawn_as,
        },
        "settings": {key: record.document[key] for key in ("space", "train") if key in record.document},
        "source": study.data.source,
        "validation": {
            "metric": record.metric,
            "rows": len(dataset.valid),
            "value": trial.value,
            "exported": again,
        },
    }
    if confirmation is not None and found is not None:
        about["confirmed"] = {
            **{name: getattr(confirmation, name) for name in ("metric", "part", "rows", "seeds")},
            **{name: getattr(found, name) for name in ("mean", "low", "high")},
        }
    return about


def write_model(model: Model, folder: Path, onnx: bool = False) -> Exported:
    """Write the model's files, and read them back.

    A `model.onnx` of an earlier export is removed if none is asked for: it is another model's.

    Raises:
        HpsearchError: a file cannot be written, or onnx is not installed.
    """
    contents: Mapping[str, bytes] = model_files(model)
    if onnx:
        contents = {ONNX: onnx_bytes(model), **contents}
    notes = []
    outdated = not onnx and all(os.path.isfile(folder / name) for name in (ABOUT, ONNX))
    write_files({folder / name: content for name, content in contents.items()}, parents=True)
    if outdated:
        (folder / ONNX).unlink()
        notes.append(f"removed {folder / ONNX}, left by an earlier export")
    load_model(folder)
    validation = model.about["validation"]
    stored, again = validation["value"], validation["exported"]
    comparable = score_of(model.about.get("settings", {})) != SMOOTHED  # an average is that of no epoch
    if again is not None and comparable and abs(again - stored) > _CLOSE * max(1e-9, abs(stored)):
        metric = validation["metric"]
        notes.append(
            f"this machine computes differently from the study's: validation {metric} is "
            f"{metric_text(metric, again)} after the same epochs; {metric_text(metric, stored)} was stored"
        )
    return Exported(model, folder, tuple(folder / name for name in contents), tuple(notes))
