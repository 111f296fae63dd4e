"""How two studies or trials against each other are written: tables, text, Markdown and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.reporting.grids import Column, Grid, thinned_epochs
from hpsearch.reporting.versus import chances, gate_sentence, level_cells, remarks, title, verdict
from hpsearch.results.versus import Anytime, Side, Versus
from hpsearch.stats import LEVEL
from hpsearch.text import (
    MISSING,
    json_value,
    metric_text,
    parameter_text,
    seconds_text,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

VERSUS_FORMAT = "hpsearch.compare/1"

_AXES = ("trials", "epochs", "seconds")
_SHARES = (1 / 16, 1 / 4, 1)
"""Of the smaller of both searches, after which they are looked at."""
_EPOCHS = 6


# -- tables --------------------------------------------------------------------------------------


def sides_grid(v: Versus) -> Grid:
    """One row a side: its score, and the hyper-parameters in which the two differ."""
    names = [
        name
        for name in dict.fromkeys((*v.a.params, *v.b.params))
        if v.a.params.get(name) != v.b.params.get(name)
    ]
    diverged = ["diverged"] if v.a.diverged or v.b.diverged else []
    columns = [
        Column("", False),
        Column("trial", False),
        *map(Column, (v.metric, "95 % interval", *diverged, "epochs")),
        Column("chosen", False),
        *map(Column, names),
    ]
    rows = [
        (
            letter,
            side.name,
            *level_cells(v, side),
            *([f"{side.diverged} of {v.seeds}"] if diverged else []),
            str(side.epochs),
            str(side.choice),
            *(parameter_text(side.params.get(name)) for name in names),
        )
        for letter, side in v.sides
    ]
    return Grid(tuple(columns), tuple(rows))


def anytime_grid(v: Versus) -> Grid | None:
    """The best validation metric of both searches after equal budgets; of trials None."""
    if v.a.search is None or v.b.search is None:
        return None
    rows = []
    for axis in _AXES:
        for budget in _budgets(v.a.search, v.b.search, axis):
            shown = seconds_text(budget) if axis == "seconds" else f"{budget:,.0f} {axis}"
            cells = (metric_text(v.metric, each.at(axis, budget)) for each in (v.a.search, v.b.search))
            rows.append((shown, *cells))
    return Grid((Column("after"), Column("A"), Column("B")), tuple(rows))


def _budgets(a: Anytime, b: Anytime, axis: str) -> list[float]:
    least = min(a.spent(axis), b.spent(axis))
    whole = (
        [least * share for share in _SHARES]
        if axis == "seconds"
        else [float(max(1, round(least * share))) for share in _SHARES]
    )
    # Rounding in the sum of seconds must not leave the last piece out.
    return sorted({*whole[:-1], least})


def learning_grid(v: Versus) -> Grid:
    """The validation metric by epoch, on average over the fresh seeds."""
    lines = [side.learning(v.metric) for _, side in v.sides]
    epochs = sorted({*thinned_epochs(max(map(len, lines)), _EPOCHS), *map(len, lines)})
    cells = [
        [metric_text(v.metric, line[epoch - 1]) if epoch <= len(line) else MISSING for line in lines]
        for epoch in epochs
    ]
    rows = tuple((str(epoch), *own) for epoch, own in zip(epochs, cells, strict=True))
    return Grid((Column("epoch"), Column("A"), Column("B")), rows)


def sentences(v: Versus) -> list[str]:
    """The verdict, the regression test and what else there is to say in a sentence, most important first."""
    return [text for text in (verdict(v), gate_sentence(v), chances(v)) if text]


def _tables(v: Versus) -> list[tuple[str, Grid]]:
    anytime = anytime_grid(v)
    searches = [] if anytime is None else [(f"best validation {v.metric} of the search so far", anytime)]
    return [*searches, (f"validation {v.metric} by epoch, on average over the fresh seeds", learning_grid(v))]


# -- formats -------------------------------------------------------------------------------------


def versus_view(v: Versus, width: int) -> RenderableType:
    """For the terminal, at most `width` columns."""
    from rich.console import Group
    from rich.text import Text

    from hpsearch.reporting.tables import fitted, spaced

    first, *others = sentences(v)
    blocks: list[RenderableType] = [
        Group(Text(f" {title(v)}", style="dim"), *fitted(sides_grid(v), width, "--format json")),
        Group(Text(first, style="bold"), *map(Text, others)),
        Group(*(Text(line, style="dim") for line in remarks(v))),
    ]
    blocks += [Group(Text(f" {caption}", style="dim"), *fitted(grid, width)) for caption, grid in _tables(v)]
    return spaced(blocks)


def versus_markdown(v: Versus) -> str:
    """As Markdown with GitHub's tables, for a comment of a continuous integration."""
    from hpsearch.reporting.markdown import escaped, markdown_table

    first, *others = sentences(v)
    lines = [
        f"## {escaped(v.b.name)} against {escaped(v.a.name)}",
        "",
        f"**{escaped(first)}**",
        "",
        *(part for text in others for part in (escaped(text), "")),
        f"{escaped(_begun(title(v)))}.",
        "",
        *markdown_table(sides_grid(v)),
        "",
        *(f"- {escaped(line)}" for line in remarks(v)),
        "",
    ]
    for caption, grid in _tables(v):
        lines += [f"{escaped(_begun(caption))}:", "", *markdown_table(grid), ""]
    return "\n".join(lines)


def _begun(text: str) -> str:
    """With a capital, the rest as it is."""
    return text[0].upper() + text[1:]


def versus_document(v: Versus) -> dict[str, Any]:
    """As JSON-able values; differences are in the metric's own unit, B minus A."""
    found, gate = v.gap, v.regression
    difference = found and {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "effect_size": found.effect,
        "b_better": {"probability": found.better.value, "low": found.better.low, "high": found.better.high},
        "seeds": {"a": found.seeds[0], "b": found.seeds[1]},
    }
    regression = (
        gate
        and v.margin
        and {
            "allowed": v.margin.text(v.metric),
            "margin": v.margin.absolute(v.metric),
            "relative_margin": v.margin.relative(v.metric),
            "tripped": gate.tripped,
            "bound": gate.bound,
            "diverges": gate.diverges,
            "error_rate": gate.error,
        }
    )
    document: dict[str, Any] = json_value(
        {
            "format": VERSUS_FORMAT,
            "metric": v.metric,
            "direction": "maximize" if v.maximize else "minimize",
            "part": v.part,
            "seeds": v.seeds,
            "paired": v.paired,
            "level": LEVEL,
            "finding": v.finding,
            "verdict": verdict(v),
            "difference": difference,
            "regression": regression,
            "a": _side_document(v, v.a),
            "b": _side_document(v, v.b),
            "remarks": remarks(v),
        }
    )
    return document


def _side_document(v: Versus, side: Side) -> dict[str, Any]:
    found = side.estimate
    return {
        "study": side.study,
        "trial": side.trial,
        "chosen": str(side.choice),
        "epochs": side.epochs,
        "params": side.params,
        "rows": side.rows,
        "scores": side.scores.tolist(),
        "losses": side.losses.tolist(),
        "diverged": side.diverged,
        "mean": found and found.mean,
        "sd": found and found.sd,
        "low": found and found.low,
        "high": found and found.high,
        "learning": side.learning(v.metric).tolist(),
        "anytime": None if side.search is None else _anytime_document(side.search),
        "uses_of_the_test_part": len(side.uses),
    }


def _anytime_document(search: Anytime) -> dict[str, Any]:
    """Where the best so far changes, and the end: it is constant in between."""
    changes = np.flatnonzero(np.diff(search.best, prepend=np.nan) != 0)
    places = sorted({*changes.tolist(), len(search.best) - 1} - {-1})
    columns = ("trials", "epochs", "seconds", "best")
    return {name: getattr(search, name)[places].tolist() for name in columns}
