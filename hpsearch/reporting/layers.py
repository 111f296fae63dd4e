"""A trial's network, layer by layer, and the units of it that died."""

from __future__ import annotations

from hpsearch.records import DEAD, FloatArray, StudyRecord, Task
from hpsearch.reporting.grids import Column, Grid
from hpsearch.results.advice.training import MANY_DEAD, REMEDIES
from hpsearch.study.hyperparameters import Configuration
from hpsearch.study.layout import Piece, layer_shapes, parameter_count, parameter_pieces


def sizes(record: StudyRecord, configuration: Configuration) -> tuple[int, Configuration, int] | None:
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


def dead_shares(curve: FloatArray) -> list[float]:
    """The share of units of each hidden layer that were 0 on the whole validation part in the last epoch."""
    return [float(share) for share in curve[-1, DEAD:]] if len(curve) else []


def dead_line(curve: FloatArray) -> str | None:
    """What to say of a trial one of whose layers lost half of its units or more."""
    shares = dead_shares(curve)
    worst = max(shares, default=0.0)
    if worst < MANY_DEAD:
        return None
    return (
        f"dead units: {100 * worst:.0f}% of hidden layer {shares.index(worst) + 1} were 0 on the whole "
        f"validation part in the last epoch and learn no more; {REMEDIES}"
    )
