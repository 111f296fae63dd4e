"""The lessons as tables of text."""

from __future__ import annotations

from typing import NamedTuple

from hpsearch.reporting.grids import Column, Grid
from hpsearch.results.lessons import Lessons
from hpsearch.results.lessons.effects import Importance, Interaction, Isolation
from hpsearch.results.lessons.roles import FRESH, Verdict
from hpsearch.text import MISSING, interval_text, listed, metric_text, missing, signed_texts

_SHOWN_INTERACTIONS = 3
_BAR = 12


class Block(NamedTuple):
    """A table with what it is of, and sentences below it."""

    title: str
    grid: Grid
    lines: list[str]


def pair_blocks(lessons: Lessons, metric: str) -> list[Block]:
    """Medians of each two hyper-parameters that interact."""
    return [_interaction(each, metric) for each in lessons.interactions]


def pair_lines(lessons: Lessons) -> list[str]:
    """What the strongest interactions say, a line each."""
    return [_interaction_line(each) for each in lessons.interactions[:_SHOWN_INTERACTIONS]]


def alone_blocks(lessons: Lessons, metric: str) -> list[Block]:
    """Each hyper-parameter by itself, the most important first."""
    order = {each.name: place for place, each in enumerate(lessons.importances)}
    known = sorted(
        (each for each in lessons.isolations if each.name in order), key=lambda each: order[each.name]
    )
    return [_isolation(each, lessons, metric) for each in known]


def importances_block(lessons: Lessons) -> Block:
    """A row a hyper-parameter, the most important first."""
    heads = ("hyper-parameter", "share", "95 % interval", "", "what the trials say")
    columns = tuple(Column(head, head in ("share", "95 % interval")) for head in heads)
    rows = tuple(_importance_row(each, lessons) for each in lessons.importances)
    unexplained = 1 - sum(each.share or 0.0 for each in lessons.importances)
    rest = (
        f"Share of the differences in rank that each explains by itself; interactions and luck: "
        f"{unexplained:.0%}. In at most one study of 20 one is said to matter that does not."
    )
    lines = [f"{rest} What the trials say is with the other hyper-parameters held equal."]
    epoch, most = lessons.basis.epoch, lessons.basis.most
    if epoch is not None and epoch < most:
        lines.append(
            f"Judged after {epoch} of {most} epochs: what learns fastest need not be best in the end."
        )
    return Block(f"what matters: {lessons.basis.sentence}", Grid(columns, rows), lines)


def without_bars(grid: Grid) -> Grid:
    """The table without its bars of text, for where there is a chart of them."""
    kept = [place for place, column in enumerate(grid.columns) if column.head]
    rows = tuple(tuple(row[place] for place in kept) for row in grid.rows)
    return Grid(tuple(grid.columns[place] for place in kept), rows)


def _importance_row(each: Importance, lessons: Lessons) -> tuple[str, ...]:
    pairs = [(pair.first, pair.second) for pair in lessons.interactions]
    partners = [
        second if each.name == first else first for first, second in pairs if each.name in (first, second)
    ]
    says = each.direction or each.verdict if each.matters else each.verdict
    if partners and not each.matters:
        says = f"not by itself, but with {listed(partners)}"
    if each.share is None or each.low is None or each.high is None:
        return (each.name, MISSING, MISSING, "", says)
    bar = "█" * round(each.share * _BAR) if each.matters else ""
    return (each.name, f"{each.share:.0%}", f"{each.low:.0%} … {each.high:.0%}", bar, says)


def _interaction_line(each: Interaction) -> str:
    return f"{each.first} × {each.second} ({each.share:.0%} beyond each alone): {each.sentence}."


def _interaction(each: Interaction, metric: str) -> Block:
    """Medians, with the values of the first across, as it has more of them."""
    across = each.cells.drop_duplicates("first_place")["first"].tolist()
    columns = (Column(each.second, False), *(Column(str(text)) for text in across))
    rows = []
    for _, own in each.cells.groupby("second_place", sort=True):
        cells = [metric_text(metric, value) if value == value else "·" for value in own["median"]]
        rows.append((str(own["second"].iloc[0]), *cells))
    title = (
        f"median {metric} by {each.first} (across) and {each.second}; · is fewer than 3 trials, or diverged"
    )
    return Block(title, Grid(columns, tuple(rows)), [_interaction_line(each)])


def _isolation(each: Isolation, lessons: Lessons, metric: str) -> Block:
    buckets = each.buckets
    diverged = bool(buckets["diverged"].any())
    columns = [
        Column(each.name),
        Column("trials"),
        Column(f"best {metric}"),
        Column("median"),
        Column("quartiles"),
    ]
    columns += [Column("diverged")] if diverged else []
    rows = []
    for row in buckets.to_dict("records"):
        quartiles = [metric_text(metric, row[name]) for name in ("lower", "upper")]
        spread = MISSING if missing(row["median"]) else f"{quartiles[0].removesuffix('%')} … {quartiles[1]}"
        cells = [
            row["bucket"],
            f"{row['trials']:,}",
            metric_text(metric, row["best"]),
            metric_text(metric, row["median"]),
        ]
        cells += [spread] + ([f"{row['share_diverged']:.0%}" if row["diverged"] else ""] if diverged else [])
        rows.append(tuple(cells))
    epoch = lessons.basis.epoch
    after = (
        ""
        if epoch is None or epoch == lessons.basis.most
        else f"; medians and quartiles after {epoch} epochs"
    )
    lines = [f"{each.name}: {each.remark}."] if each.remark else []
    return Block(f"{each.name} by itself{after}", Grid(tuple(columns), tuple(rows)), lines)


def verdict_block(each: Verdict, metric: str) -> Block:
    """A row a value of a scientific hyper-parameter, and what is told apart."""
    fresh = bool((each.values["source"] == FRESH).any())
    columns = [Column(each.name, False), Column("trials"), Column("best"), Column("trial"), Column(metric)]
    columns += [
        Column("95 % interval"),
        Column("to the first"),
        Column("its interval"),
        Column("from", False),
    ]
    rows = []
    for row in each.values.to_dict("records"):
        difference = "" if missing(row["difference"]) else signed_texts(metric, row["difference"])[0]
        ends = [row[name] for name in ("difference_low", "difference_high")]
        reach = "" if any(map(missing, ends)) else " … ".join(signed_texts(metric, *ends))
        known = not missing(row["expected"])
        rows.append(
            (
                row["value"],
                f"{row['trials']:,}",
                metric_text(metric, row["best"]),
                MISSING if missing(row["trial"]) else str(row["trial"]),
                metric_text(metric, row["expected"]),
                interval_text(metric, row["low"], row["high"]) if known else MISSING,
                difference,
                reach,
                row["source"] if known else "too few trials",
            )
        )
    what = (
        "each value's best trial on fresh seeds"
        if fresh
        else "each value's expected best of equally many trials"
    )
    return Block(f"{each.name}: {what}", Grid(tuple(columns), tuple(rows)), [each.sentence])
