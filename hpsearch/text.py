"""Writes single values for people: numbers, durations, states, sparklines; and reads those that they type."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.records import State

MISSING = "–"
STATE_WORDS = {
    State.COMPLETE: "complete",
    State.PRUNED: "stopped early",
    State.FAILED: "diverged",
    State.RUNNING: "unfinished",
}
_PERCENT_METRICS = ("accuracy", "error", "balanced_accuracy")
"""Shares of rows, shown as percent."""
_BARS = "▁▂▃▄▅▆▇█"


def plain(text: str) -> str:
    """`text` with control and formatting characters as escapes, so that no terminal obeys them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def missing(value: Any) -> bool:
    """Whether a cell of a frame holds nothing: None, NaN or pandas' NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas' NA has no truth value
        return True


def json_value(value: Any) -> Any:
    """`value` in types that JSON has; missing and non-finite values become null."""
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if missing(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def metric_text(metric: str, value: Any) -> str:
    """A value of the study's metric: shares as percent, others with four significant digits."""
    if missing(value):
        return MISSING
    if is_share(metric) and math.isfinite(value):
        return f"{100 * value:.1f}%"
    return significant(value, 4)


def is_share(metric: str) -> bool:
    """Whether the metric is a share: shown as percent, differences as points."""
    return metric in _PERCENT_METRICS


def significant(value: Any, digits: int) -> str:
    """A float with that many significant digits; trailing zeros stay, so that columns line up."""
    if missing(value):
        return MISSING
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if 10 ** (digits - 1) <= abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:#.{digits}g}"


def interval_text(metric: str, low: float | None, high: float | None) -> str:
    """An interval of a value of the metric, such as "95.1 … 96.1%"; "the same" where there is none."""
    if low is None or high is None or missing(low) or missing(high):
        return "the same"
    texts = [metric_text(metric, min(max(end, 0.0), 1.0) if is_share(metric) else end) for end in (low, high)]
    return f"{texts[0].removesuffix('%')} … {texts[1]}"


def signed_texts(metric: str, *values: float) -> list[str]:
    """A difference of the metric, or one and the ends of its interval, with signs; of shares in points."""
    if is_share(metric):
        points = [100 * value for value in values]
        decimals = 1 if len(points) < 3 or points[2] - points[1] >= 0.4 else 2
        texts = [f"{abs(value):.{decimals}f}" for value in points]
    else:
        texts = [significant(abs(value), 3) for value in values]
    signs = [
        "" if not float(text) else "+" if value > 0 else "−"
        for text, value in zip(texts, values, strict=True)
    ]
    return [sign + text for sign, text in zip(signs, texts, strict=True)]


def parameter_text(value: Any) -> str:
    """A hyper-parameter: floats with three significant digits, an empty list of layers as "linear"."""
    if missing(value):
        return MISSING
    if isinstance(value, str):
        return plain(value) or "linear"
    if isinstance(value, float):
        return f"{value:.3g}"
    return toml_value(value)


def seconds_text(seconds: float) -> str:
    """A duration: 0.42 s, 6.1 s, 2 min 5 s, 1 h 3 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def bytes_text(count: int) -> str:
    """A size: 76.8 kB, 2.49 MB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.3g} B"


def listed(words: Sequence[str], word: str = "and") -> str:
    """ "a, b and c"."""
    *before, last = words
    return f"{', '.join(before)} {word} {last}" if before else last


def counts_text(counts: Mapping[State, int]) -> str:
    """ "84 complete, 169 stopped early, 3 diverged"; states without trials are left out."""
    parts = [f"{counts[state]:,} {word}" for state, word in STATE_WORDS.items() if counts.get(state)]
    return ", ".join(parts)


def toml_value(value: Any) -> str:
    """A JSON-able value as TOML writes it, inline."""
    if isinstance(value, Mapping):
        pairs = (f"{key} = {toml_value(item)}" for key, item in value.items() if item is not None)
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)  # TOML has no pairs of surrogates


def toml_key(name: str) -> str:
    """A key as TOML writes it."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)


def typed_value(text: str) -> Any:
    """A value typed at a command line, as TOML reads it, or the text itself if TOML can't."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text.strip()


def sparkline(values: Sequence[float], width: int) -> str:
    """One line of bars, thinned to `width`, from the lowest to the highest finite value; gaps are blank."""
    if len(values) > width:
        last = len(values) - 1
        values = [values[round(i * last / (width - 1))] for i in range(width)] if width > 1 else values[-1:]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    if not span or not math.isfinite(span):
        return "".join(_BARS[0] if math.isfinite(value) else " " for value in values)
    top = len(_BARS) - 1
    return "".join(
        _BARS[round((value - low) / span * top)] if math.isfinite(value) else " " for value in values
    )
