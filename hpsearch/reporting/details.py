"""Views of what is stored: all studies, one study, one trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from shlex import quote
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hpsearch.errors import plural
from hpsearch.records import DEAD, FloatArray, Run, Segment, State, StudyRecord, Task, Trial
from hpsearch.reporting.grids import Column, Grid, curve_text, figure_text
from hpsearch.reporting.provenance import written
from hpsearch.reporting.tables import fitted, spaced, two_columns
from hpsearch.results.activity import Activity, activity
from hpsearch.results.advice.training import MANY_DEAD, REMEDIES
from hpsearch.results.frames import costs_of, curve_columns, rank_of, reason_of, space_of
from hpsearch.stats.pareto import beaten_by
from hpsearch.store import StudySummary
from hpsearch.study.hyperparameters import Configuration
from hpsearch.study.layout import Piece, layer_shapes, parameter_count, parameter_pieces
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


_OTHERWISE = ("counts", "holder", "complete")
"""Fields of a summary that its document has in other words."""


def list_document(studies: Sequence[StudySummary]) -> dict[str, Any]:
    """The list of studies as `hpsearch.list/1`."""
    rows = [
        {
            **{key: value for key, value in dataclasses.asdict(study).items() if key not in _OTHERWISE},
            "state": _activity(study).state,
            "counts": {str(state): study.counts.get(state, 0) for state in State},
            "best_value": json_value(study.best_value),
            "created": _aware(study.created).isoformat(),
            "process": None if study.holder is None else {"host": study.holder.host, "pid": study.holder.pid},
        }
        for study in studies
    ]
    return {"format": LIST_FORMAT, "studies": rows}


def _activity(study: StudySummary) -> Activity:
    return activity(study.counts, study.total, study.holder, study.complete)


def resume_command(study: str, storage: str = "") -> str:
    """The command that resumes a stored study. storage: the words that name its database."""
    return f"hpsearch run {quote(study)}{storage}"


def list_view(studies: Sequence[StudySummary], width: int, storage: str = "") -> RenderableType:
    """One line a study, and one more for each that is not complete.

    storage: the words that name the database, for the commands that are shown.
    """
    heads = [
        "study",
        "state",
        "trials",
        "complete",
        "best",
        "metric",
        "stopped early",
        "diverged",
        "unfinished",
        "time",
        "created",
    ]
    columns = tuple(Column(head, head not in ("study", "state", "metric", "created")) for head in heads)
    rows, lines = [], []
    for study in studies:
        counts = {state: study.counts.get(state, 0) for state in State}
        now = _activity(study)
        if now.state != "complete":
            lines.append(Text(plain(f"{study.name}: {now.text(resume_command(study.name, storage))}")))
        rows.append(
            (
                plain(study.name),
                now.state,
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
    table = fitted(Grid(columns, tuple(rows)), width, "--format json")
    return Group(*table, *([Text("")] if lines else []), *lines)


def study_view(
    record: StudyRecord,
    counts: Mapping[State, int],
    runs: Sequence[Run] = (),
    now: Activity | None = None,
    storage: str = "",
) -> RenderableType:
    """Everything that is stored of a study but its trials: the resolved study file, data, provenance.

    counts: of its trials by state. runs: that trained it, in order; of the last one everything is shown, of
    all what changed with them. now: whether it is complete, running or stopped. storage: the words that name
    the database, for the command that resumes it.
    """
    trials = sum(counts.values())
    head = Text(plain(record.name), style="bold")
    head.append(f"   {record.task}, {record.metric}, {record.direction}", style="not bold")
    done = f"{plural(trials, 'trial')}: {counts_text(counts)}" if trials else "no trials yet"
    blocks: list[RenderableType] = [
        Group(
            head,
            Text(f"{done}   in {seconds_text(record.seconds)}"),
            *([] if now is None else [Text(plain(now.text(resume_command(record.name, storage))))]),
            *_origin(record),
        )
    ]
    for title, table in _tables(record.document):
        blocks.append(_section(title, {k: toml_value(v) for k, v in table.items() if v is not None}))
    data = {"hash": record.data_hash, **record.data_summary}
    provenance = runs[-1].provenance if runs else record.provenance
    for title, values in (("data", data), ("provenance", provenance)):
        if values:
            blocks.append(_section(title, {key: written(value) for key, value in values.items()}))
    if runs:
        blocks.append(_section("runs", dict(_run_lines(runs))))
    return spaced(blocks)


def _tables(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Title and keys of each table of a study file; `enqueue` and `forbidden` are lists of tables."""
    for section, content in document.items():
        if isinstance(content, list):
            yield from ((f"[[{section}]]", table) for table in content)
        else:
            yield f"[{section}]", content


def _run_lines(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    """Number and beginning of the last runs, and what was otherwise than in the one before."""
    first = max(0, len(runs) - _SHOWN_RUNS)
    if first:
        yield "…", plural(first, "earlier run")
    for at in range(first, len(runs)):
        before = runs[at - 1].provenance if at else {}
        changed = [
            f"{key} {written(before[key])} → {written(value)}"
            for key, value in runs[at].provenance.items()
            if key in before and before[key] != value
        ]
        copied = runs[at].provenance.get("copied_from")
        words = [f"copied from study {copied}"] if copied else []
        yield (
            f"{runs[at].number}   {_aware(runs[at].begun).astimezone():%Y-%m-%d %H:%M}",
            ", ".join([*words, *changed]) or ("unchanged" if at else ""),
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
        lines.append(Text(f"copied from trial {copied[number]} of study {plain(record.parent['study'])}"))
    if dead := _dead_line(curve):
        lines.append(Text(dead))
    if trial.started and trial.finished:
        took = (trial.finished - trial.started).total_seconds()
        lines.append(
            Text(f"from {_aware(trial.started).astimezone():%Y-%m-%d %H:%M:%S}, {seconds_text(took)}")
        )
    space = space_of(record)
    # With all digits, so that they can be used elsewhere; those that mean anything to the trial.
    values = {
        name: (parameter_text(value) if isinstance(value, str) else toml_value(value))
        + ("" if name in space.searched else "   (fixed)")
        for name, value in space.described(trial.params).items()
    }
    blocks: list[RenderableType] = [Group(*lines), _section("hyper-parameters", values)]
    if network := _sizes(record, space.configuration(trial.params)):
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


def lane_text(piece: Segment) -> str:
    """ ", lane 3 of 60", or nothing where that was not stored."""
    return f", lane {piece.lane + 1} of {piece.width}" if piece.width else ""


def _piece_line(piece: Segment) -> tuple[str, str]:
    first, last = piece.first_epoch, piece.last_epoch
    epochs = f"epoch {first}" if first == last else f"epochs {first}–{last}"
    return epochs, f"run {piece.run}, cohort {piece.cohort}{lane_text(piece)}"


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
    return Group(Text(title, style="bold"), two_columns((f"  {key}", value) for key, value in values.items()))


def _origin(record: StudyRecord) -> list[Text]:
    lines = [Text(f"from {plain(record.origin)}")] if record.origin else []
    if parent := record.parent:
        taken = plural(len(parent["trials"]), "trial")
        lines.append(Text(f"forked from study {plain(parent['study'])}, with {taken}"))
    return lines


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# -- a trial's network ---------------------------------------------------------------------------


def _sizes(record: StudyRecord, configuration: Configuration) -> tuple[int, Configuration, int] | None:
    """(features, configuration, outputs) of a trial's network; None if the record does not tell."""
    features = record.data_summary.get("features")
    if not isinstance(features, int):
        return None
    classes = record.data_summary.get("classes")
    many = record.task == Task.MULTICLASS and isinstance(classes, list)
    return features, configuration, len(classes) if many and isinstance(classes, list) else 1


def layers_grid(features: int, configuration: Configuration, outputs: int) -> Grid:
    """One row for each thing that a row of data goes through, with its shape and number of parameters."""
    c, rows = configuration, []
    pieces = parameter_pieces(features, c, outputs)
    shapes = layer_shapes(features, c, outputs)
    for layer, (inputs, width) in enumerate(shapes):
        own = [piece for piece in pieces if piece.layer == layer]
        rows.append((f"linear {layer + 1}", f"{inputs:,} → {width:,}", _count(own, "weight", "bias")))
        if layer + 1 == len(shapes):
            break
        if c.batch_norm:
            rows.append(("batch norm", f"{width:,}", _count(own, "gain", "shift")))
        units = f"{width // c.fan:,}"
        shape = f"{width:,} → {units}" if c.fan > 1 else units
        rows.append((_activation(c), shape, _count(own, "slope")))
        if c.dropout:
            rows.append((f"dropout {c.dropout:.3g}", units, "0"))
    together = f"{'a linear model' if c.linear else 'all together'}, depth {len(shapes)}"
    rows.append((together, "", f"{parameter_count(features, c, outputs):,}"))
    return Grid((Column("layer", numeric=False), Column("units"), Column("parameters")), tuple(rows))


def _count(pieces: list[Piece], *roles: str) -> str:
    return f"{sum(piece.size for piece in pieces if piece.role in roles):,}"


def _activation(configuration: Configuration) -> str:
    c = configuration
    if c.activation == "maxout":
        return f"maxout of {c.pieces}"
    if c.activation in ("leaky_relu", "elu"):
        return f"{c.activation} {c.alpha:.3g}"
    return "no activation" if c.activation == "none" else c.activation


def _dead_line(curve: FloatArray) -> str | None:
    """What to say of a trial one of whose layers lost half of its units or more."""
    shares = curve[-1, DEAD:].tolist() if len(curve) else []
    worst = max(shares, default=0.0)
    if worst < MANY_DEAD:
        return None
    return (
        f"dead units: {100 * worst:.0f}% of hidden layer {shares.index(worst) + 1} were 0 on the whole "
        f"validation set in the last epoch and no longer learn; {REMEDIES}"
    )
