"""Repeats of a comparison: what is stored of each, and the contrast over all of them.

A repeat splits the rows anew, searches, chooses each arm's best by validation, and trains it on a few fresh
seeds. It is a scoring of its study, so that a comparison that was interrupted goes on with the next repeat.
Bouthillier et al. (2021), "Accounting for variance in machine learning benchmarks", MLSys 3.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpsearch import seeds
from hpsearch.defaults import REPEAT_SEEDS
from hpsearch.records import FloatArray, Scoring, StudyRecord
from hpsearch.results.confirmation import Retrained
from hpsearch.results.contrast import Choice, Contrast, Pairing, Repeats, Rows
from hpsearch.results.packed import unpacked

REPEAT = "repeat"
"""Purpose of their scorings."""


def repeat_seed(seed: int, repeat: int) -> int:
    """The study seed of a repeat, from which everything random in it follows; the first has the study's."""
    return seed if repeat == 0 else seeds.integer(seed, "repeat", repeat)


@dataclass(frozen=True)
class Asked:
    """Which repeats are wanted of a study.

    of: hash of everything that their numbers depend on but the number of the repeat. count: how many, the
    first one included. first: number of the first that is stored as a repeat. seeds: fresh ones in each.
    """

    of: str
    seed: int
    count: int
    first: int = 0
    seeds: int = REPEAT_SEEDS

    @classmethod
    def of_arms(cls, record: StudyRecord) -> Asked:
        """What a study's `[compare]` asks. Repeat 0 is the study itself, whose comparison is stored."""
        section = record.document["compare"]
        own_seed = record.document["study"]["seed"]
        by = _hash(record, {"by": section["by"], "seeds": REPEAT_SEEDS})
        return cls(by, own_seed, section.get("repeats", 1), 1)

    @classmethod
    def of_subject(cls, record: StudyRecord, seed: int, count: int, metric: str, trial: int | None) -> Asked:
        """Of a study or a trial that is compared with another, with the seeds of the first of both."""
        about = {"seed": seed, "metric": metric, "trial": trial, "seeds": REPEAT_SEEDS}
        return cls(_hash(record, about), seed, count)

    @property
    def seeds_by_repeat(self) -> dict[int, int]:
        """The study seed of each repeat that is stored as one."""
        return {number: repeat_seed(self.seed, number) for number in range(self.first, self.count)}


def _hash(record: StudyRecord, more: Mapping[str, Any]) -> str:
    document = {key: value for key, value in record.document.items() if key != "compare"}
    document["study"] = {"seed": record.document["study"]["seed"]}
    text = json.dumps([document, record.data_hash, more], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Repeat:
    """One of them. arms: with scores on its fresh seeds; overlap, rows: as in `Repeats`."""

    arms: Sequence[Retrained]
    rows: Rows
    overlap: float


def about_repeat(asked: Asked, number: int, found: Repeat, part: str) -> dict[str, Any]:
    """What is stored of a repeat, beside its scores."""
    return {
        "of": asked.of,
        "repeat": number,
        "seed": repeat_seed(asked.seed, number),
        "part": part,
        "drawn": str(found.rows),
        "overlap": found.overlap,
        "seeds": asked.seeds,
        "trials": [arm.trial for arm in found.arms],
        "epochs": [arm.epochs for arm in found.arms],
        "params": [dict(arm.params) for arm in found.arms],
    }


def pack_repeat(found: Repeat, count: int) -> bytes:
    """Its scores and losses [arms, seeds] bit for bit; NaN for an arm without a complete trial."""
    from safetensors.numpy import save

    nothing = np.full(count, np.nan)
    packed: bytes = save(
        {
            name: np.array([own if len(own := getattr(arm, name)) else nothing for arm in found.arms])
            for name in ("scores", "losses")
        }
    )
    return packed


def repeats_in(study: str, scorings: Sequence[Scoring], asked: Asked) -> dict[int, Repeat]:
    """Those of the wanted repeats that are stored, by number; study: its name.

    Raises:
        StorageError: what is stored of one cannot be read.
    """
    found = {}
    for each in scorings:
        about = each.about
        if each.purpose != REPEAT or about.get("of") != asked.of or about["repeat"] >= asked.count:
            continue
        with unpacked(study, each) as arrays:
            arms = tuple(
                Retrained(trial, epochs, scores, losses, (), params)
                for trial, epochs, scores, losses, params in zip(
                    about["trials"],
                    about["epochs"],
                    arrays["scores"],
                    arrays["losses"],
                    about["params"],
                    strict=True,
                )
            )
            found[about["repeat"]] = Repeat(arms, Rows(about["drawn"]), about["overlap"])
    return found


def over_repeats(
    found: Contrast, asked: Asked, stored: Sequence[Mapping[int, Repeat]], *, paired: bool = True
) -> Contrast:
    """The contrast with what its repeats say, as far as they are stored.

    Args:
        stored: by number, of a study whose arms are compared; or of each of two subjects, whose repeats have
            an arm each. paired: whether the arms of a repeat are scored on the same rows.
    """
    if asked.count == 1:
        return found
    numbers = [at for at in range(asked.first, asked.count) if all(at in own for own in stored)]
    if not numbers:
        return found
    tables = [[arm for own in stored for arm in own[at].arms] for at in numbers]
    last = [own[numbers[-1]] for own in stored]
    rows, overlap = last[0].rows, max(own.overlap for own in last)
    scores = [[mean_score(arm.scores) for arm in arms] for arms in tables]
    losses = [[mean_score(arm.losses) for arm in arms] for arms in tables]
    if asked.first:
        tables.insert(0, list(found.arms))
        scores.insert(0, [mean_score(arm.scores[: asked.seeds]) for arm in found.arms])
        losses.insert(0, [mean_score(arm.losses[: asked.seeds]) for arm in found.arms])
    arms = tuple(
        replace(arm, scores=np.array(own), losses=np.array(lost), curves=(), search=None)
        for arm, own, lost in zip(
            found.arms, zip(*scores, strict=True), zip(*losses, strict=True), strict=True
        )
    )
    searched = any(arm.choice is not Choice.ASKED for arm in found.arms)
    over = replace(
        found,
        arms=arms,
        seeds=len(scores),
        pairing=Pairing.SEEDS if paired else Pairing.NOTHING,
        repeats=Repeats(asked.count, asked.seeds, rows, overlap, searched),
    )
    return replace(found, repeated=over)


def mean_score(scores: FloatArray) -> float:
    """The mean over the seeds that did not diverge; NaN if all did, or if there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(np.nanmean(scores)) if len(scores) else float("nan")
