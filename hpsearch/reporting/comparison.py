"""Arms against a baseline in words and as a table: the answer to a study's question."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from hpsearch.errors import plural
from hpsearch.records import DEAD, State
from hpsearch.reporting.finalists import NO_TEST
from hpsearch.reporting.grids import Column, Grid
from hpsearch.results.contrast import Arm, Contrast, Pairing, Rows
from hpsearch.results.frames import Report
from hpsearch.stats import BETTER, EQUAL, LEVEL, UNCLEAR, WORSE, Difference, Estimate
from hpsearch.study.arms import arm_name, arm_of, names_of
from hpsearch.study.file import study_from_document
from hpsearch.text import (
    MISSING,
    interval_text,
    is_share,
    json_value,
    metric_text,
    plain,
    signed_texts,
    significant,
)

NO_SHARES: Mapping[str, float] = MappingProxyType({})
_UNEQUAL = 2
"""Arms with so many times the trials of another were tuned better."""

_SHOWN = 20
"""Repeats whose differences are shown."""


# -- of every contrast ---------------------------------------------------------------------------


def verdict_text(c: Contrast, arm: Arm, found: Difference, name: str, baseline: str) -> str:
    """The verdict on an arm, with what makes it unclear: "no detectable difference", "relu is better"."""
    if found.verdict == EQUAL:
        return EQUAL
    return unclear_text(c, arm, found, baseline) or f"{name} is {found.verdict}"


def unclear_text(c: Contrast, arm: Arm, found: Difference, baseline: str) -> str | None:
    """Why there is no clear answer, although a difference was found; None where the answer is clear."""
    if found.verdict != UNCLEAR:
        return None
    what = BETTER if (found.mean > 0) == c.maximize else WORSE
    return (
        f"{UNCLEAR}: {what} where both were trained to the end, but it diverged with {arm.diverged} of "
        f"{plural(c.seeds, c.unit)}, {baseline} with {c.baseline.diverged}"
    )


def change_text(metric: str, found: Difference, before: str = "", after: str = "") -> str:
    """ "+47.1 points (+46.2 … +48.0)", or that it was the same with every seed."""
    mean, *interval = signed_texts(metric, found.mean, *found.ends)
    unit = " points" if is_share(metric) else ""
    inside = f"{before}{' … '.join(interval)}" if interval else "the same with every seed"
    return f"{mean}{unit} ({inside}{after})"


def level_cells(metric: str, found: Estimate | None) -> tuple[str, str]:
    """Mean and interval of an arm."""
    if found is None:
        return MISSING, MISSING
    mean = metric_text(metric, found.mean)
    return mean, interval_text(metric, found.low, found.high)


# -- of the arms of a study ----------------------------------------------------------------------


def conclusion(comparison: Contrast) -> str:
    """One sentence with the numbers that answer the question."""
    c = comparison.answer
    found = c.compared
    if not found:
        return f"{plain(c.by)}: fewer than two arms were trained to their end; nothing can be compared."
    about = plural(c.seeds, "repeat" if c.repeats else "seed")
    if c.repeats is None:
        about += f", {plural(c.rows, f'{c.part} row')}"
    base = plain(c.baseline.name)
    if len(found) == 1:
        ((arm, only),) = found
        change = change_text(c.metric, only, "95 % interval ", f", {about}")
        said = verdict_text(c, arm, only, plain(arm.name), base)
        return f"{plain(arm.name)} against {base}{scope(c)}: {c.metric} {change}: {said}."
    parts = [
        f"{plain(arm.name)} {change_text(c.metric, each)}, {unclear_text(c, arm, each, base) or each.verdict}"
        for arm, each in found
    ]
    against = f"gainst {base} ({c.metric} {metric_text(c.metric, float(np.nanmean(c.baseline.scores)))}"
    begin = f"Of these {len(found) + 1} configurations on this split, a" if c.repeats is None else "A"
    return (
        f"{begin}{against}; {about}; 95 % intervals that hold for all {len(found)} together): "
        f"{'; '.join(parts)}."
    )


def scope(c: Contrast) -> str:
    """What the verdict on two arms is about, where that is less than what they are called."""
    if c.repeats is not None:
        return ""
    return ", these two configurations" + ("" if c.pairing is Pairing.NOTHING else " on this split")


def by_repeat(comparison: Contrast) -> list[str]:
    """The differences of each repeat, a line an arm; none without repeats."""
    c = comparison.answer
    if c.repeats is None:
        return []
    unit = ", in points" if is_share(c.metric) else ""
    lines = []
    for arm, _ in c.compared:
        gaps = arm.scores - c.baseline.scores
        shown = [signed_texts(c.metric, gap)[0] if np.isfinite(gap) else MISSING for gap in gaps[:_SHOWN]]
        more = f" … ({len(gaps)} in all: --format json)" if len(gaps) > _SHOWN else ""
        against = f"{plain(arm.name)} against {plain(c.baseline.name)}"
        lines.append(f"By repeat, {against}{unit}: {'  '.join(shown)}{more}")
    return lines


def methods(comparison: Contrast) -> list[str]:
    """What the intervals cover."""
    c = comparison.answer
    if c.repeats is None:
        lines = [
            "The intervals are about other initial weights and orders of the rows, for these trials'"
            " hyper-parameters on this split; another search or other data would differ by more:"
            " [compare] repeats = 10 says by how much."
        ]
    else:
        lines = repeats_remarks(c)
    if len(c.compared) > 1:
        lines.append(f"Intervals and p are corrected for {len(c.compared)} comparisons (Bonferroni).")
    return lines


def warnings(comparison: Contrast) -> list[str]:
    """What makes the numbers less than they seem."""
    c = comparison.answer
    lines = []
    if c.part != "test":
        lines.append(NO_TEST)
    for arm in c.arms:
        name = plain(arm.name)
        if c.repeats is not None:
            if arm.diverged:
                lines.append(
                    f"{name}: in {plural(arm.diverged, 'repeat')} no trial was complete, or its best "
                    "diverged on every seed; its numbers are those of the others."
                )
        elif arm.trial is None:
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


_DONE = {
    Rows.SPLIT: "splits the rows anew",
    Rows.NEW: "draws new rows",
    Rows.SAME: "splits anew all but the test set, which the source has",
}
_ABOUT = {
    Rows.SPLIT: "other rows of this kind, other searches and seeds; it is wider than Student's, since splits "
    "of the same rows overlap (Nadeau & Bengio 2003)",
    Rows.NEW: "other rows of this kind, other searches and seeds (Student's t)",
    Rows.SAME: "other searches and seeds on these test rows (Student's t)",
}


def repeats_remarks(over: Contrast) -> list[str]:
    """What a repeat is, what its interval is about, and which repeats are missing."""
    how = over.repeats
    assert how is not None
    seeds = plural(how.seeds, "fresh seed")
    then = (
        f"searches, and trains each best by validation on {seeds}"
        if how.searched
        else f"trains the given hyper-parameters on {seeds}"
    )
    paired = ", paired by repeat," if over.paired else ""
    about = _ABOUT[how.rows]
    lines = [f"Each repeat {_DONE[how.rows]}, {then}. The interval over repeats{paired} is about {about}."]
    if over.seeds < how.asked:
        lines.append(
            f"{over.seeds} of {plural(how.asked, 'repeat')} are done: the same command goes on with the rest."
        )
    return lines


def trials_by_arm(report: Report) -> dict[str, list[int]]:
    """The finished trials of each arm of the study's comparison, by the arm's name."""
    study = study_from_document(report.record.document, report.record.origin)
    by = names_of(study.compare) if study.compare is not None else ()
    finished = report.trials[report.trials["state"] != str(State.RUNNING)]
    found: dict[str, list[int]] = {}
    for row in finished.to_dict("records"):
        if (arm := arm_of(study.space, report.params(row), by)) is not None:
            found.setdefault(arm_name(by, arm), []).append(int(row["trial"]))
    return found


def dead_units(report: Report) -> dict[str, float]:
    """Of each arm, the share of hidden units that are dead when its trials end, on average over these."""
    ends = {number: curve[-1, DEAD:] for number, curve in report.curves.items() if len(curve)}
    shares = {number: float(shares.mean()) for number, shares in ends.items() if len(shares)}
    own = {name: [shares[n] for n in of if n in shares] for name, of in trials_by_arm(report).items()}
    return {name: sum(found) / len(found) for name, found in own.items() if found}


def comparison_grid(comparison: Contrast, dead: Mapping[str, float] = NO_SHARES) -> Grid:
    """One row an arm: mean and interval, difference to the baseline, verdict, and what it was chosen from.

    dead: by arm, the share of units that are dead, where that is known. Of one split, or of
    repeats, which chose anew each time.
    """
    c = comparison
    shares = [dead.get(arm.name) for arm in c.arms]
    any_dead = any(shares)
    any_diverged = any(arm.diverged for arm in c.arms)
    columns = (
        Column(c.subject, numeric=False),
        *map(Column, (c.metric, *(["dead units"] if any_dead else []), "difference", "its interval")),
        Column("verdict", numeric=False),
    )
    chosen = ["trial", "epochs"] if c.repeats is None else []
    last = ("p", "95 % interval", "sd", *(["diverged"] if any_diverged else []), "trials", *chosen)
    rows = []
    for arm, found, share in zip(c.arms, c.differences, shares, strict=True):
        level = c.level(arm)
        mean, interval = level_cells(c.metric, level)
        rows.append(
            (
                plain(arm.name).removeprefix(f"{c.by} "),
                mean,
                *([MISSING if share is None else f"{share:.0%}"] if any_dead else []),
                *_difference_cells(c, arm, found),
                interval,
                MISSING if level is None else _sd_text(c.metric, level.sd),
                *([str(arm.diverged) if arm.diverged else ""] if any_diverged else []),
                f"{arm.trials:,}",
                *(MISSING if each is None else str(each) for each in (arm.trial, arm.epochs)[: len(chosen)]),
            )
        )
    return Grid((*columns, *map(Column, last)), tuple(rows))


def _difference_cells(c: Contrast, arm: Arm, found: Difference | None) -> tuple[str, ...]:
    """Difference, its interval, verdict and p."""
    if arm is c.baseline:
        return "", "", "(baseline)", ""
    if found is None:
        return MISSING, MISSING, "not compared", ""
    mean, *interval = signed_texts(c.metric, found.mean, *found.ends)
    p = "<0.001" if found.p < 0.001 else f"{found.p:.3f}"
    return mean, " … ".join(interval) or "the same", found.verdict, p


def _sd_text(metric: str, sd: float) -> str:
    return f"{100 * sd:.1f}" if is_share(metric) else significant(sd, 3)


def comparison_document(comparison: Contrast) -> dict[str, Any]:
    """The comparison as JSON-able values; differences are in the metric's own unit, shares not in points."""
    c, arms = comparison, []
    for arm, each in zip(c.arms, c.differences, strict=True):
        own: dict[str, Any] = {
            "arm": arm.name,
            "trials": arm.trials,
            "complete": arm.complete,
            "trial": arm.trial,
            "epochs": arm.epochs,
            "diverged": arm.diverged,
            "scores": arm.scores.tolist(),
            **estimate_document(arm.estimate),
            "difference": None,
        }
        if each is not None:
            difference = {"seeds": each.seeds[1], **estimate_document(each)}
            own["difference"] = {**difference, "p": each.p, "verdict": each.verdict}
        arms.append(own)
    document: dict[str, Any] = json_value(
        {
            "by": c.by,
            "metric": c.metric,
            "baseline": c.baseline.name,
            "seeds": c.seeds,
            "part": c.part,
            "rows": c.rows,
            "level": LEVEL,
            "comparisons": len(c.compared),
            "arms": arms,
            "repeats": repeats_document(c),
            "conclusion": conclusion(c),
            "remarks": [*methods(c), *warnings(c)],
        }
    )
    return document


def repeats_document(comparison: Contrast) -> dict[str, Any] | None:
    """The repeats as JSON-able values, if there are any: the difference of each, and their mean."""
    c = comparison.repeated
    if c is None or c.repeats is None:
        return None
    arms = [
        {
            "arm": arm.name,
            "scores": arm.scores.tolist(),
            "differences": None if place == c.base else (arm.scores - c.baseline.scores).tolist(),
            "difference": None
            if found is None
            else {**estimate_document(found), "p": found.p, "verdict": found.verdict},
        }
        for place, (arm, found) in enumerate(zip(c.arms, c.differences, strict=True))
    ]
    how = c.repeats
    return {
        "asked": how.asked,
        "done": c.seeds,
        "seeds": how.seeds,
        "rows": str(how.rows),
        "overlap": how.overlap,
        "paired": c.paired,
        "arms": arms,
    }


def estimate_document(found: Estimate | Difference | None) -> dict[str, Any]:
    """Mean, standard deviation and interval, as JSON-able values."""
    if found is None:
        return dict.fromkeys(("mean", "sd", "low", "high"))
    return {"mean": found.mean, "sd": found.sd, "low": found.low, "high": found.high}
