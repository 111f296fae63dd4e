"""Two studies or trials against each other, in words."""

from __future__ import annotations

from hpsearch.errors import plural
from hpsearch.results.comparison import EQUAL, UNCLEAR
from hpsearch.results.versus import A, B, Choice, Side, Versus, gate_rows
from hpsearch.stats import Gap
from hpsearch.text import interval_text, is_share, metric_text, plain, signed_texts


def title(v: Versus) -> str:
    """What was done."""
    rows = plural(v.a.rows, f"{v.part} row")
    if v.a.rows != v.b.rows:
        rows = f"{v.a.rows:,} and {v.b.rows:,} {v.part} rows"
    how = "paired by seed" if v.paired else "on different rows or seeds"
    return f"each on {v.seeds} fresh seeds, scored on {rows}, {how}"


def verdict(v: Versus) -> str:
    """One sentence: how far the second is from the first, and what that means."""
    names = f"{B} ({v.b.name}) against {A} ({v.a.name})"
    if v.gap is None:
        lost = " and ".join(f"{letter} diverged with {side.diverged}" for letter, side in v.sides)
        return f"{names}: of {v.seeds} seeds, {lost}; what is left is too little to compare."
    mean, *ends = signed_texts(v.metric, v.gap.mean, *_ends(v.gap))
    unit = " points" if is_share(v.metric) else ""
    p = "p < 0.001" if v.gap.p < 0.001 else f"p {v.gap.p:.3f}"
    inside = f"95 % interval {' … '.join(ends)}, {p}" if ends else "the same with every seed"
    said = v.finding if v.finding in (EQUAL, UNCLEAR) else f"{B} is {v.finding}"
    return f"{names}: {v.metric} {mean}{unit} ({inside}): {said}."


def chances(v: Versus) -> str | None:
    """One sentence: how often the second would win, and how large the difference is beside the spread."""
    if v.gap is None:
        return None
    share = v.gap.better
    low, high = (f"{100 * end:.0f}" for end in (share.low, share.high))
    text = (
        f"On one more seed, {B} is better with a probability of {100 * share.value:.0f} % ({low} … {high} %)"
    )
    if v.gap.effect:
        text += f"; the difference is {abs(v.gap.effect):.2g} standard deviations between seeds (Hedges' g)"
    return f"{text}."


def gate_sentence(v: Versus) -> str | None:
    """Whether the second is a regression, and why."""
    found = v.regression
    if found is None or v.margin is None:
        return None
    allowed = f"worse than {A} by more than {v.margin.text(v.metric)}"
    if found.diverges:
        return (
            f"Regression: {B} diverged with {v.b.diverged} of {v.seeds} fresh seeds, {A} with {v.a.diverged}."
        )
    if found.tripped and found.bound is not None:
        unit = " points" if is_share(v.metric) else ""
        beyond = signed_texts(v.metric, -found.bound)[0].removeprefix("+")
        return f"Regression: {B} is {allowed}, with 95 % confidence by at least {beyond}{unit} more."
    if found.bound is None:
        return (
            f"Undecided: whether {B} is {allowed} cannot be told from the seeds with which neither diverged."
        )
    return (
        f"No regression: {B} is not shown to be {allowed}. Seeds alone would call an equal {B} a regression "
        f"in at most {100 * found.error:g} % of comparisons."
    )


def undecided(v: Versus) -> bool:
    """Whether a regression was asked for and nothing is known of it, since the second diverged too often."""
    found = v.regression
    return found is not None and found.bound is None and not found.tripped and v.b.diverged > v.a.diverged


def remarks(v: Versus) -> list[str]:
    """What the reader must know to take the numbers for no more than they are."""
    lines = [_about(v)]
    if v.same:
        lines.append("Both are the same configuration: with a seed they come out the same.")
    if v.part != "test":
        lines.append(
            "There is no test part: the scores are from the validation part, on which the trials were "
            "chosen, too, and flatter."
        )
    choices = {side.choice for _, side in v.sides}
    if Choice.CONFIRMED in choices and len(choices) > 1:
        letter, other = (A, B) if v.a.choice is Choice.CONFIRMED else (B, A)
        lines.append(
            f"{letter} was chosen by its score on the {v.part} part among finalists, {other} was not: that "
            f"flatters {letter}. `hpsearch confirm` makes them equal."
        )
    for letter, side in v.sides:
        if side.stopped:
            lines.append(
                f"{letter} was stopped early in its study and is trained for {plural(side.epochs, 'epoch')} "
                "here, too: the comparison is of so much training, not of hyper-parameters alone."
            )
        if side.diverged:
            lines.append(
                f"{letter} diverged with {side.diverged} of {v.seeds} seeds; scores are those of the others."
            )
    for study, looks in _looks(v).items():
        if looks > 1:
            lines.append(
                f"Study {study} has looked at its test part {looks} times: each look makes the best of "
                "what it showed look better than it is."
            )
    return lines


def _about(v: Versus) -> str:
    """What the interval is about, and what it rests on."""
    end = "for these hyper-parameters; another search would choose others."
    if v.paired:
        return (
            "The interval (Student's t, paired) is about other initial weights and orders of the rows on "
            f"this split, {end}"
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


def _looks(v: Versus) -> dict[str, int]:
    """By study, how often its test part has been looked at."""
    return {plain(side.study): len(side.uses) for _, side in v.sides}


def _ends(found: Gap) -> list[float]:
    return [end for end in (found.low, found.high) if end is not None]


def level_cells(v: Versus, side: Side) -> tuple[str, str]:
    """Mean and interval of a side's scores."""
    if side.estimate is None:
        return metric_text(v.metric, None), metric_text(v.metric, None)
    found = side.estimate
    return metric_text(v.metric, found.mean), interval_text(v.metric, found.low, found.high)
