"""Learning rates by step, and Adam's bias correction."""

from __future__ import annotations

import numpy as np

from hpsearch.records import FloatArray
from hpsearch.study.hyperparameters import ADAPTIVE, Configuration
from hpsearch.train.problem import Problem


def learning_rates(
    problem: Problem, configuration: Configuration, first_epoch: int, last_epoch: int
) -> FloatArray:
    """[steps] the learning rate of each optimiser step of these epochs (counted from 1).

    step: times step.factor after every step.epochs epochs. cosine: half a cosine from the learning rate to 0
    over the epoch limit, step by step (Loshchilov & Hutter 2017, equation 5, no restarts).
    warm-up: rises linearly over its epochs, on top of the schedule (Goyal et al. 2017, section 2.2).
    """
    steps = problem.steps(configuration.batch_size)
    done = np.arange((first_epoch - 1) * steps, last_epoch * steps)  # steps made before each
    rates = np.full(len(done), configuration.learning_rate)
    if configuration.schedule == "step":
        rates *= configuration.step_factor ** (done // steps // configuration.step_epochs)
    elif configuration.schedule == "cosine":
        rates *= (1 + np.cos(np.pi * done / (problem.epochs * steps))) / 2
    if configuration.warmup:
        rates *= np.minimum(1, (done + 1) / (configuration.warmup * steps))
    return rates


def step_sizes(
    problem: Problem, configuration: Configuration, first_epoch: int, last_epoch: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """[steps] factors of the update's direction, of the root in Adam's denominator, and learning rates ε.

    Adam: ε / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ) and ε (Kingma & Ba 2015, algorithm 1); SGD: ε, 1 and ε.
    """
    rates = learning_rates(problem, configuration, first_epoch, last_epoch)
    if configuration.optimizer not in ADAPTIVE:
        return rates, np.ones_like(rates), rates
    steps = problem.steps(configuration.batch_size)
    t = np.arange((first_epoch - 1) * steps + 1, last_epoch * steps + 1, dtype=np.float64)
    return rates / (1 - configuration.beta1**t), 1 / np.sqrt(1 - configuration.beta2**t), rates


def is_constant(configuration: Configuration) -> bool:
    """Whether every step is as large as the first."""
    return (
        configuration.schedule == "constant"
        and not configuration.warmup
        and configuration.optimizer not in ADAPTIVE
    )
