"""Views of what is stored: all studies, one study, one trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hpsearch.errors import plural
from hpsearch.records import FloatArray, Run, Segment, State, StudyRecord, Trial
from hpsearch.reporting.grids import Column, Grid, curve_text, figure_text
from hpsearch.reporting.layers import dead_line, layers_grid, sizes
from hpsearch.reporting.tables import fitted, spaced
from hpsearch.results.frames import costs_of, curve_columns, rank_of, reason_of, space_of
from hpsearch.stats.pareto import beaten_by
from hpsearch.store import StudySummary
from hpsearch.text import (
    STATE_WORDS,
    counts_text,
    json_value,
    listed,
    metric_text,
    parameter_text,
    plain,
    seconds_text,
    significant,
    sparkline,
    toml_value,
)

LIST_FORMAT = "hpsearch.list/1"
_SPARKLINE = 32
_SHOWN_RUNS = 20


def list_document(studies: Sequence[StudySummary]) -> dict[str, Any]:
    """The list of studies as `hpsearch.list/1`."""
    rows = [
        {
            **{key: value for key, value in dataclasses.asdict(study).items() if key != "counts"},
            "counts": {str(state): study.counts.get(state, 0) for state in State},
            "best_value": json_value(study.best_value),
            "created": _aware(study.created).isoformat(),
        }
        for study in studies
    ]
    return {"format": LIST_FORMAT, "studies": rows}


def list_view(studies: Sequence[StudySummary], width: int) -> RenderableType:
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
                f"{_aware(study.created).astimezone():%Y-%m-%d}",
            )
        )
    return Group(*fitted(Grid(tuple(columns), tuple(rows)), width, "--format json"))


def study_view(record: StudyRecord, counts: Mapping[State, int], runs: Sequence[Run] = ()) -> RenderableType:
    """Everything that is stored of a study but its trials: the resolved study file, data, provenance.

    counts: of its trials by state. runs: that trained it, in order; of the last one everything is shown, of
    all what changed with them.
    """
    trials = sum(counts.values())
    head = Text(plain(record.name), style="bold")
    head.append(f"   {record.task}, {record.metric}, {record.direction}", style="not bold")
    done = f"{plural(trials, 'trial')}: {counts_text(counts)}" if trials else "no trial yet"
    blocks: list[RenderableType] = [
        Group(head, Text(f"{done}   in {seconds_text(record.seconds)}"), *_origin(record))
    ]
    for section, table in record.document.items():
        blocks.append(_section(f"[{section}]", {k: toml_value(v) for k, v in table.items() if v is not None}))
    data = {"hash": record.data_hash, **record.data_summary}
    provenance = runs[-1].provenance if runs else record.provenance
    for title, values in (("data", data), ("provenance", provenance)):
        if values:
            blocks.append(_section(title, {key: _written(value) for key, value in values.items()}))
    if runs:
        blocks.append(_section("runs", dict(_run_lines(runs))))
    return spaced(blocks)


def _run_lines(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    """Number and beginning of the last runs, and what was otherwise than in the one before."""
    first = max(0, len(runs) - _SHOWN_RUNS)
    if first:
        yield "…", f"{plural(first, 'run')} before"
    for at in range(first, len(runs)):
        before = runs[at - 1].provenance if at else {}
        changed = [
            f"{key} {_written(before[key])} → {_written(value)}"
            for key, value in runs[at].provenance.items()
            if key in before and before[key] != value
        ]
        copied = runs[at].provenance.get("copied_from")
        words = [f"of study {copied}"] if copied else []
        yield (
            f"{runs[at].number}   {_aware(runs[at].begun).astimezone():%Y-%m-%d %H:%M}",
            ", ".join([*words, *changed]) or ("as before" if at else ""),
        )


def trial_view(
    record: StudyRecord,
    trials: Sequence[Trial],
    number: int,
    curve: FloatArray,
    width: int = 100,
    pieces: Sequence[Segment] = (),
) -> RenderableType:
    """One trial: state, rank, values, all hyper-parameters (fixed ones too), layers and curve.

    width: columns of the terminal. pieces: in which the curve was trained.

    curve: [epochs, columns] (see records.Segment), empty before the first epoch.
    """
    trial = next(trial for trial in trials if trial.number == number)
    rank, ranked = rank_of(record, trials, number)
    place = "" if rank is None else f", rank {rank} of {ranked:,}"
    head = Text(f"{plain(record.name)} #{number}", style="bold")
    head.append(f"   {STATE_WORDS[trial.state]}{place}", style="not bold")
    lines = [head]
    if trial.value is not None and trial.best_epoch is not None:
        value = metric_text(record.metric, trial.value)
        loss = significant(trial.loss, 4)
        lines.append(
            Text(f"{record.metric} {value}, loss {loss} after epoch {trial.best_epoch} of {trial.epochs}")
        )
    if record.objectives:
        lines.append(Text(_objectives_line(record, trials, trial)))
    if reason := reason_of(trial, rank is not None):
        lines.append(Text(plain(reason)))
    copied = record.parent.get("trials", ())
    if number < len(copied):
        lines.append(Text(f"taken over from study {plain(record.parent['study'])}, trial {copied[number]}"))
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
    if any(piece.run for piece in pieces):
        blocks.append(_section("trained", dict(map(_piece_line, pieces))))
    return spaced(blocks)


def _objectives_line(record: StudyRecord, trials: Sequence[Trial], trial: Trial) -> str:
    """The further objectives, and where the trial is not on the Pareto front one that beats it."""
    own = _objectives_text(record, trial)
    costs, place = costs_of(record, trials), trials.index(trial)
    if np.isnan(costs[place]).any():
        return own
    better = beaten_by(costs, place)
    if better is None:
        return f"{own}; on the Pareto front of {listed([record.metric, *record.objectives])}"
    found = trials[better]
    value = metric_text(record.metric, found.value)
    has = f"trial {found.number} has {record.metric} {value}, {_objectives_text(record, found)}"
    return f"{own}; not on the Pareto front: {has}"


def _objectives_text(record: StudyRecord, trial: Trial) -> str:
    values = zip(record.objectives, trial.others or (None,) * len(record.objectives), strict=True)
    return ", ".join(f"{name} {figure_text(name, value)}" for name, value in values)


def _piece_line(piece: Segment) -> tuple[str, str]:
    lane = f", lane {piece.lane + 1} of {piece.width}" if piece.width else ""
    first, last = piece.first_epoch, piece.last_epoch
    epochs = f"epoch {first}" if first == last else f"epochs {first}–{last}"
    return epochs, f"run {piece.run}, cohort {piece.cohort}{lane}"


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
    lines = [Text(f"from {plain(record.origin)}")] if record.origin else []
    if parent := record.parent:
        taken = plural(len(parent["trials"]), "trial")
        lines.append(Text(f"forked from study {plain(parent['study'])}, with {taken} of it"))
    return lines


def _exact(value: Any) -> str:
    """A hyper-parameter with all digits, so that it can be used elsewhere."""
    return parameter_text(value) if isinstance(value, str) else toml_value(value)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else toml_value(value)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
