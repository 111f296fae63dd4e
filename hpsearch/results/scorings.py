"""Looks at the rows that are kept back, as they are stored, and what a report makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpsearch.errors import StorageError
from hpsearch.records import FloatArray, Scoring, State, StudyRecord, Trial, Trials
from hpsearch.results.comparison import Comparison
from hpsearch.results.confirmation import Confirmation, Finalist, Use
from hpsearch.store import StudyStore

CONFIRMATION, COMPARISON = "confirmation", "comparison"
TEST, VALIDATION = "test", "validation"


def pack(
    scores: FloatArray, losses: FloatArray, curves: Sequence[Sequence[FloatArray]], complete: int
) -> bytes:
    """What came out of a confirmation, bit for bit.

    scores, losses: [finalists, seeds]. curves: of each finalist, one a seed. complete: trials from which the
    finalists were chosen.
    """
    from safetensors.numpy import save

    arrays = {"scores": scores, "losses": losses, "complete": np.array([complete])}
    for place, own in enumerate(curves):
        arrays |= {f"curve.{place}.{index}": curve for index, curve in enumerate(own)}
    packed: bytes = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    return packed


def confirmation_of(
    record: StudyRecord, trials: Sequence[Trial], scorings: Sequence[Scoring], number: int | None = None
) -> Confirmation | None:
    """The last confirmation, or that of scoring `number`; None before the first.

    trials: the study's, in number order. scorings: all of them.

    Raises:
        StorageError: what is stored of it cannot be read.
    """
    confirmations = [each for each in scorings if each.purpose == CONFIRMATION]
    last = next((each for each in reversed(confirmations) if number in (None, each.number)), None)
    if last is None:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(last.data)
        about = last.about
        finalists = tuple(
            _finalist(trials[number], about["epochs"][place], place, arrays)
            for place, number in enumerate(about["trials"])
        )
        return Confirmation(
            metric=record.metric,
            maximize=record.direction == "maximize",
            part=about["part"],
            rows=about["rows"],
            seeds=about["seeds"],
            resampled=about["resampled"],
            complete=int(arrays["complete"][0]),
            finalists=finalists,
            uses=uses_of(record, scorings),
            values=_values(trials),
            study=record.name,
        )
    except (SafetensorError, LookupError, ValueError) as error:
        raise StorageError(
            f'study "{record.name}": scoring {last.number} is not as hpsearch writes it ({error!r})'
        ) from None


def count_comparison(store: StudyStore, comparison: Comparison) -> None:
    """Note that a comparison has looked at the test part; the same one is no new look.

    Raises:
        StorageError: the database cannot be written.
    """
    if comparison.part == TEST:
        about = {
            "by": comparison.by,
            "trials": [arm.trial for arm in comparison.arms if arm.trial is not None],
            "seeds": comparison.seeds,
            "rows": comparison.rows,
        }
        store.add_scoring(COMPARISON, about)


def uses_of(record: StudyRecord, scorings: Sequence[Scoring]) -> tuple[Use, ...]:
    """All looks at the rows that are kept back, those at which a fork's parent was, first."""
    before = (
        Use(f"{each['purpose']} of {record.parent['study']}", each["trials"], each["seeds"])
        for each in record.parent.get("scorings", ())
    )
    own = (Use(each.purpose, *_extent(each.about), each.when) for each in scorings)
    return (*before, *own)


def inherited(scorings: Sequence[Scoring], parent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a fork's record keeps of its parent's looks and those before: all have the same rows kept back."""
    own = [
        {"purpose": each.purpose, "trials": trials, "seeds": seeds}
        for each in scorings
        for trials, seeds in [_extent(each.about)]
    ]
    return [*parent.get("scorings", ()), *own]


def _values(trials: Sequence[Trial]) -> tuple[float, ...]:
    joined = Trials.join(trials)
    complete = (
        value for value, state in zip(joined.value, joined.state, strict=True) if state is State.COMPLETE
    )
    return tuple(value for value in complete if value is not None and math.isfinite(value))


def _extent(about: Mapping[str, Any]) -> tuple[int, int]:
    """How many trials were scored, and on how many seeds."""
    return len(about.get("trials", ())), int(about.get("seeds", 0))


def _finalist(trial: Trial, epochs: int, place: int, arrays: Mapping[str, Any]) -> Finalist:
    scores, losses = arrays["scores"][place], arrays["losses"][place]
    curves = tuple(arrays[f"curve.{place}.{index}"] for index in range(len(scores)))
    selected = float("nan") if trial.value is None else trial.value
    return Finalist(trial.number, selected, epochs, scores, losses, curves, trial.params)
