"""Views of what is stored: all studies, one study, one trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hpsearch.errors import plural
from hpsearch.records import FloatArray, State, StudyRecord, Trial
from hpsearch.report.document import json_value
from hpsearch.report.frames import count_states, curve_columns, space_of, trials_frame
from hpsearch.report.grids import Column, Grid, curve_text
from hpsearch.report.layers import dead_line, layers_grid, sizes
from hpsearch.report.tables import fitted, spaced
from hpsearch.report.text import (
    MISSING,
    STATE_WORDS,
    counts_text,
    metric_text,
    missing,
    parameter_text,
    plain,
    seconds_text,
    significant,
    sparkline,
    toml_value,
)

LIST_FORMAT = "hpsearch.list/1"
_SPARKLINE = 32


@dataclass(frozen=True)
class StoredStudy:
    """One line of the list of studies; `created` without a zone is UTC."""

    name: str
    task: str
    metric: str
    counts: Mapping[State, int]
    best_value: float | None
    created: datetime | None
    seconds: float


def list_document(studies: Sequence[StoredStudy]) -> dict[str, Any]:
    """The list of studies as `hpsearch.list/1`."""
    rows = [
        {
            **{key: value for key, value in dataclasses.asdict(study).items() if key != "counts"},
            "counts": {str(state): study.counts.get(state, 0) for state in State},
            "best_value": json_value(study.best_value),
            "created": None if study.created is None else _aware(study.created).isoformat(),
        }
        for study in studies
    ]
    return {"format": LIST_FORMAT, "studies": rows}


def list_view(studies: Sequence[StoredStudy], width: int) -> RenderableType:
    """One line a study."""
    columns = [
        Column("study", numeric=False),
        Column("trials"),
        Column("complete"),
        Column("best"),
        Column("metric", numeric=False),
        Column("stopped"),
        Column("diverged"),
        Column("running"),
        Column("time"),
        Column("created", numeric=False),
    ]
    rows = []
    for study in studies:
        counts = {state: study.counts.get(state, 0) for state in State}
        created = MISSING if study.created is None else f"{_aware(study.created).astimezone():%Y-%m-%d}"
        rows.append(
            (
                plain(study.name),
                f"{sum(counts.values()):,}",
                f"{counts[State.COMPLETE]:,}",
                metric_text(study.metric, study.best_value),
                study.metric,
                f"{counts[State.PRUNED]:,}",
                f"{counts[State.FAILED]:,}",
                f"{counts[State.RUNNING]:,}",
                seconds_text(study.seconds),
                created,
            )
        )
    return Group(*fitted(Grid(tuple(columns), tuple(rows)), width, "--format json"))


def study_view(record: StudyRecord, trials: Sequence[Trial]) -> RenderableType:
    """Everything that is stored of a study but its trials: the resolved study file, data, provenance."""
    counts = count_states(trials_frame(record, trials))
    head = Text(plain(record.name), style="bold")
    head.append(f"   {record.task}, {record.metric}, {record.direction}", style="not bold")
    done = f"{plural(len(trials), 'trial')}: {counts_text(counts)}" if trials else "no trial yet"
    blocks: list[RenderableType] = [
        Group(head, Text(f"{done}   in {seconds_text(record.seconds)}"), *_origin(record))
    ]
    for section, table in record.document.items():
        blocks.append(_section(f"[{section}]", {k: toml_value(v) for k, v in table.items() if v is not None}))
    data = {"hash": record.data_hash, **record.data_summary}
    for title, values in (("data", data), ("provenance", record.provenance)):
        if values:
            blocks.append(_section(title, {key: _written(value) for key, value in values.items()}))
    return spaced(blocks)


def trial_view(
    record: StudyRecord, trials: Sequence[Trial], number: int, curve: FloatArray, width: int = 100
) -> RenderableType:
    """One trial: state, rank, values, all hyper-parameters (fixed ones too), layers and curve.

    width: columns of the terminal.

    curve: [epochs, columns] (see records.Segment), empty before the first epoch.
    """
    frame = trials_frame(record, trials)
    trial = next(trial for trial in trials if trial.number == number)
    row = frame[frame["trial"] == number].iloc[0]
    ranked = int(frame["rank"].notna().sum())
    place = "" if missing(row["rank"]) else f", rank {row['rank']} of {ranked:,}"
    head = Text(f"{plain(record.name)} #{number}", style="bold")
    head.append(f"   {STATE_WORDS[trial.state]}{place}", style="not bold")
    lines = [head]
    if trial.value is not None and trial.best_epoch is not None:
        value = metric_text(record.metric, trial.value)
        loss = significant(trial.loss, 4)
        lines.append(
            Text(f"{record.metric} {value}, loss {loss} after epoch {trial.best_epoch} of {trial.epochs}")
        )
    if not missing(row["reason"]):
        lines.append(Text(plain(row["reason"])))
    if dead := dead_line(curve):
        lines.append(Text(dead))
    if trial.started and trial.finished:
        took = (trial.finished - trial.started).total_seconds()
        lines.append(
            Text(f"from {_aware(trial.started).astimezone():%Y-%m-%d %H:%M:%S}, {seconds_text(took)}")
        )
    blocks: list[RenderableType] = [Group(*lines), _hyper_parameters(record, trial)]
    if network := sizes(record, space_of(record).configuration(trial.params)):
        blocks.append(Group(*fitted(layers_grid(*network), width)))
    if len(curve):
        blocks.append(_curve(record, curve))
    return spaced(blocks)


def _hyper_parameters(record: StudyRecord, trial: Trial) -> RenderableType:
    """Those that mean anything to the trial, fixed ones too."""
    space = space_of(record)
    values = {
        name: _exact(value) + ("" if name in space.searched else "   (fixed)")
        for name, value in space.described(trial.params).items()
    }
    return _section("hyper-parameters", values)


def _curve(record: StudyRecord, curve: FloatArray) -> RenderableType:
    """One line a column: sparkline, first and last figure."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(
        Text("curve", style="bold"), "", Text("first", justify="right"), Text("last", justify="right")
    )
    for place, name in curve_columns(record.metric, curve.shape[1]):
        values = curve[:, place].tolist()
        first, last = (curve_text(place, record.metric, value) for value in (values[0], values[-1]))
        table.add_row(
            f"  {name}",
            sparkline(values, _SPARKLINE),
            Text(first, justify="right"),
            Text(last, justify="right"),
        )
    return table


def _section(title: str, values: Mapping[str, str]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in values.items():
        table.add_row(Text(f"  {plain(key)}"), Text(plain(value)))
    return Group(Text(title, style="bold"), table)


def _origin(record: StudyRecord) -> list[Text]:
    return [Text(f"from {plain(record.origin)}")] if record.origin else []


def _exact(value: Any) -> str:
    """A hyper-parameter with all digits, so that it can be used elsewhere."""
    return parameter_text(value) if isinstance(value, str) else toml_value(value)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else toml_value(value)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
