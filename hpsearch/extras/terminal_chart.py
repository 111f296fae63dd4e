"""Learning curves for the terminal, drawn with characters."""

from __future__ import annotations

import math
import re

import numpy as np

from hpsearch.records import TRAIN_LOSS, TRAIN_METRIC, VALID_LOSS, VALID_METRIC, FloatArray
from hpsearch.results.confirmation import BEST, still_improving
from hpsearch.results.frames import Report
from hpsearch.text import metric_text

LEAST_WIDTH, LEAST_HEIGHT = 30, 6
_TRAIN = "·"
_BLUE, _ORANGE, _PLAIN = "\x1b[34m", "\x1b[33m", "\x1b[0m"
_TICK = 6
"""Characters that an epoch on the axis needs."""

_FAR = 10
"""Values this many quartile ranges beyond the quartiles are off the chart: one would flatten all others."""


def curve_chart(
    report: Report, trial: int, width: int, height: int = 12, coloured: bool = False, log: bool = False
) -> str:
    """The ranked metric of a trial on training and validation, epoch by epoch.

    Validation is a fine line, training is dotted, ● is the best epoch; gaps are values that are not finite.

    Args:
        width, height: of the chart in characters, its lines of text included. coloured: whether to use
        colours. log: whether epochs are spaced logarithmically, to show the beginning.

    Returns:
        Lines of text, none wider than `width`; "" where no value is finite.
    """
    metric = report.record.metric
    curve = report.curves.get(trial, np.empty((0, 4)))
    columns = (TRAIN_LOSS, VALID_LOSS) if metric == "loss" else (TRAIN_METRIC, VALID_METRIC)
    train, valid = (np.where(np.isfinite(curve[:, at]), curve[:, at], np.nan) for at in columns)
    if not np.isfinite(np.concatenate([train, valid])).any():
        return ""
    maximize = report.record.direction == "maximize"
    width = max(width, LEAST_WIDTH)
    lines = _caption(metric, valid, maximize, trial, width)
    left = max(height, LEAST_HEIGHT + len(lines) - 1) - len(lines)
    lines += _drawn(metric, train, valid, maximize, width, left, log)
    text = "\n".join(line.rstrip() for line in lines)
    return _in_colour(text) if coloured else text


def _caption(metric: str, valid: FloatArray, maximize: bool, trial: int, width: int) -> list[str]:
    """The legend and the best epoch, in as many lines as needed."""
    parts = [f"#{trial} {metric}", f"  {_TRAIN} train", "  ⠒ valid"]
    if np.isfinite(valid).any():
        best = _best(valid, maximize)
        parts.append(f"  {BEST} best {metric_text(metric, valid[best])}")
        parts.append(f", epoch {best + 1} of {len(valid)}")
        parts += [", still improving"] if still_improving([valid], maximize) else []
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1] + part) > width:
            lines.append(part.lstrip(" ,"))
        else:
            lines[-1] += part
    return lines


def _best(valid: FloatArray, maximize: bool) -> int:
    return int(np.nanargmax(valid if maximize else -valid))


def _drawn(
    metric: str, train: FloatArray, valid: FloatArray, maximize: bool, width: int, height: int, log: bool
) -> list[str]:
    import plotext

    low, high = _limits(np.concatenate([train, valid]))
    at = np.arange(1.0, len(valid) + 1)
    places = np.log10(at) if log else at
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    figure.theme("colorless")
    for values, marker in ((train, _TRAIN), (valid, "braille")):
        for run in _runs(np.clip(values, low, high)):
            signal = figure.signal(
                places[run].tolist(), np.clip(values[run], low, high).tolist(), marker=plotext.marker(marker)
            )
            signal.lines()
            figure.draw(signal)
    if np.isfinite(valid).any():
        best = _best(valid, maximize)
        top = float(np.clip(valid[best], low, high))
        figure.draw(figure.signal([float(places[best])], [top], marker=plotext.marker(BEST)))
    figure.axes(False, side=1)
    epochs = _epoch_ticks(len(valid), width, log)
    figure.ruler("x").ticks([float(places[epoch - 1]) for epoch in epochs], [str(epoch) for epoch in epochs])
    ticks = _value_ticks(low, high, height)
    figure.ruler("y").ticks(ticks, [metric_text(metric, tick) for tick in ticks])
    figure.ruler("y").lim(low, high)
    lines: list[str] = figure.build().string(True).splitlines()
    figure.clear()
    return lines


def _limits(values: FloatArray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    first, third = np.quantile(known, [0.25, 0.75])
    reach = _FAR * (third - first) or np.inf
    low, high = float(max(known.min(), first - reach)), float(min(known.max(), third + reach))
    if high <= low:
        pad = abs(low) * 0.05 or 1.0
        return low - pad, high + pad
    return low, high


def _runs(values: FloatArray) -> list[slice]:
    """Stretches of finite values."""
    edges = np.flatnonzero(np.diff(np.isfinite(values).astype(int), prepend=0, append=0))
    return [slice(int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def _epoch_ticks(last: int, width: int, log: bool) -> list[int]:
    """The first and last epoch, and round ones between them that keep their distance."""
    most = max(2, width // (2 * _TICK))
    if log:
        between = [step * 10**power for power in range(len(str(last))) for step in (1, 2, 5)]
        room = math.log(max(2, last)) * _TICK / width
        far = [epoch for epoch in between if 1 < epoch < last and math.log(last / epoch) > room]
    else:
        step = _round_step((last - 1) / most) if last > 1 else 1.0
        far = [round(step * n) for n in range(1, most + 2) if step >= 1 and 1 < step * n < last - step / 2]
    return sorted({1, *far, last})


def _value_ticks(low: float, high: float, height: int) -> list[float]:
    step = _round_step((high - low) / max(2, height // 2))
    first = math.ceil(low / step - 1e-9)
    return [step * n for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, … times a power of ten that is not less."""
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(part * power for part in (1, 2, 5, 10) if part * power >= least * (1 - 1e-9))


def _in_colour(text: str) -> str:
    text = re.sub(f"[⠁-⣿]+|{BEST}", lambda found: f"{_BLUE}{found.group()}{_PLAIN}", text)
    return re.sub(f"{_TRAIN}+", lambda found: f"{_ORANGE}{found.group()}{_PLAIN}", text)
