"""Advice on the space: ranges that end too early or reach too far, and what was never tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import FloatArray
from hpsearch.results.advice.evidence import LEVEL, Advice, Evidence, counted, percent
from hpsearch.results.advice.scales import Axis, Scale, narrower
from hpsearch.results.frames import PARAM
from hpsearch.study.methods import exhaustive
from hpsearch.study.space import Choice, Range
from hpsearch.text import parameter_text, toml_value

_FEWEST = 7
"""Of the best ten, so many must have a use for a hyper-parameter."""
_NARROWEST_EDGE, _WIDEST_EDGE = 0.1, 0.25
_HALF = 56 / 1024
"""The binomial tail of eight of ten, if each is as likely to lie outside as inside."""
_MANY, _WORST = 15, 0.25
"""So many trials all belong to a worst quarter by chance once in 4¹⁵ studies, if the range is indifferent."""
_FEW_INSIDE = 4
_EARLY = 0.1
_STRETCH = 0.2
"""The share of a range that should not go without a trial."""


@dataclass(frozen=True)
class Edge:
    """An end of a hyper-parameter at which the best lie.

    outward: −1 for the low end, +1 for the high one. values: of those that lie there. count: of the best.
    """

    axis: Axis
    outward: int
    values: FloatArray
    count: int

    @property
    def where(self) -> str:
        """ "7 of the best ten lie at the low edge of its range"."""
        end = "low" if self.outward < 0 else "high"
        kind = "range" if isinstance(self.axis.entry, Range) else "list"
        return (
            f"{counted(len(self.values))} of the best {counted(self.count)} lie at the {end} edge of its "
            f"{kind}, {span(self.axis.entry, self.values)}"
        )


def edges(evidence: Evidence) -> Iterator[Advice]:
    """Hyper-parameters whose best values lie at an end of their range, and could go beyond.

    Tuning Playbook (Godbole et al. 2023), "Identifying bad search space boundaries".
    """
    for name in evidence.study.space.searched:
        edge = edge_of(evidence, name)
        further = None if edge is None else edge.axis.beyond(edge.outward)
        if edge is None or further is None:
            continue
        text = f"{name}: {edge.where}; better values may lie beyond"
        remedy = evidence.accepted([f"space.{name} = {toml_value(further)}"])
        yield Advice("edge", text, remedy, 0.9 * len(edge.values) / edge.count, name)


def edge_of(evidence: Evidence, name: str) -> Edge | None:
    """The end of a range, or of a choice of numbers, at which the best lie, if any.

    There is one where two binomial tails are small: that so many of the best ten lie in the edge if the range
    is indifferent, and if the optimum is further inside, so that half of the best or more lie on its inner
    side. The edge is as wide as holds twice as many trials as are the best, if they are evenly spread.
    """
    axis = Axis.of(name, evidence.study.space.searched[name])
    if axis is None or not evidence.chosen:
        return None
    share = 2 * len(evidence.best) / len(evidence.finished)
    share = min(max(share, _NARROWEST_EDGE), _WIDEST_EDGE)
    values = evidence.numbers(evidence.best, name)
    values = values[~np.isnan(values)]
    places = axis.places(values)
    for outward, distances in ((-1, places), (1, 1 - places)):
        cell = axis.scale.end_cell(outward)
        width = max(share, cell) + 1e-9
        if _at_edge(distances, width, cell) and _better_there(evidence, axis, outward, width):
            return Edge(axis, outward, values[distances <= width], len(values))
    return None


def _better_there(evidence: Evidence, axis: Axis, outward: int, width: float) -> bool:
    """Whether the early trials at an edge tend to be better than the others, too, by the rank-sum test.

    A sampler that learns may gather at an edge by chance: later trials are better, and have it in common.
    """
    from scipy.stats import mannwhitneyu

    places = axis.places(evidence.numbers(evidence.early, axis.name))
    there = (places if outward < 0 else 1 - places) <= width
    scores, used = evidence.scores(evidence.early), ~np.isnan(places)
    at_edge, elsewhere = scores[there & used], scores[~there & used]
    if not len(at_edge) or not len(elsewhere):
        return True
    return bool(mannwhitneyu(at_edge, elsewhere, alternative="greater").pvalue <= _EARLY)


def _at_edge(distances: FloatArray, width: float, cell: float) -> bool:
    """Whether the best [n], so far from an end, lie at it.

    They must reach it, too: where the end is more than three of their standard deviations from their mean,
    they gather before it.
    """
    from scipy.special import bdtrc

    n, count = len(distances), int((distances <= width).sum())
    if n < _FEWEST or distances.mean() - cell / 2 > max(3 * distances.std(), width / 4):
        return False
    return bool(bdtrc(count - 1, n, 0.5) <= _HALF and bdtrc(count - 1, n, width) <= LEVEL)


def too_wide(evidence: Evidence) -> Iterator[Advice]:
    """Ranges of which a part is hopeless, away from where all of the best ten lie.

    Tuning Playbook, "Identifying bad search space boundaries". Hopeless is where none of many trials is
    better than the worst quarter of those in the rest of the range; of the early ones, since a sampler that
    learns makes later ones better in all that they have in common.
    """
    if not evidence.chosen:
        return
    early, trials = evidence.early, evidence.finished
    early_score, score = evidence.scores(early), evidence.scores(trials)
    for name, entry in evidence.study.space.searched.items():
        if not isinstance(entry, Range) or name in evidence.study.search.scientific:
            continue
        best = evidence.numbers(evidence.best, name)
        best = best[~np.isnan(best)]
        closer = narrower(entry, best.min(), best.max()) if len(best) >= _FEWEST else None
        if closer is None or edge_of(evidence, name) is not None:
            continue
        inside = _between(evidence.numbers(early, name), closer)
        tried = evidence.numbers(trials, name)
        outside = ~_between(tried, closer) & ~np.isnan(tried)
        if inside.sum() < _FEW_INSIDE or outside.sum() < _MANY:
            continue
        if score[outside].max() >= np.quantile(early_score[inside], _WORST):
            continue
        text = (
            f"{name}: the best {counted(len(best))} lie {span(entry, best)}; outside of "
            f"{closer.low:.2g}…{closer.high:.2g} none of {plural(int(outside.sum()), 'trial')} gets out of "
            "the worst quarter of those inside"
        )
        remedy = evidence.accepted([f"space.{name} = {toml_value(closer.document())}"])
        yield Advice("too wide", text, remedy, 0.5 * float(outside.mean()), name)


def _between(values: FloatArray, entry: Range) -> np.ndarray:
    return (values >= entry.low) & (values <= entry.high)


def unvisited(evidence: Evidence) -> Iterator[Advice]:
    """Values of a choice, and stretches of a range, that no trial has tried.

    Tuning Playbook, "Not sampling enough points in the search space". Said where even sampling would seldom
    leave out any: the probability is at most the number of values, or of gaps between trials, times that of
    one (Boole; for gaps Whitworth 1901).
    """
    study = evidence.study
    if exhaustive(study.search.sampler):  # whose order leaves gaps that it fills in the end
        return
    kept_out = {name for combination in study.forbidden for name in combination.conditions}
    for name, entry in study.space.searched.items():
        if name in kept_out:
            continue
        tried = evidence.report.trials[PARAM + name].dropna()
        if isinstance(entry, Choice):
            yield from _values_left_out(evidence, name, entry, set(tried), len(tried))
        else:
            yield from _stretch_left_out(evidence, name, entry, tried.to_numpy(dtype=np.float64))


def _values_left_out(
    evidence: Evidence, name: str, entry: Choice, tried: set[object], trials: int
) -> Iterator[Advice]:
    count = len(entry.values)
    left = [value for value in entry.values if value not in tried]
    if not left or count * (1 - 1 / count) ** trials > LEVEL:
        return
    text = f"{name}: none of {trials:,} trials has tried {', '.join(map(parameter_text, left))}"
    yield Advice("unvisited", text, _enqueue(evidence, name, left[0]), 0.6 * len(left) / count, name)


def _stretch_left_out(evidence: Evidence, name: str, entry: Range, tried: FloatArray) -> Iterator[Advice]:
    scale = Scale.of(entry)
    begins = np.append(0.0, np.sort(scale.places(tried + scale.half)))
    ends = np.append(np.sort(scale.places(tried - scale.half)), 1.0)
    gaps = ends - begins
    at = int(gaps.argmax())
    gap = float(gaps[at])
    if gap < _STRETCH or (len(tried) + 1) * (1 - gap) ** len(tried) > LEVEL:
        return
    inside = np.array([scale.value(begins[at]) + scale.half, scale.value(ends[at]) - scale.half])
    text = (
        f"{name}: none of {len(tried):,} trials lies {span(entry, inside)}, which is {percent(gap)} of its "
        "range"
    )
    middle = _on_grid(entry, scale.value((begins[at] + ends[at]) / 2))
    yield Advice("unvisited", text, _enqueue(evidence, name, middle), 0.6 * gap, name)


def _on_grid(entry: Range, value: float) -> float:
    """A value that the range has, nearest to another one."""
    if entry.step:
        value = entry.low + round((value - entry.low) / entry.step) * entry.step
    return round(value) if entry.integer else float(f"{value:.3g}")


def _enqueue(evidence: Evidence, name: str, value: object) -> str:
    shown = value if isinstance(value, str) else toml_value(value)
    return f"hpsearch enqueue {quote(evidence.report.record.name)} {quote(f'{name}={shown}')}"


def span(entry: Range | Choice, values: FloatArray) -> str:
    """ "in 0.12…0.76", "at 3"."""
    whole = isinstance(entry, Choice) or entry.integer
    low, high = (
        f"{value:.0f}" if whole and value % 1 == 0 else f"{value:.3g}"
        for value in (values.min(), values.max())
    )
    return f"at {low}" if low == high else f"in {low}…{high}"
