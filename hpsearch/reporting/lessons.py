"""The lessons as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpsearch.reporting.blocks import PAGE, TEXT, Block, Format, Sentence, Table
from hpsearch.reporting.grids import Column, Grid
from hpsearch.results.lessons import Lessons
from hpsearch.results.lessons.effects import Importance, Interaction, Isolation
from hpsearch.results.lessons.roles import FRESH, Verdict
from hpsearch.text import MISSING, interval_text, listed, metric_text, missing, signed_texts

_SHOWN_INTERACTIONS = 3
_BAR = 12
_ALL_WITH = "--format html"


def pair_blocks(found: Lessons) -> Iterator[Block]:
    """Medians of each two hyper-parameters that interact."""
    for each in found.interactions:
        yield from _interaction(each, found.basis.metric)


def alone_blocks(found: Lessons) -> Iterator[Block]:
    """Each hyper-parameter by itself, the most important first."""
    isolations = {each.name: each for each in found.isolations}
    for importance in found.importances:
        if importance.name in isolations:
            yield from _isolation(isolations[importance.name], found)


def importances_blocks(
    found: Lessons, pairs: frozenset[Format], methods: frozenset[Format]
) -> Iterator[Block]:
    """A row a hyper-parameter, the most important first, and how to read that.

    pairs: formats that say in a line what each of the strongest interactions is. methods: formats that say
    how the shares are made.
    """
    heads = ("hyper-parameter", "share", "95 % interval", "", "what the trials say")
    columns = [Column(head, head in ("share", "95 % interval")) for head in heads]
    rows = [_importance_row(each, found) for each in found.importances]
    title = f"what matters: {found.basis.sentence}"
    yield Table(_grid(columns, rows), title, titled=True, all_with=_ALL_WITH, formats=TEXT)
    # The page has a chart of the bars.
    bar = heads.index("")
    without = _grid([*columns[:bar], *columns[bar + 1 :]], [(*row[:bar], *row[bar + 1 :]) for row in rows])
    yield Table(without, title, formats=PAGE)
    for each in found.interactions[:_SHOWN_INTERACTIONS]:
        yield Sentence(_interaction_line(each), formats=pairs)
    unexplained = 1 - sum(each.share or 0.0 for each in found.importances)
    yield Sentence(
        f"Share of the rank differences that each explains by itself; interactions and luck explain "
        f"{unexplained:.0%}. At most 1 study in 20 flags a hyper-parameter that does not matter. What the "
        "trials say holds the other hyper-parameters equal.",
        formats=methods,
    )
    epoch, most = found.basis.epoch, found.basis.most
    if epoch is not None and epoch < most:
        yield Sentence(
            f"Judged after {epoch} of {most} epochs: the fastest learner need not be best in the end."
        )


def _grid(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Grid:
    return Grid(tuple(columns), tuple(map(tuple, rows)))


def _taught(
    title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], line: str
) -> Iterator[Block]:
    """A table with what it is of, and what there is to say of it."""
    yield Table(_grid(columns, rows), title, titled=True, all_with=_ALL_WITH)
    if line:
        yield Sentence(line)


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


def _interaction(each: Interaction, metric: str) -> Iterator[Block]:
    """Medians, with the values of the first across, as it has more of them."""
    across = each.cells.drop_duplicates("first_place")["first"].tolist()
    columns = [Column(each.second, False), *(Column(str(text)) for text in across)]
    rows = []
    for _, own in each.cells.groupby("second_place", sort=True):
        cells = [metric_text(metric, value) if value == value else "·" for value in own["median"]]
        rows.append((str(own["second"].iloc[0]), *cells))
    title = (
        f"median {metric} by {each.first} (across) and {each.second}; · is fewer than 3 trials, or diverged"
    )
    return _taught(title, columns, rows, _interaction_line(each))


def _isolation(each: Isolation, lessons: Lessons) -> Iterator[Block]:
    metric = lessons.basis.metric
    diverged = bool(each.buckets["diverged"].any())
    heads = [each.name, "trials", f"best {metric}", "median", "quartiles"]
    columns = list(map(Column, [*heads, "diverged"] if diverged else heads))
    rows = []
    for row in each.buckets.to_dict("records"):
        quartiles = [metric_text(metric, row[name]) for name in ("lower", "upper")]
        spread = MISSING if missing(row["median"]) else f"{quartiles[0].removesuffix('%')} … {quartiles[1]}"
        cells = [
            row["bucket"],
            f"{row['trials']:,}",
            metric_text(metric, row["best"]),
            metric_text(metric, row["median"]),
        ]
        cells += [spread] + ([f"{row['share_diverged']:.0%}" if row["diverged"] else ""] if diverged else [])
        rows.append(cells)
    epoch = lessons.basis.epoch
    after = (
        ""
        if epoch is None or epoch == lessons.basis.most
        else f"; medians and quartiles after {epoch} epochs"
    )
    line = f"{each.name}: {each.remark}." if each.remark else ""
    return _taught(f"{each.name} by itself{after}", columns, rows, line)


def verdict_blocks(each: Verdict, metric: str) -> Iterator[Block]:
    """A row a value of a scientific hyper-parameter, and what is told apart."""
    fresh = bool((each.values["source"] == FRESH).any())
    heads = ("trials", "best", "trial", metric, "95 % interval", "to the first", "its interval")
    columns = [Column(each.name, False), *map(Column, heads), Column("from", False)]
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
    return _taught(f"{each.name}: {what}", columns, rows, each.sentence)
