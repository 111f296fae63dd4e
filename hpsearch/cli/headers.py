"""What `run` says before it trains: the data, the search, and for --dry-run the whole resolved study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.report.text import parameter_text, plain, toml_value
from hpsearch.study.file import Study

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hpsearch.data import Dataset

_SAMPLES = 5


def header_lines(study: Study, dataset: Dataset, where: str = "") -> list[str]:
    """Two lines or more: data (and where they are trained), search, and what the user should know."""
    parts = [f"{len(part):,} {name}" for name, part in (("train", dataset.train), ("valid", dataset.valid))]
    if len(dataset.test):
        parts.append(f"{len(dataset.test):,} test (kept back)")
    count = len(dataset.train) + len(dataset.valid) + len(dataset.test)
    rows = f"{count:,} rows × {len(dataset.features):,}"
    if (image := dataset.image) is not None:
        rows = f"{count:,} pictures of {image.height} × {image.width} × {image.channels}"
    target = f"{len(dataset.classes)} classes" if dataset.classes else "1 number"
    lines = [
        f"{plain(study.name)}   {rows} → {target} ({study.data.task})   "
        f"{' · '.join(parts)}   {where}".rstrip()
    ]
    searched = " · ".join(f"{name} {entry}" for name, entry in study.space.searched.items())
    lines.append(
        f"search   {searched or 'nothing varies'}   {study.search.sampler} + {study.search.stopping}"
    )
    lines += [f"note     {plain(note)}" for note in [*dataset.notes, *_batch_notes(study, dataset)]]
    return lines


def _batch_notes(study: Study, dataset: Dataset) -> list[str]:
    """What is done with batch sizes that are larger than the training part."""
    rows = len(dataset.train)
    sizes = study.space.values("batch_size") or ()
    large = [str(size) for size in sizes if isinstance(size, int) and size > rows]
    if not large:
        return []
    return [f"batch_size {', '.join(large)} is more than the {rows:,} training rows: all rows make one batch"]


def dry_run_view(study: Study, dataset: Dataset) -> RenderableType:
    """The resolved study as TOML, rungs, size of a cohort, and some trials that the sampler would ask."""
    from rich.console import Group
    from rich.text import Text

    from hpsearch.search import make_sampler, make_stopping

    blocks = [Text("# the resolved study: every key that the run depends on")]
    for section, table in study.document().items():
        blocks.append(Text(f"[{section}]", style="bold"))
        for key, value in table.items():
            if value is not None:
                blocks.append(Text(f"{key} = {toml_value(value)}"))
        blocks.append(Text(""))
    search = study.search
    rungs = make_stopping(search.stopping, study.train.epochs, search.factor, search.min_epochs).rungs
    first = min(search.cohort, search.trials)
    blocks.append(
        Text(f"# rungs at epochs {', '.join(map(str, rungs))}; {first:,} trials in the first cohort, of")
    )
    sampler = make_sampler(search.sampler, study.space, study.direction == "maximize")
    for number, params in enumerate(sampler(study.seed, 0, first, [])[:_SAMPLES]):
        shown = "  ".join(f"{name}={parameter_text(value)}" for name, value in params.items())
        blocks.append(Text(f"# trial {number}: {shown}"))
    return Group(*blocks)
