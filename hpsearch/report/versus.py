"""Two trials against each other, on fresh seeds, and how fast their studies got there."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpsearch.errors import plural
from hpsearch.records import FloatArray
from hpsearch.report.grids import Column, Grid
from hpsearch.report.text import (
    MISSING,
    interval_text,
    is_share,
    json_value,
    metric_text,
    parameter_text,
    plain,
    signed_texts,
    significant,
)
from hpsearch.stats import LEVEL, Estimate, Versus, estimate, regression_p, versus

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMAT = "hpsearch.compare/1"
_BUDGETS = 6


@dataclass(frozen=True)
class Side:
    """One of the two.

    name: as it was asked for. trial: of the study; epochs: for which it is trained; how: it was chosen.
    scores: [seeds] on fresh seeds, NaN where it diverged. progress: one row a finished trial, in the order in
    which they finished: trials, epochs (of all so far), seconds (since the first began), best (of validation
    so far).
    """

    name: str
    study: str
    trial: int
    how: str
    epochs: int
    params: dict[str, Any]
    scores: FloatArray
    progress: pd.DataFrame = field(repr=False)

    @property
    def diverged(self) -> int:
        return int(np.isnan(self.scores).sum())

    @cached_property
    def estimate(self) -> Estimate | None:
        """Of the scores of the seeds with which it did not diverge; None of fewer than three."""
        return estimate(self.scores[~np.isnan(self.scores)])


@dataclass(frozen=True)
class Match:
    """B against A.

    part, rows: what is scored. paired: by seed, because both have the same rows. margin: by how much B may be
    worse, in the metric's unit; None if that was not asked for. notes: what the reader should know.
    """

    metric: str
    maximize: bool
    part: str
    rows: tuple[int, int]
    seeds: int
    paired: bool
    a: Side
    b: Side
    margin: float | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def found(self) -> Versus | None:
        """The comparison; None where too many seeds diverged."""
        return versus(self.a.scores, self.b.scores, self.paired, self.maximize)

    @cached_property
    def regression(self) -> float | None:
        """How likely B falls so far behind if it is worse by the margin at most; None without a margin."""
        if self.margin is None:
            return None
        return regression_p(self.a.scores, self.b.scores, self.paired, self.maximize, self.margin)

    @property
    def regressed(self) -> bool:
        """B is worse than A by more than the margin, with less than 5 % chance of saying so by mistake."""
        return self.regression is not None and self.regression < 1 - LEVEL


def sides_grid(match: Match) -> Grid:
    """One row a side: its trial, mean and interval, and how it was chosen."""
    names = dict.fromkeys([*match.a.params, *match.b.params])
    heads = [Column(""), Column("trial"), Column(match.metric), Column("95 % interval"), Column("sd")]
    heads[0] = Column("", numeric=False)
    heads += [Column("epochs"), *(Column(name) for name in names)]
    rows = []
    for label, side in (("A", match.a), ("B", match.b)):
        found = side.estimate
        rows.append(
            (
                f"{label} {plain(side.study)}",
                str(side.trial),
                MISSING if found is None else metric_text(match.metric, found.mean),
                MISSING if found is None else interval_text(match.metric, found.low, found.high),
                MISSING if found is None else _sd(match.metric, found.sd),
                str(side.epochs),
                *(parameter_text(side.params.get(name)) for name in names),
            )
        )
    return Grid(tuple(heads), tuple(rows))


def progress_grid(match: Match) -> Grid | None:
    """Best validation so far of both studies after so many trials; None for trials of one study."""
    if match.a.study == match.b.study or not (len(match.a.progress) and len(match.b.progress)):
        return None
    last = min(len(match.a.progress), len(match.b.progress))
    rows = []
    for count in sorted({round(float(n)) for n in np.geomspace(1, last, _BUDGETS)}):
        cells = [f"{count:,}"]
        for side in (match.a, match.b):
            row = side.progress.iloc[count - 1]
            cells += [
                metric_text(match.metric, row["best"]),
                f"{row['epochs']:,.0f}",
                f"{row['seconds']:.1f}",
            ]
        rows.append(tuple(cells))
    heads = ["trials", *(f"{text} {side}" for side in "AB" for text in ("best", "epochs", "seconds"))]
    return Grid(tuple(map(Column, heads)), tuple(rows))


def verdict(match: Match) -> str:
    """One sentence: the difference, how sure it is, and how likely B is better."""
    found = match.found
    if found is None:
        return "Too many of the seeds diverged to compare the two."
    unit = " points" if is_share(match.metric) else ""
    mean, *ends = signed_texts(
        match.metric, *(v for v in (found.mean, found.low, found.high) if v is not None)
    )
    inside = f"95 % interval {' … '.join(ends)}" if ends else "the same with every seed"
    said = f"B − A: {match.metric} {mean or '0'}{unit} ({inside}; p {_p(found.p)}"
    if found.effect is not None:
        said += f"; Hedges' g {'−' if found.effect < 0 else '+'}{abs(found.effect):.2f}"
    better = (found.mean > 0) == match.maximize
    told = f"B is {'better' if better else 'worse'}" if found.p < 1 - LEVEL else "no detectable difference"
    chance = f"{100 * found.chance:.0f} % ({100 * found.chance_low:.0f} … {100 * found.chance_high:.0f})"
    return f"{said}): {told}. With one more seed each, B would be better with a probability of {chance}."


def regression_sentence(match: Match) -> str | None:
    """Whether B is a regression, if that was asked for."""
    if match.margin is None:
        return None
    margin = signed_texts(match.metric, match.margin)[0].removeprefix("+") or "0"
    margin += " points" if is_share(match.metric) else ""
    if match.regression is None:
        return "Whether B is a regression cannot be told: too many of the seeds diverged."
    if match.regressed:
        return f"Regression: B is worse than A by more than {margin} (p {_p(match.regression)}, one-sided)."
    return (
        f"No regression: that B is worse than A by more than {margin} is not shown "
        f"(p {_p(match.regression)}). Seeds alone would show it in less than 5 % of comparisons."
    )


def remarks(match: Match) -> list[str]:
    """What the reader must know to take the numbers for no more than they are."""
    how = (
        "paired by seed" if match.paired else "not paired: the two have other rows, so other rows differ, too"
    )
    rows = (
        plural(match.rows[0], f"{match.part} row")
        if match.rows[0] == match.rows[1]
        else (f"{match.rows[0]:,} and {match.rows[1]:,} {match.part} rows")
    )
    lines = [
        f"Each trained on {match.seeds} fresh seeds and scored on {rows}, {how}. The interval is about other "
        "initial weights and orders of the rows for these two trials, not about other searches."
    ]
    for label, side in (("A", match.a), ("B", match.b)):
        if side.diverged:
            lines.append(f"{label} diverged with {side.diverged} of {match.seeds} seeds.")
    return [*lines, *match.notes]


def versus_view(match: Match, width: int) -> RenderableType:
    """The comparison for the terminal."""
    from rich.console import Group
    from rich.text import Text

    from hpsearch.report.tables import fitted, spaced

    caption = Text(f" {match.a.how if match.a.how == match.b.how else f'A: {match.a.how}; B: {match.b.how}'}")
    blocks: list[RenderableType] = [Group(caption, *fitted(sides_grid(match), width, "--format json"))]
    progress = progress_grid(match)
    if progress is not None:
        title = Text(f" best validation {match.metric} so far", style="dim")
        blocks.append(Group(title, *fitted(progress, width, "--format json")))
    sentences = [verdict(match), *filter(None, [regression_sentence(match)])]
    blocks.append(
        Group(
            *(Text(line, style="bold") for line in sentences),
            *(Text(line, style="dim") for line in remarks(match)),
        )
    )
    return spaced(blocks)


def versus_markdown(match: Match) -> str:
    """The comparison as Markdown, such as for a comment of a pull request."""
    from hpsearch.report.markdown import escaped, markdown_table

    lines = [f"## {escaped(plain(match.b.name))} against {escaped(plain(match.a.name))}", ""]
    for sentence in filter(None, (verdict(match), regression_sentence(match))):
        lines += [f"**{escaped(sentence)}**", ""]
    lines += [*markdown_table(sides_grid(match)), ""]
    progress = progress_grid(match)
    if progress is not None:
        lines += [f"Best validation {escaped(match.metric)} so far:", "", *markdown_table(progress), ""]
    return "\n".join([*lines, *(f"- {escaped(line)}" for line in remarks(match)), ""])


def versus_document(match: Match) -> dict[str, Any]:
    """The comparison as JSON-able values; differences are in the metric's own unit, shares not in points."""
    found = match.found
    document: dict[str, Any] = json_value(
        {
            "format": FORMAT,
            "metric": match.metric,
            "direction": "maximize" if match.maximize else "minimize",
            "part": match.part,
            "rows": list(match.rows),
            "seeds": match.seeds,
            "paired": match.paired,
            "level": LEVEL,
            "difference": None if found is None else dict(vars(found)),
            "verdict": verdict(match),
            "regression": None
            if match.margin is None
            else {"margin": match.margin, "p": match.regression, "regressed": match.regressed},
            "remarks": remarks(match),
            "a": _side_document(match.a),
            "b": _side_document(match.b),
        }
    )
    return document


def _side_document(side: Side) -> dict[str, Any]:
    found = side.estimate
    return {
        "study": side.study,
        "trial": side.trial,
        "chosen": side.how,
        "epochs": side.epochs,
        "params": side.params,
        "scores": side.scores.tolist(),
        "mean": None if found is None else found.mean,
        "sd": None if found is None else found.sd,
        "low": None if found is None else found.low,
        "high": None if found is None else found.high,
        "diverged": side.diverged,
        "anytime": {str(name): side.progress[name].tolist() for name in side.progress.columns},
    }


def _sd(metric: str, sd: float) -> str:
    return f"{100 * sd:.1f}" if is_share(metric) else significant(sd, 3)


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
