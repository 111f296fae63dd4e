"""`hpsearch compare`: two studies or trials against each other as a section of a report, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hpsearch.errors import plural
from hpsearch.reporting.blocks import TERMINAL, Block, Remarks, Section, Sentence, Table, Tone
from hpsearch.reporting.comparison import (
    by_repeat,
    change_text,
    estimate_document,
    level_cells,
    repeats_document,
    repeats_remarks,
    scope,
    verdict_text,
)
from hpsearch.reporting.finalists import NO_TEST
from hpsearch.reporting.grids import Column, Grid, thinned_epochs
from hpsearch.results.contrast import Anytime, Arm, Choice, Contrast, Pairing, gate_rows
from hpsearch.stats import EQUAL, LEVEL
from hpsearch.text import (
    MISSING,
    is_share,
    json_value,
    metric_text,
    parameter_text,
    plain,
    seconds_text,
    signed_texts,
    significant,
)

COMPARE_FORMAT = "hpsearch.compare/1"

A, B = "A", "B"
_AXES = ("trials", "epochs", "seconds")
_SHARES = (1 / 16, 1 / 4, 1)
"""Of the smaller of both searches, after which they are looked at."""
_EPOCHS = 6

_PAIRED = {
    Pairing.SEEDS: "paired by seed",
    Pairing.ROWS: "on the same rows, with seeds of their own",
    Pairing.NOTHING: "on different rows or seeds",
}


# -- words ---------------------------------------------------------------------------------------


def _sides(v: Contrast) -> list[tuple[str, Arm]]:
    """Both with their letters; the first is the baseline."""
    return list(zip((A, B), v.arms, strict=True))


def title(v: Contrast) -> str:
    """What was done."""
    a, b = v.arms
    rows = plural(a.rows, f"{v.part} row")
    if a.rows != b.rows:
        rows = f"{a.rows:,} and {b.rows:,} {v.part} rows"
    alone = "on the studies' own splits alone: " if v.answer is not v else ""
    return f"{alone}each on {v.seeds} fresh seeds, scored on {rows}, {_PAIRED[v.pairing]}"


def verdict(v: Contrast) -> str:
    """One sentence: how far the second is from the first, and what that means."""
    v = v.answer
    (a, b), found = v.arms, v.differences[-1]
    names = f"{B} ({_name(v, b)}) against {A} ({_name(v, a)}){scope(v)}"
    if found is None:
        lost = " and ".join(f"{letter} diverged with {side.diverged}" for letter, side in _sides(v))
        return f"{names}: of {plural(v.seeds, v.unit)}, {lost}; what is left is too little to compare."
    p = "p < 0.001" if found.p < 0.001 else f"p {found.p:.3f}"
    over = f", {plural(v.seeds, 'repeat')}" if v.repeats else ""
    change = change_text(v.metric, found, "95 % interval ", f", {p}{over}" if found.ends else over)
    return f"{names}: {v.metric} {change}: {verdict_text(v, b, found, B, A)}."


def _name(v: Contrast, side: Arm) -> str:
    """What a side is called: repeats of a study choose a trial each time."""
    anew = v.repeats is not None and side.choice is not Choice.ASKED
    return f"study {plain(side.study)}" if anew else side.name


def by_seed_sentence(v: Contrast) -> str | None:
    """One sentence: how often the second would win, and how large the difference is beside the spread.

    None where it would contradict the verdict, because that is about more than seeds: about other rows, too.
    """
    found = v.by_seed
    if found is None or v.counts_rows or v.answer is not v:
        return None
    share = found.better
    if v.finding == EQUAL and not share.low <= 0.5 <= share.high:
        return None
    low, high = (f"{100 * end:.0f}" for end in (share.low, share.high))
    text = (
        f"On one more seed, {B} is better with a probability of {100 * share.value:.0f} % ({low} … {high} %)"
    )
    if found.effect:
        text += f"; the difference is {abs(found.effect):.2g} standard deviations between seeds (Hedges' g)"
    return f"{text}."


def gate_sentence(v: Contrast) -> str | None:
    """Whether the second is a regression, why, and what loss is not excluded."""
    v = v.answer
    found = v.regression
    if found is None or v.margin is None:
        return None
    a, b = v.arms
    allowed = f"worse than {A} by more than {v.margin.text(v.metric)}"
    if found.diverges:
        of = plural(v.seeds, "repeat" if v.repeats else "fresh seed")
        return f"Regression: {B} diverged with {b.diverged} of {of}, {A} with {a.diverged}."
    if found.tripped and found.bound is not None:
        unit = " points" if is_share(v.metric) else ""
        beyond = signed_texts(v.metric, -found.bound)[0].removeprefix("+")
        return f"Regression: {B} is {allowed}, with 95 % confidence by at least {beyond}{unit} more."
    if found.bound is None:
        return (
            f"Undecided: the {v.unit}s where neither diverged are too few to tell whether {B} is {allowed}."
        )
    if found.excluded:
        still = f"{B} is no worse than {A}"
        if found.loss:
            still = f"{B} loses no more than {_loss(v.metric, found.loss)}"
        return f"No regression: with 95 % confidence {still}; {v.margin.text(v.metric)} are allowed."
    return (
        f"Not shown to be a regression, that is, {allowed}. But {_open_loss(v)}. "
        f"{'Chance' if v.repeats else 'Seeds'} alone would call an equal {B} a regression in at most "
        f"{100 * found.error:g} % of comparisons."
    )


def strict_sentence(v: Contrast) -> str | None:
    """Why a loss of more than is allowed is not excluded, although no regression is shown; None if it is."""
    v = v.answer
    found = v.regression
    if found is None or v.margin is None or found.excluded:
        return None
    return f"--strict: a loss of more than {v.margin.text(v.metric)} is not excluded: {_open_loss(v)}."


def advice_for_strict(v: Contrast) -> str:
    """What to do where a loss of more than is allowed is not excluded: more seeds, where they can help."""
    v = v.answer
    found, margin = v.differences[-1], v.margin
    if found is not None and margin is not None:
        loss = -found.mean if v.maximize else found.mean
        scores = v.arms[0].scores
        allowed = margin.absolute(v.metric) + margin.relative(v.metric) * abs(float(np.nanmean(scores)))
        if loss > allowed:
            return f"{B}'s estimated loss, {_loss(v.metric, loss)}, is already more: {v.unit}s will not help"
    return more_of(v)


def more_of(v: Contrast) -> str:
    """How to know more."""
    v = v.answer
    if v.repeats is None:
        return f"Compare on more seeds: --seeds {4 * v.seeds}"
    if v.repeats.overlap * v.seeds < 1:
        return f"Compare on more repeats: --repeats {4 * v.seeds}"
    return "More repeats help little, since their splits share rows: allow more, or add data"


def _open_loss(v: Contrast) -> str:
    """What cannot be excluded with these rows and seeds."""
    found, (a, b) = v.regression, v.arms
    assert found is not None
    where = f"with these {plural(b.rows, f'{v.part} row')} and {plural(v.seeds, v.unit)}"
    if b.diverged > a.diverged:
        return f"{B} diverged with {b.diverged} of {plural(v.seeds, v.unit)}, {A} with {a.diverged}"
    if found.loss is None:
        return f"{where} no loss is excluded: they are too few to tell"
    return f"{where} a loss of up to {_loss(v.metric, found.loss)} is not excluded"


def _loss(metric: str, value: float) -> str:
    points = 100 * value
    shown = f"{points:.0f}" if points >= 10 else f"{points:#.2g}"
    return f"{shown} points" if is_share(metric) else significant(value, 3)


def undecided(v: Contrast) -> bool:
    """Whether a regression was asked for and nothing is known of it, since the second diverged too often."""
    v = v.answer
    found, (a, b) = v.regression, v.arms
    return found is not None and found.bound is None and not found.tripped and b.diverged > a.diverged


def remarks(v: Contrast) -> list[str]:
    """What the reader must know to take the numbers for no more than they are."""
    lines = [_about(v)] if v.answer is v else _about_repeats(v.answer)
    if v.recognised:
        lines.append(
            "The files differ, but hold the same rows: targets, or features of the same names, are the same "
            "in the same order."
        )
    if v.answer is v and v.same:
        lines.append("Both are the same configuration: with a seed they come out the same.")
    if v.part != "test":
        lines.append(NO_TEST)
    choices = {side.choice for _, side in _sides(v)}
    if v.answer is v and Choice.CONFIRMED in choices and len(choices) > 1:
        letter, other = (A, B) if v.arms[0].choice is Choice.CONFIRMED else (B, A)
        lines.append(
            f"{letter} was chosen by its score on the {v.part} set among finalists, {other} was not: that "
            f"flatters {letter}. `hpsearch confirm` makes them equal."
        )
    for letter, side in _sides(v):
        if side.stopped:
            lines.append(
                f"{letter} was stopped early in its study and is trained for "
                f"{plural(side.epochs or 0, 'epoch')} here, too: the comparison is of so much training, not "
                "of hyper-parameters alone."
            )
        if side.diverged:
            lines.append(
                f"{letter} diverged with {side.diverged} of {v.seeds} seeds; scores are those of the others."
            )
    for study, looks in {plain(side.study): len(side.uses) for side in v.arms}.items():
        if looks > 1:
            lines.append(
                f"Study {study} has looked at its test set {looks} times: each look makes the best of "
                "what it showed look better than it is."
            )
    return lines


def _about_repeats(over: Contrast) -> list[str]:
    """What the interval over repeats is about, and what it rests on."""
    lines = repeats_remarks(over)
    a, b = over.arms
    if over.paired and np.array_equal(a.losses, b.losses, equal_nan=True):
        lines.append("Both come out the same in every repeat: they do the same, from another seed at most.")
    if Choice.ASKED in (a.choice, b.choice):
        lines.append(
            "A trial that is given by its number was chosen on rows that some of the repeats score: that "
            "flatters it a little."
        )
    return lines


def _about(v: Contrast) -> str:
    """What the interval is about, and what it rests on."""
    end = "for these hyper-parameters; another search would choose others."
    if v.paired:
        return (
            "The interval (Student's t, paired) is about other initial weights and orders of the rows on "
            f"this split, {end}"
        )
    if v.pairing is Pairing.ROWS:
        return (
            "The interval (Welch's t) is about other initial weights and orders of the rows on these "
            f"{v.part} rows, {end}"
        )
    if gate_rows(v.metric):
        return (
            f"The interval (Welch's t) is about other initial weights, orders of the rows and {v.part} rows "
            f"(Agresti & Caffo 2000), as these differ, {end}"
        )
    return (
        "The interval (Welch's t) is about other initial weights and orders of the rows alone, although the "
        f"rows differ, too: how much of the difference that makes is not known. It is {end}"
    )


# -- tables --------------------------------------------------------------------------------------


def sides_grid(v: Contrast) -> Grid:
    """One row a side: its score, and the hyper-parameters in which the two differ."""
    a, b = v.arms
    names = [
        name for name in dict.fromkeys((*a.params, *b.params)) if a.params.get(name) != b.params.get(name)
    ]
    diverged = ["diverged"] if a.diverged or b.diverged else []
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
            *level_cells(v.metric, side.estimate),
            *([f"{side.diverged} of {v.seeds}"] if diverged else []),
            str(side.epochs),
            str(side.choice),
            *(parameter_text(side.params.get(name)) for name in names),
        )
        for letter, side in _sides(v)
    ]
    return Grid(tuple(columns), tuple(rows))


def anytime_grid(v: Contrast) -> Grid | None:
    """The best validation metric of both searches after equal budgets; of trials None."""
    a, b = (arm.search for arm in v.arms)
    if a is None or b is None:
        return None
    rows = []
    for axis in _AXES:
        least = min(a.spent(axis), b.spent(axis))
        budgets = [least * share for share in _SHARES]
        if axis != "seconds":
            budgets = [float(max(1, round(budget))) for budget in budgets]
        # Rounding in the sum of seconds must not leave the last piece out.
        for budget in sorted({*budgets[:-1], least}):
            shown = seconds_text(budget) if axis == "seconds" else f"{budget:,.0f} {axis}"
            cells = (metric_text(v.metric, each.at(axis, budget)) for each in (a, b))
            rows.append((shown, *cells))
    return Grid((Column("after"), Column("A"), Column("B")), tuple(rows))


def learning_grid(v: Contrast) -> Grid:
    """The validation metric by epoch, on average over the fresh seeds."""
    lines = [side.learning(v.metric) for _, side in _sides(v)]
    epochs = sorted({*thinned_epochs(max(map(len, lines)), _EPOCHS), *map(len, lines)})
    cells = [
        [metric_text(v.metric, line[epoch - 1]) if epoch <= len(line) else MISSING for line in lines]
        for epoch in epochs
    ]
    rows = tuple((str(epoch), *own) for epoch, own in zip(epochs, cells, strict=True))
    return Grid((Column("epoch"), Column("A"), Column("B")), rows)


def sentences(v: Contrast) -> list[str]:
    """The verdict, the regression test and what else there is to say in a sentence, most important first."""
    return [text for text in (verdict(v), gate_sentence(v), by_seed_sentence(v)) if text]


# -- what is shown -------------------------------------------------------------------------------


def compare_sections(v: Contrast) -> list[Section]:
    """The comparison as one section."""

    def blocks() -> Iterator[Block]:
        first, *others = sentences(v)
        yield Sentence(first, Tone.VERDICT)
        yield from map(Sentence, others)
        yield from map(Sentence, by_repeat(v))
        yield Table(sides_grid(v), title(v), all_with="--format json")
        yield Remarks(remarks(v))
        if (anytime := anytime_grid(v)) is not None:
            yield Table(anytime, f"best validation {v.metric} of the search so far")
        yield Table(learning_grid(v), f"validation {v.metric} by epoch, averaged over the fresh seeds")

    a, b = v.arms
    return [Section("compare", f"{b.name} against {a.name}", blocks, untitled=TERMINAL)]


def two_document(v: Contrast) -> dict[str, Any]:
    """As JSON-able values; differences are in the metric's own unit, B minus A."""
    found, gate, seeds = v.differences[-1], v.answer.regression, v.by_seed
    difference = (
        found
        and seeds
        and {
            "mean": found.mean,
            "low": found.low,
            "high": found.high,
            "p": found.p,
            "effect_size": seeds.effect,
            "b_better": {
                "probability": seeds.better.value,
                "low": seeds.better.low,
                "high": seeds.better.high,
            },
            "seeds": {"a": found.seeds[0], "b": found.seeds[1]},
            # Effect size and probability know of no other rows, so that they may seem to say more.
            "interval_about": "seeds and rows" if v.counts_rows else "seeds",
            "b_better_about": "seeds",
        }
    )
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
            "loss_not_excluded": gate.loss,
            "excluded": gate.excluded,
        }
    )
    document: dict[str, Any] = json_value(
        {
            "format": COMPARE_FORMAT,
            "metric": v.metric,
            "direction": "maximize" if v.maximize else "minimize",
            "part": v.part,
            "seeds": v.seeds,
            "paired": v.paired,
            "same_rows": v.pairing is not Pairing.NOTHING,
            "level": LEVEL,
            "finding": v.answer.finding,
            "verdict": verdict(v),
            "difference": difference,
            "regression": regression,
            "repeats": repeats_document(v),
            "a": _side_document(v.arms[0], v.metric),
            "b": _side_document(v.arms[1], v.metric),
            "remarks": remarks(v),
        }
    )
    return document


def _side_document(side: Arm, metric: str) -> dict[str, Any]:
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
        **estimate_document(side.estimate),
        "learning": side.learning(metric).tolist(),
        "anytime": None if side.search is None else _anytime_document(side.search),
        "uses_of_the_test_part": len(side.uses),
    }


def _anytime_document(search: Anytime) -> dict[str, Any]:
    """Where the best so far changes, and the end: it is constant in between."""
    changes = np.flatnonzero(np.diff(search.best, prepend=np.nan) != 0)
    places = sorted({*changes.tolist(), len(search.best) - 1} - {-1})
    columns = ("trials", "epochs", "seconds", "best")
    return {name: getattr(search, name)[places].tolist() for name in columns}
