"""Advice from the learning curves of the best trials: how long to train, overfitting, noise.

All of it is in the Tuning Playbook (Godbole et al. 2023), "Examining the training curves". The best ten count
whose curves have all epochs.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

import numpy as np

from hpsearch.records import TRAIN_LOSS, VALID_LOSS, FloatArray
from hpsearch.results.advice.evidence import (
    FEWER_EPOCHS,
    FEWEST_CURVES,
    Advice,
    Evidence,
    counted,
    percent,
    surely_above,
)

_FEWEST_EPOCHS = 8
_SHORTER = (8, 4, 3)
"""Fewer epochs are advised if one in so many is enough, tried in this order."""
_ENOUGH = 0.01
"""How often a gain as large as the noise may be taken for a smaller one."""
_RISE = 0.1
"""By which share of its lowest the validation loss must have risen."""
_DECAY = "{ low = 1e-6, high = 1e-2, log = true }"


def more_epochs(evidence: Evidence) -> Iterator[Advice]:
    """Whether the best still improve when training ends: in its last quarter by more than the noise.

    "Are the trials still improving at the end of training?" Where the learning rate falls to an end of its
    schedule, all do, and nothing follows; so only trials with a constant one count.
    """
    constant = np.array([s == "constant" for s in evidence.settings(evidence.whole, "schedule")], dtype=bool)
    metric, noise = evidence.best_metric[constant], evidence.noise
    if len(metric) < FEWEST_CURVES or noise is None or evidence.epochs < _FEWEST_EPOCHS:
        return
    quarter = evidence.epochs // 4
    gains = metric[:, -quarter:].mean(1) - metric[:, -2 * quarter : -quarter].mean(1)
    if not surely_above(gains) or min(gains.mean(), np.median(gains)) < noise:
        return
    text = (
        f"the best {counted(len(gains))} were still improving when training ended: their {evidence.metric} "
        f"is better by {evidence.amount(gains.mean())} on average in the last {quarter} epochs than in the "
        f"{quarter} before (noise of an epoch: {evidence.amount(noise)})"
    )
    remedy = evidence.accepted([f"train.epochs = {2 * evidence.epochs}"])
    yield Advice("more epochs", text, remedy, 0.9 * float(gains.mean() / (gains.mean() + noise)))


def fewer_epochs(evidence: Evidence) -> Iterator[Advice]:
    """Whether a third of the epochs, or less, would have been enough for the best.

    "Has performance on training and validation sets saturated long before the final training step?" Enough
    is when what they gained later is surely less than the noise of an epoch, on average over some epochs.
    Where that noise hides the differences between the best, nothing follows.
    """
    metric, noise = evidence.best_metric, evidence.noise
    if noise is None or evidence.unstable or evidence.epochs < _FEWEST_EPOCHS:
        return
    late = metric[:, -(evidence.epochs // 4) :].mean(1)
    for part in _SHORTER:
        enough = evidence.epochs // part
        gains = late - metric[:, enough // 2 : enough].mean(1)
        if enough < 2 or not surely_above(-gains, -noise, _ENOUGH):
            continue
        had = f"the best {counted(len(gains))} had their {evidence.metric} by epoch {enough} already"
        less = f"less than the noise of an epoch, {evidence.amount(noise)}"
        after = f"what came later {_gain(evidence, gains)}, on average, {less}"
        if gains.mean() < -noise:
            after = f"after that it got worse, by {evidence.amount(-gains.mean())} on average"
        text = f"{had}: {after}; in the same time {part} times as many trials could be trained"
        remedy = evidence.accepted([f"train.epochs = {enough}"])
        yield Advice(FEWER_EPOCHS, text, remedy, 0.3 * (1 - 1 / part))
        return


def overfitting(evidence: Evidence) -> Iterator[Advice]:
    """Whether the validation loss of the best rises while their training loss falls.

    "Are any trials exhibiting problematic overfitting?" Compared are the last quarter of the epochs and those
    about the one in which the validation loss is lowest, on average over the trials.
    """
    curves, epochs = evidence.best_curves, evidence.epochs
    if len(curves) < FEWEST_CURVES or epochs < _FEWEST_EPOCHS:
        return
    valid, train = curves[:, :, VALID_LOSS], curves[:, :, TRAIN_LOSS]
    if valid.min() <= 0:  # as Poisson's may be, of which no share can be told
        return
    lowest = int((valid / valid.min(1, keepdims=True)).mean(0).argmin())
    quarter = epochs // 4
    if lowest + 2 >= epochs - quarter:
        return
    about = slice(max(lowest - 1, 0), lowest + 2)
    rises = valid[:, -quarter:].mean(1) / valid[:, about].mean(1) - 1
    falls = 1 - train[:, -quarter:].mean(1) / train[:, about].mean(1)
    if rises.mean() < _RISE or not (surely_above(rises) and surely_above(falls)):
        return
    text = (
        f"overfitting: from epoch {lowest + 1} on the validation loss of the best {counted(len(curves))} "
        f"rises by {percent(rises.mean())} on average while their training loss falls by "
        f"{percent(falls.mean())}"
    )
    strength = 0.7 * float(np.tanh(2 * rises.mean()))
    yield Advice("overfitting", text, _regularised(evidence, lowest + 1), strength)


def _regularised(evidence: Evidence, lowest: int) -> str | None:
    """What is not searched yet of weight decay and dropout; or fewer epochs."""
    searched = evidence.study.space.searched
    remedies = []
    if not any(name.endswith("weight_decay") for name in searched):
        remedies.append(f"space.weight_decay = {_DECAY}")
    if "dropout" not in searched:
        remedies.append("space.dropout = { low = 0.0, high = 0.5 }")
    return evidence.accepted([*remedies, f"train.epochs = {max(lowest, 2)}"])


def unstable(evidence: Evidence) -> Iterator[Advice]:
    """Whether the order of the best is that of their noise; see Evidence.unstable.

    "Is there high step-to-step variance in the training or validation error late in training?"
    """
    noise, spread = evidence.noise, evidence.spread
    if not evidence.unstable or noise is None:
        return
    text = (
        f"unstable: the {evidence.metric} of the best ten varies from epoch to epoch by "
        f"{evidence.amount(noise)} (standard deviation), their ranked values by {evidence.amount(spread)}: "
        "the order is chance"
    )
    yield Advice("unstable", text, _calmer(evidence), 0.5 * noise / (noise + spread))


def _calmer(evidence: Evidence) -> str | None:
    """A schedule that falls where there is none; otherwise a confirmation, unless there is one."""
    if evidence.study.space.values("schedule") == ("constant",):
        return evidence.accepted(['space.schedule = "cosine"'])
    if evidence.report.confirmation is None:
        return f"hpsearch confirm {quote(evidence.report.record.name)}"
    return None


def _gain(evidence: Evidence, gains: FloatArray) -> str:
    gain = float(gains.mean())
    return f"is better by {evidence.amount(gain)}" if gain > 0 else f"is worse by {evidence.amount(-gain)}"
