"""What Python and `tile.c` agree on: the structs and enums of both are made of the tables here.

To give the kernel a hyper-parameter, add its field to `_TAKEN` and to `LaneStruct`, and use it in C. One that
only torch knows needs nothing here.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, ClassVar

import numpy as np

from hpsearch.study.hyperparameters import Configuration
from hpsearch.train.lanes import Lane
from hpsearch.train.metrics import OWN_LOSS, WHOLE
from hpsearch.train.problem import Problem

LAYERS = 64
"""Most linear layers of a lane."""


def _same(*names: str) -> dict[str, str]:
    return {name: name.upper() for name in names}


ENUMS: dict[str, dict[str, str]] = {
    # activate.h: from gelu on the derivative does not follow from the value, and is kept.
    "activation": _same("relu", "leaky_relu", "elu", "tanh", "sigmoid", "none", "gelu", "silu"),
    "optimizer": _same("sgd", "adam", "adamw"),
    "loss": _same("cross_entropy", "bce", "mse", "l1", "softplus_mse", "softplus_l1", "softplus_poisson"),
    "metric": {
        **dict.fromkeys(("accuracy", "error"), "ACCURACY"),
        "mae": "ABSOLUTE",
        **dict.fromkeys(("rmse", "r2"), "SQUARED"),
        **dict.fromkeys((*OWN_LOSS, *WHOLE), "LOSS"),
    },
    "representation": {"identity": "IDENTITY", "softplus": "SOFTPLUS", "relu": "RECTIFIED"},
}
"""Names that the kernel takes, and C's constants for them."""


def number(kind: str, name: str) -> int:
    """The value of C's constant for a name of `ENUMS[kind]`."""
    return _constants(kind).index(ENUMS[kind][name])


def _constants(kind: str) -> list[str]:
    return list(dict.fromkeys(ENUMS[kind].values()))


# -- structs -------------------------------------------------------------------------------------

_C_TYPES = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
}


def _fields(declared: Sequence[str]) -> list[tuple[str, type]]:
    split = [declaration.rpartition(" ") for declaration in declared]
    return [
        (name.lstrip("*"), ctypes.c_void_p if name.startswith("*") else _C_TYPES[kind])
        for kind, _, name in split
    ]


class LaneStruct(ctypes.Structure):
    """`Lane` of C: a lane's hyper-parameters, its state, which is trained in place, and its curve."""

    declared: ClassVar = (
        # Under their names in `Configuration`, see `hyper_parameters`.
        "int32_t activation",
        "int32_t bias",
        "int32_t optimizer",
        "int32_t nesterov",
        "float alpha",
        "float learning_rate",
        "float momentum",
        "float weight_decay",
        "float beta1",
        "float beta2",
        "float epsilon",
        "int32_t layers",  # linear layers
        "const int32_t *units",  # [layers + 1], the features first
        "const float *sizes",  # [steps, 3]: factor, root and learning rate of each; null: always the same
        # Layer by layer, weights then bias (if there are): what to begin with, and what came out.
        "float *parameters",
        "float *velocity",
        "float *second",  # Adam's alone
        # [epochs, 3 + layers]: sums of training losses and contributions over the rows of the mini-batches,
        # the same over the validation set, and for each hidden layer the share of units that are 0 on all
        # of that part.
        "double *curve",
        "float *logits",  # null, or of one epoch: [rows of the mini-batches + validation rows, outputs]
        "int32_t done",  # epochs trained: up to the first with a sum of losses that is not finite
        "double evaluating",  # seconds of the tile that went into the validation set, this lane's share
    )
    _fields_: ClassVar = _fields(declared)


class PartStruct(ctypes.Structure):
    """`Part` of C: rows to train on, or to validate with."""

    declared: ClassVar = (
        "int64_t rows",
        "const float *x",  # [rows, features]
        "const int64_t *class",  # [rows], for cross entropy
        "const float *target",  # [rows], for all other losses
    )
    _fields_: ClassVar = _fields(declared)


class PlanStruct(ctypes.Structure):
    """`Plan` of C: what all lanes of a tile have in common."""

    declared: ClassVar = (
        "int32_t loss",
        "int32_t metric",
        "int32_t representation",
        "int32_t keep_last",
        "int64_t batch",
        "int32_t epochs",
        "const int64_t *orders",  # [epochs, training rows]
        "volatile int64_t *steps",  # counts the steps as they are made; another thread may read it
    )
    _fields_: ClassVar = _fields(declared)


def header() -> str:
    """`interface.h`, which `tile.c` includes; it does not compile where C lays a struct out otherwise."""
    lines = ["#include <stdint.h>", f"#define LAYERS {LAYERS}"]
    lines += [f"enum {{ {', '.join(_constants(kind))} }};" for kind in ENUMS]
    for struct in (LaneStruct, PartStruct, PlanStruct):
        name, size = struct.__name__.removesuffix("Struct"), ctypes.sizeof(struct)
        lines += ["typedef struct {", *(f"    {field};" for field in struct.declared), f"}} {name};"]
        lines.append(f'_Static_assert(sizeof({name}) == {size}, "{name} has {size} bytes in Python");')
    return "\n".join([*lines, ""])


def interface_hash() -> int:
    """32 bits of the header's hash: what `interface()` of a library returns that was made with it."""
    return int.from_bytes(hashlib.sha256(header().encode()).digest()[:4], "big")


# -- what the kernel takes -----------------------------------------------------------------------


def _any(*names: str) -> dict[str, Collection[object] | None]:
    return dict.fromkeys(names)


_TAKEN: dict[type, dict[str, Collection[object] | None]] = {
    Configuration: {
        **_any("learning_rate", "momentum", "nesterov", "beta1", "beta2", "epsilon", "weight_decay"),
        # Of these Python makes step sizes, layers and initial weights, for all trainers.
        **_any("batch_size", "schedule", "warmup", "step_factor", "step_epochs", "init", "init_scale"),
        **_any("depth", "width", "width1", "width2", "width3", "width4", "width5", "width6", "hidden"),
        **_any("alpha", "bias"),
        **_any("slopes", "pieces"),  # mean nothing without PReLU and maxout, which are not taken
        "activation": ENUMS["activation"],
        "optimizer": ENUMS["optimizer"],
    },
    Problem: {
        **_any("x_train", "y_train", "x_valid", "y_valid", "outputs", "target_std"),
        **_any("seed", "epochs", "keep_last"),
        **_any("pad_widths", "keep_outputs"),  # how torch stacks lanes; what the trainer reads afterwards
        "loss": ENUMS["loss"],
        "metric": ENUMS["metric"],
        "representation": ENUMS["representation"],
    },
}
"""Fields that the kernel knows, and the values that it takes of them; None is all. Of every other field, one
that was added since perhaps, it takes the default alone.
"""

_HANDED_OVER = [name for name, _ in LaneStruct._fields_ if name in _TAKEN[Configuration]]


def hyper_parameters(configuration: Configuration) -> dict[str, int | float]:
    """The fields of `LaneStruct` that are a configuration's, with C's numbers for names."""
    values = {name: getattr(configuration, name) for name in _HANDED_OVER}
    return {name: number(name, value) if name in ENUMS else value for name, value in values.items()}


def fits(problem: Problem, lane: Lane) -> bool:
    """Whether tile.c can train this lane: a function of the lane alone."""
    c = lane.configuration
    return (
        _takes(problem, Problem)
        and _takes(c, Configuration)
        and problem.dtype == np.float32
        and len(c.layers) < LAYERS
    )


def _takes(given: Any, known: type) -> bool:
    return all(getattr(given, name) in values for name, values in _limits(given.__class__, known))


@cache  # `fits` is asked about each lane, every time it is planned
def _limits(kind: Any, known: type) -> list[tuple[str, Collection[object]]]:
    """The fields of the dataclass `kind` of which not every value is taken, with those that are."""
    defaults = {f.name: () if f.default is MISSING else (f.default,) for f in fields(kind)}
    taken = {name: _TAKEN[known].get(name, default) for name, default in defaults.items()}
    return [(name, values) for name, values in taken.items() if values is not None]
