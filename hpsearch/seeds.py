"""The one source of randomness: each random thing is a function of (study seed, purpose, index)."""

from __future__ import annotations

import hashlib

import numpy as np


def sequence(seed: int, purpose: str, *index: int) -> np.random.SeedSequence:
    """Seed sequence for one purpose ("order", "initial weights", …) and index (epoch, trial, …)."""
    digest = hashlib.sha256(purpose.encode()).digest()[:8]
    return np.random.SeedSequence([seed, int.from_bytes(digest, "little"), *index])


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Random generator (PCG64) for one purpose and index."""
    return np.random.Generator(np.random.PCG64(sequence(seed, purpose, *index)))


def integer(seed: int, purpose: str, *index: int) -> int:
    """A 32-bit integer for libraries that want to be seeded with one."""
    return int(sequence(seed, purpose, *index).generate_state(1)[0])
