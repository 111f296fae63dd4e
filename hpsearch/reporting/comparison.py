"""The answer to a study's question, in words and as a table."""

from __future__ import annotations

from hpsearch.errors import plural
from hpsearch.reporting.grids import Column, Grid
from hpsearch.results.comparison import EQUAL, UNCLEAR, Arm, Comparison, Difference
from hpsearch.stats import Estimate
from hpsearch.text import (
    MISSING,
    interval_text,
    is_share,
    metric_text,
    plain,
    signed_texts,
    significant,
)

_UNEQUAL = 2
"""Arms with so many times the trials of another were tuned better."""


def conclusion(comparison: Comparison) -> str:
    """One sentence with the numbers that answer the question."""
    c, found = comparison, comparison.differences
    if not found:
        return f"{plain(c.by)}: fewer than two arms were trained to their end; nothing can be compared."
    about = f"{plural(c.seeds, 'seed')}, {plural(c.rows, f'{c.part} row')}"
    if len(found) == 1:
        (only,) = found
        change = _change(c, only.estimate, "95 % interval ", f", {about}")
        open_ = only.verdict in (EQUAL, UNCLEAR)
        tail = only.verdict if open_ else f"{plain(only.arm)} is {only.verdict}"
        return f"{plain(only.arm)} against {plain(c.baseline)}: {c.metric} {change}: {tail}."
    (base,) = (arm for arm in c.arms if arm.name == c.baseline)
    assert base.estimate is not None
    parts = [f"{plain(each.arm)} {_change(c, each.estimate)}, {each.verdict}" for each in found]
    return (
        f"Against {plain(c.baseline)} ({c.metric} {metric_text(c.metric, base.estimate.mean)}; {about}; "
        f"95 % intervals that hold for all {len(found)} together): {'; '.join(parts)}."
    )


def remarks(comparison: Comparison) -> list[str]:
    """What the reader must know to take the numbers for no more than they are."""
    c = comparison
    lines = [
        "The intervals are about other initial weights and orders of the rows, for these trials'"
        " hyper-parameters on this split; another search or other data would differ by more."
    ]
    if len(c.differences) > 1:
        lines.append(f"Intervals and p are corrected for {len(c.differences)} comparisons (Bonferroni).")
    if c.part != "test":
        lines.append(
            "There is no test part: the scores are from the validation part, on which the trials were "
            "chosen, too, and flatter."
        )
    for arm in c.arms:
        name = plain(arm.name)
        if arm.trial is None:
            lines.append(
                f"{name}: none of its {plural(arm.trials, 'trial')} is complete; it is not compared."
            )
        elif arm.diverged == len(arm.scores):
            lines.append(f"{name}: diverged with all {arm.diverged} seeds; it is not compared.")
        elif arm.diverged:
            kept = len(arm.scores) - arm.diverged
            lines.append(
                f"{name}: diverged with {arm.diverged} of {len(arm.scores)} seeds; its numbers are those of "
                f"the other {kept}."
            )
    counts = [arm.trials for arm in c.arms]
    if max(counts) >= _UNEQUAL * min(counts):
        lines.append(
            f"The arms had {min(counts):,} to {max(counts):,} trials: those with more were tuned better. "
            'sampler = "qmc" or "random" with stopping = "none" gives all arms about as many.'
        )
    return lines


def comparison_grid(comparison: Comparison) -> Grid:
    """One row an arm: mean and interval, difference to the baseline, verdict, and what it was chosen from."""
    c, found = comparison, {each.arm: each for each in comparison.differences}
    any_diverged = any(arm.diverged for arm in c.arms)
    columns = (
        Column(c.subject, numeric=False),
        *map(Column, (c.metric, "difference", "its interval")),
        Column("verdict", numeric=False),
    )
    last = ("p", "95 % interval", "sd", *(["diverged"] if any_diverged else []), "trials", "trial", "epochs")
    rows = []
    for arm in c.arms:
        mean, interval = _level_cells(c.metric, arm.estimate)
        rows.append(
            (
                plain(arm.name).removeprefix(f"{c.by} "),
                mean,
                *_difference_cells(c, arm, found.get(arm.name)),
                interval,
                MISSING if arm.estimate is None else _sd_text(c.metric, arm.estimate.sd),
                *([str(arm.diverged) if arm.diverged else ""] if any_diverged else []),
                f"{arm.trials:,}",
                MISSING if arm.trial is None else str(arm.trial),
                MISSING if arm.epochs is None else str(arm.epochs),
            )
        )
    return Grid((*columns, *map(Column, last)), tuple(rows))


def _level_cells(metric: str, found: Estimate | None) -> tuple[str, str]:
    """Mean and interval of an arm."""
    if found is None:
        return MISSING, MISSING
    mean = metric_text(metric, found.mean)
    return mean, interval_text(metric, found.low, found.high)


def _difference_cells(comparison: Comparison, arm: Arm, found: Difference | None) -> tuple[str, ...]:
    """Difference, its interval, verdict and p."""
    if arm.name == comparison.baseline:
        return "", "", "(baseline)", ""
    if found is None:
        return MISSING, MISSING, "not compared", ""
    mean, *interval = signed_texts(comparison.metric, *_ends(found.estimate))
    p = "<0.001" if found.p < 0.001 else f"{found.p:.3f}"
    return mean, " … ".join(interval) or "the same", found.verdict, p


def _change(comparison: Comparison, found: Estimate, before: str = "", after: str = "") -> str:
    """ "+47.1 points (+46.2 … +48.0)", or that it was the same with every seed."""
    mean, *interval = signed_texts(comparison.metric, *_ends(found))
    unit = " points" if is_share(comparison.metric) else ""
    inside = f"{before}{' … '.join(interval)}" if interval else "the same with every seed"
    return f"{mean}{unit} ({inside}{after})"


def _ends(found: Estimate) -> list[float]:
    return [value for value in (found.mean, found.low, found.high) if value is not None]


def _sd_text(metric: str, sd: float) -> str:
    return f"{100 * sd:.1f}" if is_share(metric) else significant(sd, 3)
