"""Writes single values for people: numbers, durations, states, sparklines; and reads those that they type."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.records import Progress, State

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


def threshold_text(value: float) -> str:
    """A probability above which a class is predicted: two decimals, or three significant digits."""
    return f"{value:.2f}" if 0.01 <= value <= 0.99 else f"{value:.3g}"


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


def clock(seconds: float) -> str:
    """0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_STEPS = ((20, 1), (120, 5), (600, 15), (3600, 60), (math.inf, 300))
"""Up to how many seconds a time is rounded to how many."""


def clock_range(low: float, high: float) -> str:
    """A range of times, such as "0:40–0:55", rounded to what can be known."""
    step = next(step for limit, step in _STEPS if high <= limit)
    first, last = math.floor(low / step) * step, max(math.ceil(high / step) * step, step)
    return clock(last) if first == last else f"{clock(first)}–{clock(last)}"


# -- the progress of a run -----------------------------------------------------------------------


def progress_text(progress: Progress, metric: str, width: int, *, stopping: bool = False) -> str:
    """The figures of one moment, in one line of at most `width` columns: the least important are left out."""
    p, gap = progress, "   "
    best, whose = _best_texts(p, metric)
    parts = {
        "trials": f"{p.finished:,}/{p.total:,} trials",
        "epochs": f"{p.trained:,.1f} epochs" if p.trained < 100 else f"{p.trained:,.0f} epochs",
        "speed": _speed_text(p),
        "best": best + whose,
        "diverged": f"{p.failed:,} diverged" if p.failed else "",
        "left": _left_text(p, stopping),
    }
    for name, shorter in (("speed", ""), ("diverged", ""), ("best", best), ("epochs", ""), ("best", "")):
        if len(text := gap.join(filter(None, parts.values()))) <= width:
            return text
        parts[name] = shorter
    return gap.join(filter(None, parts.values()))


def _best_texts(p: Progress, metric: str) -> tuple[str, str]:
    """The best value and whose it is: "so far" where no complete trial is as good."""
    if p.leading_value is None:
        return "", ""
    if p.best_value == p.leading_value:
        return f"best {metric_text(metric, p.best_value)}", f" (trial {p.best_trial})"
    value = metric_text(metric, p.leading_value)
    return f"best so far {value}", f" (trial {p.leading_trial}, epoch {p.leading_epoch})"


def _speed_text(p: Progress) -> str:
    """Epochs a second or, where they are slow, steps."""
    if p.seconds <= 0 or not p.trained:
        return ""
    if p.trained / p.seconds >= 10:
        return f"{p.trained / p.seconds:,.0f} epochs/s"
    return f"{p.steps / p.seconds:,.0f} steps/s"


def _left_text(p: Progress, stopping: bool) -> str:
    if stopping:
        return "stopping" if p.rung is None else f"stopping in {clock(p.rung)}"
    return "" if p.left is None else f"{clock_range(*p.left)} left"


def stop_text(rung: float | None) -> str:
    """What the first Ctrl-C says. rung: seconds until the next one."""
    if rung is None:
        took = ""
    elif rung < 1:
        took = ", less than a second"
    else:
        took = f", about {f'{rung:.0f} s' if rung < 60 else clock(rung)}"
    return f"stopping at the next rung{took}; Ctrl-C again to stop at once"


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
