"""How much memory lanes need, and how much a tile may take."""

from __future__ import annotations

import math
import threading
from functools import lru_cache

from hpsearch.study.hyperparameters import ADAPTIVE
from hpsearch.study.layout import layer_shapes
from hpsearch.train.lanes import Lane
from hpsearch.train.metrics import WHOLE
from hpsearch.train.problem import Problem

TILE_BYTES = 512 << 20
"""Memory limit of a tile on a CPU."""

GPU_SHARE = 0.7
"""Share of a GPU's free memory for a tile; the rest is for the data and uncounted buffers."""

VALID_ROWS = 1024
"""Validation rows that a stacked tile evaluates at once; constant, so that no bit depends on it."""

LOGITS_AT_ONCE = 1 << 15
"""Logits per lane that a stacked tile collects before it computes losses and metrics."""

_lock = threading.Lock()
_limits: dict[str, float] = {}


def weights(problem: Problem, lane: Lane) -> int:
    """Weights of a lane, without the biases."""
    shapes = layer_shapes(problem.features, lane.configuration, problem.outputs)
    return sum(inputs * outputs for inputs, outputs in shapes)


def lane_bytes(problem: Problem, lane: Lane) -> int:
    """Approximate memory of a lane, in either trainer.

    Its weights six times (with gradient and momentum, and its state before and after; nine times with Adam's
    second moments), the values of its units for a mini-batch with their gradients and for validation rows,
    and logits with what is made of them: those of all rows, where the metric needs them.
    """
    c = lane.configuration
    batch = problem.batch(c.batch_size)
    plain = not (c.batch_norm or c.dropout or c.fan > 1)
    hidden = sum(c.layers) * (c.fan if plain else c.fan + 3)
    rows = 2 * batch + min(VALID_ROWS, len(problem.x_valid))
    logits = 4 * min(max(LOGITS_AT_ONCE, batch * problem.outputs), problem.rows * problem.outputs)
    if problem.metric in WHOLE or problem.keep_outputs:
        logits += 4 * (problem.rows + len(problem.x_valid)) * problem.outputs
    copies = 9 if c.optimizer in ADAPTIVE else 6
    numbers = copies * weights(problem, lane) + (hidden + problem.outputs) * rows + logits
    return numbers * problem.x_train.itemsize


def tile_bytes(device: str) -> float:
    """The planner's limit for a tile."""
    return min(device_bytes(device), known_limit(device))


def known_limit(device: str) -> float:
    """The limit that earlier tiles revealed; infinite at first."""
    return _limits.get(device, math.inf)


def lower_limit(device: str, limit: float) -> None:
    """Lower the limit for all threads, since a tile did not fit, and free torch's cache."""
    with _lock:
        _limits[device] = min(limit, known_limit(device))
    if device != "cpu":
        import torch

        getattr(torch, device).empty_cache()


@lru_cache
def device_bytes(device: str) -> float:
    """The device's limit for a tile; asked once, before we allocate anything on it."""
    if device != "cuda":
        return TILE_BYTES
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return GPU_SHARE * free


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error from numpy, the native kernel or torch means out of memory."""
    signs = ("out of memory", "not enough memory", "can't allocate memory", "bad_alloc", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)
