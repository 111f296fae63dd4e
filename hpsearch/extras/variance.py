"""Measures how noisy the gradients of a stored trial are, at weights it had during training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpsearch import seeds
from hpsearch.defaults import DEFAULT_STORAGE
from hpsearch.errors import HpsearchError, check_trial
from hpsearch.extras.gradients import (
    Gradients,
    Measured,
    batch_law,
    epoch_sizes,
    measure_batches,
    measure_velocity,
    velocity_law,
    velocity_weights,
)
from hpsearch.extras.variance_output import BATCH_SIZE, MOMENTUM, Variance
from hpsearch.records import State, Trial
from hpsearch.retrain.reload import reload, retrain_through
from hpsearch.running.prepare import make_problem
from hpsearch.stored import open_storage, study_name
from hpsearch.study.file import Study
from hpsearch.study.hyperparameters import Configuration
from hpsearch.train import Problem, choose_device

MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Those measured unless others are asked for."""

_DRAWS, _LEAST_DRAWS = 1024, 8
_ROWS, _NUMBERS = 1 << 17, 1 << 26
"""Default limits: draws, their rows in total, and the numbers of their gradients in total."""


@dataclass(frozen=True)
class Sweep:
    """What to measure; None stands for what fits the trial (`choose_epochs`) and its data."""

    epochs: Sequence[int] | None = None
    batch_sizes: Sequence[int] | None = None
    momenta: Sequence[float] | None = None
    draws: int | None = None


def variance(
    study: Study | str | Path,
    trial: int,
    sweep: Sweep = Sweep(),
    *,
    storage: str = DEFAULT_STORAGE,
    say: Callable[[str], None] = lambda text: None,
) -> Variance:
    """Measure how noisy the gradients of a stored trial are; it is retrained for that.

    say: is told what comes next.

    Raises:
        HpsearchError: there is no such study or trial, the sweep asks for what is not there, or the data
            cannot be read or have changed.
    """
    for rate in sweep.momenta or ():
        if not 0 <= rate < 1:
            raise HpsearchError(f"--momenta: expected numbers from 0 to below 1; found {rate:g}")
    with open_storage(storage) as database:
        store = database.study(study_name(study))
        check_trial(store.record.name, trial, sum(store.counts().values()))
        (found,) = store.trials([trial])
    choose_epochs(found, sweep.epochs)  # complains before the data are read
    own, dataset = reload(store.record)
    return measure_variance(own, make_problem(own, dataset, choose_device("auto")), found, sweep, say)


def trained_epochs(trial: Trial) -> int:
    """Epochs after which the trial has weights: a failed one diverged in its last epoch."""
    return max(0, trial.epochs - 1) if trial.state is State.FAILED else trial.epochs


def choose_epochs(trial: Trial, asked: Sequence[int] | None) -> list[int]:
    """The epochs asked for, in order; otherwise 0, 1 and the one after which the trial was best.

    Raises:
        HpsearchError: the trial was not trained that far.
    """
    last = trained_epochs(trial)
    if asked is None:
        return sorted({0, min(1, last), trial.best_epoch or last})
    if wrong := [epoch for epoch in asked if not 0 <= epoch <= last]:
        diverged = ", where it diverged" if trial.state is State.FAILED else ""
        raise HpsearchError(
            f"--epochs: expected whole numbers from 0 to {last}: trial {trial.number} was trained for "
            f"{trial.epochs}{diverged}; found {wrong[0]}"
        )
    return sorted(set(asked))


def choose_batch_sizes(rows: int, asked: Sequence[int] | None) -> list[int]:
    """The batch sizes asked for, in order; otherwise 1, 2, 4 … and all rows.

    Raises:
        HpsearchError: there are fewer rows.
    """
    if asked is None:
        return [*(1 << power for power in range((rows - 1).bit_length())), rows]
    if wrong := [size for size in asked if not 1 <= size <= rows]:
        raise HpsearchError(
            f"--batch-sizes: expected whole numbers from 1 to {rows}, the training rows; found {wrong[0]}"
        )
    return sorted(set(asked))


def measure_variance(
    study: Study,
    problem: Problem,
    trial: Trial,
    sweep: Sweep,
    watch: Callable[[str], None] = lambda text: None,
) -> Variance:
    """Retrain the trial and measure its gradients; the same arguments give the same numbers.

    Args:
        watch: hears what comes next.

    Raises:
        HpsearchError: the sweep asks for what is not there, or the trial diverges when retrained.
    """
    epochs = choose_epochs(trial, sweep.epochs)
    batch_sizes = choose_batch_sizes(problem.rows, sweep.batch_sizes)
    configuration = study.space.configuration(trial.params)
    watch(f"retraining trial {trial.number} up to epoch {epochs[-1]}")
    rows: list[dict[str, Any]] = []
    parameters = 0
    for state in retrain_through(study, problem, trial, epochs):
        watch(f"measuring at the weights of epoch {state.epoch}")
        gradients = Gradients(problem, configuration, state)
        parameters = gradients.size
        if not np.isfinite(gradients.variance):
            raise HpsearchError(
                f"trial {trial.number}: its gradients after epoch {state.epoch} are not finite: it was about "
                "to diverge. Choose an earlier epoch or another trial"
            )
        index = trial.number, state.epoch
        common = {"epoch": state.epoch, "gradient": gradients.square}
        rows += [common | row for row in _batches(problem, gradients, batch_sizes, sweep.draws, index)]
        sizes = epoch_sizes(problem, configuration.batch_size)
        rows += [common | row for row in _velocities(problem, gradients, sizes, sweep, index)]
    columns = ["epoch", "varied", BATCH_SIZE, MOMENTUM, "draws", "variance", "standard_error"]
    return Variance(
        study.name,
        trial.number,
        problem.rows,
        parameters,
        problem.batch(configuration.batch_size),
        _notes(configuration),
        pd.DataFrame(rows, columns=[*columns, "independent", "exact", "bound", "gradient"]),
    )


def _batches(
    problem: Problem, gradients: Gradients, sizes: Sequence[int], draws: int | None, index: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    for size in sizes:
        random = seeds.generator(problem.seed, "variance of mini-batches", *index, size)
        measured = measure_batches(gradients, size, draws or _enough(size, gradients.size), random)
        yield {
            "varied": BATCH_SIZE,
            BATCH_SIZE: size,
            MOMENTUM: 0.0,
            **_named(measured),
            "independent": gradients.variance / size,
            "exact": batch_law(gradients.variance, problem.rows, size),
            "bound": gradients.variance,
        }


def _velocities(
    problem: Problem, gradients: Gradients, sizes: Any, sweep: Sweep, index: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    laws = [batch_law(gradients.variance, problem.rows, int(size)) for size in sizes]
    for momentum in sorted(set(sweep.momenta or MOMENTA)):
        # The same for every momentum: what differs between them is then not the luck of the draw.
        random = seeds.generator(problem.seed, "variance of velocities", *index)
        rows = min(problem.rows, len(velocity_weights(momentum)) * int(sizes[0]))
        measured = measure_velocity(
            gradients, sizes, momentum, sweep.draws or _enough(rows, gradients.size), random
        )
        yield {
            "varied": MOMENTUM,
            BATCH_SIZE: int(sizes[0]),
            MOMENTUM: momentum,
            **_named(measured),
            "independent": float(np.mean(laws)) * (1 - momentum) / (1 + momentum),
            "exact": velocity_law(gradients.variance, problem.rows, sizes, momentum),
            "bound": max(laws),
        }


def _enough(rows: int, parameters: int) -> int:
    """How many draws of so many rows keep the measurement short."""
    return max(_LEAST_DRAWS, min(_DRAWS, _ROWS // rows, _NUMBERS // parameters))


def _named(measured: Measured) -> dict[str, Any]:
    values = asdict(measured)
    return {"variance": values.pop("mean"), **values}


def _notes(configuration: Configuration) -> tuple[str, ...]:
    notes = []
    if configuration.dropout > 0:
        notes.append("dropout is off here; its noise would add to that of the mini-batches")
    if configuration.batch_norm:
        notes.append("batch normalisation uses its running statistics here, not those of the mini-batch")
    return tuple(notes)
