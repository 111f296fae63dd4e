"""Advice from how trials went: learning curves, what went wrong, too few trials, a metric that says little.

Learning curves are read as in the Tuning Playbook (Godbole et al. 2023), "Examining the training curves"; of
the best ten trials, those count whose curves have all epochs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from shlex import quote

import numpy as np

from hpsearch.records import TRAIN_LOSS, VALID_LOSS, FloatArray, State, Task
from hpsearch.results.advice.evidence import (
    ENOUGH,
    FEWER_EPOCHS,
    FEWEST_CURVES,
    LEVEL,
    NO_BETTER_THAN_A_GUESS,
    Advice,
    Evidence,
    counted,
    percent,
    surely_above,
)
from hpsearch.results.advice.space import two_digits
from hpsearch.results.lessons.roles import best_weights
from hpsearch.study.space import Choice, Range
from hpsearch.text import metric_text, plain, toml_value

_FEWEST_EPOCHS = 8
_SHORTER = (8, 4, 3)
"""Fewer epochs are advised if one in so many is enough, tried in this order."""
_ENOUGH = 0.01
"""How often a gain as large as the noise may be taken for a smaller one."""
_RISE = 0.1
"""By which share of its lowest the validation loss must have risen."""
_DECAY = "{ low = 1e-6, high = 1e-2, log = true }"


def more_epochs(evidence: Evidence) -> Iterator[Advice]:
    """Whether the best still improve in the last quarter of training, by more than the noise.

    "Are the trials still improving at the end of training?" All do where the learning rate decays, so only
    trials with a constant one count.
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
        f"in the last {quarter} epochs is {evidence.amount(gains.mean())} better on average than in the "
        f"{quarter} before (epoch noise: {evidence.amount(noise)})"
    )
    remedy = evidence.accepted([f"train.epochs = {2 * evidence.epochs}"])
    yield Advice("more epochs", text, remedy, 0.9 * float(gains.mean() / (gains.mean() + noise)))


def fewer_epochs(evidence: Evidence) -> Iterator[Advice]:
    """Whether a third of the epochs, or less, would have been enough for the best.

    "Has performance on training and validation sets saturated long before the final training step?" Epochs
    are enough if the later gain, on average over some epochs, is surely less than the noise of an epoch. If
    that noise hides the differences between the best, nothing follows.
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
        gain = float(gains.mean())
        worse = f"then it got {evidence.amount(-gain)} worse on average"
        after = f"later epochs improved it by {evidence.amount(gain)} on average" if gain > 0 else worse
        if gain >= -noise:
            after += f", less than the noise of an epoch, {evidence.amount(noise)}"
        text = (
            f"the best {counted(len(gains))} had reached their {evidence.metric} by epoch {enough}: {after}; "
            f"the same time would train {part} times as many trials"
        )
        remedy = evidence.accepted([f"train.epochs = {enough}"])
        yield Advice(FEWER_EPOCHS, text, remedy, 0.3 * (1 - 1 / part))
        return


def overfitting(evidence: Evidence) -> Iterator[Advice]:
    """Whether the validation loss of the best rises while their training loss falls.

    "Are any trials exhibiting problematic overfitting?" Compares the last quarter of the epochs with those
    around the lowest validation loss, on average over the trials.
    """
    curves, epochs = evidence.best_curves, evidence.epochs
    if len(curves) < FEWEST_CURVES or epochs < _FEWEST_EPOCHS:
        return
    valid, train = curves[:, :, VALID_LOSS], curves[:, :, TRAIN_LOSS]
    if valid.min() <= 0:  # as Poisson's may be: a rise has no percentage then
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
        f"overfitting: from epoch {lowest + 1} on, the validation loss of the best {counted(len(curves))} "
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


MANY_DEAD = 0.5
"""Share of a layer's units above which the layer counts as dead."""

REMEDIES = 'a smaller learning_rate, init = "kaiming" or activation = "leaky_relu" keeps them alive'

_FEWEST = 3
"""Diverged trials, or trials with dead layers, below which nothing is said."""
_FEW_DIVERGED = 0.02
"""The share of trials that may diverge: ranges should reach a little too far."""
_FEWEST_STUCK = 5
_FLAT, _NEAR_CHANCE = 0.02, 0.9
_SATURATING = ("sigmoid", "tanh")


def divergence(evidence: Evidence) -> Iterator[Advice]:
    """A learning rate above which trials diverge, or learning_rate/(1 − momentum), the effective step.

    Tuning Playbook, "How can optimization failures be debugged and mitigated?" By the rank-sum test (Mann &
    Whitney 1947) of diverged trials against the others; the bound separates them best (Youden 1950).
    The range should end there, but not below the best ten; where these lie among the diverged, the warm-up of
    that section is advised instead.
    """
    trials = evidence.finished
    diverged = (trials["state"] == str(State.FAILED)).to_numpy()
    for name, entry in evidence.study.space.searched.items():
        if not (name.endswith("learning_rate") and isinstance(entry, Range)):
            continue
        rate = evidence.numbers(trials, name)
        there = ~np.isnan(rate)
        lost = diverged & there
        if lost.sum() < max(_FEWEST, _FEW_DIVERGED * there.sum()):
            continue
        if lost.sum() == there.sum():
            yield _all_diverged(evidence, name, entry, int(lost.sum()))
            continue
        speeds = {name: rate}
        if "momentum" in evidence.study.space.searched and name != "adam.learning_rate":
            momentum = np.nan_to_num(evidence.numbers(trials, "momentum"))
            speeds[f"{name}/(1 − momentum)"] = rate / (1 - momentum)
        told = {words: _told_apart(speed[there], lost[there]) for words, speed in speeds.items()}
        words = min(told, key=lambda each: told[each][0])
        p, bound = told[words]
        if p > LEVEL / len(told):
            continue
        above = there & (speeds[words] >= bound)
        text = (
            f"divergence: {lost[above].sum():,} of {above.sum():,} trials with {words} of at least "
            f"{bound:.2g} diverged, and {lost[~above].sum():,} of the {(there & ~above).sum():,} others"
        )
        own_bound = _told_apart(rate[there], lost[there])[1]
        remedy = _slower(evidence, name, entry, own_bound)
        yield Advice("divergence", text, remedy, 0.5 + 0.4 * float(lost.sum() / there.sum()), name)


def _all_diverged(evidence: Evidence, name: str, entry: Range, count: int) -> Advice:
    """Where all diverged: far lower learning rates."""
    low = two_digits(entry.low / 1000, up=False)
    closer = Range(low, entry.low, True)
    remedy = evidence.accepted([f"space.{name} = {toml_value(closer.document())}"])
    text = f"divergence: all {count:,} trials diverged, with {name} from {entry.low:.2g} to {entry.high:.2g}"
    return Advice("divergence", text, remedy, 1.0, name)


def _told_apart(speed: FloatArray, lost: np.ndarray) -> tuple[float, float]:
    """The p-value of diverged trials being faster than the others, and the bound between the two."""
    from scipy.stats import mannwhitneyu

    p = float(mannwhitneyu(speed[lost], speed[~lost], alternative="greater").pvalue)
    bounds = np.unique(speed[lost])
    hits = 1 - np.searchsorted(np.sort(speed[lost]), bounds) / lost.sum()
    alarms = 1 - np.searchsorted(np.sort(speed[~lost]), bounds) / (~lost).sum()
    return p, float(bounds[(hits - alarms).argmax()])


def _slower(evidence: Evidence, name: str, entry: Range, bound: float) -> str | None:
    """An upper bound for the learning rate that keeps those of the best; or a warm-up."""
    remedies = []
    rates = evidence.numbers(evidence.best, name)
    high = two_digits(max(bound, 1.5 * float(np.nanmax(rates, initial=0.0))), up=False)
    if entry.low < high < 0.8 * entry.high:
        closer = Range(entry.low, high, entry.log, entry.step)
        remedies.append(f"space.{name} = {toml_value(closer.document())}")
    if evidence.study.space.values("warmup") == (0.0,):
        remedies.append("space.warmup = 2.0")
    return evidence.accepted(remedies)


def dead_units(evidence: Evidence) -> Iterator[Advice]:
    """Whether dead units explain bad trials: those with many of them are worse than the others.

    By the rank-sum test (Mann & Whitney 1947), one-sided. Leaky ReLUs don't die (Maas et al. 2013); nor do
    so many units where the initial weights fit ReLUs (He et al. 2015).
    """
    curves, judged = evidence.curves, evidence.judged
    many = judged["trial"].isin(curves.numbers[curves.last_dead() >= MANY_DEAD]).to_numpy()
    values = judged["value"].to_numpy()
    dead, alive = values[many], values[~many]
    if min(len(dead), len(alive)) < _FEWEST:
        return
    from scipy.stats import mannwhitneyu  # 0.3 s for those who need it

    if mannwhitneyu(evidence.sign * dead, evidence.sign * alive, alternative="less").pvalue > LEVEL:
        return
    medians = " against ".join(metric_text(evidence.metric, np.median(group)) for group in (dead, alive))
    text = (
        f"dead units: {len(dead):,} of {len(judged):,} trials ended with at least half of a layer's units at "
        f"0 on the whole validation set; their median {evidence.metric} is {medians} for the others; "
        f"{REMEDIES}"
    )
    yield Advice("dead units", text, _alive(evidence), 0.8 * (0.5 + len(dead) / len(judged) / 2))


def _alive(evidence: Evidence) -> str | None:
    """Leaky ReLUs in place of ReLUs, or initial weights that fit them."""
    activations = evidence.study.space.values("activation") or ()
    remedies = []
    if "relu" in activations and "leaky_relu" not in activations:
        instead = ["leaky_relu" if each == "relu" else each for each in activations]
        remedies.append(f"space.activation = {toml_value(instead if len(instead) > 1 else instead[0])}")
    if "kaiming" not in (evidence.study.space.values("init") or ()):
        remedies.append('space.init = "kaiming"')
    return evidence.accepted(remedies)


def saturation(evidence: Evidence) -> Iterator[Advice]:
    """Sigmoid or tanh networks that never leave the loss of a guess, more often than others do.

    Units are not stored, so this rests on curves alone: the training loss moves by less than 2 % from the
    first epoch to the last and stays near that of a constant guess, which is what saturated units do, whose
    gradients vanish (Glorot & Bengio 2010, §3.1). Learning rates that are too low look the same, but for
    all activations alike: so these are compared with the others, by Fisher's exact test (1922).
    """
    stuck = _stuck(evidence)
    activations = np.array(evidence.settings(evidence.finished, "activation"), dtype=object)
    others = ~np.isin(activations, (*_SATURATING, "none"))
    entry = evidence.study.space.searched.get("activation")
    if stuck is None or not isinstance(entry, Choice) or not others.any():
        return
    from scipy.stats import fisher_exact

    for name in _SATURATING:
        own = activations == name
        if stuck[own].sum() < _FEWEST_STUCK:
            continue
        table = [[group.sum() for group in (stuck[rows], ~stuck[rows])] for rows in (own, others)]
        if fisher_exact(table, alternative="greater").pvalue > LEVEL / len(_SATURATING):
            continue
        text = (
            f"saturation: {table[0][0]:,} of {own.sum():,} trials with {name} never left the training loss "
            f"of a guess, against {table[1][0]:,} of {others.sum():,} with other activations: their units "
            "are probably saturated (units are not stored)"
        )
        strength = 0.7 * float(stuck[own].mean() - stuck[others].mean())
        yield Advice("saturation", text, _unsaturated(evidence, entry, name), strength)


def _unsaturated(evidence: Evidence, entry: Choice, name: str) -> str | None:
    """Initial weights against saturation, or batch normalisation, or other activations."""
    remedies = []
    if evidence.study.space.values("init") != ("xavier",):
        remedies.append('space.init = "xavier"')
    if evidence.study.space.values("batch_norm") == (False,):
        remedies.append("space.batch_norm = true")
    left = [value for value in entry.values if value != name]
    return evidence.accepted([*remedies, f"space.activation = {toml_value(left)}"])


def _stuck(evidence: Evidence) -> np.ndarray | None:
    """[finished trials] whether each never left the training loss of a guess; None if that is unknown."""
    chance = _chance_loss(evidence)
    curves = evidence.curves
    there = curves.epochs > 1
    if chance is None or not there.any():
        return None
    ends = np.cumsum(curves.epochs)
    first = curves.main[(ends - curves.epochs)[there], TRAIN_LOSS]
    last = curves.main[ends[there] - 1, TRAIN_LOSS]
    flat = (np.abs(last - first) <= _FLAT * first) & (last >= _NEAR_CHANCE * chance)
    return evidence.finished["trial"].isin(curves.numbers[there][flat]).to_numpy()


def _chance_loss(evidence: Evidence) -> float | None:
    """The training loss of the best constant guess, where the record tells it."""
    summary, loss = evidence.report.record.data_summary, evidence.study.train.loss
    counts = summary.get("class_counts", {}).get("train") or [1] * len(summary.get("classes") or ())
    if evidence.report.record.task in (Task.BINARY, Task.MULTICLASS):
        shares = [count / sum(counts) for count in counts if count]
        return -sum(share * math.log(share) for share in shares) or None
    return 1.0 if loss == "mse" and evidence.report.record.task == Task.REGRESSION else None


_HEAVY = 1.5
"""Classes are unequal if the largest has so many times its equal share of the rows."""
_STANDARD_ERRORS = 3


def too_few_trials(evidence: Evidence) -> Iterator[Advice]:
    """What twice the trials would bring, where it is more than twice the noise of an epoch.

    From the expected best of a quarter, half and all of the trials (lessons.roles.best_weights): the gain of
    the last doubling, shrunk as it shrank from the one before, is the gain of the next. Said only if that
    does not depend on the single best trial.
    """
    n, noise = len(evidence.finished), evidence.noise
    if len(evidence.judged) < ENOUGH // 2 or noise is None:
        return
    values = evidence.sign * evidence.judged["value"].to_numpy()
    values = np.sort(np.append(values, np.full(n - len(values), values.min())))[::-1]
    last, more = doubling(values)
    if min(more, doubling(values[1:])[1]) < max(2 * noise, evidence.one_row):
        return
    text = (
        f"too few trials: the best of all {n:,} beats the best of half of them by {evidence.amount(last)} on "
        f"average; twice as many would gain about {evidence.amount(more)} more (epoch noise: "
        f"{evidence.amount(noise)})"
    )
    command = f"hpsearch run {quote(evidence.report.record.name)} --trials {2 * n}"
    yield Advice("too few trials", text, command, 0.7 * more / (more + noise))


def doubling(values: FloatArray) -> tuple[float, float]:
    """The gain of the last doubling of the number of trials, and of the next; values: best first."""
    n = len(values)
    quarter, half = (float(values[::-1] @ best_weights(n, m)) for m in (n // 4, n // 2))
    before, last = half - quarter, float(values[0]) - half
    return last, last * min(1.0, last / before) if before > 0 else 0.0


def imbalance(evidence: Evidence) -> Iterator[Advice]:
    """Classes so unequal that the best accuracy is no better than always predicting the largest.

    Said where it is within three standard errors (binomial, of the validation rows).
    """
    summary = evidence.report.record.data_summary
    counts = (summary.get("class_counts") or {}).get("valid") or []
    if evidence.metric not in ("accuracy", "error") or not len(evidence.best) or len(counts) < 2:
        return
    rows, largest = sum(counts), int(np.argmax(counts))
    share = counts[largest] / rows
    found = float(evidence.best["value"].iloc[0])
    accuracy = found if evidence.metric == "accuracy" else 1 - found
    if (
        share * len(counts) < _HEAVY
        or accuracy > share + _STANDARD_ERRORS * (share * (1 - share) / rows) ** 0.5
    ):
        return
    guess = metric_text(evidence.metric, share if evidence.metric == "accuracy" else 1 - share)
    named = plain(str(summary["classes"][largest]))
    text = (
        f'class imbalance: {percent(share)} of the validation rows are "{named}", so always predicting it '
        f"has {evidence.metric} {guess}; the best trial's {metric_text(evidence.metric, found)} is hardly "
        "better"
    )
    yield Advice(NO_BETTER_THAN_A_GUESS, text, evidence.accepted(['train.metric = "balanced_accuracy"']), 1.0)
