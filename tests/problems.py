"""Small problems and lanes that several tests share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from hpsearch.study.hyperparameters import ACTIVATIONS, Configuration
from hpsearch.train import Lane, Problem, initial_state
from hpsearch.train.native import fits

METRIC_OF = {
    "cross_entropy": "accuracy",
    "bce": "accuracy",
    "mse": "rmse",
    "l1": "mae",
    "softplus_mse": "rmse",
    "softplus_l1": "mae",
    "softplus_poisson": "r2",
}


def make_problem(
    loss: str = "cross_entropy",
    rows: int = 200,
    features: int = 7,
    dtype: type[np.floating[Any]] = np.float32,
    valid_rows: int = 53,
    pad_widths: bool = False,
    metric: str | None = None,
    **settings: Any,
) -> Problem:
    """Random rows with a learnable rule; class targets or real ones as the loss wants."""
    random = np.random.default_rng(5)
    x = random.normal(size=(rows + valid_rows, features))
    score = x @ random.normal(size=(features, 3)) + 0.3 * random.normal(size=(rows + valid_rows, 3))
    y: Any
    if loss == "cross_entropy":
        y = score.argmax(1)
    elif loss == "bce":
        y = (score[:, 0] > 0).astype(dtype)
    elif loss.startswith("softplus_"):
        y = np.exp(score[:, 0] / 4).astype(dtype)
    else:
        y = ((score[:, 0] - score[:, 0].mean()) / score[:, 0].std()).astype(dtype)
    inputs = x.astype(dtype)
    return Problem(
        inputs[:rows],
        y[:rows],
        inputs[rows:],
        y[rows:],
        outputs=3 if loss == "cross_entropy" else 1,
        loss=loss,
        metric=metric or METRIC_OF[loss],
        seed=11,
        target_std=2.5,
        pad_widths=pad_widths,
        **{"representation": "softplus" if loss.startswith("softplus_") else "identity", **settings},
    )


def make_lanes(problem: Problem, configurations: Sequence[Configuration]) -> list[Lane]:
    """Fresh lanes numbered from 0."""
    return [Lane(n, c, initial_state(problem, n, c)) for n, c in enumerate(configurations)]


VARIANTS: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam", "weight_decay": 1e-3, "beta1": 0.8},
    "adamw": {"optimizer": "adamw", "weight_decay": 1e-2, "activation": "tanh"},
    "leaky slope": {"activation": "leaky_relu", "alpha": 0.2},
    "elu α": {"activation": "elu", "alpha": 0.5},
    "a slope a unit": {"activation": "prelu", "alpha": 0.25, "slopes": "unit", "momentum": 0.5},
    "three pieces": {"activation": "maxout", "pieces": 3},
    "kaiming": {"init": "kaiming"},
    "no biases": {"bias": False, "weight_decay": 1e-3},
    "cosine, warmed up": {"schedule": "cosine", "warmup": 0.7},
    "steps": {"schedule": "step", "step_epochs": 1, "step_factor": 0.5, "nesterov": True},
    "batch norm": {"batch_norm": True},
    "batch norm, sigmoid": {"batch_norm": True, "activation": "sigmoid"},
    "dropout": {"dropout": 0.3},
    "dropout, gelu": {"dropout": 0.2, "activation": "gelu"},
    "all at once": {
        "batch_norm": True,
        "dropout": 0.1,
        "activation": "maxout",
        "optimizer": "adam",
        "bias": False,
        "schedule": "cosine",
    },
    "all at once, prelu": {"batch_norm": True, "dropout": 0.1, "activation": "prelu", "alpha": 0.25},
}
"""Every hyper-parameter that changes how a lane is trained, at values of its own."""


def varied_configurations(batch_size: int, depth: int = 3, width: int = 16) -> list[Configuration]:
    """One of each variant."""
    fixed = {"learning_rate": 0.01, "batch_size": batch_size, "depth": depth, "width": width}
    return [Configuration(**{**fixed, **variant}) for variant in VARIANTS.values()]


def kernel_lanes(problem: Problem, lanes: Sequence[Lane]) -> list[Lane]:
    """The lanes that the native kernel takes."""
    return [lane for lane in lanes if fits(problem, lane)]


def mixed_configurations(batch_size: int, **fixed: Any) -> list[Configuration]:
    """Every activation at depths 1, 2, 3 and 5, with differing learning rates, momenta, decays."""
    return [
        Configuration(
            **{
                "learning_rate": 0.01 * (1 + n % 3),
                "momentum": (0.0, 0.5, 0.9)[n % 3],
                "nesterov": n % 2 == 1,
                "weight_decay": 1e-3 * (n % 4),
                "depth": depth,
                "width": 16,
                "activation": activation,
                "batch_size": batch_size,
                **fixed,
            }
        )
        for n, (depth, activation) in enumerate(itertools.product((1, 2, 3, 5), ACTIVATIONS))
    ]
