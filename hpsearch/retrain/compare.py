"""The comparison that a study asks for: each arm's best trial, trained again on fresh seeds and scored once.

Everything follows from the stored trials, the data and the study's seed, so that it is computed anew whenever
it is shown, and nothing of it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpsearch.data import Dataset
from hpsearch.errors import HpsearchError
from hpsearch.records import State, Trial
from hpsearch.results.comparison import Arm, Comparison
from hpsearch.results.frames import Report
from hpsearch.retrain.fresh_seeds import Candidate, scored_part, train_fresh
from hpsearch.study.arms import Arm as ArmValues
from hpsearch.study.arms import arm_name, arm_of, arm_values, baseline_arm, names_of
from hpsearch.study.file import Study


@dataclass(frozen=True)
class _Choice:
    """An arm's best trial, to be trained again."""

    candidate: Candidate
    trial: int


def compare(
    study: Study, dataset: Dataset, trials: Sequence[Trial], report: Report, device: str, workers: int
) -> Comparison:
    """What `[compare]` asks: arms, and their scores on the test part, or on validation if there is none.

    For each arm the best complete trial by validation is trained again with each of the seeds, for the epochs
    after which it was best. With a seed, all arms see the same mini-batches and the same split.

    Raises:
        HpsearchError: the baseline has no complete trial.
    """
    asked = study.compare
    assert asked is not None
    members = _members(study, trials)
    chosen = _chosen(study, trials, report)
    by = names_of(asked)
    names = {value: arm_name(by, value) for value in members}
    baseline = baseline_arm(asked)
    if baseline is None:
        baseline = next(iter(chosen), None)  # they come best first
    if baseline not in chosen:
        what = "any arm" if baseline is None else f"the baseline {names[baseline]}"
        raise HpsearchError(f"{what} has no complete trial to be compared with; train more of them")
    name, part = scored_part(dataset)
    candidates = [choice.candidate for choice in chosen.values()]
    repeats = train_fresh(study, dataset, candidates, asked.seeds, device=device, workers=workers)
    scores = {value: each.scores for value, each in zip(chosen, repeats, strict=True)}
    arms = [
        Arm(
            names[value],
            len(own),
            sum(trial.state is State.COMPLETE for trial in own),
            chosen[value].trial if value in chosen else None,
            chosen[value].candidate.epochs if value in chosen else None,
            scores.get(value, np.empty(0)),
        )
        for value, own in members.items()
    ]
    maximize = study.direction == "maximize"
    metric = study.train.metric or ""
    return Comparison(
        " · ".join(by), metric, maximize, names[baseline], tuple(arms), asked.seeds, name, len(part)
    )


def _members(study: Study, trials: Sequence[Trial]) -> dict[ArmValues, list[Trial]]:
    """The trials of each arm, arms in the study file's order."""
    assert study.compare is not None
    by = names_of(study.compare)
    members: dict[ArmValues, list[Trial]] = {value: [] for value in arm_values(study.space, by)}
    for trial in trials:
        value = arm_of(study.space, trial.params, by)
        if value is not None:
            members[value].append(trial)
    return members


def _chosen(study: Study, trials: Sequence[Trial], report: Report) -> dict[ArmValues, _Choice]:
    """The best complete trial of each arm that has one, the best arm first."""
    assert study.compare is not None
    by_number = {trial.number: trial for trial in trials}
    chosen: dict[ArmValues, _Choice] = {}
    for number in report.ranked["trial"].tolist():
        trial = by_number[number]
        value = arm_of(study.space, trial.params, names_of(study.compare))
        if value is not None and value not in chosen and trial.best_epoch is not None:
            candidate = Candidate(study.space.configuration(trial.params), trial.best_epoch)
            chosen[value] = _Choice(candidate, number)
    return chosen
