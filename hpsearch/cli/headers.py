"""What `run` says before it trains: the data, the search, and for --dry-run the whole resolved study."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.errors import plural
from hpsearch.text import clock_range, parameter_text, plain, toml_value

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hpsearch.data import Dataset
    from hpsearch.result import Plan
    from hpsearch.running.estimate import Estimate
    from hpsearch.study.file import Study

_SAMPLES = 5
_RUNGS = 8
_SIZES = 6


def header_lines(study: Study, dataset: Dataset, where: str = "") -> list[str]:
    """The data (and where they are trained), the search, and what the user should know."""
    parts = [f"{len(part):,} {name}" for name, part in (("train", dataset.train), ("valid", dataset.valid))]
    if len(dataset.test):
        parts.append(f"{len(dataset.test):,} test (kept back)")
    count = len(dataset.train) + len(dataset.valid) + len(dataset.test)
    rows = f"{count:,} rows × {len(dataset.features):,}"
    if (image := dataset.image) is not None:
        rows = f"{count:,} images of {image.height} × {image.width} × {image.channels}"
    target = f"{len(dataset.classes)} classes" if dataset.classes else "1 number"
    lines = [
        f"{plain(study.name)}   {rows} → {target} ({study.data.task})   "
        f"{' · '.join(parts)}   {where}".rstrip()
    ]
    searched = " · ".join(f"{name} {entry}" for name, entry in study.space.searched.items())
    lines.append(
        f"search   {searched or 'nothing varies'}   {study.search.sampler} + {study.search.stopping}"
    )
    lines += [f"note     {plain(note)}" for note in dataset.notes]
    train = len(dataset.train)
    if large := _larger(study.space.values("batch_size") or (), train):
        lines.append(
            f"note     batch_size {large} exceeds the {train:,} training rows: all rows form one batch"
        )
    return lines


def _larger(sizes: Sequence[Any], rows: int) -> str:
    """The batch sizes above so many rows, of many the first and the last."""
    large = (
        sizes[bisect_right(sizes, rows) :]
        if isinstance(sizes, range)
        else [size for size in sizes if isinstance(size, int) and size > rows]
    )
    if len(large) > _SIZES:
        return f"{large[0]} to {large[-1]}" if isinstance(large, range) else f"{min(large)} to {max(large)}"
    return ", ".join(map(str, large))


def dry_run_view(plan: Plan) -> RenderableType:
    """The resolved study as TOML; then, as comments, what would be done and the first trials."""
    from rich.console import Group
    from rich.text import Text

    study, left, machine = plan.study, plan.left, plan.machine
    blocks = [Text("# the resolved study: every key that the run depends on")]
    for section, table in study.document().items():
        for inner in table if isinstance(table, list) else [table]:
            brackets = f"[[{section}]]" if isinstance(table, list) else f"[{section}]"
            blocks.append(Text(brackets, style="bold"))
            for key, value in inner.items():
                if value is not None:
                    blocks.append(Text(f"{key} = {toml_value(value)}"))
            blocks.append(Text(""))
    if left.complete:
        return Group(*blocks, Text(f"# {complete_text(left.complete)}"))
    rungs = left.rungs
    shown = ", ".join(map(str, rungs[:_RUNGS])) + (f", … {rungs[-1]}" if len(rungs) > _RUNGS else "")
    at_once = min(study.search.cohort, left.trials + left.unfinished)
    blocks.append(Text(f"# {estimate_text(left)}"))
    pauses = "results are stored" if study.search.stopping == "none" else "rungs"
    blocks.append(Text(f"# {pauses} at epochs {shown}; up to {plural(at_once, 'lane')} at once"))
    blocks.append(
        Text(
            f"# {plural(machine.workers, 'thread')} on {machine.device}, "
            f"about {left.bytes / 1e6:,.0f} MB of memory"
        )
    )
    if repeats := repeats_text(plan):
        blocks.append(Text(f"# {repeats}"))
    first = study.search.trials - left.trials
    for number, params in enumerate(left.asked[:_SAMPLES], start=first):
        values = "  ".join(f"{name}={parameter_text(value)}" for name, value in params.items())
        blocks.append(Text(f"# trial {number}: {values}".rstrip(": ")))
    return Group(*blocks)


def repeats_text(plan: Plan) -> str | None:
    """What the repeats of `[compare]` will cost after the study, if there are any."""
    compare, seconds = plan.study.compare, plan.left.seconds
    if compare is None or compare.repeats == 1:
        return None
    again = compare.repeats - 1
    # What is left is the whole study only where nothing has begun.
    new = seconds is not None and plan.left.trials == plan.study.search.trials
    cost = f": about {clock_range(again * seconds.low, again * seconds.high)} more" if new and seconds else ""
    return (
        f"[compare] repeats the study {plural(again, 'more time')}, each on another split{cost}; "
        "compare.repeats = 1 asks about this split alone"
    )


def complete_text(why: str) -> str:
    """That and why a study is complete."""
    return f"complete: {why}, nothing to train"


def estimate_text(left: Estimate) -> str:
    """One line about what is left to do."""
    begun = [plural(left.unfinished, "unfinished trial")] if left.unfinished else []
    parts = [" and ".join([*begun, *([plural(left.trials, "trial")] if left.trials or not begun else [])])]
    if left.trials:
        parts.append(f"{'at least ' if left.cohorts > 1 else ''}{plural(left.cohorts, 'cohort')}")
    parts.append(f"{'at most' if left.at_most else 'about'} {plural(left.epochs, 'epoch')}")
    if left.seconds is not None:
        parts.append(f"about {clock_range(left.seconds.low, left.seconds.high)} of training")
    return " · ".join(parts)
