"""Simple models on a study's own splits: what its networks are to be compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpsearch.records import Baseline, Scoring

BASELINES = "baselines"
"""Purpose of the scoring that stores them."""


def pack_baselines(found: Sequence[Baseline]) -> tuple[dict[str, Any], bytes]:
    """What is stored of them, bit for bit: a scoring's subject and outcome."""
    from safetensors.numpy import save

    unknown = float("nan")
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "scores": np.array(
            [[unknown if value is None else value for value in (each.valid, each.test)] for each in found]
        ).reshape(-1, 2),
        "seconds": np.array([each.seconds for each in found]),
    }
    for place, each in enumerate(found):
        arrays |= {f"counts.{place}": each.counts, f"shares.{place}": each.shares}
    about: dict[str, Any] = {
        "names": [each.name for each in found],
        "notes": [each.note for each in found],
    }
    if any(each.decided is not None for each in found):
        about |= {
            "thresholds": [each.threshold for each in found],
            "decided": [each.decided for each in found],
        }
    return about, save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def unpack_baselines(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> tuple[Baseline, ...]:
    """The inverse of `pack_baselines`.

    Raises:
        ValueError: a value is of another type.
    """
    words = [*about["names"], *about["notes"]]
    if not all(isinstance(each, str) for each in words):
        raise ValueError(f"names and notes: expected texts; found {words}")
    numbers = [value for name in ("thresholds", "decided") for value in about.get(name, ())]
    if not all(value is None or isinstance(value, float) for value in numbers):
        raise ValueError(f"thresholds: expected numbers; found {numbers}")
    scores = [[None if np.isnan(value) else float(value) for value in row] for row in arrays["scores"]]
    return tuple(
        Baseline(
            name,
            scores[place][0],
            scores[place][1],
            float(arrays["seconds"][place]),
            about["notes"][place],
            arrays[f"counts.{place}"],
            arrays[f"shares.{place}"],
            # Earlier versions decided at 0.5.
            *(about[name][place] for name in ("thresholds", "decided") if name in about),
        )
        for place, name in enumerate(about["names"])
    )


def stored_baselines(scorings: Sequence[Scoring]) -> Scoring | None:
    """The scoring that holds a study's baselines, if there is one."""
    return next((each for each in scorings if each.purpose == BASELINES), None)
