"""A stored study as a report, and the stored scorings of its held-out rows."""

from __future__ import annotations

import gc
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpsearch.errors import check_trial
from hpsearch.records import Baseline, IntArray, Scoring, State, StudyRecord, Trial, Trials
from hpsearch.results.baselines import BASELINES, stored_baselines, unpack_baselines
from hpsearch.results.confirmation import TEST, Confirmation, Finalist, Retrained, Use
from hpsearch.results.contrast import Arm, Contrast
from hpsearch.results.frames import Report, check_finished, trials_frame, with_note
from hpsearch.results.packed import unpacked
from hpsearch.results.repeats import REPEAT, Asked, over_repeats, repeats_in
from hpsearch.store import StudyStore

CONFIRMATION, COMPARISON = "confirmation", "comparison"
_SAID = ("counts", "pairs", "shares", "decided")
"""What finalists say of single rows, and on validation with a threshold; earlier versions stored none."""


def pack(finalists: Sequence[Retrained], complete: int) -> bytes:
    """The results of a confirmation, bit for bit; complete: trials from which the finalists were chosen."""
    from safetensors.numpy import save

    arrays = {
        "scores": np.array([each.scores for each in finalists]),
        "losses": np.array([each.losses for each in finalists]),
        "complete": np.array([complete]),
    }
    for place, each in enumerate(finalists):
        arrays |= {f"curve.{place}.{index}": curve for index, curve in enumerate(each.curves)}
        arrays |= {f"{name}.{place}": getattr(each, name) for name in _SAID if getattr(each, name).size}
        if each.decided.size:
            arrays[f"threshold.{place}"] = np.array([each.threshold])
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
    joined = Trials.join(trials)
    complete = (
        value for value, state in zip(joined.value, joined.state, strict=True) if state is State.COMPLETE
    )
    with unpacked(record.name, last) as arrays:
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
            values=tuple(value for value in complete if value is not None and math.isfinite(value)),
            study=record.name,
        )


def baselines_of(record: StudyRecord, scorings: Sequence[Scoring]) -> tuple[Baseline, ...]:
    """The stored baselines; none in studies of earlier versions, or where the study file leaves them out.

    Raises:
        StorageError: what is stored of them cannot be read.
    """
    stored = stored_baselines(scorings) if record.document["study"].get("baselines", True) else None
    if stored is None:
        return ()
    with unpacked(record.name, stored) as arrays:
        return unpack_baselines(stored.about, arrays)


def store_comparison(store: StudyStore, found: Contrast) -> None:
    """Store the answer to `[compare]`; it counts as a look at the scored split.

    Raises:
        StorageError: the database cannot be written.
    """
    from safetensors.numpy import save

    scored = [place for place, arm in enumerate(found.arms) if arm.trial is not None]
    arms = [found.arms[place] for place in scored]
    about = {
        "by": found.by,
        "trials": [arm.trial for arm in arms],
        "seeds": found.seeds,
        "rows": found.rows,
        "part": found.part,
        "epochs": [arm.epochs for arm in arms],
        "arms": [arm.name for arm in found.arms],
        "baseline": found.base,
        "finished": found.finished,
        "compare": store.record.document["compare"],
        "of": Asked.of_arms(store.record).of,
    }
    arrays = {
        "scores": np.array([arm.scores for arm in arms]),
        "losses": np.array([arm.losses for arm in arms]),
        "places": np.array(scored),
        "counts": np.array([(arm.trials, arm.complete) for arm in found.arms]),
    }
    store.add_scoring(COMPARISON, about, save(arrays))


def comparison_of(
    record: StudyRecord, trials: Sequence[Trial], scorings: Sequence[Scoring]
) -> Contrast | None:
    """The last stored answer to what the study's `[compare]` asks now with its repeats, or None.

    trials: the study's, in number order. scorings: all of them; those of earlier versions have no numbers.

    Raises:
        StorageError: what is stored of it cannot be read.
    """
    last = _last_comparison(record, scorings)
    if last is None:
        return None
    with unpacked(record.name, last) as arrays:
        about = last.about
        scored = {int(place): at for at, place in enumerate(arrays["places"])}
        found = Contrast(
            by=about["by"],
            metric=record.metric,
            maximize=record.direction == "maximize",
            arms=tuple(
                _stored_arm(name, scored.get(place), arrays["counts"][place], about, arrays, trials)
                for place, name in enumerate(about["arms"])
            ),
            base=about["baseline"],
            seeds=about["seeds"],
            part=about["part"],
            rows=about["rows"],
            finished=about["finished"],
        )
    wanted = Asked.of_arms(record)
    wanted = replace(wanted, of=about.get("of", wanted.of))
    return over_repeats(found, wanted, [repeats_in(record.name, scorings, wanted)])


def is_current(record: StudyRecord, trials: Sequence[Trial], scorings: Sequence[Scoring]) -> bool:
    """Whether the last stored answer, perhaps without all of its repeats, is of the study as it is now."""
    last = _last_comparison(record, scorings)
    if last is None:
        return False
    of = Asked.of_arms(record).of
    return bool(last.about["finished"] == finished(trials) and last.about.get("of", of) == of)


def _last_comparison(record: StudyRecord, scorings: Sequence[Scoring]) -> Scoring | None:
    asked = record.document.get("compare")
    stored = (each for each in reversed(scorings) if each.purpose == COMPARISON and each.data)
    return next((each for each in stored if asked and _same_question(each.about.get("compare"), asked)), None)


def _same_question(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    """Whether the answer to one is that to the other; repeats of it are scorings of their own."""
    return before is not None and all(
        before.get(key) == now.get(key) for key in {*before, *now} - {"repeats"}
    )


def _stored_arm(
    name: str,
    at: int | None,
    counts: IntArray,
    about: Mapping[str, Any],
    arrays: Mapping[str, Any],
    trials: Sequence[Trial],
) -> Arm:
    """The arm with the scores at place `at`, or without any."""
    there, complete = map(int, counts)
    if at is None:
        return Arm(None, None, np.empty(0), name=name, trials=there, complete=complete)
    return Arm(
        trial=about["trials"][at],
        epochs=about["epochs"][at],
        scores=arrays["scores"][at],
        losses=arrays["losses"][at],
        params=trials[about["trials"][at]].params,
        name=name,
        trials=there,
        complete=complete,
    )


def answered(report: Report, trials: Sequence[Trial], scorings: Sequence[Scoring]) -> Report:
    """The report with the stored answer to `[compare]`, or a note on how to get it."""
    if "compare" not in report.record.document:
        return report
    found, now = comparison_of(report.record, trials, scorings), finished(trials)
    again = f"`hpsearch run {report.record.origin or report.record.name}`"
    if found is None:
        return with_note(report, f"no comparison yet: {again} ends with the one that [compare] asks for")
    if found.finished < now:
        earlier = (
            f"the comparison covers {found.finished:,} finished trials, of {now:,} now: {again} ends with a "
            "new one"
        )
        report = with_note(report, earlier)
    return replace(report, comparison=found)


def finished(trials: Sequence[Trial]) -> int:
    """How many trials are finished."""
    return sum(state.finished for state in Trials.join(trials).state)


def uses_of(record: StudyRecord, scorings: Sequence[Scoring]) -> tuple[Use, ...]:
    """All looks at the held-out rows, those of a fork's parent first."""
    before = (
        Use(f"{each['purpose']} of {record.parent['study']}", each["trials"], each["seeds"])
        for each in record.parent.get("scorings", ())
    )
    own = (Use(each.purpose, trials, seeds, each.when) for each, trials, seeds in _looks(scorings))
    return (*before, *own)


def inherited(scorings: Sequence[Scoring], parent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The looks of a fork's parent and those it inherited: all are at the same held-out rows."""
    own = [
        {"purpose": each.purpose, "trials": trials, "seeds": seeds}
        for each, trials, seeds in _looks(scorings)
    ]
    return [*parent.get("scorings", ()), *own]


def _looks(scorings: Sequence[Scoring]) -> list[tuple[Scoring, int, int]]:
    """Scorings that are looks of their own, with the trials that each scored and the seeds.

    An answer on the validation split is none: all trials were chosen there. Nor is one with the numbers of an
    earlier one: trials added since changed no arm's best. Nor are baselines: a look counts because a network
    may be chosen by it, which flatters it; these score no network, and nothing about them is chosen. Repeats
    choose nothing either, and score other splits.
    """
    looks, seen = list[tuple[Scoring, int, int]](), []
    for each in scorings:
        about = each.about
        if each.purpose in (BASELINES, REPEAT):
            continue
        if each.purpose == COMPARISON and "by" in about:
            numbers = [about[name] for name in ("by", "trials", "seeds", "rows")]
            if about.get("part", TEST) != TEST or numbers in seen:
                continue
            seen.append(numbers)
        looks.append((each, len(about.get("trials", ())), int(about.get("seeds", 0))))
    return looks


def _finalist(trial: Trial, epochs: int, place: int, arrays: Mapping[str, Any]) -> Finalist:
    scores, losses = arrays["scores"][place], arrays["losses"][place]
    curves = tuple(arrays[f"curve.{place}.{index}"] for index in range(len(scores)))
    selected = float("nan") if trial.value is None else trial.value
    said = {name: arrays[f"{name}.{place}"] for name in _SAID if f"{name}.{place}" in arrays}
    if "decided" in said:
        said["threshold"] = float(arrays[f"threshold.{place}"][0])
    return Finalist(trial.number, epochs, scores, losses, curves, trial.params, selected, **said)


def report_of(
    store: StudyStore, *, only: Sequence[int] = (), curves: bool = True
) -> tuple[Report, Sequence[Trial]]:
    """The study as a report, and its trials.

    Args:
        only: numbers of the wanted trials, all when empty; ranks are then among these alone.
        curves: whether to read them.

    Raises:
        HpsearchError: no trial of it is finished, or a wanted one is missing.
    """
    record, counts = store.record, store.counts()
    check_finished(record, counts)
    for number in only:
        check_trial(record.name, number, sum(counts.values()), "--trial")
    trials, lines = store.read(only or None, curves=curves)
    report = Report(record, trials_frame(record, trials), lines, runs=tuple(store.runs()))
    if not only:
        scorings = store.scorings()
        report = replace(
            report,
            confirmation=confirmation_of(record, trials, scorings),
            baselines=baselines_of(record, scorings),
        )
        report = answered(report, trials, scorings)
    gc.freeze()  # many objects that live to the end: garbage collection need not search them
    return report, trials
