"""Advice from trials that went wrong: they diverged, their units died, or were saturated."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from hpsearch.records import TRAIN_LOSS, FloatArray, State, Task
from hpsearch.results.advice.evidence import LEVEL, Advice, Evidence
from hpsearch.results.advice.scales import two_digits
from hpsearch.study.space import Choice, Range
from hpsearch.text import metric_text, toml_value

MANY_DEAD = 0.5
"""Share of a layer's units from which it is said that they died."""

REMEDIES = 'a smaller learning_rate, init = "kaiming" or activation = "leaky_relu" keeps them alive'

_FEWEST = 3
"""Diverged trials, or trials with dead layers, about which nothing is said."""
_FEW_DIVERGED = 0.02
"""The share of trials that may diverge: ranges should reach a little too far."""
_FEWEST_STUCK = 5
_FLAT, _NEAR_CHANCE = 0.02, 0.9
_SATURATING = ("sigmoid", "tanh")


def divergence(evidence: Evidence) -> Iterator[Advice]:
    """A learning rate above which trials diverge, or a learning_rate/(1 − momentum), the step that lasts.

    Tuning Playbook, "How can optimization failures be debugged and mitigated?" By the rank-sum test (Mann &
    Whitney 1947) of diverged trials against the others; the bound is the one that tells them apart best
    (Youden 1950). The range is to end there, but not below what the best ten have; where these lie among the
    diverged, the warm-up of that section is advised instead.
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
            f"divergence: of {above.sum():,} trials with {words} from {bound:.2g} on, {lost[above].sum():,} "
            f"diverged; of {(there & ~above).sum():,} others, {lost[~above].sum():,}"
        )
        own_bound = _told_apart(rate[there], lost[there])[1]
        remedy = _slower(evidence, name, entry, own_bound)
        yield Advice("divergence", text, remedy, 0.5 + 0.4 * _share(lost, there), name)


def _all_diverged(evidence: Evidence, name: str, entry: Range, count: int) -> Advice:
    """Of a study without a trial that got through: learning rates far below."""
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
        f"dead units: {len(dead):,} of {len(judged):,} trials ended with half of a layer's units or more at "
        f"0 on the whole validation part; their median {evidence.metric} is {medians}; {REMEDIES}"
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
            f"of a guess, against {table[1][0]:,} of {others.sum():,} with other activations, as "
            "if their units were saturated (units themselves are not stored)"
        )
        strength = 0.7 * float(stuck[own].mean() - stuck[others].mean())
        yield Advice("saturation", text, _unsaturated(evidence, entry, name), strength)


def _unsaturated(evidence: Evidence, entry: Choice, name: str) -> str | None:
    """Initial weights that keep units from saturating; or normalised inputs to them; or other activations."""
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


def _share(some: np.ndarray, of: np.ndarray) -> float:
    return float(some.sum() / of.sum())
